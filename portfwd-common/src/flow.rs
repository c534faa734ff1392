//! Flows: the entries of the conntrack maps.
//!
//! A flow is two entries, one per direction, each under the addresses and ports that packets
//! of that direction *arrive* with. Each entry holds how to rewrite them, which is also all it
//! takes to rebuild the other entry: the other key is this entry's rewritten tuple reversed.

use core::marker::PhantomData;

use bytemuck::{Pod, Zeroable};

use crate::{ChecksumDelta, Family, Mac, Protocol, State};

/// The key of a flow's entry: a packet's addresses and ports as it arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C, align(4))]
pub struct FlowKey<F: Family> {
    /// Source address.
    pub source: F::Addr,
    /// Destination address.
    pub destination: F::Addr,
    /// Source port, network order.
    pub source_port: [u8; 2],
    /// Destination port, network order.
    pub destination_port: [u8; 2],
    /// IANA number of the protocol.
    pub protocol: u8,
    /// Always zero.
    pub reserved: [u8; 3],
}

/// One direction of a flow: how its packets are rewritten, its state and its counters.
///
/// For IPv4 it is 64 bytes: behind the kernel's 48 bytes of hash entry and the 16 of the key
/// it fills one cache line of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Flow<F: Family> {
    /// Packets forwarded in this direction.
    pub packets: u64,
    /// Bytes forwarded in this direction, counted from the IP header on.
    pub bytes: u64,
    /// From then on the next packet refreshes both entries ([`REFRESH_NS`] apart).
    pub refresh_at_ns: u64,
    /// When the flow ends if nothing else arrives.
    pub expires_at_ns: u64,
    /// The rule's id.
    pub rule: u32,
    /// The target's index in the `targets` map.
    pub target: u32,
    /// The source address to write.
    pub new_source: F::Addr,
    /// The destination address to write.
    pub new_destination: F::Addr,
    /// The source port to write.
    pub new_source_port: [u8; 2],
    /// The destination port to write.
    pub new_destination_port: [u8; 2],
    /// What the change of addresses adds to a checksum.
    pub addresses: ChecksumDelta,
    /// What the change of ports adds to a checksum.
    pub ports: ChecksumDelta,
    /// The hop that the client's packets come from, in both entries.
    pub client_mac: Mac,
    /// A [`State`] as its number, the same in both entries.
    pub state: u8,
    /// A [`Direction`] as its number.
    pub direction: u8,
}

// SAFETY: all zero bytes are addresses, ports and numbers of value zero.
unsafe impl<F: Family> Zeroable for FlowKey<F> {}
// SAFETY: repr(C); every field has an alignment of one byte, and the assertion below shows for
// each family that rounding up to the alignment of four adds no padding.
unsafe impl<F: Family> Pod for FlowKey<F> {}
// SAFETY: as above.
unsafe impl<F: Family> Zeroable for Flow<F> {}
// SAFETY: repr(C); the fields are ordered by falling alignment, and the assertion below shows
// for each family that nothing is left over.
unsafe impl<F: Family> Pod for Flow<F> {}

const _: () = {
    assert!(size_of::<FlowKey<crate::V4>>() == 4 + 4 + 2 + 2 + 1 + 3);
    assert!(size_of::<Flow<crate::V4>>() == 64);
};

/// How often the expiry of both entries is renewed. Between two refreshes a packet writes
/// nothing but its own direction's counters.
pub const REFRESH_NS: u64 = 1 << 30;

/// Which conntrack map a flow is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// The handshake is not complete, or a UDP target has not answered: a small map, which a
    /// flood may churn.
    HalfOpen,
    /// The large map.
    Established,
}

impl Tier {
    /// The other one.
    #[inline(always)]
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::HalfOpen => Self::Established,
            Self::Established => Self::HalfOpen,
        }
    }
}

/// The way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Direction {
    /// From the client to the target.
    ToTarget,
    /// From the target to the client.
    ToClient,
}

impl Direction {
    /// The other way.
    #[inline(always)]
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::ToTarget => Self::ToClient,
            Self::ToClient => Self::ToTarget,
        }
    }
}

impl<F: Family> FlowKey<F> {
    /// Both ends exchanged.
    #[inline(always)]
    #[must_use]
    pub fn reversed(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            ..self
        }
    }

    /// The protocol, `None` if a foreign hand wrote the key.
    #[inline(always)]
    #[must_use]
    pub fn protocol(&self) -> Option<Protocol> {
        Protocol::from_number(self.protocol)
    }
}

