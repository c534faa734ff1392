//! The daemon: keeps the maps true while rules, addresses, routes and neighbours change.
//!
//! Packets never wait for it: what is in the maps is forwarded whether it runs or not.

mod control;
mod instance;
mod next_hops;
mod reload;
mod start;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use portfwd_common::Settings;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

pub use control::{Reply, Request, ask, remove as remove_socket, socket_path};
pub use instance::{Instance, Lock, LockError};

use crate::config::{Config, Mode};
use crate::kernel::{Datapath, Diagnostics};
use crate::net::{Interface, Netlink, Route};
use crate::rule::{Rule, SetError, name_and_check};
use crate::state::{Desired, InUse, Installed, Room, apply, plan};
use control::Call;

/// How often neighbours are confirmed and retired rules looked after.
const TICK: Duration = Duration::from_secs(1);
/// Retired rules and unused targets are looked for once in so many ticks, as that walks through
/// all flows.
const TICKS_PER_CLEANUP: u32 = 30;
/// Changes that netlink reports in quick succession are taken in at once.
const SETTLE: Duration = Duration::from_millis(10);

/// What `run` was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The interface.
    pub interface: String,
    /// How to attach.
    pub mode: Mode,
    /// The rules that were given as arguments.
    pub rules: Vec<Rule>,
    /// The config file, and what it says.
    pub config: Option<(PathBuf, Config)>,
    /// Whether forwarding goes on after the end.
    pub persist: bool,
    /// What the datapath logs: 0 nothing, 1 drops, 2 everything.
    pub verbosity: u8,
    /// Where the socket and the lock are.
    pub state_dir: PathBuf,
    /// Where the maps and links are pinned.
    pub pin_dir: PathBuf,
}

impl Options {
    /// The rules of the command line and of `config`, named and checked against each other.
    ///
    /// # Errors
    /// Where two of them do not fit together.
    pub fn rules_with(&self, config: Option<&Config>) -> Result<Vec<Rule>, SetError> {
        let configured = config.into_iter().flat_map(|config| &config.rules);
        name_and_check(self.rules.iter().chain(configured).cloned().collect())
    }
}

/// A running daemon.
pub struct Daemon {
    options: Options,
    datapath: Datapath,
    netlink: Netlink,
    interface: Interface,
    installed: Installed,
    desired: Desired,
    settings: Settings,
    /// Held until the end: no second daemon serves this interface.
    lock: Lock,
    ticks: u32,
    /// The ways to the targets, by slot; asked for anew when netlink reports a change.
    routes: BTreeMap<u32, Route>,
    /// What went wrong last while following the network; empty if nothing did.
    last_failure: String,
}

impl Daemon {
    /// Serves until SIGINT or SIGTERM, or until asked to stop; then takes the programs off the
    /// interface, or leaves them there with `--persist`.
    ///
    /// # Errors
    /// Where the socket cannot be served, or the end cannot be tidied up.
    pub async fn serve(mut self, mut signals: Signals) -> Result<()> {
        let (calls, mut next_call) = mpsc::channel(16);
        let socket = control::listen(&self.options.state_dir, &self.options.interface)?;
        let server = tokio::spawn(control::serve(socket, calls));
        let mut diagnostics = self.diagnostics()?;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.announce();
        loop {
            tokio::select! {
                () = ended(&mut signals.interrupt, &mut signals.terminate) => break,
                _ = signals.hangup.recv() => self.log_reload().await,
                Some(call) = next_call.recv() => {
                    if matches!(call.request, Request::Stop) {
                        call.reply(Reply::Done("stopping".to_owned()));
                        break;
                    }
                    self.answer(call).await;
                }
                () = self.netlink.changed() => {
                    tokio::time::sleep(SETTLE).await;
                    self.routes.clear();
                    self.log_failure("following the network", Self::follow_network).await;
                }
                _ = tick.tick() => self.on_tick().await,
                () = show(&mut diagnostics) => {}
            }
        }
        server.abort();
        control::finish().await;
        self.end()
    }

    fn end(self) -> Result<()> {
        control::remove(&self.options.state_dir, &self.options.interface);
        sd_notify::notify(&[sd_notify::NotifyState::Stopping]).ok();
        if self.options.persist {
            tracing::info!(
                "stopped; {} goes on forwarding without a daemon",
                self.options.interface
            );
            self.lock.release();
            return Ok(());
        }
        self.datapath.remove()?;
        self.lock.release();
        tracing::info!("stopped; nothing is left on {}", self.options.interface);
        Ok(())
    }

    /// One line for people, and word to systemd: traffic flows.
    fn announce(&self) {
        let rules = self.desired.rules.len();
        let plural = if rules == 1 { "" } else { "s" };
        let mode = &self.lock.instance().mode;
        let interface = &self.options.interface;
        // Whoever started it may have closed stdout; forwarding does not depend on that.
        let _ = writeln!(
            io::stdout(),
            "portfwd: ready on {interface} ({mode}), {rules} rule{plural}"
        );
        sd_notify::notify(&[sd_notify::NotifyState::Ready]).ok();
    }

