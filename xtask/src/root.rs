//! Becoming root, for the commands that need it.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Result, bail};
use xtask::programs;

/// Whether this process is root's.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// `program`, to be run as root: as it is, or through sudo or doas.
///
/// # Errors
/// Where this process is not root's and neither is installed.
pub fn command(program: impl AsRef<OsStr>) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    for name in ["sudo", "doas"] {
        if let Some(path) = programs::find(name) {
            let mut command = Command::new(path);
            command.arg(program);
            return Ok(command);
        }
    }
    bail!(
        "{} has to run as root, and neither sudo nor doas is installed: run this as root",
        program.as_ref().display()
    )
}
