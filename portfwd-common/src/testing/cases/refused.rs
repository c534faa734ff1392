//! What is left to the host, and what is dropped.

use std::vec;
use std::vec::Vec;

use super::{Case, Expect, Setup, case, step};
use crate::testing::frames::{LISTEN_2, Path, cut, with_byte, with_ip_checksum};
use crate::{Drop, Pass};

pub(super) fn passed() -> Vec<Case> {
    let client = Path::from_client(5000, 81);
    let syn = || client.tcp("S", b"");
    let pass = |name, frame, reason| {
        case(
            name,
            Setup::plain(),
            vec![step(frame, Expect::Pass(reason))],
        )
    };
    vec![
        pass(
            "ARP",
            with_byte(with_byte(syn(), 12, 0x08), 13, 0x06),
            Pass::NotIp,
        ),
        pass(
            "IPv6",
            with_byte(with_byte(syn(), 12, 0x86), 13, 0xdd),
            Pass::NotIp,
        ),
        pass(
            "a frame for another host's MAC address",
            Path {
                to_mac: [2, 0, 0, 0, 0, 0x99],
                ..client
            }
            .tcp("S", b""),
            Pass::OtherHost,
        ),
        pass(
            "a broadcast",
            Path {
                to_mac: [0xff; 6],
                ..client
            }
            .udp(b"x"),
            Pass::OtherHost,
        ),
        pass(
            "a ping of the forwarder",
            client.echo(),
            Pass::OtherProtocol,
        ),
        pass(
            "another port",
            Path::from_client(5000, 22).tcp("S", b""),
            Pass::NoRule,
        ),
        pass(
            "another address",
            client.to_address(LISTEN_2).tcp("S", b""),
            Pass::NoRule,
        ),
        pass(
            "a target without a flow",
            Path::from_target(80, 5000).tcp("SA", b""),
            Pass::NoRule,
        ),
        pass(
            "a later fragment",
            with_ip_checksum(with_byte(syn(), 21, 0x08)),
            Pass::Fragment,
        ),
        pass("an Ethernet header alone", cut(syn(), 14), Pass::Malformed),
        pass("a cut IP header", cut(syn(), 33), Pass::Malformed),
        pass("IP version 5", with_byte(syn(), 14, 0x55), Pass::Malformed),
        pass(
            "an IP header shorter than 20 bytes",
            with_byte(syn(), 14, 0x44),
            Pass::Malformed,
        ),
        pass(
            "an IP header longer than the packet",
            with_byte(syn(), 14, 0x4f),
            Pass::Malformed,
        ),
        pass(
            "a total length beyond the frame",
            with_byte(syn(), 16, 0x10),
            Pass::Malformed,
        ),
        pass(
            "a total length below the header",
            with_byte(syn(), 17, 0x10),
            Pass::Malformed,
        ),
        pass(
            "a cut TCP header",
            cut(with_byte(syn(), 17, 39), 53),
            Pass::Malformed,
        ),
        pass(
            "a cut UDP header",
            cut(with_byte(client.udp(b""), 17, 27), 41),
            Pass::Malformed,
        ),
    ]
}

pub(super) fn dropped() -> Vec<Case> {
    let client = Path::from_client(5000, 81);
    let drop = |name, frame, reason| {
        case(
            name,
            Setup::plain(),
            vec![step(frame, Expect::Drop(reason))],
        )
    };
    vec![
        drop(
            "TTL 1",
            Path { ttl: 1, ..client }.tcp("S", b""),
            Drop::TtlExceeded,
        ),
        drop(
            "TTL 0",
            Path { ttl: 0, ..client }.tcp("S", b""),
            Drop::TtlExceeded,
        ),
        drop(
            "a first fragment",
            with_ip_checksum(with_byte(client.udp(b"12345678"), 20, 0x20)),
            Drop::Fragment,
        ),
        drop(
            "a corrupt IP header opens no flow",
            with_byte(client.tcp("S", b""), 24, 0x12),
            Drop::BadChecksum,
        ),
        drop(
            "a TCP header length below 20",
            with_byte(client.tcp("S", b""), 46, 0x40),
            Drop::Malformed,
        ),
        drop(
            "a TCP header length beyond the packet",
            with_byte(client.tcp("S", b""), 46, 0xf0),
            Drop::Malformed,
        ),
        drop(
            "a UDP length below 8",
            with_byte(client.udp(b"x"), 39, 7),
            Drop::Malformed,
        ),
        drop(
            "a UDP length beyond the packet",
            with_byte(client.udp(b"x"), 39, 10),
            Drop::Malformed,
        ),
        drop(
            "no TCP flag at all",
            client.tcp("", b""),
            Drop::InvalidFlags,
        ),
        drop("SYN and FIN", client.tcp("SF", b""), Drop::InvalidFlags),
        drop("SYN and RST", client.tcp("SR", b""), Drop::InvalidFlags),
        drop("a reset without a flow", client.tcp("R", b""), Drop::NoFlow),
        drop(
            "a SYN-ACK without a flow",
            client.tcp("SA", b""),
            Drop::NoFlow,
        ),
        drop(
            "a FIN without ACK and a flow",
            client.tcp("F", b""),
            Drop::NoFlow,
        ),
    ]
}
