//! The maps and helpers behind [`Tables`].

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::{bpf_get_prandom_u32, bpf_ktime_get_coarse_ns};
use portfwd_common::{
    Direction, Flow, FlowKey, FlowRef, Parsed, Rule, RuleKey, Settings, Tables, Taken, Target,
    Tier, V4, Verdict,
};

use crate::diagnostics;
use crate::maps::{
    COUNTERS_MAP, FLOWS_V4, HALF_OPEN_V4, RULE_COUNTERS, RULES_V4, SETTINGS, TARGETS_V4,
};

/// `EEXIST`, as map updates return it.
const EEXIST: i32 = -17;

/// The kernel's maps, seen from a program that runs on `ctx`.
pub struct KernelTables<'a, C> {
    ctx: &'a C,
}

impl<'a, C: EbpfContext> KernelTables<'a, C> {
    pub fn new(ctx: &'a C) -> Self {
        Self { ctx }
    }
}

impl<C: EbpfContext> Tables<V4> for KernelTables<'_, C> {
    #[inline(always)]
    fn settings(&self) -> Option<&Settings> {
        SETTINGS
            .get(0)
            .filter(|settings| settings.ready == Settings::READY)
    }

    #[inline(always)]
    fn now_ns(&self) -> u64 {
        // SAFETY: the helper has no preconditions.
        unsafe { bpf_ktime_get_coarse_ns() }
    }

    #[inline(always)]
    fn random(&self) -> u32 {
        // SAFETY: the helper has no preconditions.
        unsafe { bpf_get_prandom_u32() }
    }

    #[inline(always)]
    fn rule(&self, key: &RuleKey<V4>) -> Option<&Rule<V4>> {
        let key = aya_ebpf::btf_maps::lpm_trie::Key::new(key.prefix_len, key.data);
        RULES_V4.get(&key)
    }

    #[inline(always)]
    fn target(&self, index: u32) -> Option<&Target<V4>> {
        TARGETS_V4.get(index)
    }

    #[inline(always)]
    fn flow(&self, tier: Tier, key: &FlowKey<V4>) -> Option<FlowRef<'_, V4>> {
        let flow = match tier {
            Tier::Established => FLOWS_V4.get_ptr_mut(key),
            Tier::HalfOpen => HALF_OPEN_V4.get_ptr_mut(key),
        }?;
        // SAFETY: a map's value stays readable and writable until the program ends; the kernel
        // may give an evicted one to another key, so its content may change at any time.
        Some(unsafe { FlowRef::new(flow) })
    }

    #[inline(always)]
    fn claim(&self, tier: Tier, key: &FlowKey<V4>, flow: &Flow<V4>) -> Result<(), Taken> {
        let flags = u64::from(BPF_NOEXIST);
        let claimed = match tier {
            Tier::Established => FLOWS_V4.insert(key, flow, flags),
            Tier::HalfOpen => HALF_OPEN_V4.insert(key, flow, flags),
        };
        claimed.map_err(|error| {
            if error == EEXIST {
                Taken::Exists
            } else {
                Taken::Full
            }
        })
    }

    #[inline(always)]
    fn remove(&self, tier: Tier, key: &FlowKey<V4>) -> bool {
        match tier {
            Tier::Established => FLOWS_V4.remove(key),
            Tier::HalfOpen => HALF_OPEN_V4.remove(key),
        }
        .is_ok()
    }

    #[inline(always)]
    fn count(&self, counter: u32) {
        if let Some(count) = COUNTERS_MAP.get_ptr_mut(counter) {
            // SAFETY: the slot is this CPU's own, and programs do not nest on one CPU.
            unsafe { *count += 1 };
        }
    }

    #[inline(always)]
    fn count_forwarded(&self, rule: u32, direction: Direction, bytes: u64) {
        let Some(counters) = RULE_COUNTERS.get_ptr_mut(rule) else {
            return;
        };
        // SAFETY: the slot is this CPU's own, and programs do not nest on one CPU.
        unsafe {
            match direction {
                Direction::ToTarget => {
                    (*counters).packets_to_target += 1;
                    (*counters).bytes_to_target += bytes;
                }
                Direction::ToClient => {
                    (*counters).packets_to_client += 1;
                    (*counters).bytes_to_client += bytes;
                }
            }
        }
    }

    #[inline(always)]
    fn count_flow(&self, rule: u32) {
        if let Some(counters) = RULE_COUNTERS.get_ptr_mut(rule) {
            // SAFETY: the slot is this CPU's own, and programs do not nest on one CPU.
            unsafe { (*counters).flows += 1 };
        }
    }

    #[inline(always)]
    fn observe(&self, parsed: Option<&Parsed<V4>>, verdict: Verdict) {
        if let Some(parsed) = parsed {
            diagnostics::log(self.ctx, parsed, verdict);
        }
    }
}
