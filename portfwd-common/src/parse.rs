//! What a packet says: its headers, read once, without side effects.

use core::mem::offset_of;

use bytemuck::{Pod, Zeroable};

use crate::ethernet::{self, Mac};
use crate::family::{Family, Fragment, IpHeader};
use crate::outcome::{Drop, Pass};
use crate::packet::ZeroChecksum;
use crate::{FlowKey, Packet, Settings, TcpFlags, tcp};

/// A UDP header (RFC 768).
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct UdpHeader {
    ports: Ports,
    len: [u8; 2],
    checksum: [u8; 2],
}

/// The ports, where TCP and UDP both have them.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Ports {
    pub source: [u8; 2],
    pub destination: [u8; 2],
}

/// A protocol that is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Protocol {
    /// RFC 9293.
    Tcp = 6,
    /// RFC 768.
    Udp = 17,
}

impl Protocol {
    /// The protocol with this IANA number.
    #[inline(always)]
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            _ => None,
        }
    }

    /// The IANA number.
    #[inline(always)]
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The name in rules and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A parsed packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parsed<F: Family> {
    /// The key of the flow it belongs to.
    pub key: FlowKey<F>,
    /// Its IP header.
    pub ip: IpHeader,
    /// Where the IP header is, from the start of the frame.
    pub ip_at: u16,
    /// The TCP or UDP checksum as it lies in the packet.
    pub checksum: [u8; 2],
    /// The neighbour that sent the frame.
    pub source_mac: Mac,
    /// The TCP flags; none for UDP.
    pub flags: TcpFlags,
    /// Why it cannot be forwarded, should it be ours.
    pub unfit: Option<Drop>,
}

impl<F: Family> Parsed<F> {
    /// Reads a frame; the error is why it cannot be ours.
    ///
    /// Reads into a value that has its place already: built from parts at the end it would
    /// need twice the stack, of which a BPF program has 512 bytes.
    #[inline(always)]
    pub(crate) fn read<P: Packet>(&mut self, packet: &P, settings: &Settings) -> Result<(), Pass> {
        let frame: ethernet::Header = packet.load(0).ok_or(Pass::Malformed)?;
        if frame.ethertype != F::ETHERTYPE {
            return Err(Pass::NotIp);
        }
        if frame.addresses.destination != settings.mac {
            return Err(Pass::OtherHost);
        }
        self.source_mac = frame.addresses.source;
        self.ip_at = size_of::<ethernet::Header>() as u16;
        F::read(packet, self.ip_at, &mut self.key, &mut self.ip)?;
        if self.ip.ttl <= 1 {
            self.unfit = Some(Drop::TtlExceeded);
        }
        let payload = match Protocol::from_number(self.key.protocol) {
            _ if self.ip.fragment == Fragment::Later => return Err(Pass::Fragment),
            None => return Err(Pass::OtherProtocol),
            Some(Protocol::Tcp) => self.read_tcp(packet),
            Some(Protocol::Udp) => self.read_udp(packet),
        };
        payload.ok_or(Pass::Malformed)?;
        if self.ip.fragment == Fragment::First {
            self.unfit = Some(Drop::Fragment);
        }
        Ok(())
    }

    /// Where the TCP or UDP checksum is, from the start of the frame.
    #[inline(always)]
    pub(crate) fn checksum_at(&self) -> usize {
        let offset = match self.zero_checksum() {
            ZeroChecksum::IsAValue => offset_of!(tcp::Header, checksum),
            ZeroChecksum::MeansNone => offset_of!(UdpHeader, checksum),
        };
        usize::from(self.ip.payload_at) + offset
    }

    /// What a checksum of zero means for this packet.
    #[inline(always)]
    pub(crate) fn zero_checksum(&self) -> ZeroChecksum {
        if self.key.protocol == Protocol::Tcp.number() {
            ZeroChecksum::IsAValue
        } else {
            ZeroChecksum::MeansNone
        }
    }

    #[inline(always)]
    fn read_tcp<P: Packet>(&mut self, packet: &P) -> Option<()> {
        let header: tcp::Header = self.payload(packet)?;
        self.set_ports(header.ports);
        self.flags = TcpFlags(header.flags);
        self.checksum = header.checksum;
        let header_len = u16::from(header.data_offset >> 4) * 4;
        if usize::from(header_len) < size_of::<tcp::Header>() || header_len > self.ip.payload_len {
            self.unfit = Some(Drop::Malformed);
        }
        Some(())
    }

    #[inline(always)]
    fn read_udp<P: Packet>(&mut self, packet: &P) -> Option<()> {
        let header: UdpHeader = self.payload(packet)?;
        self.set_ports(header.ports);
        self.checksum = header.checksum;
        let len = u16::from_be_bytes(header.len);
        if usize::from(len) < size_of::<UdpHeader>() || len > self.ip.payload_len {
            self.unfit = Some(Drop::Malformed);
        }
        Some(())
    }

    #[inline(always)]
    fn set_ports(&mut self, ports: Ports) {
        self.key.source_port = ports.source;
        self.key.destination_port = ports.destination;
    }

    /// The header at the start of the IP payload.
    #[inline(always)]
    fn payload<P: Packet, T: Pod>(&self, packet: &P) -> Option<T> {
        if usize::from(self.ip.payload_len) < size_of::<T>() {
            return None;
        }
        packet.load(usize::from(self.ip.payload_at))
    }
}
