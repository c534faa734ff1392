//! Starting: every reason not to is found before anything is changed.

use anyhow::{Context, Result, bail};
use bytemuck::Zeroable;
use caps::{CapSet, Capability};
use portfwd_common::{PortRange, Settings};

use super::{Daemon, Instance, Lock, Options, now_s};
use crate::config::{Config, Mode, Timeouts};
use crate::error::{Exit, failure};
use crate::kernel::{AttachError, Datapath, Load, Pins};
use crate::net::{Interface, Netlink};
use crate::state::{Desired, InUse, Installed};

/// What the daemon needs to be allowed.
const NEEDED: [Capability; 3] = [
    Capability::CAP_NET_ADMIN,
    Capability::CAP_BPF,
    Capability::CAP_PERFMON,
];

/// The lowest port that is claimed unless the config says otherwise.
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;

/// Half-open flows, unless the config says otherwise: a flood fills it in no time, so size
/// helps little, and it should stay in the cache.
const MAX_HALF_OPEN: u32 = 65_536;
/// Established flows at most, unless the config says otherwise.
const MAX_FLOWS: u64 = 1_048_576;
/// Memory of the host per flow that the default allows: a flow takes about 300 bytes, so that
/// the maps take no more than a fiftieth of it.
const HOST_BYTES_PER_FLOW: u64 = 16_384;

impl Daemon {
    /// Loads, fills the maps, attaches. Where this fails, nothing new is left behind.
    ///
    /// # Errors
    /// Without the capabilities (exit code 5), without the interface, with another instance or
    /// another XDP program on it, or where the kernel refuses.
    pub async fn start(options: Options) -> Result<Self> {
        check_capabilities()?;
        let netlink = Netlink::connect()?;
        let interface = netlink.interface(&options.interface).await?;
        let mut lock = Lock::take(&options.state_dir, &options.interface)?;
        lock.describe(Instance {
            pid: std::process::id(),
            mode: "starting".to_owned(),
            ..Instance::default()
        })?;
        let pins = Pins::new(&options.pin_dir, &options.interface);
        refuse_other_xdp(&interface, &pins, options.mode)?;
        let config = options.config.as_ref().map(|(_, config)| config);

        let mut settings = Settings::zeroed();
        set_configurable(&mut settings, config)?;
        settings.mac = interface.mac;
        settings.ifindex = interface.index;
        let load = Load {
            max_flows: config
                .and_then(|c| c.conntrack.max_flows)
                .unwrap_or_else(default_max_flows),
            max_half_open: config
                .and_then(|c| c.conntrack.max_half_open)
                .unwrap_or(MAX_HALF_OPEN),
            verbosity: options.verbosity,
        };
        let datapath = Datapath::load(pins, &options.pin_dir, &load)?;
        let installed = match Installed::read(&datapath.maps) {
            Ok(installed) => installed,
            Err(error) => return Err(undo(datapath, error)),
        };
        let mut daemon = Self {
            settings,
            datapath,
            netlink,
            desired: Desired::default(),
            installed,
            interface,
            lock,
            ticks: 0,
            routes: std::collections::BTreeMap::new(),
            last_failure: String::new(),
            options,
        };
        match daemon.bring_up().await {
            Ok(()) => Ok(daemon),
            Err(error) => Err(undo(daemon.datapath, error)),
        }
    }

    async fn bring_up(&mut self) -> Result<()> {
        if self.datapath.is_adopted() {
            let flows = InUse::read(&self.datapath.maps)?;
            tracing::info!(
                "took over {} with the flows of {} rules",
                self.options.interface,
                flows.rules.len()
            );
            let before = self.datapath.maps.settings()?;
            self.settings.started_at_s = before.started_at_s;
        } else {
            self.settings.started_at_s = now_s();
        }
        let config = self.options.config.as_ref().map(|(_, config)| config);
        let rules = self.options.rules_with(config)?;
        self.install(rules).await?;
        // An adopted program forwards on while it is replaced; a new one must find everything.
        self.settings.ready = Settings::READY;
        if !self.datapath.is_adopted() {
            self.datapath.maps.set_settings(&self.settings)?;
        }
        let attached = self
            .datapath
            .attach(&self.options.interface, self.options.mode)
            .map_err(|error| explain(error, &self.options.interface))?;
        self.settings.mode = attached as u32;
        self.settings.xdp_in_front = u8::from(attached.has_xdp());
        self.datapath.maps.set_settings(&self.settings)?;
        self.lock.describe(Instance {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mode: attached.name().to_owned(),
            config: self.options.config.as_ref().map(|(path, _)| path.clone()),
            started_at_s: now_s(),
        })
    }
}

/// Takes back an unfinished start; maps and links that were there before stay.
fn undo(datapath: Datapath, error: anyhow::Error) -> anyhow::Error {
    if datapath.is_adopted() {
        return error;
    }
    match datapath.remove() {
        Ok(()) => error,
        Err(left) => error.context(format!("and could not tidy up: {left:#}")),
    }
}

