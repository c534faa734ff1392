//! Conntrack on the host: tiers, states, expiry, lost halves. Time moves by hand here, which
//! no test run in the kernel can do.

use portfwd_common::testing::frames::{CLIENT_2, Path};
use portfwd_common::testing::{HostPacket, HostTables, Setup};
use portfwd_common::{
    Direction, Drop, Event, Flow, FlowKey, Pass, State, Tables, Tier, V4, Verdict, translate,
};

const SECOND: u64 = 1_000_000_000;

fn send(tables: &HostTables, frame: Vec<u8>) -> Verdict {
    translate(&mut HostPacket::<false>(frame), tables)
}

fn client() -> Path {
    Path::from_client(5000, 81)
}

fn target() -> Path {
    Path::from_target(80, 5000)
}

/// Tables with the timeouts of `timeouts` in seconds, everything else an hour.
fn tables(timeouts: &[(State, u64)]) -> HostTables {
    let mut setup = Setup::plain();
    for (state, seconds) in timeouts {
        setup.settings.timeouts_ns[*state as usize] = seconds * SECOND;
    }
    HostTables::new(&setup)
}

fn handshake(tables: &HostTables) {
    assert_eq!(send(tables, client().tcp("S", b"")), Verdict::Transmit);
    assert_eq!(send(tables, target().tcp("SA", b"")), Verdict::Transmit);
    assert_eq!(send(tables, client().tcp("A", b"")), Verdict::Transmit);
}

fn forward(tables: &HostTables, tier: Tier) -> Option<(FlowKey<V4>, Flow<V4>)> {
    let flows = tables.flows(tier);
    flows
        .into_iter()
        .find(|(_, flow)| flow.direction() == Direction::ToTarget)
}

fn state(tables: &HostTables, tier: Tier) -> Vec<State> {
    tables
        .flows(tier)
        .iter()
        .map(|(_, flow)| flow.state())
        .collect()
}

#[test]
fn a_tcp_flow_is_established_by_the_handshake_and_not_before() {
    let tables = tables(&[]);
    send(&tables, client().tcp("S", b""));
    assert_eq!(state(&tables, Tier::HalfOpen), [State::SynSent; 2]);
    send(&tables, target().tcp("SA", b""));
    assert_eq!(state(&tables, Tier::HalfOpen), [State::SynRecv; 2]);
    assert!(tables.flows(Tier::Established).is_empty());
    send(&tables, client().tcp("A", b""));
    assert_eq!(state(&tables, Tier::Established), [State::Established; 2]);
    assert!(tables.flows(Tier::HalfOpen).is_empty());
    assert_eq!(tables.counter(Event::Created.counter()), 1);
    assert_eq!(tables.counter(Event::Established.counter()), 1);
}

#[test]
fn counters_go_along_with_the_flow() {
    let tables = tables(&[]);
    handshake(&tables);
    let (_, flow) = forward(&tables, Tier::Established).expect("established");
    assert_eq!((flow.packets, flow.bytes), (2, 80));
    assert_eq!(tables.rule_counters(1).packets_to_target, 2);
    assert_eq!(tables.rule_counters(1).packets_to_client, 1);
    assert_eq!(tables.rule_counters(1).flows, 1);
}

#[test]
fn a_udp_flow_is_established_by_the_targets_answer() {
    let tables = tables(&[]);
    send(&tables, client().udp(b"1"));
    send(&tables, client().udp(b"2"));
    assert_eq!(state(&tables, Tier::HalfOpen), [State::Unreplied; 2]);
    send(&tables, target().udp(b"3"));
    assert_eq!(state(&tables, Tier::Established), [State::Assured; 2]);
}

#[test]
fn a_connection_that_is_closed_goes_through_netfilters_states() {
    let tables = tables(&[]);
    handshake(&tables);
    let mut seen = Vec::new();
    for frame in [
        client().tcp("FA", b""),
        target().tcp("A", b""),
        target().tcp("FA", b""),
        client().tcp("A", b""),
    ] {
        assert_eq!(send(&tables, frame), Verdict::Transmit);
        let states = state(&tables, Tier::Established);
        assert_eq!(states[0], states[1], "both entries say the same");
        seen.push(states[0]);
    }
    assert_eq!(
        seen,
        [
            State::FinWait,
            State::CloseWait,
            State::LastAck,
            State::TimeWait
        ]
    );
}

#[test]
fn a_reset_closes_but_the_flow_stays_for_a_while() {
    let tables = tables(&[]);
    handshake(&tables);
    send(&tables, target().tcp("R", b""));
    assert_eq!(state(&tables, Tier::Established), [State::Close; 2]);
    assert_eq!(send(&tables, target().tcp("R", b"")), Verdict::Transmit);
}

#[test]
fn a_syn_reopens_what_is_done() {
    let tables = tables(&[]);
    handshake(&tables);
    send(&tables, target().tcp("R", b""));
    handshake(&tables);
    assert_eq!(state(&tables, Tier::Established), [State::Established; 2]);
    assert_eq!(tables.counter(Event::Created.counter()), 2);
    assert_eq!(tables.counter(Event::EstablishedRemoved.counter()), 1);
}

