//! How a packet can end, and what is counted.
//!
//! A packet ends in exactly one outcome. Forwarded packets are counted with their rule
//! ([`crate::RuleCounters`]); all others by reason in the `counters` map, whose slots are
//! numbered here.

/// Slots of the `counters` map (a per-CPU array of `u64`).
pub const COUNTERS: u32 = 128;

const PASS_BASE: u32 = 0;
const DROP_BASE: u32 = 32;
const EVENT_BASE: u32 = 96;

/// Declares a counted enum: variant, name that users read, meaning.
macro_rules! counted {
    ($(#[$meta:meta])* $type:ident at $base:ident { $($variant:ident = $name:literal, $doc:literal;)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum $type { $(#[doc = $doc] $variant,)+ }

        impl $type {
            /// Every value, in the order of its counter.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name that users read, in `stats` and in logs.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What it means, in one sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $doc,)+ }
            }

            /// The slot in the `counters` map.
            #[inline(always)]
            #[must_use]
            pub const fn counter(self) -> u32 {
                $base + self as u32
            }
        }
    };
}

counted! {
    /// Why a packet was left to the host's own stack, untouched.
    Pass at PASS_BASE {
        NotIp = "not_ip", "Neither IPv4 nor anything else that is forwarded (ARP, IPv6, …).";
        OtherHost = "other_host", "The frame is not addressed to this interface's MAC address.";
        OtherProtocol = "other_protocol", "Neither TCP nor UDP.";
        Fragment = "fragment", "A later fragment, which carries no ports.";
        Malformed = "malformed", "The headers are cut short or contradict each other.";
        NoRule = "no_rule", "No rule listens there and no flow matches.";
        NotConfigured = "not_configured", "The loader has not filled the settings yet.";
    }
}

counted! {
    /// Why a packet that is ours was dropped.
    Drop at DROP_BASE {
        TtlExceeded = "ttl_exceeded", "The TTL ended here.";
        Fragment = "fragment", "The first of several fragments of a forwarded datagram.";
        Malformed = "malformed", "A length in the TCP or UDP header does not fit the packet.";
        BadChecksum = "bad_checksum", "The IP header of a new flow's first packet is corrupt.";
        InvalidFlags = "invalid_flags", "A combination of TCP flags that opens or continues nothing.";
        NoFlow = "no_flow", "A TCP reset or SYN-ACK for a flow that is not known.";
        NoPort = "no_port", "No source port toward the target was free.";
        NoRoute = "no_route", "The host has no route to the target.";
        TableFull = "table_full", "The kernel had no room for a new flow.";
        FlowRace = "flow_race", "Two packets opened the same flow at once; the sender tries again.";
        FlowLost = "flow_lost", "The flow's other half now belongs to another flow.";
        StoreFailed = "store_failed", "The packet could not be written to.";
    }
}

counted! {
    /// What happened to flows.
    Event at EVENT_BASE {
        Created = "created", "Flows opened.";
        Established = "established", "Flows that moved to the established tier.";
        HalfOpenRemoved = "half_open_removed", "Flows removed from the half-open tier.";
        EstablishedRemoved = "established_removed", "Flows removed from the established tier.";
        PortRetries = "port_retries", "Source ports that were tried and found taken.";
        HalfOpenFlushed = "half_open_flushed", "Half-open flows removed by user space.";
        EstablishedFlushed = "established_flushed", "Established flows removed by user space.";
    }
}

/// What is to be done with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is not ours: leave it to the host, untouched.
    Pass(Pass),
    /// It is ours and ends here.
    Drop(Drop),
    /// It is rewritten, MAC addresses too: send it out of the interface it came from.
    Transmit,
    /// It is rewritten up to the MAC addresses: let the kernel's neighbour table send it to
    /// the target's next hop.
    TransmitVia(u32),
    /// It is ours and untouched: the next hook must translate it.
    HandOver,
}

const _: () = assert!(
    Pass::ALL.len() <= (DROP_BASE - PASS_BASE) as usize
        && Drop::ALL.len() <= (EVENT_BASE - DROP_BASE) as usize
        && Event::ALL.len() <= (COUNTERS - EVENT_BASE) as usize
);
