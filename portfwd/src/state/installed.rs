//! What is installed, as the maps say it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use portfwd_common::{RULE_TEXT_BYTES, RuleInfo, RuleKey, Target, V4};

use crate::kernel::Maps;
use crate::rule::Rule;

/// A rule in the maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledRule {
    /// The rule.
    pub rule: Rule,
    /// When it was added, in seconds of the wall clock.
    pub added_at_s: u64,
    /// Deleted, while flows of it go on.
    pub retired: bool,
}

/// The content of the maps that rules are made of.
#[derive(Clone, Debug, Default)]
pub struct Installed {
    /// Rules by id.
    pub rules: BTreeMap<u32, InstalledRule>,
    /// The entries of the rules map.
    pub entries: HashMap<RuleKey<V4>, portfwd_common::Rule<V4>>,
    /// The targets that are in use, by index.
    pub targets: BTreeMap<u32, Target<V4>>,
}

/// The rules and targets that flows still refer to.
#[derive(Clone, Debug, Default)]
pub struct InUse {
    /// Rule ids.
    pub rules: BTreeSet<u32>,
    /// Target indexes.
    pub targets: BTreeSet<u32>,
}

impl Installed {
    /// Reads the maps.
    ///
    /// # Errors
    /// Where a map cannot be read, or a rule in it not understood.
    pub fn read(maps: &Maps) -> Result<Self> {
        let mut installed = Self {
            rules: read_rules(maps)?,
            entries: maps.rules()?.into_iter().collect(),
            ..Self::default()
        };
        for index in 0..maps.max_targets() {
            let target = maps.target(index)?;
            if target != Target::default() {
                installed.targets.insert(index, target);
            }
        }
        Ok(installed)
    }

    /// The rules that are not retired.
    pub fn active(&self) -> impl Iterator<Item = (u32, &Rule)> {
        let active = self
            .rules
            .iter()
            .filter(|(_, installed)| !installed.retired);
        active.map(|(id, installed)| (*id, &installed.rule))
    }

    /// The index and entry of the target at `address`.
    #[must_use]
    pub fn target(&self, address: Ipv4Addr) -> Option<(u32, &Target<V4>)> {
        let mut targets = self.targets.iter();
        let found = targets.find(|(_, target)| target.address == address.octets());
        found.map(|(index, target)| (*index, target))
    }
}

impl InUse {
    /// Reads the flows; this walks through all of them.
    ///
    /// # Errors
    /// Where a flow map cannot be read.
    pub fn read(maps: &Maps) -> Result<Self> {
        let mut in_use = Self::default();
        maps.each_flow(|_, _, flow| {
            in_use.rules.insert(flow.rule);
            in_use.targets.insert(flow.target);
            Ok(())
        })?;
        Ok(in_use)
    }
}

/// The rules by id, retired ones too.
///
/// # Errors
/// Where the map cannot be read, or a rule in it not understood.
pub fn read_rules(maps: &Maps) -> Result<BTreeMap<u32, InstalledRule>> {
    let infos = maps.rule_infos()?.into_iter();
    infos
        .map(|(id, info)| Ok((id, read_rule(&info)?)))
        .collect()
}

/// The names of rules, by id.
#[must_use]
pub fn names(rules: &BTreeMap<u32, InstalledRule>) -> HashMap<u32, String> {
    let name = |(id, installed): (&u32, &InstalledRule)| (*id, installed.rule.name.clone());
    rules.iter().map(name).collect()
}

/// The rule that a map's entry describes.
///
/// # Errors
/// Where it is not one that this version wrote.
pub fn read_rule(info: &RuleInfo) -> Result<InstalledRule> {
    let text = &info.text[..(info.text_len as usize).min(RULE_TEXT_BYTES)];
    let rule = serde_json::from_slice(text)
        .context("a rule in the rule_info map is not one of this version's")?;
    Ok(InstalledRule {
        rule,
        added_at_s: info.added_at_s,
        retired: info.retired != 0,
    })
}

impl InstalledRule {
    /// The map's entry for this rule.
    ///
    /// # Errors
    /// Where the rule is too long for it.
    pub fn to_info(&self) -> Result<RuleInfo> {
        let json = serde_json::to_vec(&self.rule).context("cannot write a rule as JSON")?;
        let mut text = [0; RULE_TEXT_BYTES];
        let room = text.get_mut(..json.len()).with_context(|| {
            format!(
                "the rule `{}` is too long: {} bytes of {RULE_TEXT_BYTES}",
                self.rule.name,
                json.len()
            )
        })?;
        room.copy_from_slice(&json);
        Ok(RuleInfo {
            added_at_s: self.added_at_s,
            retired: u32::from(self.retired),
            text_len: json.len() as u32,
            text,
        })
    }
}
