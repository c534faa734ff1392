//! The `portfwd` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    match portfwd::cli::parse() {
        Ok(cli) => portfwd::commands::main(cli),
        Err(exit) => exit,
    }
}
