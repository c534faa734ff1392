//! A packet and the tables in plain memory.

use core::cell::{Cell, RefCell, UnsafeCell};
use core::hash::Hash;
use std::boxed::Box;
use std::collections::HashMap;
use std::vec;
use std::vec::Vec;

use bytemuck::Pod;

use super::Setup;
use crate::{
    COUNTERS, Direction, Family, Flow, FlowKey, FlowRef, Packet, Parsed, Rule, RuleCounters,
    RuleKey, Settings, Tables, Taken, Target, Tier, V4, Verdict,
};

/// A frame on the host; `SLOW` makes it behave as on TC, which resolves neighbours.
#[derive(Clone, Debug)]
pub struct HostPacket<const SLOW: bool>(pub Vec<u8>);

impl<const SLOW: bool> Packet for HostPacket<SLOW> {
    const RESOLVES_NEIGHBOURS: bool = SLOW;

    fn seen_before(&self) -> bool {
        false
    }

    fn has(&self, len: usize) -> bool {
        len <= self.0.len()
    }

    fn load<T: Pod>(&self, offset: usize) -> Option<T> {
        let end = offset.checked_add(size_of::<T>())?;
        self.0.get(offset..end).map(bytemuck::pod_read_unaligned)
    }

    fn store<T: Pod>(&mut self, offset: usize, value: T) -> Option<()> {
        let end = offset.checked_add(size_of::<T>())?;
        let bytes = self.0.get_mut(offset..end)?;
        bytes.copy_from_slice(bytemuck::bytes_of(&value));
        Some(())
    }
}

type Entry<F> = Box<UnsafeCell<Flow<F>>>;

/// The tables on the host, with a clock that stands still until it is moved.
pub struct HostTables<F: Family = V4> {
    /// The clock, in nanoseconds.
    pub now_ns: Cell<u64>,
    settings: Settings,
    rules: Vec<(RuleKey<F>, Rule<F>)>,
    targets: Vec<Target<F>>,
    established: RefCell<HashMap<FlowKey<F>, Entry<F>>>,
    half_open: RefCell<HashMap<FlowKey<F>, Entry<F>>>,
    /// Removed entries, kept as the kernel keeps them: a reference may still point there.
    removed: RefCell<Vec<Entry<F>>>,
    counters: RefCell<Vec<u64>>,
    rule_counters: RefCell<HashMap<u32, RuleCounters>>,
    random: Cell<u32>,
}

impl<F: Family> HostTables<F> {
    /// Tables that hold what a case wants.
    #[must_use]
    pub fn new(setup: &Setup<F>) -> Self {
        Self {
            // Not zero: an expiry in the past must be possible.
            now_ns: Cell::new(1_000_000_000_000),
            settings: setup.settings,
            rules: setup.rules.clone(),
            targets: setup.targets.clone(),
            established: RefCell::default(),
            half_open: RefCell::default(),
            removed: RefCell::default(),
            counters: RefCell::new(vec![0; COUNTERS as usize]),
            rule_counters: RefCell::default(),
            random: Cell::new(0),
        }
    }

    /// Moves the clock on.
    pub fn advance_ns(&self, ns: u64) {
        self.now_ns.set(self.now_ns.get() + ns);
    }

    /// A counter's value.
    #[must_use]
    pub fn counter(&self, slot: u32) -> u64 {
        self.counters.borrow()[slot as usize]
    }

    /// A rule's counters.
    #[must_use]
    pub fn rule_counters(&self, rule: u32) -> RuleCounters {
        self.rule_counters
            .borrow()
            .get(&rule)
            .copied()
            .unwrap_or_default()
    }

    /// Every entry of a tier.
    #[must_use]
    pub fn flows(&self, tier: Tier) -> Vec<(FlowKey<F>, Flow<F>)> {
        let read = |(key, entry): (&FlowKey<F>, &Entry<F>)| {
            // SAFETY: a FlowRef writes only inside a call of `translate`, and none is running.
            (*key, unsafe { *entry.get() })
        };
        self.tier(tier).borrow().iter().map(read).collect()
    }

    fn tier(&self, tier: Tier) -> &RefCell<HashMap<FlowKey<F>, Entry<F>>> {
        match tier {
            Tier::Established => &self.established,
            Tier::HalfOpen => &self.half_open,
        }
    }
}

impl<F: Family> Tables<F> for HostTables<F>
where
    FlowKey<F>: Hash,
{
    fn settings(&self) -> Option<&Settings> {
        (self.settings.ready == Settings::READY).then_some(&self.settings)
    }

    fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    fn random(&self) -> u32 {
        // A linear congruential generator; its only duty is to differ from call to call.
        self.random.set(
            self.random
                .get()
                .wrapping_mul(1_664_525)
                .wrapping_add(1_013_904_223),
        );
        self.random.get()
    }

    fn rule(&self, key: &RuleKey<F>) -> Option<&Rule<F>> {
        let covers = |rule: &&(RuleKey<F>, Rule<F>)| {
            let (wanted, given) = (
                bytemuck::bytes_of(&rule.0.data),
                bytemuck::bytes_of(&key.data),
            );
            let bits = rule.0.prefix_len as usize;
            let (whole, rest) = (bits / 8, bits % 8);
            wanted[..whole] == given[..whole]
                && (rest == 0 || (wanted[whole] ^ given[whole]) >> (8 - rest) == 0)
        };
        let longest = self
            .rules
            .iter()
            .filter(covers)
            .max_by_key(|(key, _)| key.prefix_len);
        longest.map(|(_, rule)| rule)
    }

    fn target(&self, index: u32) -> Option<&Target<F>> {
        self.targets.get(index as usize)
    }

    fn flow(&self, tier: Tier, key: &FlowKey<F>) -> Option<FlowRef<'_, F>> {
        let flows = self.tier(tier).borrow();
        let entry = flows.get(key)?;
        // SAFETY: entries are boxed and never freed before the tables are.
        Some(unsafe { FlowRef::new(entry.get()) })
    }

    fn claim(&self, tier: Tier, key: &FlowKey<F>, flow: &Flow<F>) -> Result<(), Taken> {
        let mut flows = self.tier(tier).borrow_mut();
        if flows.contains_key(key) {
            return Err(Taken::Exists);
        }
        flows.insert(*key, Box::new(UnsafeCell::new(*flow)));
        Ok(())
    }

    fn remove(&self, tier: Tier, key: &FlowKey<F>) -> bool {
        let entry = self.tier(tier).borrow_mut().remove(key);
        let found = entry.is_some();
        self.removed.borrow_mut().extend(entry);
        found
    }

    fn count(&self, counter: u32) {
        self.counters.borrow_mut()[counter as usize] += 1;
    }

    fn count_forwarded(&self, rule: u32, direction: Direction, bytes: u64) {
        let mut counters = self.rule_counters.borrow_mut();
        let counters = counters.entry(rule).or_default();
        match direction {
            Direction::ToTarget => {
                counters.packets_to_target += 1;
                counters.bytes_to_target += bytes;
            }
            Direction::ToClient => {
                counters.packets_to_client += 1;
                counters.bytes_to_client += bytes;
            }
        }
    }

    fn count_flow(&self, rule: u32) {
        self.rule_counters
            .borrow_mut()
            .entry(rule)
            .or_default()
            .flows += 1;
    }

    fn observe(&self, _parsed: Option<&Parsed<F>>, _verdict: Verdict) {}
}
