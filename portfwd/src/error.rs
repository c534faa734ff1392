//! Exit codes, and the one place where an error is shown.

use std::io::Write;
use std::process::ExitCode;

use thiserror::Error;

/// How a command ends when it does not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Something failed.
    Failure = 1,
    /// The command line is wrong.
    Usage = 2,
    /// No rule has this name.
    NoSuchRule = 3,
    /// No daemon runs, or nothing is attached.
    NoDaemon = 4,
    /// A capability is missing.
    MissingCapability = 5,
}

/// An error with an exit code of its own.
#[derive(Clone, Debug, Error)]
#[error("{message}")]
struct WithExit {
    exit: Exit,
    message: String,
}

impl Exit {
    /// An error that ends the command this way.
    #[must_use]
    pub fn error(self, message: String) -> anyhow::Error {
        WithExit {
            exit: self,
            message,
        }
        .into()
    }

    /// How `error` ends the command.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        let own = error
            .chain()
            .find_map(|cause| cause.downcast_ref::<WithExit>());
        own.map_or(Self::Failure, |error| error.exit)
    }

    /// The exit code with this number.
    #[must_use]
    pub fn from_u8(number: u8) -> Self {
        match number {
            2 => Self::Usage,
            3 => Self::NoSuchRule,
            4 => Self::NoDaemon,
            5 => Self::MissingCapability,
            _ => Self::Failure,
        }
    }
}

/// A plain failure (exit code 1).
#[must_use]
pub fn failure(message: String) -> anyhow::Error {
    Exit::Failure.error(message)
}

/// No rule has this name (exit code 3).
#[must_use]
pub fn no_such_rule(message: String) -> anyhow::Error {
    Exit::NoSuchRule.error(message)
}

/// Nothing runs or is attached (exit code 4).
#[must_use]
pub fn no_daemon(message: String) -> anyhow::Error {
    Exit::NoDaemon.error(message)
}

/// The command line is wrong (exit code 2).
#[must_use]
pub fn usage(message: String) -> anyhow::Error {
    Exit::Usage.error(message)
}

/// Shows an error and gives its exit code.
#[must_use]
pub fn report(error: &anyhow::Error) -> ExitCode {
    // With stderr closed there is nobody to tell; the exit code says it too.
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
    ExitCode::from(Exit::of(error) as u8)
}

/// Text that a user wrote, as a message quotes it: without control characters, and cut where it
/// is long.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a str);

impl std::fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const LONGEST: usize = 80;
        let cut = self.0.chars().count() > LONGEST;
        let text: String = self
            .0
            .chars()
            .take(LONGEST)
            .flat_map(char::escape_debug)
            .collect();
        write!(f, "`{text}{}`", if cut { "…" } else { "" })
    }
}
