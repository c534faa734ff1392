//! The path of a packet: parse, find or open its flow, rewrite, count.
//!
//! Everything is decided before the first store, and the next hop is known before conntrack
//! takes the packet into account: a packet that is handed over to the next hook leaves no trace.

use crate::conntrack::{Advanced, Conntrack};
use crate::ethernet::{self, Mac};
use crate::parse::Ports;
use crate::{
    Direction, Drop, Family, Flow, FlowRef, NextHopState, Packet, Parsed, Pass, RuleKey, Settings,
    Tables, Verdict,
};

/// Translates one packet of family `F` in place and counts its end.
#[inline(always)]
pub fn translate<F: Family, P: Packet, T: Tables<F>>(packet: &mut P, tables: &T) -> Verdict {
    let Some(settings) = tables.settings() else {
        return end(packet, tables, None, Verdict::Pass(Pass::NotConfigured));
    };
    let mut parsed = Parsed::default();
    if let Err(reason) = parsed.read(packet, settings) {
        return end(packet, tables, None, Verdict::Pass(reason));
    }
    let verdict = match forward(packet, tables, settings, &parsed) {
        Ok(verdict) | Err(verdict) => verdict,
    };
    end(packet, tables, Some(&parsed), verdict)
}

/// Counts a packet that was not forwarded; forwarded ones are counted with their rule, handed
/// over ones by the hook that they are handed to.
#[inline(always)]
fn end<F: Family, P: Packet, T: Tables<F>>(
    packet: &P,
    tables: &T,
    parsed: Option<&Parsed<F>>,
    verdict: Verdict,
) -> Verdict {
    match verdict {
        Verdict::Pass(reason) if !packet.seen_before() => tables.count(reason.counter()),
        Verdict::Drop(reason) => tables.count(reason.counter()),
        _ => {}
    }
    tables.observe(parsed, verdict);
    verdict
}

/// Where a packet leaves to.
#[derive(Clone, Copy)]
enum Hop {
    Known(Mac),
    /// The kernel's neighbour table resolves the next hop of this target.
    Resolve(u32),
}

#[inline(always)]
fn forward<F: Family, P: Packet, T: Tables<F>>(
    packet: &mut P,
    tables: &T,
    settings: &Settings,
    parsed: &Parsed<F>,
) -> Result<Verdict, Verdict> {
    let conntrack = Conntrack {
        tables,
        settings,
        now_ns: tables.now_ns(),
    };
    let (flow, hop) = match known_flow::<F, P, T>(&conntrack, parsed)? {
        Some(known) => known,
        None => new_flow(packet, &conntrack, parsed)?,
    };
    rewrite(packet, tables, settings, parsed, flow, hop)
}

/// The flow that the packet belongs to, if there is one.
#[inline(always)]
fn known_flow<'a, F: Family, P: Packet, T: Tables<F>>(
    conntrack: &Conntrack<'a, T>,
    parsed: &Parsed<F>,
) -> Result<Option<(FlowRef<'a, F>, Hop)>, Verdict> {
    let Some((tier, flow)) = conntrack.lookup(&parsed.key) else {
        return Ok(None);
    };
    let entry = flow.read();
    let hop = match entry.direction() {
        Direction::ToTarget => hop_to_target::<F, P, T>(conntrack.tables, entry.target)?,
        Direction::ToClient => Hop::Known(entry.client_mac),
    };
    refuse_unfit(parsed)?;
    if conntrack.is_steady(tier, &entry, parsed) {
        return Ok(Some((flow, hop)));
    }
    match conntrack.advance(tier, flow, parsed) {
        Advanced::Goes => Ok(Some((present(conntrack, parsed)?, hop))),
        Advanced::Ended => Ok(None),
        Advanced::Refused(reason) => Err(Verdict::Drop(reason)),
    }
}

