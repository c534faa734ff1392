//! Typed handles to the maps.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use anyhow::{Context, Result, bail};
use aya::Ebpf;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, IterableMap, Map, MapData, MapError, PerCpuArray, PerCpuValues};
use portfwd_common::{
    Direction, Flow, FlowKey, Rule, RuleCounters, RuleInfo, RuleKey, RuleKeyData, Settings, Target,
    Tier, V4,
};

use super::dump::Entries;
use super::shapes::{MAPS, MapUse, check_shapes};

/// A type of the map ABI as aya wants it.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Abi<T>(T);

// SAFETY: bytemuck's Pod promises more than aya's: no padding, any bit pattern.
unsafe impl<T: bytemuck::Pod> aya::Pod for Abi<T> {}

type FlowMap = HashMap<MapData, Abi<FlowKey<V4>>, Abi<Flow<V4>>>;

/// The maps of one instance.
pub struct Maps {
    settings: Array<MapData, Abi<Settings>>,
    rules: LpmTrie<MapData, Abi<RuleKeyData<V4>>, Abi<Rule<V4>>>,
    targets: Array<MapData, Abi<Target<V4>>>,
    flows: FlowMap,
    half_open: FlowMap,
    rule_info: HashMap<MapData, u32, Abi<RuleInfo>>,
    rule_counters: PerCpuArray<MapData, Abi<RuleCounters>>,
    counters: PerCpuArray<MapData, u64>,
}

impl Maps {
    /// Opens the maps that are pinned in `folder`, after a look at their shapes.
    ///
    /// # Errors
    /// Where one is missing or is not what this build expects.
    pub fn open(folder: &Path) -> Result<Self> {
        check_shapes(folder)?;
        Self::collect(|name| {
            let data = MapData::from_pin(folder.join(name))
                .with_context(|| format!("cannot open the map {}", folder.join(name).display()))?;
            Ok(Map::from_map_data(data)?)
        })
    }

    /// Takes the maps of an object that was just loaded.
    pub(super) fn take(object: &mut Ebpf) -> Result<Self> {
        Self::collect(|name| {
            object
                .take_map(name)
                .with_context(|| format!("the object has no map {name}"))
        })
    }

    fn collect(mut map: impl FnMut(&str) -> Result<Map>) -> Result<Self> {
        Ok(Self {
            settings: map("settings")?.try_into()?,
            rules: map("rules_v4")?.try_into()?,
            targets: map("targets_v4")?.try_into()?,
            flows: map("flows_v4")?.try_into()?,
            half_open: map("half_open_v4")?.try_into()?,
            rule_info: map("rule_info")?.try_into()?,
            rule_counters: map("rule_counters")?.try_into()?,
            counters: map("counters")?.try_into()?,
        })
    }

    /// The settings; all zero before the daemon has filled them.
    pub fn settings(&self) -> Result<Settings> {
        Ok(self
            .settings
            .get(&0, 0)
            .context("cannot read the settings map")?
            .0)
    }

    /// Replaces the settings.
    pub fn set_settings(&mut self, settings: &Settings) -> Result<()> {
        self.settings
            .set(0, Abi(*settings), 0)
            .context("cannot write the settings map")
    }

    /// Every entry of the rules map.
    pub fn rules(&self) -> Result<Vec<(RuleKey<V4>, Rule<V4>)>> {
        let mut rules = Vec::new();
        for entry in self.rules.iter() {
            let (key, rule) = entry.context("cannot read the rules map")?;
            let key = RuleKey {
                prefix_len: key.prefix_len(),
                data: key.data().0,
            };
            rules.push((key, rule.0));
        }
        Ok(rules)
    }

    /// Adds or replaces an entry of the rules map.
    pub fn set_rule(&mut self, key: &RuleKey<V4>, rule: &Rule<V4>) -> Result<()> {
        let key = Key::new(key.prefix_len, Abi(key.data));
        self.rules
            .insert(&key, Abi(*rule), 0)
            .context("cannot write the rules map")
    }

    /// Removes an entry of the rules map, if it is there.
    pub fn remove_rule(&mut self, key: &RuleKey<V4>) -> Result<()> {
        let key = Key::new(key.prefix_len, Abi(key.data));
        absent_is_fine(self.rules.remove(&key)).context("cannot write the rules map")
    }

    /// How many targets there can be.
    pub fn max_targets(&self) -> u32 {
        self.targets.len()
    }

    /// A target; all zero where the index is not in use.
    pub fn target(&self, index: u32) -> Result<Target<V4>> {
        Ok(self
            .targets
            .get(&index, 0)
            .context("cannot read the targets map")?
            .0)
    }

    /// Replaces a target.
    pub fn set_target(&mut self, index: u32, target: &Target<V4>) -> Result<()> {
        self.targets
            .set(index, Abi(*target), 0)
            .context("cannot write the targets map")
    }

    /// How many rules there can be.
    pub fn max_rules(&self) -> u32 {
        self.rule_counters.len()
    }

    /// Every rule's description, by id.
    pub fn rule_infos(&self) -> Result<Vec<(u32, RuleInfo)>> {
        let entries: Result<_, MapError> = self
            .rule_info
            .iter()
            .map(|entry| entry.map(|(id, info)| (id, info.0)))
            .collect();
        entries.context("cannot read the rule_info map")
    }

    /// Adds or replaces a rule's description.
    pub fn set_rule_info(&mut self, id: u32, info: &RuleInfo) -> Result<()> {
        self.rule_info
            .insert(id, Abi(*info), 0)
            .context("cannot write the rule_info map")
    }

    /// Removes a rule's description, if it is there.
    pub fn remove_rule_info(&mut self, id: u32) -> Result<()> {
        absent_is_fine(self.rule_info.remove(&id)).context("cannot write the rule_info map")
    }

