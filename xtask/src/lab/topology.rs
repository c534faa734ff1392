//! The lab's hosts, links and addresses, and the settings that make veth behave like a wire.

use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use super::process::Processes;
use super::receiver::Receiver;
use super::record::Record;
use super::{Host, LabOptions, wait_until};
use crate::programs::search_path;

/// Every host's name, in the order in which [`Hosts`] has them.
pub(super) const HOSTS: &[&str] = &["client", "A", "B", "router", "B2", "switch"];

const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 185);
const A: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 34);
const B: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 32);
const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const ROUTER_TO_B2: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const B2: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);

/// The switch's end of each link, named after the host at the other end.
const PORTS: [&str; 4] = ["client", "a", "b", "router"];
const LINKS_UP: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Hosts {
    pub(super) client: Host,
    pub(super) a: Host,
    pub(super) b: Host,
    pub(super) router: Host,
    pub(super) b2: Host,
    pub(super) switch: Host,
    /// On the switch's end of A's link; see [`Receiver`].
    _receiver: Option<Receiver>,
}

impl Hosts {
    fn all(&self) -> [&Host; 6] {
        let Self {
            client,
            a,
            b,
            router,
            b2,
            switch,
            _receiver,
        } = self;
        [client, a, b, router, b2, switch]
    }
}

/// Makes the namespaces that `record` names, and everything in them.
pub(super) fn build(
    record: &Record,
    options: &LabOptions,
    processes: &Arc<Processes>,
) -> Result<Hosts> {
    let names = HOSTS.iter().map(|host| record.namespace(host));
    ip(None, names.map(|name| format!("netns add {name}")))?;
    let open =
        |name, address| Host::open(name, record.namespace(name), address, Arc::clone(processes));
    let mut hosts = Hosts {
        _receiver: None,
        client: open("client", CLIENT)?,
        a: open("A", A)?,
        b: open("B", B)?,
        router: open("router", ROUTER)?,
        b2: open("B2", B2)?,
        switch: open("switch", Ipv4Addr::UNSPECIFIED)?,
    };
    for host in hosts.all() {
        set_sysctls(host, options)?;
    }
    link(&hosts, options)?;
    for host in [&hosts.client, &hosts.a, &hosts.b] {
        address(host, options, &[("eth0", host.address())], Some(ROUTER))?;
    }
    let router = [("eth0", ROUTER), ("eth1", ROUTER_TO_B2)];
    address(&hosts.router, options, &router, None)?;
    address(&hosts.b2, options, &[("eth0", B2)], Some(ROUTER_TO_B2))?;
    set_offloads(&hosts, options)?;
    // With offloads only TC is tested, and an XDP program would turn A's segmentation off.
    if !options.offloads {
        hosts._receiver = Some(Receiver::attach(&hosts.switch, "a", options.mtu)?);
    }
    for host in hosts.all() {
        wait_for_links(host)?;
    }
    let forwards = hosts.a.enter(|| fs::read_to_string(IP_FORWARD))?;
    ensure!(
        forwards.trim() == "0",
        "{IP_FORWARD} in A is {}, not 0",
        forwards.trim()
    );
    Ok(hosts)
}

const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

/// A new namespace inherits the IPv4 settings of this machine, which may forward: both values of
/// `ip_forward` are written.
fn set_sysctls(host: &Host, options: &LabOptions) -> Result<()> {
    let ip_forward = if host.name() == "router" { "1" } else { "0" };
    let mut values = vec![(IP_FORWARD, ip_forward)];
    let ipv6 = [
        "/proc/sys/net/ipv6/conf/all/disable_ipv6",
        "/proc/sys/net/ipv6/conf/default/disable_ipv6",
    ];
    if !options.ipv6 && Path::new(ipv6[0]).exists() {
        values.extend(ipv6.map(|path| (path, "1")));
    }
    host.enter(|| {
        for (path, value) in values {
            fs::write(path, value)
                .with_context(|| format!("cannot write {value} to {path} on {}", host.name()))?;
        }
        Ok(())
    })
}

