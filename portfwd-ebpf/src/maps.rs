//! The maps. Their shapes are `portfwd-common`'s; the loader sets the sizes that users choose
//! and pins them by name.

use aya_ebpf::btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray};
use aya_ebpf::macros::btf_map;
use portfwd_common::{
    COUNTERS, Flow, FlowKey, Rule, RuleCounters, RuleInfo, RuleKeyData, Settings, Target, V4,
};

/// `BPF_F_NO_PREALLOC`: descriptions take memory only once they are there.
const NO_PREALLOC: usize = 1;

/// What the datapath must know of the interface.
#[btf_map(name = "settings")]
pub static SETTINGS: Array<Settings, 1> = Array::new();

/// Listen addresses, longest prefix first.
#[btf_map(name = "rules_v4")]
pub static RULES_V4: LpmTrie<RuleKeyData<V4>, Rule<V4>, 262_144> = LpmTrie::new();

/// Targets and their next hops, by index.
#[btf_map(name = "targets_v4")]
pub static TARGETS_V4: Array<Target<V4>, 16_384> = Array::new();

/// Flows whose handshake is complete.
#[btf_map(name = "flows_v4")]
pub static FLOWS_V4: LruHashMap<FlowKey<V4>, Flow<V4>, 65_536> = LruHashMap::new();

/// Flows whose handshake is not.
#[btf_map(name = "half_open_v4")]
pub static HALF_OPEN_V4: LruHashMap<FlowKey<V4>, Flow<V4>, 65_536> = LruHashMap::new();

/// What user space must know of a rule, by id; the programs do not read it.
#[btf_map(name = "rule_info")]
pub static RULE_INFO: HashMap<u32, RuleInfo, 16_384, NO_PREALLOC> = HashMap::new();

/// Traffic by rule id.
#[btf_map(name = "rule_counters")]
pub static RULE_COUNTERS: PerCpuArray<RuleCounters, 16_384> = PerCpuArray::new();

/// Packets that were not forwarded, by reason, and events.
#[btf_map(name = "counters")]
pub static COUNTERS_MAP: PerCpuArray<u64, { COUNTERS as usize }> = PerCpuArray::new();
