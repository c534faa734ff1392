//! Who serves an interface: a locked file that says so.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a daemon says of itself, for `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// How its programs are attached.
    pub mode: String,
    /// Its config file.
    pub config: Option<PathBuf>,
    /// When it started, in seconds of the wall clock.
    pub started_at_s: u64,
}

/// Another daemon serves the interface.
#[derive(Debug, Error)]
#[error("portfwd serves {interface} already (process {pid}): use `portfwd add`, or stop it first")]
pub struct LockError {
    /// The interface.
    pub interface: String,
    /// The daemon's process.
    pub pid: u32,
}

/// The lock on an interface. The kernel lets go of it when the process ends, however it ends;
/// what the file says of the process stays.
pub struct Lock {
    file: Flock<File>,
    instance: Instance,
}

impl Lock {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`LockError`] where another process has it.
    pub fn take(state_dir: &Path, interface: &str) -> Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(state_dir)
            .with_context(|| format!("cannot create {}", state_dir.display()))?;
        let path = path(state_dir, interface);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => Ok(Self {
                file,
                instance: Instance::default(),
            }),
            Err((_, Errno::EWOULDBLOCK)) => {
                let pid = Instance::read(state_dir, interface).map_or(0, |instance| instance.pid);
                Err(LockError {
                    interface: interface.to_owned(),
                    pid,
                }
                .into())
            }
            Err((_, errno)) => {
                Err(errno).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    /// Writes down who holds it.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn describe(&mut self, instance: Instance) -> Result<()> {
        let mut json = serde_json::to_vec(&instance).context("cannot describe the instance")?;
        json.push(b'\n');
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(&json)
        };
        write(&mut self.file).context("cannot write the lock file")?;
        self.instance = instance;
        Ok(())
    }

    /// Who holds it.
    #[must_use]
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Lets go of it. The file stays: removing it would let two processes lock two files.
    pub fn release(self) {
        self.file.set_len(0).ok();
    }
}

impl Instance {
    /// The instance that serves, or last served, `interface`.
    #[must_use]
    pub fn read(state_dir: &Path, interface: &str) -> Option<Self> {
        let mut text = String::new();
        File::open(path(state_dir, interface))
            .ok()?
            .read_to_string(&mut text)
            .ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Whether a daemon holds the lock now.
    #[must_use]
    pub fn is_running(state_dir: &Path, interface: &str) -> bool {
        let Ok(file) = File::open(path(state_dir, interface)) else {
            return false;
        };
        matches!(
            Flock::lock(file, FlockArg::LockSharedNonblock),
            Err((_, Errno::EWOULDBLOCK))
        )
    }
}

fn path(state_dir: &Path, interface: &str) -> PathBuf {
    state_dir.join(format!("{interface}.lock"))
}
