//! The packet cases: what goes in, what must come out, as data.

use bytemuck::Zeroable;
use std::vec;
use std::vec::Vec;

use super::frames::{
    CLIENT, CLIENT_2, HOST_MAC, LISTEN, LISTEN_2, Path, TARGET, TARGET_MAC, cut, with_byte,
    with_ip_checksum,
};
use crate::{
    Drop, Family, Mac, NextHopState, Pass, PortRange, Protocol, Rule, RuleKey, Settings, Target,
    V4, prefixes,
};

/// What the tables hold before the first packet.
#[derive(Clone, Debug)]
pub struct Setup<F: Family = V4> {
    /// The settings.
    pub settings: Settings,
    /// The rules' entries.
    pub rules: Vec<(RuleKey<F>, Rule<F>)>,
    /// The targets, by index.
    pub targets: Vec<Target<F>>,
}

/// What must become of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It leaves as these bytes.
    Forward(Vec<u8>),
    /// It is left to the host, unchanged.
    Pass(Pass),
    /// It is dropped.
    Drop(Drop),
    /// The fast path hands it over unchanged, and the slow path makes these bytes of it.
    HandOver(Vec<u8>),
}

/// One packet of a case.
#[derive(Clone, Debug)]
pub struct Step {
    /// The frame that arrives.
    pub frame: Vec<u8>,
    /// What must become of it.
    pub expect: Expect,
}

/// Packets that arrive one after the other.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it shows.
    pub name: &'static str,
    /// The tables at its start.
    pub setup: Setup,
    /// The packets.
    pub steps: Vec<Step>,
}

fn step(frame: Vec<u8>, expect: Expect) -> Step {
    Step { frame, expect }
}

fn forward(frame: Vec<u8>, expected: Vec<u8>) -> Step {
    step(frame, Expect::Forward(expected))
}

impl Setup {
    /// The plain rule `192.168.1.34:81=192.168.1.32:80` for TCP and UDP, its target reachable.
    #[must_use]
    pub fn plain() -> Self {
        let mut setup = Self {
            settings: settings(),
            rules: Vec::new(),
            targets: Vec::new(),
        };
        setup.targets.push(Target {
            address: TARGET,
            next_hop: TARGET,
            mac: Mac(TARGET_MAC),
            state: NextHopState::Reachable as u8,
            reserved: 0,
        });
        setup.listen((81, 81), 80);
        setup
    }

    /// Adds a rule for the ports `first..=last`.
    fn listen(&mut self, (first, last): (u16, u16), target_port: u16) {
        let rule = Rule {
            id: 1,
            target: 0,
            listen_port: first.to_be_bytes(),
            target_port: target_port.to_be_bytes(),
            snat: [0; 4],
        };
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            for (port, bits) in prefixes(first, last) {
                self.rules
                    .push((RuleKey::block(LISTEN, protocol, port, bits), rule));
            }
        }
    }

    fn ports(mut self, first: u16, last: u16) -> Self {
        self.settings.ports = [PortRange { first, last }, PortRange::EMPTY];
        self
    }

    fn next_hop(mut self, state: NextHopState) -> Self {
        self.targets[0].state = state as u8;
        self
    }

    fn snat(mut self, address: [u8; 4]) -> Self {
        for (_, rule) in &mut self.rules {
            rule.snat = address;
        }
        self
    }
}

fn settings() -> Settings {
    Settings {
        mac: Mac(HOST_MAC),
        ready: Settings::READY,
        ifindex: 1,
        ports: [
            PortRange {
                first: 1024,
                last: 32767,
            },
            PortRange {
                first: 61000,
                last: 65535,
            },
        ],
        timeouts_ns: [3_600_000_000_000; 16],
        ..Settings::zeroed()
    }
}

/// Every case.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut all = forwarded();
    all.extend(passed());
    all.extend(dropped());
    all.extend(ports_and_hops());
    all
}

fn case(name: &'static str, setup: Setup, steps: Vec<Step>) -> Case {
    Case { name, setup, steps }
}

fn forwarded() -> Vec<Case> {
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

fn passed() -> Vec<Case> {
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

fn dropped() -> Vec<Case> {
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

fn ports_and_hops() -> Vec<Case> {
    let first = Path::from_client(5000, 81);
    let second = first.from_address(CLIENT_2);
    let unresolved = Path {
        to_mac: HOST_MAC,
        from_mac: super::frames::CLIENT_MAC,
        ..Path::to_target(5000, 80)
    };
    vec![
        case(
            "two clients with the same port get two ports",
            Setup::plain().ports(5000, 5001),
            vec![
                forward(first.tcp("S", b""), Path::to_target(5000, 80).tcp("S", b"")),
                forward(
                    second.tcp("S", b""),
                    Path::to_target(5001, 80).tcp("S", b""),
                ),
                forward(
                    Path::from_target(80, 5001).tcp("SA", b""),
                    Path::to_client(81, 5000)
                        .to_address(CLIENT_2)
                        .tcp("SA", b""),
                ),
                forward(
                    Path::from_target(80, 5000).tcp("SA", b""),
                    Path::to_client(81, 5000).tcp("SA", b""),
                ),
                step(
                    Path::from_client(5002, 81).tcp("S", b""),
                    Expect::Drop(Drop::NoPort),
                ),
                // Another protocol, hence another reply key.
                forward(second.udp(b"x"), Path::to_target(5000, 80).udp(b"x")),
            ],
        ),
        case(
            "a port that may not be claimed is replaced",
            Setup::plain().ports(6000, 6000),
            vec![
                forward(first.udp(b"x"), Path::to_target(6000, 80).udp(b"x")),
                forward(
                    Path::from_target(80, 6000).udp(b"y"),
                    Path::to_client(81, 5000).udp(b"y"),
                ),
            ],
        ),
        case(
            "another source address",
            Setup::plain().snat(LISTEN_2),
            vec![
                forward(
                    first.udp(b"x"),
                    Path::to_target(5000, 80).from_address(LISTEN_2).udp(b"x"),
                ),
                forward(
                    Path::from_target(80, 5000).to_address(LISTEN_2).udp(b"y"),
                    Path::to_client(81, 5000).udp(b"y"),
                ),
                step(
                    Path::from_target(80, 5000).udp(b"y"),
                    Expect::Pass(Pass::NoRule),
                ),
            ],
        ),
        case(
            "a target answers from its own port only",
            Setup::plain(),
            vec![
                forward(first.udp(b"x"), Path::to_target(5000, 80).udp(b"x")),
                step(
                    Path::from_target(81, 5000).udp(b"y"),
                    Expect::Pass(Pass::NoRule),
                ),
                step(
                    Path::from_target(80, 5000).from_address(CLIENT).udp(b"y"),
                    Expect::Pass(Pass::NoRule),
                ),
            ],
        ),
        case(
            "a next hop that is not resolved is left to the slow path",
            Setup::plain().next_hop(NextHopState::Unresolved),
            vec![step(
                first.tcp("S", b""),
                Expect::HandOver(
                    Path {
                        from_mac: unresolved.from_mac,
                        to_mac: unresolved.to_mac,
                        ..unresolved
                    }
                    .tcp("S", b""),
                ),
            )],
        ),
        case(
            "no route to the target",
            Setup::plain().next_hop(NextHopState::NoRoute),
            vec![step(first.tcp("S", b""), Expect::Drop(Drop::NoRoute))],
        ),
        case(
            "nothing is forwarded before the settings are there",
            {
                let mut setup = Setup::plain();
                setup.settings.ready = 0;
                setup
            },
            vec![step(first.tcp("S", b""), Expect::Pass(Pass::NotConfigured))],
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
