//! A hash over everything that decides what the object is, the tools aside.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::build::{FLAGS, TARGET};
use crate::cargo::{cargo, output};

/// Files and folders, by their path in the workspace.
const SOURCES: [&str; 3] = [
    "portfwd-ebpf",
    "portfwd-common/Cargo.toml",
    "portfwd-common/src",
];
/// Packets and tables for tests on the host; the programs do not see it.
const NOT_SOURCES: &str = "portfwd-common/src/testing";

/// The hash in hexadecimal digits, over the sources, the dependencies as Cargo.lock pins them,
/// the release profile and the compiler's flags.
pub fn hash(root: &Path) -> Result<String> {
    let mut paths = Vec::new();
    for source in SOURCES {
        collect(&root.join(source), &mut paths)?;
    }
    paths.sort();
    let mut hash = Sha256::new();
    for path in paths {
        let name = path.strip_prefix(root)?.display().to_string();
        if !name.starts_with(NOT_SOURCES) {
            let content = fs::read(&path).with_context(|| format!("cannot read {name}"))?;
            field(&mut hash, name.as_bytes());
            field(&mut hash, &content);
        }
    }
    field(&mut hash, dependencies(root)?.as_bytes());
    field(&mut hash, profile(root)?.as_bytes());
    field(&mut hash, FLAGS.concat().as_bytes());
    Ok(format!("{:x}", hash.finalize()))
}

/// A length before the bytes keeps two fields from passing for one another.
fn field(hash: &mut Sha256, bytes: &[u8]) {
    hash.update(bytes.len().to_le_bytes());
    hash.update(bytes);
}

fn collect(path: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let context = || format!("cannot read {}", path.display());
    if !path.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(context)? {
        let entry = entry.with_context(context)?;
        // Editors' files are no sources.
        if !entry.file_name().to_string_lossy().starts_with('.') {
            collect(&entry.path(), found)?;
        }
    }
    Ok(())
}

/// Name, version and features of every crate in the object. Not the whole Cargo.lock, which
/// changes with user space; build scripts' crates only choose between versions of the tools.
fn dependencies(root: &Path) -> Result<String> {
    let mut tree = cargo();
    tree.current_dir(root)
        .args(["tree", "--locked", "--package", "portfwd-ebpf"])
        .args(["--edges", "normal", "--target", TARGET])
        .args(["--prefix", "none", "--no-dedupe", "--format", "{p} {f}"]);
    let printed = output(&mut tree)?.replace(&root.display().to_string(), "");
    let mut lines: Vec<_> = printed.lines().map(str::trim).collect();
    lines.sort_unstable();
    lines.dedup();
    Ok(lines.join("\n"))
}

fn profile(root: &Path) -> Result<String> {
    let path = root.join("Cargo.toml");
    let context = || format!("cannot read {}", path.display());
    let manifest: toml::Table = fs::read_to_string(&path)
        .with_context(context)?
        .parse()
        .with_context(context)?;
    let profile = manifest.get("profile").and_then(|all| all.get("release"));
    Ok(profile.map(ToString::to_string).unwrap_or_default())
}
