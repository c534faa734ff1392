//! What several tests need to set up a datapath that is attached to nothing.

use anyhow::Result;
use portfwd::kernel::{Hook, Load, Maps, TestRun, TestRunOutput};
use portfwd_common::testing::Setup;
use portfwd_common::{Drop, Pass};

/// Both programs over maps that hold what `setup` says.
pub fn loaded(setup: &Setup) -> Result<TestRun> {
    let mut run = TestRun::load(&Load {
        max_flows: 4096,
        max_half_open: 4096,
        verbosity: 0,
    })?;
    fill(&mut run.maps, setup)?;
    Ok(run)
}

/// Fills the maps with what `setup` says; a test run needs no flows cleared, as it has its own.
fn fill(maps: &mut Maps, setup: &Setup) -> Result<()> {
    maps.set_settings(&setup.settings)?;
    for (key, rule) in &setup.rules {
        maps.set_rule(key, rule)?;
    }
    for (index, target) in (0..).zip(&setup.targets) {
        maps.set_target(index, target)?;
    }
    Ok(())
}

/// Every packet that has ended so far: forwarded, passed or dropped.
pub fn ended(maps: &Maps) -> Result<u64> {
    let rule = maps.rule_counters(1)?;
    let mut sum = rule.packets_to_target + rule.packets_to_client;
    let passes = Pass::ALL.iter().map(|pass| pass.counter());
    for slot in passes.chain(Drop::ALL.iter().map(|drop| drop.counter())) {
        sum += maps.counter(slot)?;
    }
    Ok(sum)
}

/// Runs one frame; what came out, and how many outcomes were counted for it.
pub fn run(run: &TestRun, hook: Hook, frame: &[u8]) -> Result<(TestRunOutput, u64)> {
    let before = ended(&run.maps)?;
    let output = run.run(hook, frame)?;
    Ok((output, ended(&run.maps)? - before))
}