    /// A rule's counters, summed over all CPUs.
    pub fn rule_counters(&self, id: u32) -> Result<RuleCounters> {
        let values = self
            .rule_counters
            .get(&id, 0)
            .context("cannot read the rule_counters map")?;
        Ok(values
            .iter()
            .fold(RuleCounters::default(), |sum, Abi(cpu)| RuleCounters {
                packets_to_target: sum.packets_to_target + cpu.packets_to_target,
                bytes_to_target: sum.bytes_to_target + cpu.bytes_to_target,
                packets_to_client: sum.packets_to_client + cpu.packets_to_client,
                bytes_to_client: sum.bytes_to_client + cpu.bytes_to_client,
                flows: sum.flows + cpu.flows,
            }))
    }

    /// Sets a rule's counters to zero, or to `counters` on the first CPU.
    pub fn set_rule_counters(&mut self, id: u32, counters: RuleCounters) -> Result<()> {
        let cpus = aya::util::nr_cpus().map_err(|(path, error)| {
            anyhow::Error::new(error).context(format!("cannot read {path}"))
        })?;
        let mut values = vec![Abi(RuleCounters::default()); cpus];
        if let Some(first) = values.first_mut() {
            *first = Abi(counters);
        }
        let values =
            PerCpuValues::try_from(values).context("cannot write the rule_counters map")?;
        self.rule_counters
            .set(id, values, 0)
            .context("cannot write the rule_counters map")
    }

    /// A counter, summed over all CPUs.
    pub fn counter(&self, slot: u32) -> Result<u64> {
        let values = self
            .counters
            .get(&slot, 0)
            .context("cannot read the counters map")?;
        Ok(values.iter().sum())
    }

    /// Adds to a counter that only user space writes.
    pub fn add_to_counter(&mut self, slot: u32, count: u64) -> Result<()> {
        let mut values = self
            .counters
            .get(&slot, 0)
            .context("cannot read the counters map")?
            .to_vec();
        if let Some(first) = values.first_mut() {
            *first += count;
        }
        let values = PerCpuValues::try_from(values).context("cannot write the counters map")?;
        self.counters
            .set(slot, values, 0)
            .context("cannot write the counters map")
    }

    /// The entries of one tier, both directions.
    pub fn flows(&self, tier: Tier) -> Entries<'_, FlowKey<V4>, Flow<V4>> {
        Entries::new(self.flow_map(tier).map().fd().as_fd())
    }

    /// Calls `visit` with every flow of both tiers, by its entry toward the target.
    ///
    /// # Errors
    /// Where a flow map cannot be read, or `visit` fails.
    pub fn each_flow(
        &self,
        mut visit: impl FnMut(Tier, &FlowKey<V4>, &Flow<V4>) -> Result<()>,
    ) -> Result<()> {
        for tier in [Tier::Established, Tier::HalfOpen] {
            for entry in self.flows(tier) {
                let (key, flow) = entry.context("cannot read the flows")?;
                if flow.direction() == Direction::ToTarget {
                    visit(tier, &key, &flow)?;
                }
            }
        }
        Ok(())
    }

    /// One flow entry.
    pub fn flow(&self, tier: Tier, key: &FlowKey<V4>) -> Result<Option<Flow<V4>>> {
        match self.flow_map(tier).get(&Abi(*key), 0) {
            Ok(flow) => Ok(Some(flow.0)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error).context("cannot read a flow map"),
        }
    }

    /// Removes a flow entry; whether it was there.
    pub fn remove_flow(&mut self, tier: Tier, key: &FlowKey<V4>) -> Result<bool> {
        let map = match tier {
            Tier::Established => &mut self.flows,
            Tier::HalfOpen => &mut self.half_open,
        };
        match map.remove(&Abi(*key)) {
            Ok(()) => Ok(true),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error).context("cannot write a flow map"),
        }
    }

    /// How large the maps are.
    pub fn usage(&self) -> Result<Vec<MapUse>> {
        MAPS.iter()
            .map(|shape| {
                let map = self.data(shape.name)?;
                let info = map.info()?;
                Ok(MapUse {
                    shape: *shape,
                    type_name: shape.type_name(),
                    max_entries: info.max_entries(),
                    memory: memory(map.fd().as_fd()),
                })
            })
            .collect()
    }

    fn data(&self, name: &str) -> Result<&MapData> {
        Ok(match name {
            "settings" => self.settings.map(),
            "rules_v4" => self.rules.map(),
            "targets_v4" => self.targets.map(),
            "flows_v4" => self.flows.map(),
            "half_open_v4" => self.half_open.map(),
            "rule_info" => self.rule_info.map(),
            "rule_counters" => self.rule_counters.map(),
            "counters" => self.counters.map(),
            _ => bail!("there is no map `{name}`: `portfwd maps` lists them"),
        })
    }

    fn flow_map(&self, tier: Tier) -> &FlowMap {
        match tier {
            Tier::Established => &self.flows,
            Tier::HalfOpen => &self.half_open,
        }
    }
}

fn is_absent(error: &MapError) -> bool {
    match error {
        MapError::KeyNotFound => true,
        MapError::SyscallError(error) => error.io_error.raw_os_error() == Some(libc::ENOENT),
        _ => false,
    }
}

fn absent_is_fine(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(error) if is_absent(&error) => Ok(()),
        other => other,
    }
}

/// Bytes of kernel memory behind a map, which only procfs tells.
fn memory(map: BorrowedFd<'_>) -> Option<u64> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_raw_fd())).ok()?;
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("memlock:"))?;
    line.trim().parse().ok()
}
