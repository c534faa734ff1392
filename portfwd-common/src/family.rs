//! What differs between IPv4 and IPv6, and nothing else.

use core::fmt::Debug;
use core::hash::Hash;

use bytemuck::Pod;

use crate::checksum::ChecksumDelta;
use crate::outcome::Pass;
use crate::packet::Packet;
use crate::{Flow, FlowKey};

/// An address family.
pub trait Family: Copy + Debug + Default + PartialEq + Eq + Hash + 'static {
    /// An address in network order.
    type Addr: Pod + Debug + Default + PartialEq + Eq + Hash;

    /// The Ethernet type of the family, network order.
    const ETHERTYPE: [u8; 2];

    /// Reads and checks the IP header at `ip_at`: sets its addresses and protocol in `key`, and
    /// the rest in `ip`.
    fn read<P: Packet>(
        packet: &P,
        ip_at: u16,
        key: &mut FlowKey<Self>,
        ip: &mut IpHeader,
    ) -> Result<(), Pass>;

    /// Whether the header at `ip_at` is intact by its own checksum, if the family has one.
    fn is_intact<P: Packet>(packet: &P, ip_at: u16) -> bool;

    /// Writes new addresses and a TTL one lower to the header at `ip_at`.
    fn write<P: Packet>(
        packet: &mut P,
        ip_at: u16,
        protocol: u8,
        ip: &IpHeader,
        flow: &Flow<Self>,
    ) -> Option<()>;

    /// What replacing one address by another adds to a checksum.
    fn replace(delta: ChecksumDelta, old: Self::Addr, new: Self::Addr) -> ChecksumDelta;
}

/// What the translation needs of an IP header beside addresses and protocol. Offsets count from
/// the start of the frame; all of it fits 16 bits, as an IP packet's length does.
#[derive(Clone, Copy, Debug, Default)]
pub struct IpHeader {
    /// Where the payload starts.
    pub payload_at: u16,
    /// Bytes of the payload.
    pub payload_len: u16,
    /// Bytes of the whole packet, from the IP header on.
    pub packet_len: u16,
    /// The header's own checksum as it lies in the packet; zero where the family has none.
    pub checksum: [u8; 2],
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Whether this is one of several fragments.
    pub fragment: Fragment,
}

/// A packet's place among the fragments of its datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fragment {
    /// The datagram is whole.
    #[default]
    Whole,
    /// The first of several, which carries the ports.
    First,
    /// A later one, which does not.
    Later,
}