fn link(hosts: &Hosts, options: &LabOptions) -> Result<()> {
    let switch = hosts.switch.namespace();
    let ends = [&hosts.client, &hosts.a, &hosts.b, &hosts.router];
    let mut lines: Vec<_> = ends
        .iter()
        .zip(PORTS)
        .map(|(host, port)| veth("eth0", host.namespace(), port, switch))
        .collect();
    let (router, b2) = (hosts.router.namespace(), hosts.b2.namespace());
    lines.push(veth("eth1", router, "eth0", b2));
    ip(None, lines)?;

    let mtu = options.mtu;
    let bridge = [
        "link set dev lo up".to_owned(),
        // Without spanning tree a port forwards as soon as it is up.
        "link add name br0 type bridge stp_state 0 mcast_snooping 0".to_owned(),
    ];
    let ports = PORTS.map(|port| format!("link set dev {port} mtu {mtu} master br0 up"));
    let up = [format!("link set dev br0 mtu {mtu} up")];
    ip(
        Some(&hosts.switch),
        bridge.into_iter().chain(ports).chain(up),
    )
}

fn veth(name: &str, namespace: &str, peer: &str, peer_namespace: &str) -> String {
    format!(
        "link add name {name} netns {namespace} type veth peer name {peer} netns {peer_namespace}"
    )
}

fn address(
    host: &Host,
    options: &LabOptions,
    addresses: &[(&str, Ipv4Addr)],
    gateway: Option<Ipv4Addr>,
) -> Result<()> {
    let mut lines = vec!["link set dev lo up".to_owned()];
    for (nic, address) in addresses {
        lines.push(format!("link set dev {nic} mtu {} up", options.mtu));
        lines.push(format!("address add {address}/24 dev {nic}"));
    }
    lines.extend(gateway.map(|gateway| format!("route add default via {gateway}")));
    ip(Some(host), lines)
}

/// XDP_TX out of a veth is delivered only where the peer runs NAPI, which GRO turns on (and see
/// [`Receiver`]). A veth sends packets whose checksum and segmentation it leaves to a NIC that there is not: all but
/// A, and the switch toward everybody, finish them first, as a wire carries them.
fn set_offloads(hosts: &Hosts, options: &LabOptions) -> Result<()> {
    let finish: &[&str] = if options.offloads {
        &[]
    } else {
        &["tx", "off"]
    };
    for port in PORTS {
        hosts
            .switch
            .run("ethtool", [&["-K", port, "gro", "on"], finish].concat())?;
    }
    if options.offloads {
        return Ok(());
    }
    for host in [&hosts.client, &hosts.b, &hosts.router, &hosts.b2] {
        host.run("ethtool", ["-K", "eth0", "tx", "off"])?;
    }
    hosts.router.run("ethtool", ["-K", "eth1", "tx", "off"])?;
    Ok(())
}

/// A link that has just come up drops packets until the kernel has noticed: `RUNNING` says so.
fn wait_for_links(host: &Host) -> Result<()> {
    let wanted = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
    wait_until(&format!("the links of {}", host.name()), LINKS_UP, || {
        host.enter(|| getifaddrs().is_ok_and(|mut all| all.all(|one| one.flags.contains(wanted))))
    })
}

/// Runs lines of ip(8) in one go, on `host` or on this machine.
fn ip(host: Option<&Host>, lines: impl IntoIterator<Item = String>) -> Result<()> {
    let mut command = match host {
        Some(host) => host.command("ip"),
        None => Command::new("ip"),
    };
    let mut child = command
        .env("PATH", search_path())
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start `ip`")?;
    let lines: String = lines.into_iter().map(|line| line + "\n").collect();
    let written = match child.stdin.take() {
        Some(mut stdin) => stdin.write_all(lines.as_bytes()),
        None => Ok(()),
    };
    let output = child.wait_with_output().context("cannot wait for `ip`")?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("`ip` failed: {}\nin\n{lines}", stderr.trim());
    }
    written.context("cannot write to `ip`")
}
