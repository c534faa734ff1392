//! `list` and `status`: read the maps, with or without a daemon.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use portfwd_common::NextHopState;

use super::{Target, monotonic_ns, print};
use crate::cli::Global;
use crate::daemon::Instance;
use crate::kernel::{Attached, Datapath, Maps};
use crate::rule::{Rule, TargetSpec};
use crate::show::{AttachedProgram, RuleView, StatusView, TargetView, list_json, list_table};
use crate::state::{Installed, read_rules};

/// `list`
pub(super) fn list(global: &Global) -> Result<()> {
    let maps = Target::find(global)?.maps()?;
    let installed = Installed::read(&maps)?;
    let active = active_flows(&maps)?;
    let mut rules = Vec::new();
    for (id, rule) in installed.active() {
        rules.push(rule_view(&maps, &installed, id, rule, &active)?);
    }
    rules.sort_by(|one, other| one.name.cmp(&other.name));
    if global.json {
        print(&(list_json(&rules)? + "\n"))
    } else {
        print(&list_table(&rules))
    }
}

fn rule_view(
    maps: &Maps,
    installed: &Installed,
    id: u32,
    rule: &Rule,
    active: &HashMap<u32, u64>,
) -> Result<RuleView> {
    let counters = maps.rule_counters(id)?;
    let protocols = rule
        .protocols
        .iter()
        .map(|protocol| protocol.name().to_owned());
    Ok(RuleView {
        name: rule.name.clone(),
        protocols: protocols.collect(),
        listen: rule.listen_text(),
        targets: rule
            .targets
            .iter()
            .map(|target| target_view(installed, rule, target))
            .collect(),
        snat: rule.snat.to_string(),
        flows_active: active.get(&id).copied().unwrap_or_default(),
        flows_total: counters.flows,
        packets_to_target: counters.packets_to_target,
        bytes_to_target: counters.bytes_to_target,
        packets_to_client: counters.packets_to_client,
        bytes_to_client: counters.bytes_to_client,
    })
}

fn target_view(installed: &Installed, rule: &Rule, target: &TargetSpec) -> TargetView {
    let entry = match target.address {
        IpAddr::V4(address) => installed.target(address).map(|(_, entry)| *entry),
        IpAddr::V6(_) => None,
    }
    .unwrap_or_default();
    let (state, next_hop) = match entry.state() {
        NextHopState::NoRoute => ("no_route", None),
        NextHopState::Unresolved => ("unresolved", Some(IpAddr::from(entry.next_hop))),
        NextHopState::Reachable => ("reachable", Some(IpAddr::from(entry.next_hop))),
    };
    TargetView {
        address: target.address,
        port: target.first_port,
        state: state.to_owned(),
        next_hop,
        text: rule.target_text(target),
    }
}

/// Flows that have not expired, by rule id.
fn active_flows(maps: &Maps) -> Result<HashMap<u32, u64>> {
    let now_ns = monotonic_ns();
    let mut active = HashMap::new();
    maps.each_flow(|_, _, flow| {
        if !flow.has_expired(now_ns) {
            *active.entry(flow.rule).or_default() += 1;
        }
        Ok(())
    })?;
    Ok(active)
}

/// `status`
pub(super) fn status(global: &Global) -> Result<()> {
    let target = Target::find(global)?;
    let maps = target.maps()?;
    let settings = maps.settings()?;
    let instance = Instance::read(&global.state_dir, &target.interface);
    let running = Instance::is_running(&global.state_dir, &target.interface);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    let programs = Datapath::programs(&target.pins)?;
    let view = StatusView {
        schema: StatusView::SCHEMA,
        interface: target.interface.clone(),
        mode: Attached::from_u32(settings.mode)
            .map_or("detached", Attached::name)
            .to_owned(),
        programs: programs
            .into_iter()
            .map(|p| AttachedProgram {
                name: p.name,
                id: p.id,
            })
            .collect(),
        daemon_pid: instance
            .as_ref()
            .filter(|_| running)
            .map(|instance| instance.pid),
        version: instance.as_ref().map(|instance| instance.version.clone()),
        config: instance.and_then(|instance| instance.config),
        since_s: settings.started_at_s,
        uptime_s: now.saturating_sub(settings.started_at_s),
        rules: read_rules(&maps)?
            .values()
            .filter(|rule| !rule.retired)
            .count() as u64,
        flows_active: active_flows(&maps)?.values().sum(),
    };
    if global.json {
        print(&(view.json()? + "\n"))
    } else {
        print(&view.text())
    }
}
