//! Waiting for a condition instead of sleeping for a guess.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const POLL: Duration = Duration::from_millis(5);

/// Polls `condition` until it holds, for no longer than `bound`.
///
/// # Errors
/// When `bound` has passed; the error says `what` was waited for, and how long.
pub fn wait_until(what: &str, bound: Duration, mut condition: impl FnMut() -> bool) -> Result<()> {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() >= bound {
            bail!("waited {bound:?} in vain for {what}");
        }
        sleep(POLL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_with_the_condition() {
        let mut calls = 0;
        wait_until("three calls", Duration::from_secs(5), || {
            calls += 1;
            calls == 3
        })
        .expect("the condition holds at the third call");
        assert_eq!(calls, 3);
    }

    #[test]
    fn names_what_never_came() {
        let error =
            wait_until("rain", Duration::from_millis(10), || false).expect_err("it never rains");
        assert_eq!(error.to_string(), "waited 10ms in vain for rain");
    }
}
