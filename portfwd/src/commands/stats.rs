//! `stats`: sums the counters, once or again and again.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Result;
use portfwd_common::{Drop, Event, Pass, Tier};

use super::{Target, monotonic_ns, print};
use crate::cli::Global;
use crate::kernel::{Datapath, Maps, Pins, ProgramUse, count_runs};
use crate::show::{FlowCounts, PacketCounts, ProgramView, StatsView};

/// Why a new flow is refused.
const REFUSALS: [Drop; 4] = [Drop::NoPort, Drop::NoRoute, Drop::TableFull, Drop::FlowRace];

/// `stats`
pub(super) fn stats(global: &Global, watch: Option<Duration>) -> Result<()> {
    let target = Target::find(global)?;
    let Some(interval) = watch else {
        return show(global, &target.maps()?, &target.pins);
    };
    // The kernel counts the programs' runs and times while this is open.
    let _counting = count_runs().ok();
    loop {
        let maps = target.maps()?;
        if std::io::stdout().is_terminal() && !global.json {
            print("\x1b[H\x1b[2J")?;
        }
        show(global, &maps, &target.pins)?;
        std::thread::sleep(interval);
    }
}

fn show(global: &Global, maps: &Maps, pins: &Pins) -> Result<()> {
    let view = read(maps, pins)?;
    if global.json {
        print(&(view.json()? + "\n"))
    } else {
        print(&view.table())
    }
}

fn read(maps: &Maps, pins: &Pins) -> Result<StatsView> {
    let drops = counts(
        maps,
        Drop::ALL.iter().map(|drop| (drop.name(), drop.counter())),
    )?;
    let passes = counts(
        maps,
        Pass::ALL.iter().map(|pass| (pass.name(), pass.counter())),
    )?;
    let programs = Datapath::programs(pins)?;
    Ok(StatsView::new(
        packets(maps)?,
        drops,
        passes,
        flows(maps)?,
        programs.iter().map(program).collect(),
    ))
}

fn counts(
    maps: &Maps,
    counters: impl Iterator<Item = (&'static str, u32)>,
) -> Result<BTreeMap<&'static str, u64>> {
    counters
        .map(|(name, slot)| Ok((name, maps.counter(slot)?)))
        .collect()
}

/// Forwarded packets are counted by rule; rules that are gone count on under an id of their own.
fn packets(maps: &Maps) -> Result<PacketCounts> {
    let mut sum = PacketCounts::default();
    let ids = maps.rule_infos()?.into_iter().map(|(id, _)| id);
    for id in std::iter::once(0).chain(ids) {
        let counters = maps.rule_counters(id)?;
        sum.to_target += counters.packets_to_target;
        sum.bytes_to_target += counters.bytes_to_target;
        sum.to_client += counters.packets_to_client;
        sum.bytes_to_client += counters.bytes_to_client;
    }
    Ok(sum)
}

/// What is in the maps is counted there; what was pushed out is what has come, less what has
/// gone otherwise, less what is there.
fn flows(maps: &Maps) -> Result<FlowCounts> {
    let event = |event: Event| maps.counter(event.counter());
    let now_ns = monotonic_ns();
    let (mut established_present, mut half_open_present) = (0u64, 0u64);
    let (mut active, mut half_open) = (0u64, 0u64);
    maps.each_flow(|tier, _, flow| {
        let is_active = u64::from(!flow.has_expired(now_ns));
        active += is_active;
        match tier {
            Tier::Established => established_present += 1,
            Tier::HalfOpen => {
                half_open_present += 1;
                half_open += is_active;
            }
        }
        Ok(())
    })?;
    let (created, established) = (event(Event::Created)?, event(Event::Established)?);
    let gone = event(Event::EstablishedRemoved)? + event(Event::EstablishedFlushed)?;
    let half_open_gone =
        established + event(Event::HalfOpenRemoved)? + event(Event::HalfOpenFlushed)?;
    let refused: Result<u64> = REFUSALS
        .iter()
        .map(|drop| maps.counter(drop.counter()))
        .sum();
    Ok(FlowCounts {
        active,
        half_open,
        created,
        evicted: established.saturating_sub(gone + established_present),
        half_open_evicted: created.saturating_sub(half_open_gone + half_open_present),
        refused: refused?,
        port_retries: event(Event::PortRetries)?,
    })
}

fn program(program: &ProgramUse) -> ProgramView {
    let stats = program.stats;
    ProgramView {
        name: program.name.clone(),
        run_count: stats.run_count,
        avg_ns: stats
            .run_time_ns
            .checked_div(stats.run_count)
            .unwrap_or_default(),
    }
}
