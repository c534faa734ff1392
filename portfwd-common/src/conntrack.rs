//! Conntrack: finds a packet's flow, moves it through its states, opens new ones.
//!
//! Two maps, one per [`Tier`]. A flow starts half open and moves to the established tier when
//! its handshake is complete, so a flood of half-open flows pushes out only its like.
//!
//! The reply entry's key is what a source port toward a target means; it is claimed first, by
//! an insert that fails where the key exists. While a flow moves between tiers its reply key is
//! in both maps, so a claim that looks at the established tier *after* its own insert into the
//! half-open one cannot miss a flow on the move.

mod open;

use crate::flow::Renewal;
use crate::tables::Taken;
use crate::{
    Direction, Drop, Event, Family, Flow, FlowKey, FlowRef, Mac, Parsed, Protocol, REFRESH_NS,
    Settings, State, Tables, Tier,
};

/// The conntrack as one packet sees it.
pub(crate) struct Conntrack<'a, T> {
    pub tables: &'a T,
    pub settings: &'a Settings,
    pub now_ns: u64,
}

impl<'a, T> Conntrack<'a, T> {
    /// The flow entry that a packet belongs to, as far as its key tells.
    #[inline(always)]
    pub fn lookup<F: Family>(&self, key: &FlowKey<F>) -> Option<(Tier, FlowRef<'a, F>)>
    where
        T: Tables<F>,
    {
        if let Some(flow) = self.tables.flow(Tier::Established, key) {
            return Some((Tier::Established, flow));
        }
        let flow = self.tables.flow(Tier::HalfOpen, key)?;
        Some((Tier::HalfOpen, flow))
    }

    /// Whether a packet changes nothing about its flow but the counters: all but a few packets
    /// of a flow's life.
    #[inline(always)]
    pub fn is_steady<F: Family>(&self, tier: Tier, flow: &Flow<F>, parsed: &Parsed<F>) -> bool {
        tier == Tier::Established
            && self.now_ns < flow.refresh_at_ns
            && parsed.flags.is_plain()
            && matches!(flow.state(), State::Established | State::Assured)
    }

    /// Takes a packet into account that is not steady. The flow may have moved to the other tier
    /// afterwards.
    // A function of its own in the object: its stack frame would not fit beside the caller's.
    // It returns one word, no pointer, which the verifier would lose track of on the way.
    #[inline(never)]
    pub fn advance<F: Family>(
        &self,
        tier: Tier,
        flow: FlowRef<'a, F>,
        parsed: &Parsed<F>,
    ) -> Advanced
    where
        T: Tables<F>,
    {
        let tables = self.tables;
        let key = &parsed.key;
        let entry = flow.read();
        let (state, direction) = (entry.state(), entry.direction());
        let reopens = parsed.flags.opens() && direction == Direction::ToTarget && state.is_done();
        if entry.has_expired(self.now_ns) || reopens {
            forget(tables, tier, key, &entry);
            return Advanced::Ended;
        }
        let next = match key.protocol() {
            Some(Protocol::Tcp) => state.after(direction, parsed.flags),
            _ if direction == Direction::ToClient => State::Assured,
            _ => state,
        };
        // The hop toward the client is the one that its latest packet came from.
        let client_mac = match direction {
            Direction::ToTarget => parsed.source_mac,
            Direction::ToClient => entry.client_mac,
        };
        let renewal = self.renewal(next, client_mac);
        flow.renew(&renewal);

        let other_key = entry.other_key(key.protocol);
        let other = match tables.flow(tier, &other_key) {
            Some(other) => other,
            None => match self.missing_half(tier, flow, key, &other_key) {
                Missing::Moved => return Advanced::Goes,
                Missing::Rebuilt(other) => other,
                Missing::Lost => return lost(tables, tier, direction, key),
            },
        };
        if !other.belongs_to(key) {
            return lost(tables, tier, direction, key);
        }
        other.renew(&renewal);
        if tier == Tier::HalfOpen && completes(state, next, direction) {
            let (forward, reply) = match direction {
                Direction::ToTarget => ((key, flow), (&other_key, other)),
                Direction::ToClient => ((&other_key, other), (key, flow)),
            };
            self.establish(forward, reply);
        }
        Advanced::Goes
    }

    /// Finds out why a flow's other half is not in its tier, and rebuilds it where it was
    /// evicted.
    #[inline(always)]
    fn missing_half<F: Family>(
        &self,
        tier: Tier,
        flow: FlowRef<'a, F>,
        key: &FlowKey<F>,
        other_key: &FlowKey<F>,
    ) -> Missing<'a, F>
    where
        T: Tables<F>,
    {
        let tables = self.tables;
        if let Some(other) = tables.flow(tier.other(), other_key) {
            return if other.belongs_to(key) {
                Missing::Moved
            } else {
                Missing::Lost
            };
        }
        let rebuilt = flow.read().other(key);
        if tables.claim(tier, other_key, &rebuilt).is_err() {
            return Missing::Lost;
        }
        // As in `claim_port`: look at the other tier after the insert into this one.
        if tables.flow(tier.other(), other_key).is_some() {
            tables.remove(tier, other_key);
            return Missing::Lost;
        }
        self.tables
            .flow(tier, other_key)
            .map_or(Missing::Lost, Missing::Rebuilt)
    }

    /// Moves a flow to the established tier; the reply key first, which is the one that others
    /// might claim. Where there is no room the flow stays where it is.
    #[inline(always)]
    fn establish<F: Family>(
        &self,
        (forward_key, forward): (&FlowKey<F>, FlowRef<'a, F>),
        (reply_key, reply): (&FlowKey<F>, FlowRef<'a, F>),
    ) where
        T: Tables<F>,
    {
        let tables = self.tables;
        if tables.claim(Tier::Established, reply_key, &reply.read()) == Err(Taken::Full) {
            return;
        }
        match tables.claim(Tier::Established, forward_key, &forward.read()) {
            Ok(()) => tables.count_event(Event::Established),
            Err(Taken::Exists) => {}
            Err(Taken::Full) => {
                tables.remove(Tier::Established, reply_key);
                return;
            }
        }
        tables.remove(Tier::HalfOpen, reply_key);
        tables.remove(Tier::HalfOpen, forward_key);
    }

    #[inline(always)]
    fn renewal(&self, state: State, client_mac: Mac) -> Renewal {
        Renewal {
            expires_at_ns: self.now_ns.saturating_add(self.settings.timeout_ns(state)),
            refresh_at_ns: self.now_ns + REFRESH_NS,
            client_mac,
            state,
        }
    }
}

/// What became of a packet's flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advanced {
    /// The flow goes on.
    Goes,
    /// The flow has ended; the packet is the first of a new one or belongs to none.
    Ended,
    /// The packet cannot go on.
    Refused(Drop),
}

/// Why a flow's other half is not in its tier.
enum Missing<'a, F: Family> {
    /// The flow is on the move to the established tier on another CPU.
    Moved,
    /// It had been evicted and is there again.
    Rebuilt(FlowRef<'a, F>),
    /// It had been evicted, and another flow has claimed its key since.
    Lost,
}

/// Whether a half-open flow's handshake is complete with this packet.
#[inline(always)]
fn completes(before: State, after: State, direction: Direction) -> bool {
    match after {
        State::Assured => true,
        // Picked up in the middle: complete once the target has gone on with it.
        State::Established => before == State::SynRecv || direction == Direction::ToClient,
        _ => false,
    }
}

/// Removes both entries of a flow; `entry` lies under `key`.
#[inline(always)]
fn forget<F: Family, T: Tables<F>>(tables: &T, tier: Tier, key: &FlowKey<F>, entry: &Flow<F>) {
    let other_key = entry.other_key(key.protocol);
    if let Some(other) = tables.flow(tier, &other_key)
        && other.belongs_to(key)
    {
        remove(tables, tier, &other_key, entry.direction().reversed());
    }
    remove(tables, tier, key, entry.direction());
}

/// Removes one entry. A flow counts as removed with its entry toward the target.
#[inline(always)]
fn remove<F: Family, T: Tables<F>>(tables: &T, tier: Tier, key: &FlowKey<F>, direction: Direction) {
    if tables.remove(tier, key) && direction == Direction::ToTarget {
        tables.count_event(match tier {
            Tier::HalfOpen => Event::HalfOpenRemoved,
            Tier::Established => Event::EstablishedRemoved,
        });
    }
}

/// Removes the entry whose other half another flow has taken. The client's next packet opens a
/// flow anew; a target's packet has nowhere to go.
#[inline(always)]
fn lost<F: Family, T: Tables<F>>(
    tables: &T,
    tier: Tier,
    direction: Direction,
    key: &FlowKey<F>,
) -> Advanced {
    remove(tables, tier, key, direction);
    match direction {
        Direction::ToTarget => Advanced::Ended,
        Direction::ToClient => Advanced::Refused(Drop::FlowLost),
    }
}
