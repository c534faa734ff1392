//! Ctrl-C and its like: the lab is taken down before the process ends.

use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use xtask::lab;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From here on a signal takes every lab down, and ends the process with the usual code.
pub fn take_down_on_signals() -> Result<()> {
    let mut signals =
        Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot listen for signals")?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            INTERRUPTED.store(true, Ordering::SeqCst);
            println!("\nInterrupted: taking the lab down");
            lab::take_down_all();
            exit(128 + signal);
        }
    });
    Ok(())
}

/// To be called after a failure: one that comes of a signal taking the lab away is not to be
/// told. This returns only where there was no signal, for the other thread ends the process.
pub fn wait_if_interrupted() {
    while INTERRUPTED.load(Ordering::SeqCst) {
        std::thread::park();
    }
}
