//! Where an instance's maps and links are pinned:
//! `<pin dir>/<interface>/v<ABI version>/{<map>…, xdp_link, tc_link}`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use portfwd_common::ABI_VERSION;
use thiserror::Error;

use super::shapes::MAPS;

/// Another process uses the pins.
#[derive(Debug, Error)]
#[error(
    "another portfwd, with another --state-dir, uses {0}: stop it first, or choose another --pin-dir"
)]
pub struct PinsInUse(PathBuf);

/// The pin folder of one interface.
#[derive(Clone, Debug)]
pub struct Pins {
    interface_folder: PathBuf,
    folder: PathBuf,
}

impl Pins {
    /// The pins of `interface` below `pin_dir`; nothing is created yet.
    #[must_use]
    pub fn new(pin_dir: &Path, interface: &str) -> Self {
        let interface_folder = pin_dir.join(interface);
        let folder = interface_folder.join(format!("v{ABI_VERSION}"));
        Self {
            interface_folder,
            folder,
        }
    }

    /// The folder of the maps.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of all versions of this interface.
    pub(super) fn interface_folder(&self) -> &Path {
        &self.interface_folder
    }

    /// Where the XDP link is pinned.
    #[must_use]
    pub fn xdp_link(&self) -> PathBuf {
        self.folder.join("xdp_link")
    }

    /// Where the TC link is pinned.
    #[must_use]
    pub fn tc_link(&self) -> PathBuf {
        self.folder.join("tc_link")
    }

    /// Keeps the pins for this process, as long as the value lives.
    ///
    /// # Errors
    /// [`PinsInUse`] where another process has them.
    pub(super) fn lock(&self) -> Result<Flock<File>> {
        let folder = &self.interface_folder;
        let file =
            File::open(folder).with_context(|| format!("cannot open {}", folder.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(lock),
            Err((_, Errno::EWOULDBLOCK)) => Err(PinsInUse(folder.clone()).into()),
            Err((_, errno)) => {
                Err(errno).with_context(|| format!("cannot lock {}", folder.display()))
            }
        }
    }

    /// Whether an earlier run of this ABI version left anything.
    #[must_use]
    pub fn exist(&self) -> bool {
        self.folder.exists()
    }

    /// Whether any version left anything.
    #[must_use]
    pub fn any_version_exists(&self) -> bool {
        self.interface_folder.exists()
    }

    /// Refuses to start beside pins of another ABI version, whose programs may be attached.
    ///
    /// # Errors
    /// Names the version.
    pub fn refuse_other_versions(&self) -> Result<()> {
        for other in self.versions()? {
            if other != self.folder {
                bail!(
                    "{} was left by a version of portfwd with other maps: \
                     `portfwd detach` removes it (and ends its flows)",
                    other.display()
                );
            }
        }
        Ok(())
    }

    /// Removes links first, then maps, of every version: once a link's last name is gone the
    /// kernel detaches its program.
    ///
    /// # Errors
    /// Where a pin cannot be removed.
    pub fn remove_all(&self) -> Result<()> {
        for version in self.versions()? {
            remove_version(&version)?;
        }
        remove(
            fs::remove_dir(&self.interface_folder),
            &self.interface_folder,
        )?;
        Ok(())
    }

    /// The folders of all versions; anything else there is not ours.
    fn versions(&self) -> Result<Vec<PathBuf>> {
        let is_version = |path: &PathBuf| {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            name.strip_prefix('v')
                .is_some_and(|number| number.parse::<u32>().is_ok())
        };
        Ok(entries(&self.interface_folder)?
            .into_iter()
            .filter(is_version)
            .collect())
    }

    /// Removes maps that an unfinished start left without its siblings.
    ///
    /// # Errors
    /// Where a pin cannot be removed.
    pub fn remove_if_incomplete(&self) -> Result<()> {
        let complete = MAPS.iter().all(|map| self.folder.join(map.name).exists());
        let linked = self.xdp_link().exists() || self.tc_link().exists();
        if self.exist() && !complete && !linked {
            remove_version(&self.folder)?;
        }
        Ok(())
    }
}

/// The interfaces that have pins below `pin_dir`.
#[must_use]
pub fn interfaces(pin_dir: &Path) -> Vec<String> {
    let folders = entries(pin_dir).unwrap_or_default();
    let mut names: Vec<String> = folders
        .iter()
        .filter(|folder| folder.is_dir())
        .filter_map(|folder| Some(folder.file_name()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}

fn remove_version(folder: &Path) -> Result<()> {
    let mut pins = entries(folder)?;
    pins.sort_by_key(|pin| !pin.to_string_lossy().ends_with("_link"));
    for pin in pins {
        remove(fs::remove_file(&pin), &pin)?;
    }
    remove(fs::remove_dir(folder), folder)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    };
    match read() {
        Ok(paths) => Ok(paths),
        Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", folder.display())),
    }
}

fn remove(result: io::Result<()>, path: &Path) -> Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
