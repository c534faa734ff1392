//! What is forwarded, there and back.

use std::vec;
use std::vec::Vec;

use super::{Case, Expect, Setup, case, forward, step};
use crate::Pass;
use crate::testing::frames::{Path, with_byte};

pub(super) fn forwarded() -> Vec<Case> {
    let client = Path::from_client(5000, 81);
    let to_target = Path::to_target(5000, 80);
    let target = Path::from_target(80, 5000);
    let to_client = Path::to_client(81, 5000);
    let tcp =
        |flags: &str, data: &[u8]| forward(client.tcp(flags, data), to_target.tcp(flags, data));
    let reply =
        |flags: &str, data: &[u8]| forward(target.tcp(flags, data), to_client.tcp(flags, data));
    let options = [0x94, 0x04, 0, 0]; // router alert (RFC 2113)
    vec![
        case(
            "a TCP connection from SYN to the last ACK",
            Setup::plain(),
            vec![
                tcp("S", b""),
                reply("SA", b""),
                tcp("A", b""),
                tcp("PA", b"GET / HTTP/1.0\r\n\r\n"),
                reply("A", b""),
                reply("PA", b"an odd length"),
                reply("FA", b""),
                tcp("A", b""),
                tcp("FA", b""),
                reply("A", b""),
            ],
        ),
        case(
            "a reset is translated, and the same ports open a new connection",
            Setup::plain(),
            vec![
                tcp("S", b""),
                reply("RA", b""),
                tcp("S", b""),
                reply("SA", b""),
                tcp("A", b""),
            ],
        ),
        case(
            "a retransmitted SYN finds its flow",
            Setup::plain(),
            vec![
                tcp("S", b""),
                tcp("S", b""),
                reply("SA", b""),
                reply("SA", b""),
                tcp("A", b""),
            ],
        ),
        case(
            "a connection that this host forgot is picked up in the middle",
            Setup::plain(),
            vec![
                tcp("PA", b"more"),
                reply("A", b""),
                tcp("PA", b"more"),
                reply("RA", b""),
            ],
        ),
        case(
            "UDP there and back",
            Setup::plain(),
            vec![
                forward(client.udp(b"question"), to_target.udp(b"question")),
                forward(target.udp(b"answer"), to_client.udp(b"answer")),
                forward(client.udp(b""), to_target.udp(b"")),
            ],
        ),
        case(
            "a UDP checksum of zero stays zero",
            Setup::plain(),
            vec![forward(
                without_udp_checksum(client.udp(b"none")),
                without_udp_checksum(to_target.udp(b"none")),
            )],
        ),
        case(
            "a UDP checksum that comes out as zero is sent as all ones",
            Setup::plain(),
            vec![forward(
                client.udp(&zero_sum_payload(to_target)),
                to_target.udp(&zero_sum_payload(to_target)),
            )],
        ),
        case(
            "IP options are kept",
            Setup::plain(),
            vec![forward(
                client.tcp_with_ip_options(&options, "S", b""),
                to_target.tcp_with_ip_options(&options, "S", b""),
            )],
        ),
        case(
            "the shortest TTL that can be forwarded",
            Setup::plain(),
            vec![forward(
                Path { ttl: 2, ..client }.udp(b"x"),
                Path {
                    ttl: 1,
                    ..to_target
                }
                .udp(b"x"),
            )],
        ),
        case(
            "bytes behind the IP packet (Ethernet padding) are no payload",
            Setup::plain(),
            vec![forward(
                padded(client.udp(b"x")),
                padded(to_target.udp(b"x")),
            )],
        ),
        case(
            "a range is shifted, and ends where it ends",
            {
                let mut setup = Setup::plain();
                setup.listen((8000, 8099), 9000);
                setup
            },
            vec![
                forward(
                    Path::from_client(5000, 8000).udp(b"x"),
                    Path::to_target(5000, 9000).udp(b"x"),
                ),
                forward(
                    Path::from_client(5001, 8099).udp(b"x"),
                    Path::to_target(5001, 9099).udp(b"x"),
                ),
                step(
                    Path::from_client(5000, 7999).udp(b"x"),
                    Expect::Pass(Pass::NoRule),
                ),
                step(
                    Path::from_client(5000, 8100).udp(b"x"),
                    Expect::Pass(Pass::NoRule),
                ),
            ],
        ),
    ]
}

fn without_udp_checksum(frame: Vec<u8>) -> Vec<u8> {
    with_byte(with_byte(frame, 40, 0), 41, 0)
}

fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(60, 0);
    frame
}

/// A payload whose UDP checksum on `path` sums to zero: the checksum of a zero word, added.
fn zero_sum_payload(path: Path) -> [u8; 2] {
    let frame = path.udp(&[0, 0]);
    [frame[40], frame[41]]
}
