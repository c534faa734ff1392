//! `detach`: nothing of portfwd stays on the interface, whoever left it there.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{Target, print};
use crate::cli::Global;
use crate::daemon::{Instance, Request, ask, remove_socket};
use crate::error::no_daemon;

/// How long a daemon may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// `detach`
pub(super) fn detach(global: &Global) -> Result<()> {
    let target = Target::find(global)?;
    let running = Instance::is_running(&global.state_dir, &target.interface);
    if !running && !target.pins.any_version_exists() {
        return Err(no_daemon(format!(
            "nothing is attached to {}",
            target.interface
        )));
    }
    if running {
        ask(&global.state_dir, &target.interface, &Request::Stop)?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline
            && Instance::is_running(&global.state_dir, &target.interface)
        {
            sleep(Duration::from_millis(20));
        }
        if Instance::is_running(&global.state_dir, &target.interface) {
            bail!(
                "the daemon of {} does not end: end it yourself, then try again",
                target.interface
            );
        }
    }
    target.pins.remove_all()?;
    // A daemon that was killed has left it.
    remove_socket(&global.state_dir, &target.interface);
    if global.quiet {
        return Ok(());
    }
    print(&format!("nothing is left on {}\n", target.interface))
}
