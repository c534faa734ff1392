//! Writing a plan to the maps, whole or not at all.

use anyhow::{Context, Result};
use portfwd_common::RuleCounters;

use super::installed::Installed;
use super::plan::{Change, GONE};
use crate::kernel::Maps;

/// Makes the changes. Where one fails, those made before are undone.
///
/// # Errors
/// Names the change that failed, and whether undoing failed too.
pub fn apply(maps: &mut Maps, installed: &Installed, changes: &[Change]) -> Result<()> {
    for (done, change) in changes.iter().enumerate() {
        if let Err(error) = make(maps, change) {
            for made in changes[..done].iter().rev() {
                undo(maps, installed, made).with_context(|| {
                    format!(
                        "{error:#}; and the change could not be taken back: run `portfwd reload`"
                    )
                })?;
            }
            return Err(error);
        }
    }
    Ok(())
}

fn make(maps: &mut Maps, change: &Change) -> Result<()> {
    match change {
        Change::SetInfo(id, rule) => maps.set_rule_info(*id, &rule.to_info()?),
        Change::RemoveInfo(id) => maps.remove_rule_info(*id),
        Change::SetTarget(index, target) => maps.set_target(*index, target),
        Change::SetEntry(key, rule) => maps.set_rule(key, rule),
        Change::RemoveEntry(key) => maps.remove_rule(key),
        Change::FoldCounters(id) => fold_counters(maps, *id),
    }
}

/// Puts back what was there. Folded counters stay where they are: no count is lost by it.
fn undo(maps: &mut Maps, installed: &Installed, change: &Change) -> Result<()> {
    match change {
        Change::SetInfo(id, _) | Change::RemoveInfo(id) => match installed.rules.get(id) {
            Some(rule) => maps.set_rule_info(*id, &rule.to_info()?),
            None => maps.remove_rule_info(*id),
        },
        Change::SetTarget(index, _) => {
            let target = installed.targets.get(index).copied().unwrap_or_default();
            maps.set_target(*index, &target)
        }
        Change::SetEntry(key, _) | Change::RemoveEntry(key) => match installed.entries.get(key) {
            Some(rule) => maps.set_rule(key, rule),
            None => maps.remove_rule(key),
        },
        Change::FoldCounters(_) => Ok(()),
    }
}

fn fold_counters(maps: &mut Maps, id: u32) -> Result<()> {
    let counters = maps.rule_counters(id)?;
    if counters == RuleCounters::default() {
        return Ok(());
    }
    let gone = maps.rule_counters(GONE)?;
    let sum = RuleCounters {
        packets_to_target: gone.packets_to_target + counters.packets_to_target,
        bytes_to_target: gone.bytes_to_target + counters.bytes_to_target,
        packets_to_client: gone.packets_to_client + counters.packets_to_client,
        bytes_to_client: gone.bytes_to_client + counters.bytes_to_client,
        flows: gone.flows + counters.flows,
    };
    maps.set_rule_counters(GONE, sum)?;
    maps.set_rule_counters(id, RuleCounters::default())
}
