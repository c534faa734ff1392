//! The file system that pins live on.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{FsType, statfs};

/// Where systems mount it by convention, which is also the default folder's place.
const CONVENTIONAL: &str = "/sys/fs/bpf";

/// `BPF_FS_MAGIC` of linux/magic.h.
const BPF_FS_MAGIC: FsType = FsType(0xcafe_4a11);

/// Makes sure that `folder` is on a BPF file system, creating the folder; where it is below
/// `/sys/fs/bpf` and nothing is mounted there yet, mounts one, as systemd does at boot.
///
/// # Errors
/// Where it is elsewhere and not on a BPF file system, or mounting is refused.
pub fn ensure_bpffs(folder: &Path) -> Result<()> {
    if !is_bpffs(folder) {
        if !folder.starts_with(CONVENTIONAL) || is_bpffs(Path::new(CONVENTIONAL)) {
            bail!(
                "{0} is not on a BPF file system: choose a --pin-dir below {CONVENTIONAL}, \
                 or mount one with `mount -t bpf bpf {0}`",
                folder.display()
            );
        }
        mount(
            Some("bpf"),
            CONVENTIONAL,
            Some("bpf"),
            MsFlags::empty(),
            Some("mode=0700"),
        )
        .with_context(|| format!("cannot mount a BPF file system on {CONVENTIONAL}"))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

/// Whether `path`, or the nearest folder above it that exists, is on a BPF file system.
fn is_bpffs(path: &Path) -> bool {
    path.ancestors()
        .find(|folder| folder.exists())
        .and_then(|folder| statfs(folder).ok())
        .is_some_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC)
}
