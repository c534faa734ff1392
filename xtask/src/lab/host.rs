//! One host of the lab: a network namespace, and running things inside it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid};

use super::process::{Process, Processes};
use crate::programs::search_path;

/// A host of the lab.
#[derive(Debug)]
pub struct Host {
    name: &'static str,
    namespace: String,
    address: Ipv4Addr,
    file: Arc<File>,
    processes: Arc<Processes>,
}

impl Host {
    /// Opens the namespace that `ip netns add` made.
    pub(super) fn open(
        name: &'static str,
        namespace: String,
        address: Ipv4Addr,
        processes: Arc<Processes>,
    ) -> Result<Self> {
        let path = namespace_path(&namespace);
        let file = File::open(&path)
            .with_context(|| format!("cannot open the namespace {}", path.display()))?;
        Ok(Self {
            name,
            namespace,
            address,
            file: Arc::new(file),
            processes,
        })
    }

    /// The host's name in the lab, such as `client` or `A`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The name of its namespace, as in `ip -n NAME`; unique on this machine.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The address of its `eth0`; unspecified for the switch.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// A command to run on this host: in its namespace, without stdin and out of reach of the
    /// terminal's Ctrl-C.
    ///
    /// It is killed when the thread that starts it ends: the kernel ties the parent's death to
    /// the thread, not to the process.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("PATH", search_path())
            .stdin(Stdio::null())
            .process_group(0);
        let namespace = Arc::clone(&self.file);
        let parent = getpid();
        // SAFETY: the closure only makes system calls, which is all that is allowed between
        // fork and exec, and touches no memory that the parent shares with it.
        unsafe {
            command.pre_exec(move || enter_as_child(&namespace, parent));
        }
        command
    }

    /// Starts `command`, which is one of [`Host::command`]'s, and keeps what it prints. The lab
    /// kills it when it is dropped.
    ///
    /// # Errors
    /// Where the program cannot be started.
    pub fn spawn(&self, command: Command) -> Result<Process> {
        self.processes.spawn(self.name, command)
    }

    /// Runs a program to its end, and returns what it wrote to stdout.
    ///
    /// # Errors
    /// Where it cannot be started or fails; the error shows the command and its stderr.
    pub fn run<I, S>(&self, program: &str, arguments: I) -> Result<String>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = self.command(program);
        command.args(arguments);
        let output = command
            .output()
            .with_context(|| format!("cannot start {} on {}", line(&command), self.name))?;
        if !output.status.success() {
            bail!(
                "{} on {} failed ({}): {}",
                line(&command),
                self.name,
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs `work` on a thread of its own inside the namespace. Sockets that it opens stay there
    /// after it; commands that it starts do not outlive it.
    ///
    /// # Panics
    /// Where `work` does, and where the kernel does not let this process into the namespace.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let result = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    setns(&*self.file, CloneFlags::CLONE_NEWNET)
                        .expect("root may enter a network namespace that it holds open");
                    work()
                })
                .join()
        });
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Where `ip netns add NAME` keeps a namespace.
pub(super) fn namespace_path(namespace: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(namespace)
}

/// A command as one would type it.
pub(super) fn line(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect();
    format!("`{}`", words.join(" "))
}

/// Runs in the child, between fork and exec. `ip netns exec` is no alternative: it gives each
/// command a /sys of its own, where a bpf file system is not shared.
fn enter_as_child(namespace: &File, parent: Pid) -> io::Result<()> {
    setns(namespace, CloneFlags::CLONE_NEWNET)?;
    set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        // The parent died before the line above took effect.
        return Err(Errno::ESRCH.into());
    }
    Ok(())
}