/// Sets what the config decides: timeouts and source ports.
pub(super) fn set_configurable(settings: &mut Settings, config: Option<&Config>) -> Result<()> {
    settings.timeouts_ns = match config {
        Some(config) => config.conntrack.timeouts.as_ns(),
        None => Timeouts::default().as_ns(),
    };
    settings.ports = match config.and_then(|config| config.snat_ports.as_deref()) {
        Some([one]) => [*one, PortRange::EMPTY],
        Some([low, high]) => [*low, *high],
        Some(other) => bail!(
            "[snat] ports has {} ranges: one or two can be used",
            other.len()
        ),
        None => default_ports()?,
    };
    Ok(())
}

/// Everything above 1023 but what the host's own connections use.
fn default_ports() -> Result<[PortRange; 2]> {
    const FILE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
    let text = std::fs::read_to_string(FILE).with_context(|| format!("cannot read {FILE}"))?;
    let mut numbers = text.split_whitespace().map(str::parse::<u16>);
    let (Some(Ok(first)), Some(Ok(last))) = (numbers.next(), numbers.next()) else {
        bail!("{FILE} says `{}`, not two ports", text.trim());
    };
    let ports = ports_beside(first, last);
    if ports.iter().all(|range| range.size() == 0) {
        bail!(
            "the host's own connections may use every port ({FILE} says {first} {last}): \
             leave some to portfwd there, or name some in [snat] ports"
        );
    }
    Ok(ports)
}

/// The unprivileged ports below `first` and above `last`.
fn ports_beside(first: u16, last: u16) -> [PortRange; 2] {
    let below = PortRange {
        first: FIRST_UNPRIVILEGED_PORT,
        last: first.saturating_sub(1),
    };
    let above = match last.checked_add(1) {
        Some(next) => PortRange {
            first: next.max(FIRST_UNPRIVILEGED_PORT),
            last: u16::MAX,
        },
        None => PortRange::EMPTY,
    };
    if below.size() == 0 {
        [above, PortRange::EMPTY]
    } else {
        [below, above]
    }
}

fn check_capabilities() -> Result<()> {
    let held = caps::read(None, CapSet::Effective).context("cannot read the capabilities")?;
    // Before Linux 5.8 CAP_SYS_ADMIN was all three, and it still covers two of them.
    let has = |capability: &Capability| {
        held.contains(capability)
            || (*capability != Capability::CAP_NET_ADMIN
                && held.contains(&Capability::CAP_SYS_ADMIN))
    };
    let missing: Vec<String> = NEEDED
        .iter()
        .filter(|capability| !has(capability))
        .map(ToString::to_string)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Exit::MissingCapability.error(format!(
        "missing {}: run it as root, or give it these capabilities",
        missing.join(", ")
    )))
}

fn refuse_other_xdp(interface: &Interface, pins: &Pins, mode: Mode) -> Result<()> {
    let Some(id) = interface.xdp_program.filter(|_| mode != Mode::Tc) else {
        return Ok(());
    };
    let ours = Datapath::programs(pins)?;
    if ours.iter().any(|program| program.id == id) {
        return Ok(());
    }
    let name = Datapath::program_name(id).unwrap_or_else(|| "unknown".to_owned());
    bail!(
        "{0} has another XDP program already: `{name}` (id {id}); \
         remove it with `ip link set dev {0} xdp off`, or use --mode tc",
        interface.name
    );
}

/// Says what to do about a refused attachment.
fn explain(error: anyhow::Error, interface: &str) -> anyhow::Error {
    match error.downcast_ref() {
        Some(AttachError::Busy) => failure(format!(
            "{interface} has another XDP program already: remove it with \
             `ip link set dev {interface} xdp off`, or use --mode tc"
        )),
        Some(AttachError::NoNativeXdp(_)) => error.context(format!(
            "cannot attach to {interface} in native mode: use --mode tc, or --mode generic"
        )),
        None => error,
    }
}

fn default_max_flows() -> u32 {
    let memory = nix::sys::sysinfo::sysinfo().map_or(u64::MAX, |info| info.ram_total());
    let flows = (memory / HOST_BYTES_PER_FLOW).clamp(4096, MAX_FLOWS);
    u32::try_from(flows.next_power_of_two().min(MAX_FLOWS)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_ports_are_left_alone() {
        let usual = ports_beside(32768, 60999);
        assert_eq!(
            usual[0],
            PortRange {
                first: 1024,
                last: 32767
            }
        );
        assert_eq!(
            usual[1],
            PortRange {
                first: 61000,
                last: 65535
            }
        );
        assert_eq!(ports_beside(1024, 65535).map(PortRange::size), [0, 0]);
        assert_eq!(
            ports_beside(1024, 60999),
            [
                PortRange {
                    first: 61000,
                    last: 65535
                },
                PortRange::EMPTY
            ]
        );
        assert_eq!(
            ports_beside(2000, 65535)[0],
            PortRange {
                first: 1024,
                last: 1999
            }
        );
    }
}
