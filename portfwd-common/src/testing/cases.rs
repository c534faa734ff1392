//! The packet cases: what goes in, what must come out, as data.

mod forwarded;
mod ports;
mod refused;

use bytemuck::Zeroable;
use std::vec::Vec;

use super::frames::{HOST_MAC, LISTEN, TARGET, TARGET_MAC};
use crate::{
    Drop, Family, Mac, NextHopState, Pass, PortRange, Protocol, Rule, RuleKey, Settings, Target,
    V4, prefixes,
};

/// What the tables hold before the first packet.
#[derive(Clone, Debug)]
pub struct Setup<F: Family = V4> {
    /// The settings.
    pub settings: Settings,
    /// The rules' entries.
    pub rules: Vec<(RuleKey<F>, Rule<F>)>,
    /// The targets, by index.
    pub targets: Vec<Target<F>>,
}

/// What must become of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It leaves as these bytes.
    Forward(Vec<u8>),
    /// It is left to the host, unchanged.
    Pass(Pass),
    /// It is dropped.
    Drop(Drop),
    /// The fast path hands it over unchanged, and the slow path makes these bytes of it.
    HandOver(Vec<u8>),
}

/// One packet of a case.
#[derive(Clone, Debug)]
pub struct Step {
    /// The frame that arrives.
    pub frame: Vec<u8>,
    /// What must become of it.
    pub expect: Expect,
}

/// Packets that arrive one after the other.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it shows.
    pub name: &'static str,
    /// The tables at its start.
    pub setup: Setup,
    /// The packets.
    pub steps: Vec<Step>,
}

fn step(frame: Vec<u8>, expect: Expect) -> Step {
    Step { frame, expect }
}

fn forward(frame: Vec<u8>, expected: Vec<u8>) -> Step {
    step(frame, Expect::Forward(expected))
}

impl Setup {
    /// The plain rule `192.168.1.34:81=192.168.1.32:80` for TCP and UDP, its target reachable.
    #[must_use]
    pub fn plain() -> Self {
        let mut setup = Self {
            settings: settings(),
            rules: Vec::new(),
            targets: Vec::new(),
        };
        setup.targets.push(Target {
            address: TARGET,
            next_hop: TARGET,
            mac: Mac(TARGET_MAC),
            state: NextHopState::Reachable as u8,
            reserved: 0,
        });
        setup.listen((81, 81), 80);
        setup
    }

    /// Adds a rule for the ports `first..=last`.
    fn listen(&mut self, (first, last): (u16, u16), target_port: u16) {
        let rule = Rule {
            id: 1,
            target: 0,
            listen_port: first.to_be_bytes(),
            target_port: target_port.to_be_bytes(),
            snat: [0; 4],
        };
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            for (port, bits) in prefixes(first, last) {
                self.rules
                    .push((RuleKey::block(LISTEN, protocol, port, bits), rule));
            }
        }
    }

    fn ports(mut self, first: u16, last: u16) -> Self {
        self.settings.ports = [PortRange { first, last }, PortRange::EMPTY];
        self
    }

    fn next_hop(mut self, state: NextHopState) -> Self {
        self.targets[0].state = state as u8;
        self
    }

    fn snat(mut self, address: [u8; 4]) -> Self {
        for (_, rule) in &mut self.rules {
            rule.snat = address;
        }
        self
    }
}

fn settings() -> Settings {
    Settings {
        mac: Mac(HOST_MAC),
        ready: Settings::READY,
        ifindex: 1,
        ports: [
            PortRange {
                first: 1024,
                last: 32767,
            },
            PortRange {
                first: 61000,
                last: 65535,
            },
        ],
        timeouts_ns: [3_600_000_000_000; 16],
        ..Settings::zeroed()
    }
}

/// Every case.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut all = forwarded::forwarded();
    all.extend(refused::passed());
    all.extend(refused::dropped());
    all.extend(ports::ports_and_hops());
    all
}

fn case(name: &'static str, setup: Setup, steps: Vec<Step>) -> Case {
    Case { name, setup, steps }
}