/// A new flow, where a rule listens for the packet.
#[inline(always)]
fn new_flow<'a, F: Family, P: Packet, T: Tables<F>>(
    packet: &P,
    conntrack: &Conntrack<'a, T>,
    parsed: &Parsed<F>,
) -> Result<(FlowRef<'a, F>, Hop), Verdict> {
    let key = &parsed.key;
    let key = RuleKey::lookup(key.destination, key.protocol, key.destination_port);
    let rule = conntrack
        .tables
        .rule(&key)
        .ok_or(Verdict::Pass(Pass::NoRule))?;
    let hop = hop_to_target::<F, P, T>(conntrack.tables, rule.target)?;
    refuse_unfit(parsed)?;
    if !F::is_intact(packet, parsed.ip_at) {
        return Err(Verdict::Drop(Drop::BadChecksum));
    }
    conntrack.open(parsed, rule).map_err(Verdict::Drop)?;
    Ok((present(conntrack, parsed)?, hop))
}

/// The entry of a flow that was just opened or has perhaps just moved.
#[inline(always)]
fn present<'a, F: Family, T: Tables<F>>(
    conntrack: &Conntrack<'a, T>,
    parsed: &Parsed<F>,
) -> Result<FlowRef<'a, F>, Verdict> {
    match conntrack.lookup(&parsed.key) {
        Some((_, flow)) => Ok(flow),
        None => Err(Verdict::Drop(Drop::TableFull)),
    }
}

/// What is ours but cannot be forwarded, flow or no flow.
#[inline(always)]
fn refuse_unfit<F: Family>(parsed: &Parsed<F>) -> Result<(), Verdict> {
    match parsed.unfit {
        Some(reason) => Err(Verdict::Drop(reason)),
        None => Ok(()),
    }
}

#[inline(always)]
fn hop_to_target<F: Family, P: Packet, T: Tables<F>>(
    tables: &T,
    index: u32,
) -> Result<Hop, Verdict> {
    let Some(target) = tables.target(index) else {
        return Err(Verdict::Drop(Drop::NoRoute));
    };
    match target.state() {
        NextHopState::Reachable => Ok(Hop::Known(target.mac)),
        NextHopState::Unresolved if P::RESOLVES_NEIGHBOURS => Ok(Hop::Resolve(index)),
        NextHopState::Unresolved => Err(Verdict::HandOver),
        NextHopState::NoRoute => Err(Verdict::Drop(Drop::NoRoute)),
    }
}

/// Writes the translated headers and counts the packet.
#[inline(always)]
fn rewrite<F: Family, P: Packet, T: Tables<F>>(
    packet: &mut P,
    tables: &T,
    settings: &Settings,
    parsed: &Parsed<F>,
    flow: FlowRef<'_, F>,
    hop: Hop,
) -> Result<Verdict, Verdict> {
    let entry = flow.read();
    let written = write(packet, settings, parsed, &entry, hop);
    let verdict = written.ok_or(Verdict::Drop(Drop::StoreFailed))?;
    let bytes = u64::from(parsed.ip.packet_len);
    flow.count(bytes);
    tables.count_forwarded(entry.rule, entry.direction(), bytes);
    Ok(verdict)
}

#[inline(always)]
fn write<F: Family, P: Packet>(
    packet: &mut P,
    settings: &Settings,
    parsed: &Parsed<F>,
    entry: &Flow<F>,
    hop: Hop,
) -> Option<Verdict> {
    let ports = Ports {
        source: entry.new_source_port,
        destination: entry.new_destination_port,
    };
    packet.store(usize::from(parsed.ip.payload_at), ports)?;
    packet.patch_l4_checksum(
        parsed.checksum_at(),
        parsed.checksum,
        parsed.zero_checksum(),
        entry.addresses,
        entry.ports,
    )?;
    F::write(packet, parsed.ip_at, parsed.key.protocol, &parsed.ip, entry)?;
    match hop {
        Hop::Known(mac) => {
            let addresses = ethernet::Addresses {
                destination: mac,
                source: settings.mac,
            };
            packet.store(0, addresses)?;
            Some(Verdict::Transmit)
        }
        Hop::Resolve(target) => Some(Verdict::TransmitVia(target)),
    }
}
