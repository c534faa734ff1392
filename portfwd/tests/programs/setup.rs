//! What several tests need to set up a datapath that is attached to nothing.

use anyhow::Result;
use portfwd::kernel::{Hook, Load, Maps, TestRun, TestRunOutput};
use portfwd_common::testing::Setup;
use portfwd_common::{Drop, Pass, Tier};

/// All programs over maps that hold what `setup` says.
pub fn loaded(setup: &Setup) -> Result<TestRun> {
    let mut run = TestRun::load(&Load {
        max_flows: 4096,
        max_half_open: 4096,
        verbosity: 0,
    })?;
    reset(&mut run.maps, setup)?;
    Ok(run)
}

/// Makes the maps hold what `setup` says and no flow; the counters go on.
pub fn reset(maps: &mut Maps, setup: &Setup) -> Result<()> {
    for tier in [Tier::Established, Tier::HalfOpen] {
        let keys: Vec<_> = maps.flows(tier).collect::<Result<_, _>>()?;
        for (key, _) in keys {
            maps.remove_flow(tier, &key)?;
        }
    }
    for (key, _) in maps.rules()? {
        maps.remove_rule(&key)?;
    }
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
