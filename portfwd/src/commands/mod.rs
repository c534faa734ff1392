//! One module per kind of command: running, reading the maps, asking the daemon.

mod change;
mod conns;
mod detach;
mod logging;
mod maps;
mod read;
mod run;
mod stats;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory;

use crate::cli::{Cli, Command, ConnsAction, Global};
use crate::error::{no_daemon, report, usage};
use crate::kernel::{Maps, Pins, interfaces};

/// Carries out a command line.
#[must_use]
pub fn main(cli: Cli) -> ExitCode {
    logging::init(&cli.global);
    match carry_out(cli) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has enough of it, as `portfwd conns | head` does.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

fn carry_out(cli: Cli) -> Result<()> {
    let global = &cli.global;
    match cli.command {
        Command::Run(run) => run::run(global, run),
        Command::Add(add) => change::add(global, add),
        Command::Del { which } => change::delete(global, which),
        Command::Flush => change::flush(global),
        Command::Reload => change::reload(global),
        Command::List => read::list(global),
        Command::Conns(conns) if conns.action == ConnsAction::Flush => {
            change::flush_flows(global, conns.filter())
        }
        Command::Conns(conns) => conns::conns(global, &conns),
        Command::Stats { watch } => stats::stats(global, watch),
        Command::Status => read::status(global),
        Command::Maps { name: None, .. } => maps::overview(global),
        Command::Maps {
            name: Some(name),
            raw,
        } => maps::entries(global, &name, raw),
        Command::Detach => detach::detach(global),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "portfwd", &mut io::stdout());
            Ok(())
        }
    }
}

/// The instance that a command is about.
struct Target {
    interface: String,
    pins: Pins,
}

impl Target {
    /// The one that was named, or the only one there is.
    fn find(global: &Global) -> Result<Self> {
        let interface = match &global.interface {
            Some(interface) => interface.clone(),
            None => only_instance(global)?,
        };
        let pins = Pins::new(&global.pin_dir, &interface);
        Ok(Self { interface, pins })
    }

    /// Its maps.
    fn maps(&self) -> Result<Maps> {
        if !self.pins.exist() {
            return Err(no_daemon(format!(
                "nothing is attached to {0}: start `portfwd run -i {0} RULE`",
                self.interface
            )));
        }
        Maps::open(self.pins.folder())
    }
}

fn only_instance(global: &Global) -> Result<String> {
    let mut names = interfaces(&global.pin_dir);
    match names.len() {
        0 => Err(no_daemon(format!(
            "nothing is attached (no pins in {}): start `portfwd run -i IFACE RULE`",
            global.pin_dir.display()
        ))),
        1 => Ok(names.remove(0)),
        _ => Err(usage(format!(
            "several instances run ({}): name one with -i",
            names.join(", ")
        ))),
    }
}

/// Prints to stdout.
fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// The clock that flows expire by: nanoseconds of `CLOCK_MONOTONIC`.
fn monotonic_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    now.map_or(0, |now| {
        now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
    })
}
