//! Source ports, source addresses and next hops.

use std::vec;
use std::vec::Vec;

use super::{Case, Expect, Setup, case, forward, step};
use crate::testing::frames::{CLIENT, CLIENT_2, CLIENT_MAC, HOST_MAC, LISTEN_2, Path};
use crate::{Drop, NextHopState, Pass};

pub(super) fn ports_and_hops() -> Vec<Case> {
    let first = Path::from_client(5000, 81);
    let second = first.from_address(CLIENT_2);
    let unresolved = Path {
        to_mac: HOST_MAC,
        from_mac: CLIENT_MAC,
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
