//! The changes that lead from what is installed to what is desired.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, bail};
use portfwd_common::{NextHopState, RuleKey, Target, V4, prefixes};

use super::installed::{InUse, Installed, InstalledRule};
use crate::rule::{Rule, Snat};

/// The rule id under which the counters of rules that are gone go on counting.
pub(super) const GONE: u32 = 0;

/// What is to be installed.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    /// The rules, already checked against each other.
    pub rules: Vec<Rule>,
    /// The interface's addresses, which a rule without a listen address listens on.
    pub addresses: Vec<Ipv4Addr>,
}

/// One write to a map. In the order in which [`plan`] gives them, a packet never meets a rule
/// whose target or counters are not there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Describes a rule.
    SetInfo(u32, InstalledRule),
    /// Adds a rule's counters to those of the rules that are gone, and starts them at zero.
    FoldCounters(u32),
    /// Removes a rule's description.
    RemoveInfo(u32),
    /// Sets a target.
    SetTarget(u32, Target<V4>),
    /// Sets an entry of the rules map.
    SetEntry(RuleKey<V4>, portfwd_common::Rule<V4>),
    /// Removes an entry of the rules map.
    RemoveEntry(RuleKey<V4>),
}

/// How many rules and targets there is room for.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Entries of the rule maps.
    pub rules: u32,
    /// Entries of the targets map.
    pub targets: u32,
}

/// The changes from `installed` to `desired`.
///
/// A rule that is there already keeps its id, and so its flows and counters. One that is gone
/// is retired as long as `in_use` has flows of it.
///
/// # Errors
/// Where there is no room.
pub fn plan(
    installed: &Installed,
    desired: &Desired,
    in_use: &InUse,
    room: Room,
    now_s: u64,
) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    let ids = assign_ids(installed, desired, in_use, room)?;
    let targets = assign_targets(installed, desired, in_use, room)?;

    for (index, address) in &targets.new {
        changes.push(Change::SetTarget(*index, unresolved(*address)));
    }
    for (id, rule) in &ids.new {
        let info = InstalledRule {
            rule: (*rule).clone(),
            added_at_s: now_s,
            retired: false,
        };
        changes.push(Change::FoldCounters(*id));
        changes.push(Change::SetInfo(*id, info));
    }
    let entries = entries(desired, &ids.all, &targets.all);
    for (key, rule) in &entries {
        if installed.entries.get(key) != Some(rule) {
            changes.push(Change::SetEntry(*key, *rule));
        }
    }
    for key in installed
        .entries
        .keys()
        .filter(|key| !entries.contains_key(key))
    {
        changes.push(Change::RemoveEntry(*key));
    }
    let wanted_ids: BTreeSet<u32> = ids.all.iter().copied().collect();
    for (id, old) in &installed.rules {
        if wanted_ids.contains(id) {
            continue;
        }
        if in_use.rules.contains(id) {
            if !old.retired {
                let retired = InstalledRule {
                    retired: true,
                    ..old.clone()
                };
                changes.push(Change::SetInfo(*id, retired));
            }
        } else {
            changes.push(Change::FoldCounters(*id));
            changes.push(Change::RemoveInfo(*id));
        }
    }
    let wanted_targets: BTreeSet<u32> = targets.all.values().copied().collect();
    for index in installed.targets.keys() {
        if !wanted_targets.contains(index) && !in_use.targets.contains(index) {
            changes.push(Change::SetTarget(*index, Target::default()));
        }
    }
    Ok(changes)
}

/// The ids of the desired rules, by their place in the list.
struct Ids<'a> {
    all: Vec<u32>,
    new: Vec<(u32, &'a Rule)>,
}

