//! The `portfwd` command.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    portfwd::commands::main(portfwd::cli::Cli::parse())
}
