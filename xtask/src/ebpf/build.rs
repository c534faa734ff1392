//! Compiling the programs, the same bytes in whatever folder.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::btf;
use super::toolchain::Toolchain;
use crate::cargo::{Workspace, executable, succeed};

pub const TARGET: &str = "bpfel-unknown-none";
/// The oldest instruction set, which every kernel takes; `v2` and `v3` are later ones.
const CPU: &str = "-Ctarget-cpu=generic";
/// The compiler's flags, those with paths aside. The architecture only chooses between layouts of
/// the registers in tracing programs: the object is the same for every host.
pub const FLAGS: [&str; 4] = [
    "--cfg=bpf_target_arch=\"x86_64\"",
    "-Cdebuginfo=2",
    "-Clink-arg=--btf",
    CPU,
];

/// Where all of it is built.
pub fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("ebpf")
}

/// Builds the object, and returns its bytes.
pub fn object(workspace: &Workspace, toolchain: &Toolchain) -> Result<Vec<u8>> {
    eprintln!("==> building portfwd-ebpf with {}", toolchain.versions);
    let mut build = Command::new(&toolchain.cargo);
    isolate(&mut build);
    build
        .current_dir(&workspace.root)
        .args(["build", "--locked", "--release"])
        .args(["--package", "portfwd-ebpf", "--target", TARGET])
        .args(["-Z", "build-std=core", "--target-dir"])
        .arg(folder(workspace))
        .env("RUSTC", &toolchain.rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        // Not a flag: those are part of the names of symbols.
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &toolchain.linker)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(workspace, toolchain)?);
    let linked = executable(&mut build, "portfwd-ebpf")?;

    let stripped = linked.with_extension("stripped");
    let mut strip = Command::new(&toolchain.strip);
    strip.arg("-g").arg(&linked).arg("-o").arg(&stripped);
    succeed(&mut strip)?;
    let mut object =
        fs::read(&stripped).with_context(|| format!("cannot read {}", stripped.display()))?;
    // Fails where strip has taken the BTF, which describes the maps.
    btf::sort_forwards(&mut object)?;
    Ok(object)
}

/// Takes away what cargo and rustup set for this program, and the user's own wishes for builds.
pub fn isolate(command: &mut Command) {
    const KEPT: [&str; 5] = ["HOME", "HTTP_", "NET_", "REGISTR", "TERM_"];
    for (key, _) in env::vars_os() {
        let name = key.to_string_lossy();
        let remove = match name.strip_prefix("CARGO_") {
            Some(rest) => !KEPT.iter().any(|kept| rest.starts_with(kept)),
            None => {
                name.starts_with("RUSTC")
                    || matches!(&*name, "RUSTFLAGS" | "RUSTUP_TOOLCHAIN" | "LD_LIBRARY_PATH")
            }
        };
        if remove {
            command.env_remove(&key);
        }
    }
}

fn flags(workspace: &Workspace, toolchain: &Toolchain) -> Result<OsString> {
    let remap = |from: &Path, to: &str| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push(to);
        flag
    };
    let mut flags: Vec<_> = FLAGS.iter().map(OsString::from).collect();
    flags.push(remap(&workspace.root, "=/portfwd"));
    flags.push(remap(&cargo_home()?, "=/cargo"));
    flags.push(remap(&toolchain.sources, "=/rust"));
    Ok(flags.join("\x1f".as_ref()))
}

fn cargo_home() -> Result<PathBuf> {
    let home = || Some(env::home_dir()?.join(".cargo"));
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(home)
        .context("neither CARGO_HOME nor HOME is set")
}
