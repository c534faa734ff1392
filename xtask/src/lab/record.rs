//! What a lab has made, written down before it is made, so that it can be removed whatever
//! happens: by the lab itself, from a signal, or by `cargo xtask clean` after a kill -9.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, id};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::host::namespace_path;
use super::wait_until;
use crate::programs::search_path;

const RECORDS: &str = "/run/portfwd-labs";
const KILL: Duration = Duration::from_secs(10);

/// The labs of this process. Whoever builds or removes one holds the lock, so that a signal
/// never meets half a lab.
static LABS: Mutex<Labs> = Mutex::new(Labs {
    built: 0,
    standing: Vec::new(),
    closed: false,
});

struct Labs {
    built: u32,
    standing: Vec<Record>,
    closed: bool,
}

/// Everything that is to be removed again, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    name: String,
    pid: u32,
    /// When that process was started, in clock ticks since boot: an id alone is used again.
    started: u64,
    hosts: Vec<String>,
    dir: PathBuf,
}

impl Record {
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn bpffs(&self) -> PathBuf {
        self.dir.join("bpf")
    }

    /// The name of a host's namespace.
    pub(super) fn namespace(&self, host: &str) -> String {
        format!("portfwd-{}-{}", self.name, host.to_lowercase())
    }

    fn write(&self) -> Result<()> {
        let path = path(&self.name);
        fs::create_dir_all(RECORDS).with_context(|| format!("cannot create {RECORDS}"))?;
        fs::write(&path, serde_json::to_string(self)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Removes all of it, going on after a failure; the first one is returned.
    fn remove(&self) -> Result<()> {
        let mut result = Ok(());
        let mut then = |step: Result<()>| {
            if result.is_ok() {
                result = step;
            }
        };
        let namespaces = self.hosts.iter().map(|host| self.namespace(host));
        let standing: Vec<_> = namespaces
            .filter(|namespace| namespace_path(namespace).exists())
            .collect();
        then(kill_processes(&standing));
        then(unmount(&self.bpffs()));
        for namespace in &standing {
            then(delete_namespace(namespace));
        }
        if result.is_ok() {
            result = remove_dir(&self.dir);
        }
        if result.is_ok() {
            // Last, so that `clean` finds what could not be removed.
            let _ = fs::remove_file(path(&self.name));
        }
        result.with_context(|| format!("cannot remove all of the lab {}", self.name))
    }
}

/// Writes down a lab with `hosts`, then builds it; removes it again where that fails.
pub(super) fn register<T>(hosts: &[&str], build: impl FnOnce(&Record) -> Result<T>) -> Result<T> {
    let mut labs = lock();
    if labs.closed {
        bail!("this process is about to end, no lab is built any more");
    }
    let name = format!("{}-{}", id(), labs.built);
    labs.built += 1;
    // An old process with this one's id may have left a lab of the same name.
    if let Some(dead) = read(&path(&name))? {
        dead.remove()?;
    }
    let dir = tempfile::Builder::new()
        .prefix(&format!("portfwd-lab-{name}-"))
        .tempdir()
        .context("cannot create a temporary folder")?;
    let record = Record {
        pid: id(),
        started: start_time(id()).context("cannot read /proc/self/stat")?,
        hosts: hosts.iter().map(ToString::to_string).collect(),
        dir: dir.keep(),
        name,
    };
    record.write()?;
    let built = build(&record);
    match &built {
        Ok(_) => labs.standing.push(record),
        // The first error is the one to show.
        Err(_) => drop(record.remove()),
    }
    built
}

/// Removes a lab of this process, unless a signal has removed it already.
pub(super) fn take_down(record: &Record, kill: impl FnOnce()) {
    let mut labs = lock();
    let Some(index) = labs.standing.iter().position(|other| other == record) else {
        return;
    };
    labs.standing.remove(index);
    kill();
    if let Err(error) = record.remove() {
        eprintln!("{error:#}");
    }
}

/// Removes every lab of this process, for a thread that has received a signal and ends the
/// process next; no lab is built after it.
pub fn take_down_all() {
    let mut labs = lock();
    labs.closed = true;
    for record in labs.standing.drain(..) {
        if let Err(error) = record.remove() {
            eprintln!("{error:#}");
        }
    }
}

/// Removes the labs whose process is gone, and returns their names.
///
/// # Errors
/// Where a record cannot be read, or something of a dead lab cannot be removed.
pub fn clean() -> Result<Vec<String>> {
    let entries = match fs::read_dir(RECORDS) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {RECORDS}")),
    };
    let mut removed = Vec::new();
    for entry in entries {
        // A record that is not there any more: its own process has just removed it.
        let Some(record) = read(&entry?.path())? else {
            continue;
        };
        if start_time(record.pid) != Some(record.started) {
            record.remove()?;
            removed.push(record.name);
        }
    }
    Ok(removed)
}

fn path(name: &str) -> PathBuf {
    Path::new(RECORDS).join(format!("{name}.json"))
}

fn read(path: &Path) -> Result<Option<Record>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
    };
    let record = serde_json::from_str(&text)
        .with_context(|| format!("{} is not a lab's record: remove it", path.display()))?;
    Ok(Some(record))
}

fn lock() -> MutexGuard<'static, Labs> {
    LABS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When a process was started, if it is there; proc(5) has it in field 22 of `stat`.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, and may contain anything.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

/// Kills whatever is left in `namespaces`, and waits until it is gone.
fn kill_processes(namespaces: &[String]) -> Result<()> {
    let files: Vec<_> = namespaces
        .iter()
        .filter_map(|namespace| identity(&namespace_path(namespace)))
        .collect();
    wait_until("the end of the lab's processes", KILL, || {
        let left = processes_in(&files);
        for pid in &left {
            let _ = kill(*pid, Signal::SIGKILL);
        }
        left.is_empty()
    })
}

/// Device and inode, by which a namespace is the same wherever it is seen.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn processes_in(namespaces: &[(u64, u64)]) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| pid.cast_unsigned() != id())
        .filter(|pid| {
            identity(&PathBuf::from(format!("/proc/{pid}/ns/net")))
                .is_some_and(|own| namespaces.contains(&own))
        })
        .map(Pid::from_raw)
        .collect()
}

fn unmount(path: &Path) -> Result<()> {
    match umount2(path, MntFlags::MNT_DETACH) {
        // Not mounted yet, or not even made.
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot unmount {}", path.display())),
    }
}

fn delete_namespace(namespace: &str) -> Result<()> {
    let output = Command::new("ip")
        .env("PATH", search_path())
        .args(["netns", "delete", namespace])
        .output()
        .context("cannot start `ip`")?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("`ip netns delete {namespace}` failed: {}", stderr.trim());
    }
    Ok(())
}

fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
