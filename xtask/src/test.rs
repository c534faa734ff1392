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

/// The crates whose integration tests load programs or make namespaces.
const NEED_ROOT: [&str; 2] = ["portfwd", "xtask"];

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
    let mut hosted = cargo();
    hosted.args(ALL).args(["--test", "*"]);
    for package in NEED_ROOT {
        hosted.args(["--exclude", package]);
    }
    succeed(hosted.args(arguments))?;
    succeed(cargo().args(ALL).arg("--doc").args(arguments))?;
    println!("test: passed what needs no root; left out, for they need it:");
    for path in left_out {
        println!("  {}", path.display());
    }
    println!("run `cargo xtask test` as root for all");
    Ok(())
}

/// The `tests/*.rs` and `tests/*/main.rs` that need root, by their path in the workspace.
fn integration_tests(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for package in NEED_ROOT {
        let folder = Path::new(package).join("tests");
        let entries = fs::read_dir(root.join(&folder))
            .with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let path = folder.join(entry?.file_name());
            let is_source = path.extension().is_some_and(|extension| extension == "rs");
            if is_source || root.join(&path).join("main.rs").exists() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
