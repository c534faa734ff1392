//! IPv4 (RFC 791).

use bytemuck::{Pod, Zeroable};

use crate::checksum::ChecksumDelta;
use crate::family::{Family, Fragment, IpHeader};
use crate::outcome::Pass;
use crate::packet::Packet;
use crate::{Flow, FlowKey};

/// A header without options.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Header {
    version_ihl: u8,
    tos: u8,
    total_len: [u8; 2],
    id: [u8; 2],
    fragment: [u8; 2],
    rewritten: Rewritten,
}

/// The part of a header that changes on the way; it is contiguous and ends the header.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Rewritten {
    ttl: u8,
    protocol: u8,
    checksum: [u8; 2],
    source: [u8; 4],
    destination: [u8; 4],
}

/// Where that part starts.
const REWRITTEN: usize = size_of::<Header>() - size_of::<Rewritten>();

/// The bits of the fragment field: more fragments, and the offset in units of 8 bytes.
const MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// The IPv4 family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct V4;

impl Family for V4 {
    type Addr = [u8; 4];

    const ETHERTYPE: [u8; 2] = [0x08, 0x00];

    #[inline(always)]
    fn read<P: Packet>(
        packet: &P,
        ip_at: u16,
        key: &mut FlowKey<Self>,
        ip: &mut IpHeader,
    ) -> Result<(), Pass> {
        let header: Header = packet.load(usize::from(ip_at)).ok_or(Pass::Malformed)?;
        let header_len = u16::from(header.version_ihl & 0x0f) * 4;
        let packet_len = u16::from_be_bytes(header.total_len);
        if header.version_ihl >> 4 != 4
            || usize::from(header_len) < size_of::<Header>()
            || packet_len < header_len
            || !packet.has(usize::from(ip_at) + usize::from(packet_len))
        {
            return Err(Pass::Malformed);
        }
        key.source = header.rewritten.source;
        key.destination = header.rewritten.destination;
        key.protocol = header.rewritten.protocol;
        ip.payload_at = ip_at + header_len;
        ip.payload_len = packet_len - header_len;
        ip.packet_len = packet_len;
        ip.checksum = header.rewritten.checksum;
        ip.ttl = header.rewritten.ttl;
        let fragment = u16::from_be_bytes(header.fragment);
        ip.fragment = if fragment & FRAGMENT_OFFSET != 0 {
            Fragment::Later
        } else if fragment & MORE_FRAGMENTS != 0 {
            Fragment::First
        } else {
            Fragment::Whole
        };
        Ok(())
    }

    /// Options are covered by the checksum too, so they are summed in steps of one word.
    #[inline(always)]
    fn is_intact<P: Packet>(packet: &P, ip_at: u16) -> bool {
        let offset = usize::from(ip_at);
        const BYTES: usize = size_of::<Header>();
        let Some(header) = packet.load::<[u8; BYTES]>(offset) else {
            return false;
        };
        let words = usize::from(header[0] & 0x0f);
        let mut sum = ChecksumDelta::ZERO.replace([0; BYTES], header);
        for word in BYTES / 4..15 {
            if word >= words {
                break;
            }
            let Some(option) = packet.load::<[u8; 4]>(offset + word * 4) else {
                return false;
            };
            sum = sum.replace([0; 4], option);
        }
        sum.is_all_ones()
    }

    #[inline(always)]
    fn write<P: Packet>(
        packet: &mut P,
        ip_at: u16,
        protocol: u8,
        ip: &IpHeader,
        flow: &Flow<Self>,
    ) -> Option<()> {
        let ttl = ip.ttl.wrapping_sub(1);
        let rewritten = Rewritten {
            ttl,
            protocol,
            checksum: flow
                .addresses
                .replace([ip.ttl, protocol], [ttl, protocol])
                .apply(ip.checksum),
            source: flow.new_source,
            destination: flow.new_destination,
        };
        packet.store(usize::from(ip_at) + REWRITTEN, rewritten)
    }

    #[inline(always)]
    fn replace(delta: ChecksumDelta, old: Self::Addr, new: Self::Addr) -> ChecksumDelta {
        delta.replace(old, new)
    }
}
