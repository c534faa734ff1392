//! Rules as the datapath looks them up, and as user space remembers them.

use bytemuck::{Pod, Zeroable};

use crate::{Family, Protocol};

/// Where a rule listens: the data of a key in the `rules` map, a trie of longest prefixes.
///
/// The order of the fields makes every kind of rule a prefix: an address and protocol with a
/// port, or with the leading bits that a block of ports has in common. A range of ports is a
/// few such blocks ([`prefixes`]), so its lookup costs what that of one port costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(C)]
pub struct RuleKeyData<F: Family> {
    /// Listen address.
    pub address: F::Addr,
    /// IANA number of the protocol.
    pub protocol: u8,
    /// Always zero.
    pub reserved: u8,
    /// Listen port, network order.
    pub port: [u8; 2],
}

/// A key of the `rules` map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct RuleKey<F: Family> {
    /// How many leading bits of `data` must match.
    pub prefix_len: u32,
    /// What must match.
    pub data: RuleKeyData<F>,
}

/// A value of the `rules` map: where connections to this listen address go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Rule<F: Family> {
    /// The rule's id: its key in `rule_info` and its index in `rule_counters`.
    pub id: u32,
    /// The target's index in `targets`.
    pub target: u32,
    /// The lowest port that the rule listens on, network order.
    pub listen_port: [u8; 2],
    /// The target's port for `listen_port`, network order; the others follow one to one.
    pub target_port: [u8; 2],
    /// The source address toward the target; all zero: the address that the client dialled.
    pub snat: F::Addr,
}

/// A value of the `rule_counters` map (a per-CPU array), indexed by rule id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct RuleCounters {
    /// Packets forwarded to the target.
    pub packets_to_target: u64,
    /// Bytes of those, from the IP header on.
    pub bytes_to_target: u64,
    /// Packets forwarded to the client.
    pub packets_to_client: u64,
    /// Bytes of those, from the IP header on.
    pub bytes_to_client: u64,
    /// Flows opened.
    pub flows: u64,
}

/// Room for a rule's description in [`RuleInfo`].
pub const RULE_TEXT_BYTES: usize = 1008;

/// A value of the `rule_info` map (a hash by rule id): what user space must know of a rule to
/// show it, and to find it again after a restart. The datapath does not read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct RuleInfo {
    /// When the rule was added, in seconds of the wall clock.
    pub added_at_s: u64,
    /// Not zero once the rule is deleted while flows of it go on.
    pub retired: u32,
    /// Bytes of `text` in use.
    pub text_len: u32,
    /// The rule as JSON, UTF-8.
    pub text: [u8; RULE_TEXT_BYTES],
}

// SAFETY: all zero bytes are addresses and numbers of value zero.
unsafe impl<F: Family> Zeroable for RuleKeyData<F> {}
// SAFETY: repr(C), every field has an alignment of one byte, so there is no padding.
unsafe impl<F: Family> Pod for RuleKeyData<F> {}
// SAFETY: all zero bytes are numbers of value zero.
unsafe impl<F: Family> Zeroable for RuleKey<F> {}
// SAFETY: repr(C); the assertion below shows for each family that there is no padding.
unsafe impl<F: Family> Pod for RuleKey<F> {}
// SAFETY: all zero bytes are addresses and numbers of value zero.
unsafe impl<F: Family> Zeroable for Rule<F> {}
// SAFETY: repr(C); the assertion below shows for each family that there is no padding.
unsafe impl<F: Family> Pod for Rule<F> {}

const _: () = {
    assert!(size_of::<RuleKey<crate::V4>>() == 4 + 4 + 1 + 1 + 2);
    assert!(size_of::<Rule<crate::V4>>() == 4 + 4 + 2 + 2 + 4);
};

impl<F: Family> RuleKey<F> {
    /// Bits of a key's data up to the port.
    const BITS_BEFORE_PORT: u32 = (size_of::<F::Addr>() as u32 + 2) * 8;

    /// The key that matches a block of ports whose `port_bits` leading bits are those of `port`
    /// (host order).
    #[must_use]
    pub fn block(address: F::Addr, protocol: Protocol, port: u16, port_bits: u32) -> Self {
        Self {
            prefix_len: Self::BITS_BEFORE_PORT + port_bits,
            data: RuleKeyData {
                address,
                protocol: protocol.number(),
                reserved: 0,
                port: port.to_be_bytes(),
            },
        }
    }

    /// The key to look up for a packet.
    #[inline(always)]
    #[must_use]
    pub fn lookup(address: F::Addr, protocol: u8, port: [u8; 2]) -> Self {
        Self {
            prefix_len: Self::BITS_BEFORE_PORT + 16,
            data: RuleKeyData {
                address,
                protocol,
                reserved: 0,
                port,
            },
        }
    }
}

impl<F: Family> Rule<F> {
    /// The target's port for a packet to `port`, both in network order.
    #[inline(always)]
    #[must_use]
    pub fn target_port_for(&self, port: [u8; 2]) -> [u8; 2] {
        u16::from_be_bytes(port)
            .wrapping_sub(u16::from_be_bytes(self.listen_port))
            .wrapping_add(u16::from_be_bytes(self.target_port))
            .to_be_bytes()
    }
}

/// The fewest blocks `(port, leading bits)` that cover the ports `first..=last` (host order):
/// one for a single port, at most 30 for any range.
pub fn prefixes(first: u16, last: u16) -> impl Iterator<Item = (u16, u32)> {
    let mut next = u32::from(first);
    let end = u32::from(last) + 1;
    core::iter::from_fn(move || {
        if next >= end {
            return None;
        }
        // The largest block that starts here: as aligned as `next` is, and no longer than
        // what is left.
        let aligned = if next == 0 {
            16
        } else {
            next.trailing_zeros().min(16)
        };
        let fits = (end - next).ilog2();
        let bits = aligned.min(fits);
        let block = (next as u16, 16 - bits);
        next += 1 << bits;
        Some(block)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_range_is_covered_exactly_by_few_blocks() {
        for (first, last) in [
            (81, 81),
            (8000, 8099),
            (1, 65535),
            (0, 65535),
            (5535, 65534),
        ] {
            let blocks: Vec<_> = prefixes(first, last).collect();
            let mut covered = Vec::new();
            for (port, bits) in &blocks {
                let size = 1u32 << (16 - bits);
                covered.extend(u32::from(*port)..u32::from(*port) + size);
            }
            let wanted: Vec<_> = (u32::from(first)..=u32::from(last)).collect();
            assert_eq!(covered, wanted, "{first}-{last}");
            assert!(
                blocks.len() <= 30,
                "{first}-{last}: {} blocks",
                blocks.len()
            );
        }
        assert_eq!(prefixes(81, 81).collect::<Vec<_>>(), [(81, 16)]);
        assert_eq!(prefixes(0, 65535).collect::<Vec<_>>(), [(0, 0)]);
    }

    #[test]
    fn a_range_shifts_one_to_one() {
        let rule = Rule::<crate::V4> {
            listen_port: 8000u16.to_be_bytes(),
            target_port: 9000u16.to_be_bytes(),
            ..Rule::default()
        };
        assert_eq!(
            rule.target_port_for(8099u16.to_be_bytes()),
            9099u16.to_be_bytes()
        );
    }
}
