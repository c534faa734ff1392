//! The map ABI and the packet translation of portfwd.
//!
//! Everything that decides what happens to a packet is here, once: the XDP program, the TC
//! program, the tests on host bytes and the fuzzers all call [`translate`]. This crate knows
//! neither aya nor the kernel; it sees a packet through [`Packet`] and the maps through
//! [`Tables`].
//!
//! Byte order: addresses and ports are byte arrays in network order wherever they are stored
//! or sent; every other integer is in host order. Times are nanoseconds of `CLOCK_MONOTONIC`.
#![no_std]

#[cfg(any(test, feature = "testing"))]
extern crate std;

mod checksum;
mod conntrack;
mod ethernet;
mod family;
mod flow;
mod ipv4;
mod outcome;
mod packet;
mod parse;
mod ports;
mod rule;
mod settings;
mod tables;
mod target;
mod tcp;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod translate;

pub use checksum::ChecksumDelta;
pub use ethernet::Mac;
pub use family::{Family, Fragment, IpHeader};
pub use flow::{Direction, Flow, FlowKey, FlowRef, REFRESH_NS, Tier};
pub use ipv4::V4;
pub use outcome::{COUNTERS, Drop, Event, Pass, Verdict};
pub use packet::{Packet, ZeroChecksum};
pub use parse::{Parsed, Protocol};
pub use ports::{PORT_TRIES, PortRange};
pub use rule::{RULE_TEXT_BYTES, Rule, RuleCounters, RuleInfo, RuleKey, RuleKeyData, prefixes};
pub use settings::Settings;
pub use tables::{Tables, Taken};
pub use target::{NextHopState, Target};
pub use tcp::{State, TcpFlags};
pub use translate::translate;

/// Version of the map ABI: the shape and meaning of every key and value in this crate.
///
/// The pins live in a folder named after it, so that two builds never share a map whose
/// bytes they read differently.
pub const ABI_VERSION: u32 = 1;
