//! `cargo xtask run`: portfwd as built from here, as root.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;

use anyhow::{Result, anyhow};

use crate::{cargo, root};

/// Builds portfwd and becomes it, so that signals and the exit code are its own.
pub fn run(arguments: &[OsString]) -> Result<()> {
    let binary = cargo::build_portfwd()?;
    let error = root::command(&binary)?.args(arguments).exec();
    Err(anyhow!(error).context(format!("cannot run {}", binary.display())))
}
