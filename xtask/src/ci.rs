//! `cargo xtask ci`: everything that a change has to pass, step by step.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::cargo::{cargo, succeed};
use crate::packages::Consent;
use crate::{demo, ebpf, test};

type Step = (&'static str, fn() -> Result<()>);

const STEPS: &[Step] = &[
    ("fmt", fmt),
    ("clippy", clippy),
    ("clippy of portfwd-ebpf", clippy_ebpf),
    ("build-ebpf --check", || ebpf::check(Consent::Given)),
    ("test", || test::run(&[])),
    ("demo", || demo::run(&demo::Arguments::default())),
];

/// Runs every step, also after a failure, so that one run shows all that is wrong.
pub fn run() -> Result<()> {
    let mut failed = Vec::new();
    for (name, step) in STEPS {
        println!("==> {name}");
        let start = Instant::now();
        let result = step();
        let seconds = start.elapsed().as_secs_f32();
        match result {
            Ok(()) => println!("==> {name}: ok in {seconds:.1} s"),
            Err(error) => {
                println!("==> {name}: FAILED in {seconds:.1} s: {error:#}");
                failed.push(*name);
            }
        }
    }
    if !failed.is_empty() {
        bail!("ci failed: {}", failed.join(", "));
    }
    println!("==> ci: all {} steps passed", STEPS.len());
    Ok(())
}

fn fmt() -> Result<()> {
    succeed(cargo().args(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    let arguments = [
        "clippy",
        "--workspace",
        "--exclude",
        "portfwd-ebpf",
        "--all-targets",
    ];
    succeed(cargo().args(arguments).args(["--", "-D", "warnings"]))
}

/// For the host, as there is no core for the BPF target without the eBPF toolchain; a panic
/// handler of one's own needs panics that abort.
fn clippy_ebpf() -> Result<()> {
    let arguments = [
        "clippy",
        "--package",
        "portfwd-ebpf",
        "--",
        "-D",
        "warnings",
    ];
    succeed(
        cargo()
            .args(arguments)
            .env("CARGO_PROFILE_DEV_PANIC", "abort"),
    )
}
