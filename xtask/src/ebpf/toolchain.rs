//! Finding a Rust toolchain that builds for BPF: it needs core's sources, and bpf-linker.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use xtask::programs;

use super::debian;
use crate::cargo::Workspace;
use crate::packages::Consent;

/// What decides the object, together with its sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    pub rustc: String,
    pub llvm: String,
    pub bpf_linker: String,
}

/// Everything is used by its path, so that nothing of the user's set-up is changed.
#[derive(Debug)]
pub struct Toolchain {
    pub versions: Versions,
    pub cargo: PathBuf,
    pub rustc: PathBuf,
    pub linker: PathBuf,
    pub strip: PathBuf,
    /// Where core's sources are.
    pub sources: PathBuf,
}

impl Toolchain {
    /// rustup's nightly where it is complete, else Debian's packages.
    pub fn find(workspace: &Workspace, consent: Consent) -> Result<Self> {
        match nightly() {
            Ok(toolchain) => Ok(toolchain),
            Err(reason) => {
                eprintln!("==> rustup's nightly is not used: {reason:#}");
                debian::toolchain(workspace, consent)
            }
        }
    }

    /// rustup's nightly where it has these versions, else Debian's packages, whatever theirs are.
    pub fn like(wanted: &Versions, workspace: &Workspace, consent: Consent) -> Result<Self> {
        match nightly() {
            Ok(toolchain) if toolchain.versions == *wanted => Ok(toolchain),
            _ => debian::toolchain(workspace, consent),
        }
    }

    /// The toolchain in `prefix`, with a linker that may come from elsewhere.
    pub fn open(prefix: &Path, linker: PathBuf, strip: &[PathBuf]) -> Result<Self> {
        let rustc = prefix.join("bin/rustc");
        let cargo = prefix.join("bin/cargo");
        ensure!(cargo.exists(), "{} does not exist", cargo.display());
        let sources = prefix.join("lib/rustlib/src/rust");
        ensure!(
            sources.join("library/Cargo.lock").exists(),
            "it has no sources of core in {}",
            sources.display()
        );
        let Some(strip) = strip.iter().find(|path| path.exists()) else {
            bail!("it has no llvm-strip");
        };
        let about = ask(Command::new(&rustc).arg("-vV"))?;
        let llvm = about
            .lines()
            .find_map(|line| line.strip_prefix("LLVM version: "));
        Ok(Self {
            versions: Versions {
                rustc: about.lines().next().unwrap_or_default().to_owned(),
                llvm: llvm.context("rustc does not tell its LLVM")?.to_owned(),
                bpf_linker: linker_version(&linker)?,
            },
            strip: strip.clone(),
            cargo,
            rustc,
            linker,
            sources,
        })
    }
}

impl std::fmt::Display for Versions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            rustc,
            llvm,
            bpf_linker,
        } = self;
        write!(formatter, "{rustc}, LLVM {llvm}, bpf-linker {bpf_linker}")
    }
}

/// `rustup toolchain install nightly --component rust-src,llvm-tools`, and a bpf-linker in `PATH`.
fn nightly() -> Result<Toolchain> {
    let rustup = programs::find("rustup").context("there is no rustup")?;
    let mut sysroot = Command::new(rustup);
    sysroot
        .args(["run", "nightly", "rustc", "--print", "sysroot"])
        .env("RUSTUP_AUTO_INSTALL", "0");
    let sysroot = PathBuf::from(ask(&mut sysroot)?.trim());
    let linker = programs::find("bpf-linker").context("there is no bpf-linker in PATH")?;
    let about = ask(Command::new(sysroot.join("bin/rustc")).arg("-vV"))?;
    let host = about
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc does not tell its host")?;
    let own = sysroot.join(format!("lib/rustlib/{host}/bin/llvm-strip"));
    let strip: Vec<_> = std::iter::once(own)
        .chain(programs::find("llvm-strip"))
        .collect();
    Toolchain::open(&sysroot, linker, &strip)
}

/// As `bpf-linker --version` tells it; an error also where its LLVM is gone.
pub fn linker_version(linker: &Path) -> Result<String> {
    let printed = ask(Command::new(linker).arg("--version"))?;
    let version = printed.trim().rsplit(' ').next().unwrap_or_default();
    Ok(version.to_owned())
}

/// Runs a tool quietly, and returns what it says.
fn ask(command: &mut Command) -> Result<String> {
    // cargo's own, which would have another toolchain's libraries found first.
    command
        .env_remove("LD_LIBRARY_PATH")
        .env_remove("RUSTUP_TOOLCHAIN");
    let program = command.get_program().display().to_string();
    let output = command
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{program} failed: {}",
        stderr.trim()
    );
    String::from_utf8(output.stdout).with_context(|| format!("{program} printed no text"))
}
