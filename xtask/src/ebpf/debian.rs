//! Debian's packages as the toolchain: its rustc, core's sources, and the LLVM that it was built
//! with, against which bpf-linker is compiled into the target folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::build::isolate;
use super::toolchain::{Toolchain, linker_version};
use crate::cargo::{Workspace, succeed};
use crate::packages::{self, Consent};

/// Each package, and a file by which it is known to be there.
const PACKAGES: [(&str, &str); 4] = [
    ("rustc-web", "/usr/bin/rustc"),
    (
        "rust-web-src",
        "/usr/lib/rustlib/src/rust/library/Cargo.lock",
    ),
    ("cargo-web", "/usr/bin/cargo"),
    ("llvm-22-dev", "/usr/lib/llvm-22/include/llvm-c/Core.h"),
];
/// rustc and bpf-linker exchange LLVM bitcode, and so have to agree on its version.
const LLVM: &str = "/usr/lib/llvm-22";
const LLVM_FEATURE: &str = "llvm-22";
const BPF_LINKER: &str = "0.13.0";

const NONE: &str = "There is no toolchain for eBPF here: neither a rustup nightly with rust-src \
(`rustup toolchain install nightly --component rust-src,llvm-tools` and a bpf-linker in PATH), \
nor Debian's packages.";

/// Debian's toolchain; installs what it lacks, packages only with consent.
pub fn toolchain(workspace: &Workspace, consent: Consent) -> Result<Toolchain> {
    let missing: Vec<_> = PACKAGES
        .iter()
        .filter(|(_, file)| !Path::new(file).exists())
        .map(|(package, _)| *package)
        .collect();
    if !missing.is_empty() {
        packages::ask(consent, &missing, NONE)?;
        packages::install(&missing, "the eBPF programs need Debian's Rust toolchain")?;
    }
    let linker = bpf_linker(workspace)?;
    let strip = [Path::new(LLVM).join("bin/llvm-strip")];
    Toolchain::open(Path::new("/usr"), linker, &strip)
        .context("Debian's toolchain in /usr cannot be used")
}

fn bpf_linker(workspace: &Workspace) -> Result<PathBuf> {
    let tools = workspace.target.join("tools");
    let linker = tools.join("bin/bpf-linker");
    if linker_version(&linker).is_ok_and(|version| version == BPF_LINKER) {
        return Ok(linker);
    }
    eprintln!(
        "==> compiling bpf-linker {BPF_LINKER} into {} (about a minute, once)",
        tools.display()
    );
    let mut install = Command::new("/usr/bin/cargo");
    isolate(&mut install);
    install
        .env("RUSTC", "/usr/bin/rustc")
        .env("LLVM_PREFIX", LLVM)
        .args(["install", "bpf-linker", "--version", BPF_LINKER])
        .args(["--locked", "--force", "--no-default-features"])
        .args(["--features", LLVM_FEATURE, "--root"])
        .arg(&tools)
        .arg("--target-dir")
        .arg(tools.join("build"));
    succeed(&mut install)?;
    Ok(linker)
}
