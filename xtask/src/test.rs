//! `cargo xtask test`: all tests as root; without root those that need none.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xtask::programs;

use crate::cargo::{Workspace, cargo, succeed};
use crate::{clean, packages, root};

/// portfwd-ebpf builds for the BPF target only.
const ALL: [&str; 5] = [
    "test",
    "--workspace",
    "--exclude",
    "portfwd-ebpf",
    "--no-fail-fast",
];

/// Runs the tests, with `arguments` for `cargo test`.
pub fn run(arguments: &[OsString]) -> Result<()> {
    if root::is_root() {
        packages::install_programs(programs::LAB)?;
        clean::before()?;
        succeed(cargo().args(ALL).args(arguments))?;
        println!("test: passed, as root: nothing left out");
        return Ok(());
    }
    let left_out = integration_tests(&Workspace::find()?.root)?;
    succeed(cargo().args(ALL).args(["--lib", "--bins"]).args(arguments))?;
    succeed(cargo().args(ALL).arg("--doc").args(arguments))?;
    println!("test: passed what needs no root; left out, for they need it:");
    for path in left_out {
        println!("  {}", path.display());
    }
    println!("run `cargo xtask test` as root for all");
    Ok(())
}

/// The `tests/*.rs` and `tests/*/main.rs` of every crate, by their path in the workspace.
fn integration_tests(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for package in list(root)? {
        let Ok(files) = list(&package.join("tests")) else {
            continue;
        };
        let is_test = |path: &PathBuf| {
            let is_source = path.extension().is_some_and(|extension| extension == "rs");
            is_source || path.join("main.rs").exists()
        };
        let sources = files.into_iter().filter(is_test);
        found.extend(sources.filter_map(|path| path.strip_prefix(root).ok().map(Path::to_owned)));
    }
    found.sort();
    Ok(found)
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .with_context(|| format!("cannot read {}", folder.display()))
}
