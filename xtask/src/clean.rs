//! `cargo xtask clean`: what labs have left behind whose process was killed.

use anyhow::{Result, ensure};
use xtask::lab;

use crate::root;

/// Removes the labs of dead processes, and says which.
pub fn run() -> Result<()> {
    ensure!(
        root::is_root(),
        "removing a lab takes root: run this as root or with sudo"
    );
    let removed = lab::clean()?;
    match &removed[..] {
        [] => eprintln!("==> no lab was left behind"),
        _ => eprintln!("==> removed labs of dead processes: {}", removed.join(", ")),
    }
    Ok(())
}

/// The same at the start of another command: silent where there is nothing to do.
pub fn before() -> Result<()> {
    for name in lab::clean()? {
        eprintln!("==> removed the lab {name}, which a killed run had left behind");
    }
    Ok(())
}
