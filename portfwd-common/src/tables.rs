//! The maps as the translation sees them.

use crate::{
    Direction, Event, Family, Flow, FlowKey, FlowRef, Parsed, Rule, RuleKey, Settings, Target,
    Tier, Verdict,
};

/// The maps, the clock and the random numbers. In the kernel these are BPF maps and helpers,
/// on the host plain collections.
pub trait Tables<F: Family> {
    /// The interface's settings, `None` before the loader has filled them.
    fn settings(&self) -> Option<&Settings>;

    /// Nanoseconds of `CLOCK_MONOTONIC`; may be a few milliseconds old.
    fn now_ns(&self) -> u64;

    /// A random number.
    fn random(&self) -> u32;

    /// The rule with the longest prefix that matches.
    fn rule(&self, key: &RuleKey<F>) -> Option<&Rule<F>>;

    /// The target with this index.
    fn target(&self, index: u32) -> Option<&Target<F>>;

    /// The flow entry under `key`.
    fn flow(&self, tier: Tier, key: &FlowKey<F>) -> Option<FlowRef<'_, F>>;

    /// Adds an entry only where `key` is not taken: the atomic claim of a key.
    fn claim(&self, tier: Tier, key: &FlowKey<F>, flow: &Flow<F>) -> Result<(), Taken>;

    /// Removes the entry under `key`; whether this call did it.
    fn remove(&self, tier: Tier, key: &FlowKey<F>) -> bool;

    /// Adds one to a slot of the counters ([`crate::Pass`], [`crate::Drop`], [`Event`]).
    fn count(&self, counter: u32);

    /// Adds a forwarded packet to its rule's counters.
    fn count_forwarded(&self, rule: u32, direction: Direction, bytes: u64);

    /// Adds an opened flow to its rule's counters.
    fn count_flow(&self, rule: u32);

    /// Told of every packet's end, for diagnostics.
    fn observe(&self, parsed: Option<&Parsed<F>>, verdict: Verdict);

    /// Counts an event.
    #[inline(always)]
    fn count_event(&self, event: Event) {
        self.count(event.counter());
    }
}

/// Why a key could not be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Another entry has it.
    Exists,
    /// The map has no room, or the kernel no memory.
    Full,
}
