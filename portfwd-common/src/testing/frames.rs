//! Frames for tests, built by a library that computes every length and checksum anew.

use std::vec::Vec;

use etherparse::{PacketBuilder, PacketBuilderStep, TcpHeader, UdpHeader};

/// The forwarder's MAC address.
pub const HOST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xa];
/// The MAC address that the client's frames come from.
pub const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// The MAC address of the target's next hop.
pub const TARGET_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xb];

/// The client.
pub const CLIENT: [u8; 4] = [192, 168, 1, 185];
/// A second client.
pub const CLIENT_2: [u8; 4] = [192, 168, 1, 186];
/// The address that the forwarder listens on.
pub const LISTEN: [u8; 4] = [192, 168, 1, 34];
/// Another address of the forwarder.
pub const LISTEN_2: [u8; 4] = [192, 168, 1, 35];
/// The target.
pub const TARGET: [u8; 4] = [192, 168, 1, 32];

/// Where a packet comes from and goes to.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// Source MAC address.
    pub from_mac: [u8; 6],
    /// Destination MAC address.
    pub to_mac: [u8; 6],
    /// Source address and port.
    pub from: ([u8; 4], u16),
    /// Destination address and port.
    pub to: ([u8; 4], u16),
    /// Time to live.
    pub ttl: u8,
}

impl Path {
    /// From the client to the forwarder.
    #[must_use]
    pub fn from_client(port: u16, to_port: u16) -> Self {
        Self {
            from_mac: CLIENT_MAC,
            to_mac: HOST_MAC,
            from: (CLIENT, port),
            to: (LISTEN, to_port),
            ttl: 64,
        }
    }

    /// From the forwarder to the target: a client's packet, translated.
    #[must_use]
    pub fn to_target(port: u16, to_port: u16) -> Self {
        Self {
            from_mac: HOST_MAC,
            to_mac: TARGET_MAC,
            from: (LISTEN, port),
            to: (TARGET, to_port),
            ttl: 63,
        }
    }

    /// From the target to the forwarder.
    #[must_use]
    pub fn from_target(port: u16, to_port: u16) -> Self {
        Self {
            from_mac: TARGET_MAC,
            to_mac: HOST_MAC,
            from: (TARGET, port),
            to: (LISTEN, to_port),
            ttl: 64,
        }
    }

    /// From the forwarder to the client: a target's packet, translated.
    #[must_use]
    pub fn to_client(port: u16, to_port: u16) -> Self {
        Self {
            from_mac: HOST_MAC,
            to_mac: CLIENT_MAC,
            from: (LISTEN, port),
            to: (CLIENT, to_port),
            ttl: 63,
        }
    }

    /// The same with another source address.
    #[must_use]
    pub fn from_address(self, address: [u8; 4]) -> Self {
        Self {
            from: (address, self.from.1),
            ..self
        }
    }

    /// The same with another destination address.
    #[must_use]
    pub fn to_address(self, address: [u8; 4]) -> Self {
        Self {
            to: (address, self.to.1),
            ..self
        }
    }

    /// A TCP segment; `flags` are letters of `SAFRP` (SYN, ACK, FIN, RST, PSH).
    #[must_use]
    pub fn tcp(self, flags: &str, payload: &[u8]) -> Vec<u8> {
        write(self.tcp_step(flags), payload)
    }

    /// A TCP segment behind IP options.
    #[must_use]
    pub fn tcp_with_ip_options(self, options: &[u8], flags: &str, payload: &[u8]) -> Vec<u8> {
        let mut ip = self.ip_header(etherparse::IpNumber::TCP);
        if let Ok(options) = options.try_into() {
            ip.options = options;
        }
        let tcp = tcp_header(self.from.1, self.to.1, flags);
        write(
            PacketBuilder::ethernet2(self.from_mac, self.to_mac)
                .ip(etherparse::IpHeaders::Ipv4(ip, Default::default()))
                .tcp_header(tcp),
            payload,
        )
    }

    /// A UDP datagram.
    #[must_use]
    pub fn udp(self, payload: &[u8]) -> Vec<u8> {
        let step: PacketBuilderStep<UdpHeader> =
            PacketBuilder::ethernet2(self.from_mac, self.to_mac)
                .ipv4(self.from.0, self.to.0, self.ttl)
                .udp(self.from.1, self.to.1);
        let mut frame = Vec::new();
        step.write(&mut frame, payload)
            .expect("a vector takes every frame");
        frame
    }

    /// An ICMP echo request.
    #[must_use]
    pub fn echo(self) -> Vec<u8> {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(self.from_mac, self.to_mac)
            .ipv4(self.from.0, self.to.0, self.ttl)
            .icmpv4_echo_request(1, 1)
            .write(&mut frame, b"ping")
            .expect("a vector takes every frame");
        frame
    }

    fn ip_header(self, protocol: etherparse::IpNumber) -> etherparse::Ipv4Header {
        etherparse::Ipv4Header {
            source: self.from.0,
            destination: self.to.0,
            time_to_live: self.ttl,
            protocol,
            ..Default::default()
        }
    }

    fn tcp_step(self, flags: &str) -> PacketBuilderStep<TcpHeader> {
        PacketBuilder::ethernet2(self.from_mac, self.to_mac)
            .ipv4(self.from.0, self.to.0, self.ttl)
            .tcp_header(tcp_header(self.from.1, self.to.1, flags))
    }
}

fn tcp_header(from: u16, to: u16, flags: &str) -> TcpHeader {
    let mut header = TcpHeader::new(from, to, 0x0102_0304, 0x7210);
    header.syn = flags.contains('S');
    header.ack = flags.contains('A');
    header.fin = flags.contains('F');
    header.rst = flags.contains('R');
    header.psh = flags.contains('P');
    header
}

fn write(step: PacketBuilderStep<TcpHeader>, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    step.write(&mut frame, payload)
        .expect("a vector takes every frame");
    frame
}

/// A frame with the byte at `offset` replaced.
#[must_use]
pub fn with_byte(mut frame: Vec<u8>, offset: usize, byte: u8) -> Vec<u8> {
    frame[offset] = byte;
    frame
}

/// A frame with its IPv4 header checksum (offset 24, no options) made valid again.
#[must_use]
pub fn with_ip_checksum(mut frame: Vec<u8>) -> Vec<u8> {
    frame[24..26].fill(0);
    let mut sum = 0u32;
    for word in frame[14..34].chunks_exact(2) {
        sum += u32::from(u16::from_be_bytes([word[0], word[1]]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame[24..26].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    frame
}

/// The first `len` bytes of a frame.
#[must_use]
pub fn cut(mut frame: Vec<u8>, len: usize) -> Vec<u8> {
    frame.truncate(len);
    frame
}
