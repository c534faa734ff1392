//! A real web server on one of the lab's hosts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Host, Process, wait_until};

const START: Duration = Duration::from_secs(10);

/// mini_httpd, serving a folder. It runs until the lab ends.
#[derive(Debug)]
pub struct WebServer {
    process: Process,
    log: PathBuf,
}

impl WebServer {
    pub(super) fn start(host: &Host, port: u16, root: &Path, dir: &Path) -> Result<Self> {
        let name = format!("{}-{port}", host.name());
        let log = dir.join(format!("access-{name}.log"));
        let mut command = host.command("mini_httpd");
        command
            .args(["-D", "-u", "root", "-p", &port.to_string()])
            .arg("-d")
            .arg(root)
            .arg("-l")
            .arg(&log)
            .arg("-i")
            .arg(dir.join(format!("mini_httpd-{name}.pid")));
        let process = host.spawn(command)?;
        let mut ended = false;
        wait_until("its port to listen", START, || {
            ended = !matches!(process.try_wait(), Ok(None));
            ended || host.enter(|| listens(port))
        })
        .and_then(|()| {
            anyhow::ensure!(!ended, "mini_httpd ended at once");
            Ok(())
        })
        .with_context(|| {
            let stderr = process.stderr();
            format!(
                "no web server on {} port {port}: {}",
                host.name(),
                stderr.trim()
            )
        })?;
        Ok(Self { process, log })
    }

    /// Its access log, in the Common Log Format: each line starts with the address that it saw.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The server's process.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// Asks the kernel rather than the port: a connection to see whether it accepts would be in the
/// server's log.
fn listens(port: u16) -> bool {
    // Of this thread, for the namespace is the thread's; an IPv6 socket serves IPv4 too.
    ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"]
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .any(|sockets| sockets.lines().any(|line| is_listener(line, port)))
}

/// A line of proc(5)'s `net/tcp`: number, local address, remote address, state.
fn is_listener(line: &str, port: u16) -> bool {
    const LISTEN: &str = "0A";
    let fields: Vec<_> = line.split_whitespace().collect();
    matches!(fields[..], [_, local, _, LISTEN, ..] if local.ends_with(&format!(":{port:04X}")))
}
