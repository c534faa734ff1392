//! Incremental update of the Internet checksum (RFC 1624).
//!
//! A checksum is the complement of a ones' complement sum of 16-bit words. When a word `m`
//! becomes `m'`, the checksum `HC` becomes `~(~HC + ~m + m')` (RFC 1624, equation 3). The part
//! `~m + m'` does not depend on the packet, so a flow keeps it ready made: a packet then pays
//! two additions instead of a sum over addresses and ports.
//!
//! A ones' complement sum does not depend on byte order as long as all words are read alike
//! (RFC 1071, section 2B). Words here are read in the machine's own order, as they lie in memory.

use bytemuck::{Pod, Zeroable};

/// What a change of header words adds to a ones' complement sum, folded to 16 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
#[must_use]
pub struct ChecksumDelta(u16);

impl ChecksumDelta {
    /// No change.
    pub const ZERO: Self = Self(0);

    /// Adds the replacement of `old` by `new`; both are whole words at an even offset of
    /// the summed data.
    #[inline(always)]
    pub fn replace<const N: usize>(self, old: [u8; N], new: [u8; N]) -> Self {
        const { assert!(N.is_multiple_of(2), "a checksum is a sum of 16-bit words") };
        let mut sum = u32::from(self.0);
        let mut at = 0;
        while at < N {
            sum += u32::from(!u16::from_ne_bytes([old[at], old[at + 1]]));
            sum += u32::from(u16::from_ne_bytes([new[at], new[at + 1]]));
            at += 2;
        }
        Self(fold(sum))
    }

    /// The sum of two changes.
    #[inline(always)]
    pub fn and(self, other: Self) -> Self {
        Self(fold(u32::from(self.0) + u32::from(other.0)))
    }

    /// Applies the change to a checksum, both as they lie in the packet.
    #[inline(always)]
    #[must_use]
    pub fn apply(self, checksum: [u8; 2]) -> [u8; 2] {
        let sum = u32::from(!u16::from_ne_bytes(checksum)) + u32::from(self.0);
        (!fold(sum)).to_ne_bytes()
    }

    /// Whether intact data was summed: its words with their own checksum give all ones.
    #[inline(always)]
    #[must_use]
    pub fn is_all_ones(self) -> bool {
        self.0 == 0xffff
    }

    /// The change as the kernel's `__wsum`, for `bpf_l4_csum_replace` with a size of 0.
    #[inline(always)]
    #[must_use]
    pub fn as_wsum(self) -> u64 {
        u64::from(self.0)
    }
}

/// Folds the carries back in; 16 bits plus at most 16 bits of carry need two rounds.
#[inline(always)]
fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1624_section_4() {
        let delta = ChecksumDelta::ZERO.replace([0x55, 0x55], [0x32, 0x85]);
        assert_eq!(delta.apply([0xdd, 0x2f]), [0x00, 0x00]);
    }

    #[test]
    fn a_change_and_its_reverse_cancel() {
        let there = ChecksumDelta::ZERO.replace([1, 2, 3, 4], [9, 8, 7, 6]);
        let back = ChecksumDelta::ZERO.replace([9, 8, 7, 6], [1, 2, 3, 4]);
        assert_eq!(there.and(back).apply([0xab, 0xcd]), [0xab, 0xcd]);
    }

    #[test]
    fn validity_over_a_whole_header() {
        let sum = |header| ChecksumDelta::ZERO.replace([0; 20], header);
        // The header of RFC 1071-style worked examples: its sum with the checksum is all ones.
        let header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8,
            0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7,
        ];
        assert!(sum(header).is_all_ones());
        let mut broken = header;
        broken[15] ^= 1;
        assert!(!sum(broken).is_all_ones());
    }
}
