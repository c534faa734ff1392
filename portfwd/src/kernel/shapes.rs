//! What each map must look like: its name, type and sizes.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use aya::maps::{MapInfo, MapType};
use portfwd_common::{Flow, FlowKey, Rule, RuleCounters, RuleInfo, RuleKey, Settings, Target, V4};

/// What a map must look like to be ours.
#[derive(Clone, Copy, Debug)]
pub struct MapShape {
    /// Its name, in the object and in the pin folder.
    pub name: &'static str,
    /// What it holds, in a few words.
    pub holds: &'static str,
    map_type: MapType,
    key_size: usize,
    value_size: usize,
}

const fn shape<K, V>(name: &'static str, holds: &'static str, map_type: MapType) -> MapShape {
    MapShape {
        name,
        holds,
        map_type,
        key_size: size_of::<K>(),
        value_size: size_of::<V>(),
    }
}

/// Every map, in the order in which users see them.
pub const MAPS: [MapShape; 8] = [
    shape::<u32, Settings>(
        "settings",
        "interface, timeouts, source ports",
        MapType::Array,
    ),
    shape::<RuleKey<V4>, Rule<V4>>("rules_v4", "listen addresses", MapType::LpmTrie),
    shape::<u32, Target<V4>>("targets_v4", "targets and next hops", MapType::Array),
    shape::<FlowKey<V4>, Flow<V4>>("flows_v4", "established flows", MapType::LruHash),
    shape::<FlowKey<V4>, Flow<V4>>("half_open_v4", "half-open flows", MapType::LruHash),
    shape::<u32, RuleInfo>("rule_info", "rules as written", MapType::Hash),
    shape::<u32, RuleCounters>("rule_counters", "traffic by rule", MapType::PerCpuArray),
    shape::<u32, u64>(
        "counters",
        "packets by outcome, events",
        MapType::PerCpuArray,
    ),
];

/// How a map is used, as the kernel says.
#[derive(Clone, Debug)]
pub struct MapUse {
    /// The map.
    pub shape: MapShape,
    /// The kernel's name of its type.
    pub type_name: &'static str,
    /// How many entries it may have.
    pub max_entries: u32,
    /// Bytes of kernel memory, where the kernel tells.
    pub memory: Option<u64>,
}

/// Refuses pins that this build would misread: the programs and this process trust the sizes.
///
/// # Errors
/// Names the map that differs, or the first that is missing.
pub(super) fn check_shapes(folder: &Path) -> Result<()> {
    for shape in &MAPS {
        let path = folder.join(shape.name);
        let info = MapInfo::from_pin(&path)
            .with_context(|| format!("cannot open the map {}", path.display()))?;
        let fits = info
            .map_type()
            .is_ok_and(|map_type| map_type == shape.map_type)
            && info.key_size() as usize == shape.key_size
            && info.value_size() as usize == shape.value_size;
        ensure!(
            fits,
            "the map {} is not what this version of portfwd expects: \
             `portfwd detach` removes it (and ends its flows)",
            path.display()
        );
    }
    Ok(())
}

impl MapShape {
    /// The kernel's name of its type.
    #[must_use]
    pub(super) fn type_name(&self) -> &'static str {
        match self.map_type {
            MapType::Array => "array",
            MapType::PerCpuArray => "percpu_array",
            MapType::Hash => "hash",
            MapType::LruHash => "lru_hash",
            MapType::LpmTrie => "lpm_trie",
            _ => "other",
        }
    }
}
