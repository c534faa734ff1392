//! The packet cases through BPF_PROG_TEST_RUN, on the XDP program and on the TC program.
//!
//! The same cases run on host bytes in portfwd-common/tests/packet_cases.rs.

use anyhow::{Context, Result};
use portfwd::kernel::{Hook, TestRun, TestRunOutput};
use portfwd_common::testing::{Case, Expect, Setup, cases};

use crate::setup::{loaded, reset, run};

/// The shortest frame that the kernel runs a program on: XDP wants an Ethernet header, a socket
/// buffer in a test run the whole IP header that its Ethernet type announces.
fn shortest(hook: Hook) -> usize {
    match hook {
        Hook::Xdp => 14,
        Hook::Tc => 34,
    }
}

fn run_case(datapath: &mut TestRun, case: &Case, hook: Hook) -> Result<()> {
    reset(&mut datapath.maps, &case.setup)?;
    for (index, step) in case.steps.iter().enumerate() {
        if step.frame.len() < shortest(hook) {
            continue;
        }
        let what = format!("{}, packet {index}, {hook:?}", case.name);
        let (expected, outcomes) = match &step.expect {
            Expect::Forward(bytes) => (TestRunOutput::Sent(bytes.clone()), 1),
            Expect::Pass(_) => (TestRunOutput::Passed(step.frame.clone()), 1),
            Expect::Drop(_) => (TestRunOutput::Dropped, 1),
            Expect::HandOver(bytes) if hook == Hook::Tc => (TestRunOutput::Sent(bytes.clone()), 1),
            Expect::HandOver(_) => (TestRunOutput::Passed(step.frame.clone()), 0),
        };
        let counter = match &step.expect {
            Expect::Pass(reason) => Some(reason.counter()),
            Expect::Drop(reason) => Some(reason.counter()),
            _ => None,
        };
        let named = |maps: &portfwd::kernel::Maps| counter.map_or(Ok(0), |slot| maps.counter(slot));
        let before = named(&datapath.maps)?;
        let (output, counted) = run(datapath, hook, &step.frame).context(what.clone())?;
        assert_eq!(output, expected, "{what}");
        assert_eq!(counted, outcomes, "{what}: outcomes counted");
        let by_name = u64::from(counter.is_some());
        assert_eq!(
            named(&datapath.maps)? - before,
            by_name,
            "{what}: {:?}",
            step.expect
        );
    }
    Ok(())
}

fn run_all(hook: Hook) -> Result<()> {
    let mut datapath = loaded(&Setup::plain())?;
    let cases = cases();
    cases
        .iter()
        .try_for_each(|case| run_case(&mut datapath, case, hook))
}

#[test]
fn on_the_xdp_program() -> Result<()> {
    run_all(Hook::Xdp)
}

#[test]
fn on_the_tc_program() -> Result<()> {
    run_all(Hook::Tc)
}
