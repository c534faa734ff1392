//! Opening flows: the source port and both entries.

use super::Conntrack;
use crate::tables::Taken;
use crate::{
    Direction, Drop, Event, Family, Flow, FlowKey, PORT_TRIES, Parsed, Protocol, REFRESH_NS, Rule,
    State, Tables, Tier,
};

impl<'a, T> Conntrack<'a, T> {
    /// Opens a flow of `rule` to its target, half open.
    // As for `advance`.
    #[inline(never)]
    pub fn open<F: Family>(&self, parsed: &Parsed<F>, rule: &Rule<F>) -> Result<(), Drop>
    where
        T: Tables<F>,
    {
        let tables = self.tables;
        let key = &parsed.key;
        let target = tables.target(rule.target).ok_or(Drop::NoRoute)?;
        let state = first_state(parsed)?;
        let mut leaving = FlowKey {
            source: if rule.snat == F::Addr::default() {
                key.destination
            } else {
                rule.snat
            },
            destination: target.address,
            destination_port: rule.target_port_for(key.destination_port),
            ..*key
        };
        let mut flow = Flow {
            refresh_at_ns: self.now_ns + REFRESH_NS,
            expires_at_ns: self.now_ns.saturating_add(self.settings.timeout_ns(state)),
            rule: rule.id,
            target: rule.target,
            client_mac: parsed.source_mac,
            state: state as u8,
            direction: Direction::ToClient as u8,
            ..Flow::default()
        };
        self.claim_port(key, &mut leaving, &mut flow)?;
        flow.direction = Direction::ToTarget as u8;
        flow.set_translation(key, &leaving);
        if let Err(taken) = tables.claim(Tier::HalfOpen, key, &flow) {
            tables.remove(Tier::HalfOpen, &leaving.reversed());
            return Err(refusal(taken));
        }
        tables.count_event(Event::Created);
        tables.count_flow(rule.id);
        Ok(())
    }

    /// Claims a source port: sets it in `leaving` and inserts the reply entry, for which `flow`
    /// serves as the template.
    #[inline(always)]
    fn claim_port<F: Family>(
        &self,
        arriving: &FlowKey<F>,
        leaving: &mut FlowKey<F>,
        flow: &mut Flow<F>,
    ) -> Result<(), Drop>
    where
        T: Tables<F>,
    {
        self.find_port(leaving)?;
        let reply_key = leaving.reversed();
        flow.set_translation(&reply_key, &arriving.reversed());
        self.tables
            .claim(Tier::HalfOpen, &reply_key, flow)
            .map_err(refusal)?;
        if self.tables.flow(Tier::Established, &reply_key).is_some() {
            self.tables.remove(Tier::HalfOpen, &reply_key);
            return Err(Drop::FlowRace);
        }
        Ok(())
    }

    /// Sets a source port in `leaving` that is free at this moment: the client's own where it
    /// may be used and is free, else others, from a random one on.
    // The loop only looks: the verifier walks through each of its turns.
    #[inline(always)]
    fn find_port<F: Family>(&self, leaving: &mut FlowKey<F>) -> Result<(), Drop>
    where
        T: Tables<F>,
    {
        let claimable = self.settings.claimable();
        if claimable == 0 {
            return Err(Drop::NoPort);
        }
        let mut index = self.tables.random() % claimable;
        let mut port = u16::from_be_bytes(leaving.source_port);
        if !self.settings.may_claim(port) {
            port = self.settings.port_at(index);
        }
        for _ in 0..PORT_TRIES {
            leaving.source_port = port.to_be_bytes();
            let reply_key = leaving.reversed();
            if !self.is_taken(Tier::HalfOpen, &reply_key)
                && !self.is_taken(Tier::Established, &reply_key)
            {
                return Ok(());
            }
            self.tables.count_event(Event::PortRetries);
            index = if index + 1 == claimable { 0 } else { index + 1 };
            port = self.settings.port_at(index);
        }
        Err(Drop::NoPort)
    }

    /// Whether a reply key belongs to a flow that has not ended. The entry of one that has is
    /// removed; its other half, as old, is removed once it is met.
    #[inline(always)]
    fn is_taken<F: Family>(&self, tier: Tier, key: &FlowKey<F>) -> bool
    where
        T: Tables<F>,
    {
        let Some(flow) = self.tables.flow(tier, key) else {
            return false;
        };
        if !flow.read().has_expired(self.now_ns) {
            return true;
        }
        self.tables.remove(tier, key);
        false
    }
}

/// What becomes of a packet whose flow's entry was not accepted.
#[inline(always)]
fn refusal(taken: Taken) -> Drop {
    match taken {
        Taken::Exists => Drop::FlowRace,
        Taken::Full => Drop::TableFull,
    }
}

/// The state that a flow's first packet puts it in.
///
/// A TCP segment from the middle of a connection opens a flow too, as netfilter does by
/// default: either the target knows the connection and it goes on (this host lost its state),
/// or the target answers RST and the client learns that it is gone.
#[inline(always)]
fn first_state<F: Family>(parsed: &Parsed<F>) -> Result<State, Drop> {
    if parsed.key.protocol != Protocol::Tcp.number() {
        return Ok(State::Unreplied);
    }
    if parsed.flags.is_invalid() {
        Err(Drop::InvalidFlags)
    } else if parsed.flags.opens() {
        Ok(State::SynSent)
    } else if parsed.flags.continues() {
        Ok(State::Established)
    } else {
        Err(Drop::NoFlow)
    }
}
