//! `maps`: every map, or one map's entries, decoded or as bytes.

use std::fmt::Debug;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use bytemuck::Pod;
use portfwd_common::{
    Direction, Drop, Event, Flow, FlowKey, NextHopState, Pass, RuleKey, Settings, Target as Hop,
    Tier, V4,
};

use super::{Target, print};
use crate::cli::Global;
use crate::kernel::{MAPS, Maps};
use crate::show::{MapView, SCHEMA, maps_json, maps_table};
use crate::state::{read_rule, read_rules};

/// `maps`
pub(super) fn overview(global: &Global) -> Result<()> {
    let target = Target::find(global)?;
    let maps = target.maps()?;
    let mut views = Vec::new();
    for usage in maps.usage()? {
        views.push(MapView {
            name: usage.shape.name.to_owned(),
            type_name: usage.type_name.to_owned(),
            entries: entries_in_use(&maps, usage.shape.name)?,
            max_entries: u64::from(usage.max_entries),
            memory_bytes: usage.memory,
            pin: target.pins.folder().join(usage.shape.name),
            holds: usage.shape.holds.to_owned(),
        });
    }
    if global.json {
        print(&(maps_json(&views)? + "\n"))
    } else {
        print(&maps_table(&views))
    }
}

/// Entries of hash maps are counted; slots of arrays count where something is in them.
fn entries_in_use(maps: &Maps, name: &str) -> Result<u64> {
    let mut count = 0;
    dump(maps, name, &mut |_| {
        count += 1;
        Ok(())
    })?;
    Ok(count)
}

/// `maps NAME`
pub(super) fn entries(global: &Global, name: &str, raw: bool) -> Result<()> {
    let maps = Target::find(global)?.maps()?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut separator = "";
    if global.json {
        write!(
            out,
            "{{\"schema\":{SCHEMA},\"map\":\"{name}\",\"entries\":["
        )?;
    }
    dump(&maps, name, &mut |entry| {
        let (key, value) = if raw {
            (hex(entry.raw_key), hex(entry.raw_value))
        } else {
            (entry.key.clone(), entry.value.clone())
        };
        if global.json {
            let object = serde_json::json!({ "key": key, "value": value });
            write!(out, "{separator}{object}")?;
            separator = ",";
            return Ok(());
        }
        writeln!(out, "{key}  {value}")?;
        Ok(())
    })?;
    if global.json {
        writeln!(out, "]}}")?;
    }
    out.flush()?;
    Ok(())
}

struct Entry<'a> {
    raw_key: &'a [u8],
    raw_value: &'a [u8],
    key: String,
    value: String,
}

type Visit<'a> = dyn FnMut(&Entry<'_>) -> Result<()> + 'a;

fn visit_pod<K: Pod, V: Pod>(
    visit: &mut Visit<'_>,
    (key, key_text): (&K, String),
    (value, value_text): (&V, String),
) -> Result<()> {
    visit(&Entry {
        raw_key: bytemuck::bytes_of(key),
        raw_value: bytemuck::bytes_of(value),
        key: key_text,
        value: value_text,
    })
}

fn dump(maps: &Maps, name: &str, visit: &mut Visit<'_>) -> Result<()> {
    match name {
        "settings" => {
            let settings = maps.settings()?;
            visit_pod(
                visit,
                (&0u32, "0".to_owned()),
                (&settings, settings_text(&settings)),
            )
        }
        "rules_v4" => maps.rules()?.into_iter().try_for_each(|(key, rule)| {
            let listen_port = u16::from_be_bytes(rule.listen_port);
            let target_port = u16::from_be_bytes(rule.target_port);
            let text = format!(
                "rule={} target={} ports={listen_port}>{target_port} snat={}",
                rule.id,
                rule.target,
                if rule.snat == [0; 4] {
                    "auto".to_owned()
                } else {
                    address(rule.snat)
                }
            );
            visit_pod(visit, (&key, rule_key_text(&key)), (&rule, text))
        }),
        "targets_v4" => (0..maps.max_targets()).try_for_each(|index| {
            let target = maps.target(index)?;
            if target == Hop::default() {
                return Ok(());
            }
            visit_pod(
                visit,
                (&index, index.to_string()),
                (&target, target_text(&target)),
            )
        }),
        "flows_v4" => dump_flows(maps, Tier::Established, visit),
        "half_open_v4" => dump_flows(maps, Tier::HalfOpen, visit),
        "rule_info" => maps.rule_infos()?.into_iter().try_for_each(|(id, info)| {
            let installed = read_rule(&info)?;
            let retired = if installed.retired { " retired" } else { "" };
            let text = format!("{} {}{retired}", installed.rule.name, installed.rule);
            visit_pod(visit, (&id, id.to_string()), (&info, text))
        }),
        "rule_counters" => {
            let ids = read_rules(maps)?.into_keys();
            std::iter::once(0).chain(ids).try_for_each(|id| {
                let counters = maps.rule_counters(id)?;
                visit_pod(visit, (&id, id.to_string()), (&counters, plain(&counters)))
            })
        }
        "counters" => counter_names().try_for_each(|(slot, name)| {
            let count = maps.counter(slot)?;
            visit_pod(visit, (&slot, name), (&count, count.to_string()))
        }),
        _ => {
            let names: Vec<&str> = MAPS.iter().map(|map| map.name).collect();
            bail!("there is no map `{name}`: there are {}", names.join(", "))
        }
    }
}