    async fn answer(&mut self, call: Call) {
        let reply = match self.carry_out(&call.request).await {
            Ok(message) => Reply::Done(message),
            Err(error) => Reply::refused(&error),
        };
        call.reply(reply);
    }

    async fn carry_out(&mut self, request: &Request) -> Result<String> {
        match request {
            Request::Add { rule, name } => self.add(rule, name.as_deref()).await,
            Request::Delete { which } => self.delete(which).await,
            Request::Flush => self.flush().await,
            Request::Reload => self.reload().await,
            Request::FlushFlows { filter } => self.flush_flows(filter),
            // Ends the loop in `serve`.
            Request::Stop => Ok(String::new()),
        }
    }

    /// Makes `rules` what is forwarded, or changes nothing.
    async fn install(&mut self, rules: Vec<Rule>) -> Result<()> {
        self.check_against_host(&rules)?;
        let desired = Desired {
            rules,
            addresses: self.interface.addresses.clone(),
        };
        self.apply(desired)?;
        self.follow_next_hops().await
    }

    /// Refuses what only this host can tell to be wrong: a target that is this host itself.
    fn check_against_host(&self, rules: &[Rule]) -> Result<()> {
        let own = &self.interface.addresses;
        for rule in rules {
            for target in &rule.targets {
                if own.iter().any(|address| target.address == *address) {
                    bail!(
                        "the target {} of the rule `{}` is an address of {} itself: \
                         portfwd forwards to other hosts",
                        target.address,
                        rule.name,
                        self.interface.name
                    );
                }
            }
        }
        Ok(())
    }

    fn apply(&mut self, desired: Desired) -> Result<()> {
        let in_use = InUse::read(&self.datapath.maps)?;
        let room = Room {
            rules: self.datapath.maps.max_rules(),
            targets: self.datapath.maps.max_targets(),
        };
        let changes = plan(&self.installed, &desired, &in_use, room, now_s())?;
        apply(&mut self.datapath.maps, &self.installed, &changes)?;
        self.installed = Installed::read(&self.datapath.maps)?;
        self.routes.clear();
        self.desired = desired;
        Ok(())
    }

    async fn on_tick(&mut self) {
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks.is_multiple_of(TICKS_PER_CLEANUP) {
            // Some changes have no message, such as those of routing rules.
            self.routes.clear();
        }
        self.log_failure("following the network", Self::follow_network)
            .await;
        let unused = self.installed.rules.values().any(|rule| rule.retired)
            || self.installed.targets.len() > self.desired.rules.len();
        if unused && self.ticks.is_multiple_of(TICKS_PER_CLEANUP) {
            let desired = self.desired.clone();
            if let Err(error) = self.apply(desired) {
                tracing::warn!("clearing up after deleted rules: {error:#}");
            }
        }
    }

    async fn log_failure(&mut self, what: &str, step: impl AsyncFnOnce(&mut Self) -> Result<()>) {
        let failure = match step(self).await {
            Ok(()) => String::new(),
            Err(error) => format!("{what}: {error:#}"),
        };
        // Said once, not every second for as long as it lasts.
        if failure != self.last_failure {
            if failure.is_empty() {
                tracing::info!("recovered");
            } else {
                tracing::warn!("{failure}");
            }
            self.last_failure = failure;
        }
    }

    fn diagnostics(&mut self) -> Result<Option<AsyncFd<Diagnostics>>> {
        if self.options.verbosity == 0 {
            return Ok(None);
        }
        let diagnostics = self.datapath.diagnostics()?;
        // SAFETY: the ring buffer's descriptor is open as long as `diagnostics`, which the
        // AsyncFd owns and gives out only to flush it.
        let watched = unsafe { AsyncFd::register(diagnostics) };
        Ok(Some(watched.context("cannot watch the datapath's log")?))
    }
}

/// Seconds of the wall clock.
fn now_s() -> u64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_epoch.map_or(0, |duration| duration.as_secs())
}

/// Passes on what the programs log, when there is something.
async fn show(diagnostics: &mut Option<AsyncFd<Diagnostics>>) {
    let Some(diagnostics) = diagnostics else {
        return std::future::pending().await;
    };
    if let Ok(mut ready) = diagnostics.readable_mut().await {
        ready.get_inner_mut().flush();
        ready.clear_ready();
    }
}

/// The signals that the daemon reacts to. Made before the start, so that one that comes in the
/// middle of it is not lost and ends in an orderly end.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Catches them from now on. Needs a tokio runtime.
    ///
    /// # Errors
    /// Where they cannot be caught.
    pub fn new() -> Result<Self> {
        let on = |kind| signal(kind).context("cannot catch signals");
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: on(SignalKind::hangup())?,
        })
    }
}

/// Waits for either signal that ends the daemon.
async fn ended(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