impl<F: Family> Flow<F> {
    /// Makes this entry rewrite packets of `arriving` to `leaving`.
    #[inline(always)]
    pub(crate) fn set_translation(&mut self, arriving: &FlowKey<F>, leaving: &FlowKey<F>) {
        self.new_source = leaving.source;
        self.new_destination = leaving.destination;
        self.new_source_port = leaving.source_port;
        self.new_destination_port = leaving.destination_port;
        let addresses = F::replace(ChecksumDelta::ZERO, arriving.source, leaving.source);
        self.addresses = F::replace(addresses, arriving.destination, leaving.destination);
        self.ports = ChecksumDelta::ZERO
            .replace(arriving.source_port, leaving.source_port)
            .replace(arriving.destination_port, leaving.destination_port);
    }

    /// The state.
    #[inline(always)]
    #[must_use]
    pub fn state(&self) -> State {
        State::from_u8(self.state)
    }

    /// The direction.
    #[inline(always)]
    #[must_use]
    pub fn direction(&self) -> Direction {
        if self.direction == Direction::ToTarget as u8 {
            Direction::ToTarget
        } else {
            Direction::ToClient
        }
    }

    /// Whether the flow has ended by `now_ns`. A packet may fall up to one refresh short of
    /// renewing the expiry, so an entry lives that much longer than its timeout.
    #[inline(always)]
    #[must_use]
    pub fn has_expired(&self, now_ns: u64) -> bool {
        now_ns >= self.expires_at_ns.saturating_add(REFRESH_NS)
    }

    /// The key of the other direction's entry; `protocol` is this entry's key's.
    #[inline(always)]
    #[must_use]
    pub fn other_key(&self, protocol: u8) -> FlowKey<F> {
        FlowKey {
            source: self.new_destination,
            destination: self.new_source,
            source_port: self.new_destination_port,
            destination_port: self.new_source_port,
            protocol,
            reserved: [0; 3],
        }
    }

    /// The other direction's entry, rebuilt with its counters at zero; this entry lies under
    /// `key`.
    #[inline(always)]
    pub(crate) fn other(&self, key: &FlowKey<F>) -> Self {
        let direction = self.direction().reversed();
        let mut other = Self {
            packets: 0,
            bytes: 0,
            direction: direction as u8,
            ..*self
        };
        other.set_translation(&self.other_key(key.protocol), &key.reversed());
        other
    }
}

/// A flow's entry where it lies, in a map that other CPUs read and write at the same time.
///
/// Each field is read and written on its own, never the entry as a whole. The counters of one
/// direction are written by the CPU that its packets arrive on; where a NIC spreads one
/// direction over several CPUs, a concurrent increment may be lost, as the price of not locking
/// the bus for every packet.
#[derive(Clone, Copy)]
pub struct FlowRef<'a, F: Family> {
    flow: *mut Flow<F>,
    map: PhantomData<&'a Flow<F>>,
}

impl<'a, F: Family> FlowRef<'a, F> {
    /// Wraps a map's value.
    ///
    /// # Safety
    /// `flow` must be aligned and stay readable and writable for `'a`. Its content may change
    /// at any time (every bit pattern is valid).
    #[inline(always)]
    pub unsafe fn new(flow: *mut Flow<F>) -> Self {
        Self {
            flow,
            map: PhantomData,
        }
    }

    /// The entry's present content.
    #[inline(always)]
    #[must_use]
    pub fn read(self) -> Flow<F> {
        // SAFETY: readable for 'a by the contract of `new`.
        unsafe { self.flow.read() }
    }

    /// Whether this entry's other half is the one under `key`.
    #[inline(always)]
    pub(crate) fn belongs_to(self, key: &FlowKey<F>) -> bool {
        self.read().other_key(key.protocol) == *key
    }

    /// Counts a packet of `bytes`.
    #[inline(always)]
    pub(crate) fn count(self, bytes: u64) {
        // SAFETY: writable for 'a by the contract of `new`; no reference is held across.
        unsafe {
            (*self.flow).packets = (*self.flow).packets.wrapping_add(1);
            (*self.flow).bytes = (*self.flow).bytes.wrapping_add(bytes);
        }
    }

    /// Renews the expiry and sets what the two entries share.
    #[inline(always)]
    pub(crate) fn renew(self, shared: &Renewal) {
        // SAFETY: as in `count`.
        unsafe {
            (*self.flow).expires_at_ns = shared.expires_at_ns;
            (*self.flow).refresh_at_ns = shared.refresh_at_ns;
            (*self.flow).client_mac = shared.client_mac;
            (*self.flow).state = shared.state as u8;
        }
    }
}

/// What both entries of a flow are renewed to.
pub(crate) struct Renewal {
    pub expires_at_ns: u64,
    pub refresh_at_ns: u64,
    pub client_mac: Mac,
    pub state: State,
}
