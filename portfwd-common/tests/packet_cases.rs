//! The packet cases on host bytes, as the fast path and as the slow path.

use portfwd_common::testing::{Case, Expect, HostPacket, HostTables, cases};
use portfwd_common::{Drop, Pass, Verdict, translate};

/// Every packet that has ended so far: forwarded, passed or dropped.
fn ended(tables: &HostTables) -> u64 {
    let rule = tables.rule_counters(1);
    let reasons = Pass::ALL.iter().map(|pass| pass.counter());
    let reasons = reasons.chain(Drop::ALL.iter().map(|drop| drop.counter()));
    let unforwarded: u64 = reasons.map(|slot| tables.counter(slot)).sum();
    rule.packets_to_target + rule.packets_to_client + unforwarded
}

fn run<const SLOW: bool>(case: &Case) {
    let tables = HostTables::new(&case.setup);
    for (index, step) in case.steps.iter().enumerate() {
        let what = format!("{}, packet {index}, slow: {SLOW}", case.name);
        let before = ended(&tables);
        let mut packet = HostPacket::<SLOW>(step.frame.clone());
        let verdict = translate(&mut packet, &tables);
        let (expected, bytes, outcomes) = match &step.expect {
            Expect::Forward(bytes) => (Verdict::Transmit, bytes, 1),
            Expect::Pass(reason) => (Verdict::Pass(*reason), &step.frame, 1),
            Expect::Drop(reason) => (Verdict::Drop(*reason), &step.frame, 1),
            Expect::HandOver(bytes) if SLOW => (Verdict::TransmitVia(0), bytes, 1),
            Expect::HandOver(_) => (Verdict::HandOver, &step.frame, 0),
        };
        assert_eq!(verdict, expected, "{what}");
        assert_eq!(&packet.0, bytes, "{what}");
        assert_eq!(
            ended(&tables) - before,
            outcomes,
            "{what}: outcomes counted"
        );
        match verdict {
            Verdict::Pass(reason) => assert!(tables.counter(reason.counter()) > 0, "{what}"),
            Verdict::Drop(reason) => assert!(tables.counter(reason.counter()) > 0, "{what}"),
            _ => {}
        }
    }
}

#[test]
fn as_the_fast_path() {
    cases().iter().for_each(run::<false>);
}

#[test]
fn as_the_slow_path() {
    cases().iter().for_each(run::<true>);
}
