//! A network of namespaces on this machine, to forward real traffic in.
//!
//! ```text
//! client 192.168.1.185 ─┐
//! A      192.168.1.34  ─┼─ bridge, in `switch` ── 192.168.1.1 router 10.0.0.1 ── 10.0.0.5 B2
//! B      192.168.1.32  ─┘
//! ```
//!
//! Every host has one NIC, `eth0`, but the router (`eth0`, `eth1`). The router alone forwards.
//! The lab knows nothing of portfwd but the folders that [`Lab::portfwd`] tells it to use.

mod host;
mod process;
mod receiver;
mod record;
mod topology;
mod wait;
mod web_server;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};

pub use host::Host;
pub use nix::sys::signal::Signal;
pub use process::Process;
pub use record::{clean, take_down_all};
pub use wait::wait_until;
pub use web_server::WebServer;

use crate::programs;
use process::Processes;
use record::Record;

/// What may differ from one lab to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabOptions {
    /// MTU of every link.
    pub mtu: u32,
    /// Whether the hosts have IPv6; without, no link-local noise is on the wire.
    pub ipv6: bool,
    /// Whether the hosts leave checksums and segmentation to their NIC, as veth allows. A wire
    /// never carries such packets, and XDP cannot repair them: only for tests of TC.
    pub offloads: bool,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self {
            mtu: 1500,
            ipv6: false,
            offloads: false,
        }
    }
}

/// A running lab; dropping it kills what it started and removes what it made.
#[derive(Debug)]
pub struct Lab {
    hosts: topology::Hosts,
    processes: Arc<Processes>,
    record: Record,
}

impl Lab {
    /// Builds a lab with the default options, and returns when its links carry traffic.
    ///
    /// # Errors
    /// Where [`require`] fails, and where the kernel refuses a namespace, a link or a mount.
    pub fn new() -> Result<Self> {
        Self::with(LabOptions::default())
    }

    /// Builds a lab with `options`; see [`Lab::new`].
    pub fn with(options: LabOptions) -> Result<Self> {
        require()?;
        record::register(topology::HOSTS, |record| {
            let processes = Arc::new(Processes::new(record.dir()));
            let hosts = topology::build(record, &options, &processes)?;
            mount_bpffs(&record.bpffs())?;
            Ok(Self {
                hosts,
                processes,
                record: record.clone(),
            })
        })
        .context("cannot build the lab")
    }

    /// The host whose connections are to be forwarded.
    pub fn client(&self) -> &Host {
        &self.hosts.client
    }

    /// The host that forwards: one NIC, `ip_forward=0`.
    pub fn a(&self) -> &Host {
        &self.hosts.a
    }

    /// A target in A's own subnet.
    pub fn b(&self) -> &Host {
        &self.hosts.b
    }

    /// The gateway to B2's subnet, and everybody's default route.
    pub fn router(&self) -> &Host {
        &self.hosts.router
    }

    /// A target behind the router.
    pub fn b2(&self) -> &Host {
        &self.hosts.b2
    }

    /// Where the bridge is. Its end of each link is named after the host at the other end, in
    /// lower case; it has no address.
    pub fn switch(&self) -> &Host {
        &self.hosts.switch
    }

    /// A folder for this lab alone, removed with it.
    pub fn dir(&self) -> &Path {
        self.record.dir()
    }

    /// A bpf file system that is mounted for this lab alone.
    pub fn bpffs(&self) -> PathBuf {
        self.record.bpffs()
    }

    /// The portfwd at `binary`, to run in A with this lab's folders for state and pins.
    pub fn portfwd(&self, binary: impl AsRef<Path>) -> Command {
        let mut command = self.a().command(binary.as_ref());
        command
            .env("PORTFWD_STATE_DIR", self.dir().join("state"))
            .env("PORTFWD_PIN_DIR", self.bpffs().join("portfwd"));
        command
    }

    /// Starts a real web server on `host`, serving the files in `root`; returns when it accepts.
    pub fn web_server(&self, host: &Host, port: u16, root: &Path) -> Result<WebServer> {
        WebServer::start(host, port, root, self.dir())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        record::take_down(&self.record, || self.processes.kill());
    }
}

/// Checks what a lab needs: root, and the programs of [`programs::LAB`].
///
/// # Errors
/// Names everything that is missing, and how to get it.
pub fn require() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the lab makes network namespaces, which takes root: run this as root or with sudo");
    }
    let missing = programs::missing(programs::LAB);
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|program| program.name).collect();
        let packages: Vec<_> = missing.iter().map(|program| program.package).collect();
        bail!(
            "not installed: {}; install with `apt-get install --no-install-recommends {}`",
            names.join(", "),
            packages.join(" ")
        );
    }
    Ok(())
}

fn mount_bpffs(path: &Path) -> Result<()> {
    std::fs::create_dir(path).with_context(|| format!("cannot create {}", path.display()))?;
    mount(
        Some("bpf"),
        path,
        Some("bpf"),
        MsFlags::empty(),
        None::<&str>,
    )
    .with_context(|| format!("cannot mount a bpf file system on {}", path.display()))
}
