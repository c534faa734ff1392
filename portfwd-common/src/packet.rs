//! The packet as the translation sees it: the seam between XDP, TC and host bytes.

use bytemuck::Pod;

use crate::ChecksumDelta;

/// A frame that starts with its Ethernet header.
///
/// Values, not references, cross this trait: the kernel's TC helpers invalidate pointers into
/// the packet. The translation loads all that it needs before its first store.
pub trait Packet {
    /// Whether this hook can hand a packet to the kernel's neighbour table for its last step.
    ///
    /// Where it cannot (XDP), a packet whose next hop is not resolved yet is left untouched
    /// and handed over to the hook that can (TC).
    const RESOLVES_NEIGHBOURS: bool;

    /// Whether another instance of the translation has seen this packet before and counted
    /// it if it was not ours (TC behind XDP).
    fn seen_before(&self) -> bool;

    /// Whether the frame, from the Ethernet header on, has at least `len` bytes.
    fn has(&self, len: usize) -> bool;

    /// The header `T` at `offset`, or `None` where the frame is shorter.
    ///
    /// Headers are structs rather than arrays of bytes, so that a field of four bytes is one
    /// load; all have an alignment of one, as the offset of an IP header is odd in words.
    fn load<T: Pod>(&self, offset: usize) -> Option<T>;

    /// Writes `value` at `offset`, or `None` (and nothing written) where the frame is shorter.
    fn store<T: Pod>(&mut self, offset: usize, value: T) -> Option<()>;

    /// Updates the TCP or UDP checksum at `offset`, which reads `checksum` now, for a change of
    /// `addresses` (part of the pseudo header) and `ports`.
    ///
    /// The default is plain arithmetic. A hook whose packets may carry a checksum that is
    /// not final yet (TC, CHECKSUM_PARTIAL) leaves it to the kernel.
    #[inline(always)]
    fn patch_l4_checksum(
        &mut self,
        offset: usize,
        checksum: [u8; 2],
        zero: ZeroChecksum,
        addresses: ChecksumDelta,
        ports: ChecksumDelta,
    ) -> Option<()> {
        if matches!(zero, ZeroChecksum::MeansNone) && checksum == [0, 0] {
            return Some(());
        }
        let mut updated = addresses.and(ports).apply(checksum);
        if matches!(zero, ZeroChecksum::MeansNone) && updated == [0, 0] {
            updated = [0xff, 0xff];
        }
        self.store(offset, updated)
    }
}

/// What an L4 checksum of zero stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroChecksum {
    /// A sum like any other (TCP).
    IsAValue,
    /// "Not computed" (UDP over IPv4, RFC 768): it stays zero, and a sum that comes out as
    /// zero is sent as all ones.
    MeansNone,
}
