//! Exit codes, and the one place that prints an error.
//! Knows nothing of what failed: an error carries its own exit code through `anyhow`.

use std::fmt::{self, Display, Formatter};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

/// Why the program ends without success, as scripts see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Exit {
    /// Something failed.
    Failure = 1,
    /// The command line, a rule or a config file is wrong.
    Usage = 2,
    /// No rule has that name.
    NoSuchRule = 3,
    /// No daemon answers, or nothing is attached.
    NoDaemon = 4,
    /// A capability is missing.
    MissingCapability = 5,
    /// A check found something.
    Findings = 6,
}

impl Exit {
    /// The number that the process ends with.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// A new error that ends the process with this code.
    #[must_use]
    pub fn error(self, message: impl Display) -> anyhow::Error {
        self.wrap(anyhow::anyhow!("{message}"))
    }

    /// `error`, and all its causes, with this code in the place of any it had.
    #[must_use]
    pub fn wrap(self, error: impl Into<anyhow::Error>) -> anyhow::Error {
        anyhow::Error::new(Coded {
            exit: self,
            error: error.into(),
        })
    }

    /// The code that `error` carries; [`Exit::Failure`] where it carries none.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        error
            .downcast_ref::<Coded>()
            .map_or(Self::Failure, |coded| coded.exit)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// What `main` returns for `error`.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    Exit::of(error).into()
}

/// Writes `error: …` to stderr, with the causes on the same line.
pub fn report(error: &anyhow::Error) {
    // Where stderr is closed there is nobody left to tell.
    let _ = writeln_stderr(format_args!("error: {error:#}"));
}

fn writeln_stderr(line: fmt::Arguments<'_>) -> std::io::Result<()> {
    use std::io::Write;
    writeln!(std::io::stderr().lock(), "{line}")
}

/// An error with its exit code. It reads like the error itself.
#[derive(Debug)]
struct Coded {
    exit: Exit,
    error: anyhow::Error,
}

impl Display for Coded {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Coded {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// A value inside a message: in quotes, on one line whatever it contains, and cut where it is
/// long.
pub struct Quoted<'a>(pub &'a str);

/// How many characters of a value a message shows.
const SHOWN: usize = 64;

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(SHOWN) {
            None => write!(f, "{:?}", self.0),
            Some((end, _)) => write!(f, "{:?}…", &self.0[..end]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_code_survives_context_and_keeps_the_causes() {
        let cause = std::io::Error::other("disk on fire");
        let error = anyhow::Error::new(cause).context("cannot read the rule");
        let error = Exit::NoSuchRule.wrap(error);
        let error = Err::<(), _>(error)
            .context("cannot delete web")
            .expect_err("an error");
        assert_eq!(Exit::of(&error), Exit::NoSuchRule);
        assert_eq!(
            format!("{error:#}"),
            "cannot delete web: cannot read the rule: disk on fire"
        );
    }

    #[test]
    fn an_error_without_a_code_is_a_failure() {
        assert_eq!(Exit::of(&anyhow::anyhow!("no")), Exit::Failure);
        assert_eq!(Exit::of(&Exit::NoDaemon.error("no")).code(), 4);
    }

    #[test]
    fn a_quoted_value_is_one_short_line() {
        assert_eq!(
            Quoted("81\n\x1b[31m").to_string(),
            r#""81\n\u{1b}[31m""#
        );
        let long = Quoted(&"ä".repeat(500)).to_string();
        assert_eq!(long, format!("\"{}\"…", "ä".repeat(64)));
    }
}
