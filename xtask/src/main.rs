//! `cargo xtask`: builds, runs, demonstrates and tests portfwd. One command, one module.

mod cargo;
mod ci;
mod clean;
mod demo;
mod ebpf;
mod packages;
mod root;
mod run;
mod test;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, runs, demonstrates and tests portfwd.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compile the eBPF programs into the object that portfwd embeds
    BuildEbpf(ebpf::Arguments),
    /// Build portfwd and run it as root: `cargo xtask run -- ARGS…`
    Run {
        /// Arguments for portfwd
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// Show portfwd forwarding real traffic between namespaces of this machine
    Demo(demo::Arguments),
    /// Run all tests: as root all of them, else those that need no root
    Test {
        /// Arguments for `cargo test`
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// Everything that a change has to pass
    Ci,
    /// Remove what labs have left behind whose process was killed
    Clean,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::BuildEbpf(arguments) => ebpf::run(&arguments),
        Command::Run { arguments } => run::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test { arguments } => test::run(&arguments),
        Command::Ci => ci::run(),
        Command::Clean => clean::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