fn assign_ids<'a>(
    installed: &Installed,
    desired: &'a Desired,
    in_use: &InUse,
    room: Room,
) -> Result<Ids<'a>> {
    let known: HashMap<&str, (u32, &Rule)> = installed
        .active()
        .map(|(id, rule)| (rule.name.as_str(), (id, rule)))
        .collect();
    let kept = |rule: &Rule| match known.get(rule.name.as_str()) {
        Some((id, old)) if *old == rule => Some(*id),
        _ => None,
    };
    let mut taken: BTreeSet<u32> = in_use.rules.iter().copied().collect();
    taken.insert(GONE);
    // The id of a rule that goes is free only once its entries are: not in the same plan.
    taken.extend(installed.rules.keys());
    let mut free = (1..room.rules).filter(|id| !taken.contains(id));
    let mut ids = Ids {
        all: Vec::new(),
        new: Vec::new(),
    };
    for rule in &desired.rules {
        let id = match kept(rule) {
            Some(id) => id,
            None => {
                let Some(id) = free.next() else {
                    bail!(
                        "no room for the rule `{}`: there can be {} rules",
                        rule.name,
                        room.rules - 1
                    );
                };
                ids.new.push((id, rule));
                id
            }
        };
        ids.all.push(id);
    }
    Ok(ids)
}

/// The indexes of the desired rules' targets, by address.
struct Targets {
    all: BTreeMap<Ipv4Addr, u32>,
    new: Vec<(u32, Ipv4Addr)>,
}

fn assign_targets(
    installed: &Installed,
    desired: &Desired,
    in_use: &InUse,
    room: Room,
) -> Result<Targets> {
    let known: HashMap<[u8; 4], u32> = installed
        .targets
        .iter()
        .map(|(index, target)| (target.address, *index))
        .collect();
    let taken =
        |index: &u32| installed.targets.contains_key(index) || in_use.targets.contains(index);
    let mut free = (0..room.targets).filter(|index| !taken(index));
    let mut targets = Targets {
        all: BTreeMap::new(),
        new: Vec::new(),
    };
    for address in desired.rules.iter().flat_map(target_addresses) {
        if targets.all.contains_key(&address) {
            continue;
        }
        let index = match known.get(&address.octets()) {
            Some(index) => *index,
            None => {
                let Some(index) = free.next() else {
                    bail!(
                        "no room for the target {address}: there can be {} targets",
                        room.targets
                    );
                };
                targets.new.push((index, address));
                index
            }
        };
        targets.all.insert(address, index);
    }
    Ok(targets)
}

/// The entries of the rules map that the desired rules come to.
fn entries(
    desired: &Desired,
    ids: &[u32],
    targets: &BTreeMap<Ipv4Addr, u32>,
) -> HashMap<RuleKey<V4>, portfwd_common::Rule<V4>> {
    let mut entries = HashMap::new();
    for (rule, id) in desired.rules.iter().zip(ids) {
        let Some(target) = rule.targets.first() else {
            continue;
        };
        let IpAddr::V4(address) = target.address else {
            continue;
        };
        let Some(index) = targets.get(&address) else {
            continue;
        };
        let (first, last) = (rule.listen.ports.first, rule.listen.ports.last);
        let value = portfwd_common::Rule {
            id: *id,
            target: *index,
            listen_port: first.to_be_bytes(),
            target_port: target.first_port.to_be_bytes(),
            snat: match rule.snat {
                Snat::Address(IpAddr::V4(address)) => address.octets(),
                _ => [0; 4],
            },
        };
        for address in listen_addresses(rule, desired) {
            for protocol in &rule.protocols {
                for (port, bits) in prefixes(first, last) {
                    let key = RuleKey::block(address.octets(), *protocol, port, bits);
                    entries.insert(key, value);
                }
            }
        }
    }
    entries
}

fn listen_addresses(rule: &Rule, desired: &Desired) -> Vec<Ipv4Addr> {
    match rule.listen.address {
        Some(IpAddr::V4(address)) => vec![address],
        Some(IpAddr::V6(_)) => Vec::new(),
        None => desired.addresses.clone(),
    }
}

fn target_addresses(rule: &Rule) -> impl Iterator<Item = Ipv4Addr> + '_ {
    rule.targets
        .iter()
        .filter_map(|target| match target.address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
}

/// A target of which netlink has not been asked yet: the kernel finds the way of its packets.
fn unresolved(address: Ipv4Addr) -> Target<V4> {
    Target {
        address: address.octets(),
        next_hop: address.octets(),
        state: NextHopState::Unresolved as u8,
        ..Target::default()
    }
}
