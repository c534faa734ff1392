//! Installing what is missing from Debian's packages, and saying so.

use std::io::{IsTerminal, Write, stdin, stdout};

use anyhow::{Context, Result, bail};
use xtask::programs::{self, Program};

use crate::{cargo, root};

/// Whether packages may be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// The user has asked for it, or this is CI.
    Given,
    /// Ask the user, if there is one at a terminal.
    Ask,
}

impl Consent {
    /// Given by a flag, or by the `CI` environment variable.
    pub fn from_flag(flag: bool) -> Self {
        let ci = std::env::var("CI").is_ok_and(|value| !matches!(&*value, "" | "0" | "false"));
        if flag || ci { Self::Given } else { Self::Ask }
    }
}

/// Installs the programs of `wanted` that are missing.
pub fn install_programs(wanted: &[Program]) -> Result<()> {
    let missing = programs::missing(wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|program| program.name).collect();
    let packages: Vec<_> = missing.iter().map(|program| program.package).collect();
    install(&packages, &format!("not installed: {}", names.join(", ")))?;
    let still: Vec<_> = programs::missing(wanted);
    if let Some(program) = still.first() {
        bail!(
            "the package {} is installed, but {} is nowhere in {}",
            program.package,
            program.name,
            programs::search_path()
        );
    }
    Ok(())
}

/// Installs `packages` with apt-get as root; `why` is said first.
pub fn install(packages: &[&str], why: &str) -> Result<()> {
    if programs::find("apt-get").is_none() {
        bail!(
            "{why}; there is no apt-get here: install what Debian calls {} in your system's way",
            packages.join(" ")
        );
    }
    eprintln!("==> {why}");
    eprintln!("==> {}", command_line(packages));
    // An update that fails for one source may still serve what is needed.
    if let Err(error) = cargo::succeed(root::command("apt-get")?.args(["update", "-q"])) {
        eprintln!("==> going on with the package lists that are here: {error:#}");
    }
    let mut install = root::command("env")?;
    install
        .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-q"])
        .args(["-y", "--no-install-recommends"])
        .args(packages);
    cargo::succeed(&mut install)
}

/// Asks whether to install `packages`, unless that is settled.
///
/// # Errors
/// Where the answer is no or nobody is there to give it; `otherwise` is what one can do then.
pub fn ask(consent: Consent, packages: &[&str], otherwise: &str) -> Result<()> {
    if consent == Consent::Given {
        return Ok(());
    }
    let line = command_line(packages);
    if stdin().is_terminal() && stdout().is_terminal() {
        print!("{otherwise}\nInstall with `{line}` now? [y/N] ");
        stdout().flush().context("cannot write to the terminal")?;
        let mut answer = String::new();
        stdin()
            .read_line(&mut answer)
            .context("cannot read the answer")?;
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        bail!("nothing was installed; to do it by hand: {line}");
    }
    bail!("{otherwise}\nOn Debian: {line}\n(the flag --install, or CI=true, does it)")
}

fn command_line(packages: &[&str]) -> String {
    format!(
        "apt-get install -y --no-install-recommends {}",
        packages.join(" ")
    )
}