#[test]
fn an_idle_flow_expires_and_a_used_one_does_not() {
    let tables = tables(&[(State::Assured, 30)]);
    send(&tables, client().udp(b"1"));
    send(&tables, target().udp(b"2"));
    for _ in 0..10 {
        tables.advance_ns(29 * SECOND);
        assert_eq!(
            send(&tables, target().udp(b"still there")),
            Verdict::Transmit
        );
    }
    tables.advance_ns(40 * SECOND);
    assert_eq!(
        send(&tables, target().udp(b"too late")),
        Verdict::Pass(Pass::NoRule)
    );
    assert!(tables.flows(Tier::Established).is_empty());
    assert_eq!(send(&tables, client().udp(b"anew")), Verdict::Transmit);
    assert_eq!(state(&tables, Tier::HalfOpen), [State::Unreplied; 2]);
}

#[test]
fn one_direction_keeps_both_entries_young() {
    let tables = tables(&[(State::Established, 30)]);
    handshake(&tables);
    for _ in 0..10 {
        tables.advance_ns(20 * SECOND);
        assert_eq!(send(&tables, client().tcp("A", b"x")), Verdict::Transmit);
    }
    assert_eq!(send(&tables, target().tcp("A", b"y")), Verdict::Transmit);
}

#[test]
fn an_expired_flows_port_is_free_again() {
    let mut setup = Setup::plain();
    setup.settings.ports[0].first = 5000;
    setup.settings.ports[0].last = 5000;
    setup.settings.ports[1] = portfwd_common::PortRange::EMPTY;
    setup.settings.timeouts_ns[State::SynSent as usize] = 10 * SECOND;
    let tables = HostTables::new(&setup);
    let second = client().from_address(CLIENT_2);
    assert_eq!(send(&tables, client().tcp("S", b"")), Verdict::Transmit);
    assert_eq!(
        send(&tables, second.tcp("S", b"")),
        Verdict::Drop(Drop::NoPort)
    );
    tables.advance_ns(20 * SECOND);
    assert_eq!(send(&tables, second.tcp("S", b"")), Verdict::Transmit);
    // The first client's old entry is met, and its port is the other's now.
    assert_eq!(
        send(&tables, client().tcp("S", b"")),
        Verdict::Drop(Drop::NoPort)
    );
}

#[test]
fn a_half_that_was_evicted_is_rebuilt_by_the_other() {
    for tier in [Tier::HalfOpen, Tier::Established] {
        for evicted in [Direction::ToTarget, Direction::ToClient] {
            let tables = tables(&[]);
            send(&tables, client().tcp("S", b""));
            send(&tables, target().tcp("SA", b""));
            if tier == Tier::Established {
                send(&tables, client().tcp("A", b""));
            }
            let flows = tables.flows(tier);
            let (key, before) = *flows
                .iter()
                .find(|(_, flow)| flow.direction() == evicted)
                .expect("an entry");
            assert!(tables.remove(tier, &key));
            tables.advance_ns(2 * SECOND);
            let frame = match evicted {
                Direction::ToTarget => target().tcp("SA", b""),
                Direction::ToClient => client().tcp("S", b""),
            };
            assert_eq!(send(&tables, frame), Verdict::Transmit);
            let flows = tables.flows(tier);
            let (_, after) = flows
                .iter()
                .find(|(other, _)| *other == key)
                .expect("rebuilt");
            assert_eq!(
                (
                    after.new_source,
                    after.new_destination,
                    after.addresses,
                    after.ports
                ),
                (
                    before.new_source,
                    before.new_destination,
                    before.addresses,
                    before.ports
                ),
                "{tier:?} {evicted:?}"
            );
            assert_eq!((after.rule, after.target), (before.rule, before.target));
        }
    }
}

#[test]
fn a_flow_whose_reply_key_was_taken_does_not_answer_for_the_other() {
    let mut setup = Setup::plain();
    setup.settings.ports[0].first = 5000;
    setup.settings.ports[0].last = 5000;
    setup.settings.ports[1] = portfwd_common::PortRange::EMPTY;
    let tables = HostTables::new(&setup);
    handshake(&tables);
    let flows = tables.flows(Tier::Established);
    let (reply, _) = *flows
        .iter()
        .find(|(_, flow)| flow.direction() == Direction::ToClient)
        .expect("reply");
    assert!(tables.remove(Tier::Established, &reply));
    let second = client().from_address(CLIENT_2);
    assert_eq!(send(&tables, second.tcp("S", b"")), Verdict::Transmit);
    tables.advance_ns(2 * SECOND);
    assert_eq!(
        send(&tables, client().tcp("A", b"x")),
        Verdict::Drop(Drop::NoPort)
    );
    assert!(forward(&tables, Tier::Established).is_none());
}
