//! Processes that a lab started: what they printed, and their end.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::host::line;
use super::wait_until;

/// A process on one of the lab's hosts. Dropping this leaves it running; dropping the lab ends it.
#[derive(Debug)]
pub struct Process {
    what: String,
    child: Arc<Mutex<Child>>,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Its process id.
    pub fn id(&self) -> u32 {
        lock(&self.child).id()
    }

    /// What it has written to stdout so far.
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Its stdin, where the command was given a pipe; the first caller gets it.
    pub fn take_stdin(&self) -> Option<ChildStdin> {
        lock(&self.child).stdin.take()
    }

    /// Waits for a whole line on stdout that contains `text` (the first line, if `text` is empty)
    /// and returns it.
    ///
    /// # Errors
    /// When `bound` has passed, and as soon as the process has ended without such a line; both
    /// show its stderr.
    pub fn wait_for_line(&self, text: &str, bound: Duration) -> Result<String> {
        let what = format!("a line with \"{text}\" from {}", self.what);
        let mut found = None;
        let waited = wait_until(&what, bound, || {
            let ended = !matches!(self.try_wait(), Ok(None));
            let printed = self.stdout();
            found = printed
                .split_inclusive('\n')
                .find(|line| line.ends_with('\n') && line.contains(text))
                .map(|line| line.trim_end().to_owned());
            found.is_some() || ended
        });
        if let Some(line) = found {
            return Ok(line);
        }
        let reason = match waited {
            Ok(()) => format!("it ended without {what}"),
            Err(error) => error.to_string(),
        };
        bail!("{reason}; its stderr: {}", self.stderr().trim())
    }

    /// Sends `signal`.
    ///
    /// # Errors
    /// Where the process has ended already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        // Under the lock nobody else can reap it, so that the id is still this process's own.
        let mut child = lock(&self.child);
        if let Some(status) = child.try_wait()? {
            bail!("{} has ended already ({status})", self.what);
        }
        nix::sys::signal::kill(pid(&child), signal)
            .with_context(|| format!("cannot send {signal} to {}", self.what))
    }

    /// How it ended, if it has.
    pub fn try_wait(&self) -> Result<Option<ExitStatus>> {
        Ok(lock(&self.child).try_wait()?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When `bound` has passed; it is left running then.
    pub fn wait(&self, bound: Duration) -> Result<ExitStatus> {
        let mut status = None;
        wait_until(&format!("the end of {}", self.what), bound, || {
            status = self.try_wait().ok().flatten();
            status.is_some()
        })?;
        status.context("the process ended without a status")
    }
}

/// Every process that a lab has started, to be killed with it.
#[derive(Debug)]
pub(super) struct Processes {
    dir: PathBuf,
    count: AtomicU32,
    children: Mutex<Vec<Arc<Mutex<Child>>>>,
}

impl Processes {
    /// What they print is kept in files under `dir`.
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            count: AtomicU32::new(0),
            children: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn spawn(&self, host: &str, mut command: Command) -> Result<Process> {
        let program = Path::new(command.get_program());
        let name = program.file_name().unwrap_or(program.as_os_str());
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let path = |stream: &str| {
            let name = name.to_string_lossy();
            self.dir.join(format!("{number}-{host}-{name}.{stream}"))
        };
        let (stdout, stderr) = (path("stdout"), path("stderr"));
        let what = format!("{} on {host}", line(&command));
        command.stdout(create(&stdout)?).stderr(create(&stderr)?);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {what}"))?;
        let child = Arc::new(Mutex::new(child));
        lock(&self.children).push(Arc::clone(&child));
        Ok(Process {
            what,
            child,
            stdout,
            stderr,
        })
    }

    /// Kills and reaps every one, with the processes of its group.
    pub(super) fn kill(&self) {
        for child in lock(&self.children).drain(..) {
            let mut child = lock(&child);
            if matches!(child.try_wait(), Ok(None)) {
                // A failure means that it has just ended; it is reaped below all the same. A
                // command without a process group of its own is killed by its id.
                let _ = killpg(pid(&child), Signal::SIGKILL);
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot create {}", path.display()))
}

fn read(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// A panic in one test must not keep the lab of another from being taken down.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