fn dump_flows(maps: &Maps, tier: Tier, visit: &mut Visit<'_>) -> Result<()> {
    for entry in maps.flows(tier) {
        let (key, flow) = entry.context("cannot read the flows")?;
        visit_pod(
            visit,
            (&key, flow_key_text(&key)),
            (&flow, flow_text(&flow)),
        )?;
    }
    Ok(())
}

fn counter_names() -> impl Iterator<Item = (u32, String)> {
    let passes = Pass::ALL
        .iter()
        .map(|pass| (pass.counter(), format!("pass {}", pass.name())));
    let drops = Drop::ALL
        .iter()
        .map(|drop| (drop.counter(), format!("drop {}", drop.name())));
    let events = Event::ALL
        .iter()
        .map(|event| (event.counter(), format!("event {}", event.name())));
    passes.chain(drops).chain(events)
}

fn settings_text(settings: &Settings) -> String {
    let ports: Vec<String> = settings
        .ports
        .iter()
        .filter(|range| range.size() > 0)
        .map(|range| format!("{}-{}", range.first, range.last))
        .collect();
    format!(
        "ready={} mac={} ifindex={} xdp_in_front={} ports={}",
        settings.ready,
        settings.mac,
        settings.ifindex,
        settings.xdp_in_front,
        ports.join(",")
    )
}

fn rule_key_text(key: &RuleKey<V4>) -> String {
    let port_bits = key.prefix_len.saturating_sub(48);
    let port = u16::from_be_bytes(key.data.port);
    let protocol = portfwd_common::Protocol::from_number(key.data.protocol);
    let last = port | (u16::MAX.checked_shr(port_bits).unwrap_or(0));
    let ports = if port == last {
        port.to_string()
    } else {
        format!("{port}-{last}")
    };
    let protocol = protocol.map_or("unknown", portfwd_common::Protocol::name);
    format!("{}:{ports}/{protocol}", address(key.data.address))
}

fn target_text(target: &Hop<V4>) -> String {
    let state = match target.state() {
        NextHopState::NoRoute => "no_route",
        NextHopState::Unresolved => "unresolved",
        NextHopState::Reachable => "reachable",
    };
    format!(
        "{} via {} {} {state}",
        address(target.address),
        address(target.next_hop),
        target.mac
    )
}

fn flow_key_text(key: &FlowKey<V4>) -> String {
    format!(
        "{} {}:{} > {}:{}",
        key.protocol()
            .map_or("unknown", portfwd_common::Protocol::name),
        address(key.source),
        u16::from_be_bytes(key.source_port),
        address(key.destination),
        u16::from_be_bytes(key.destination_port)
    )
}

fn flow_text(flow: &Flow<V4>) -> String {
    let direction = match flow.direction() {
        Direction::ToTarget => "to_target",
        Direction::ToClient => "to_client",
    };
    format!(
        "{}:{} > {}:{} {direction} {} rule={} packets={} bytes={}",
        address(flow.new_source),
        u16::from_be_bytes(flow.new_source_port),
        address(flow.new_destination),
        u16::from_be_bytes(flow.new_destination_port),
        flow.state().name(),
        flow.rule,
        flow.packets,
        flow.bytes
    )
}

fn address(bytes: [u8; 4]) -> String {
    IpAddr::from(bytes).to_string()
}

fn plain(value: &impl Debug) -> String {
    format!("{value:?}")
}

fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}
