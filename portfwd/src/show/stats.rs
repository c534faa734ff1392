//! `stats`: totals, and drops by reason.

use std::collections::BTreeMap;

use portfwd_common::{Drop, Pass};
use serde::Serialize;

use super::table::{Align, table};
use super::{SCHEMA, bytes};

/// Everything that is counted.
#[derive(Clone, Debug, Serialize)]
pub struct StatsView {
    schema: u32,
    /// Forwarded packets.
    pub packets: PacketCounts,
    /// Dropped packets by reason; every reason is there.
    pub drops: BTreeMap<&'static str, u64>,
    /// Packets left to the host, by reason; every reason is there.
    pub passes: BTreeMap<&'static str, u64>,
    /// Flows.
    pub flows: FlowCounts,
    /// The attached programs.
    pub programs: Vec<ProgramView>,
}

/// Forwarded packets, and all others.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PacketCounts {
    /// Forwarded to targets.
    pub to_target: u64,
    /// Bytes of those, from the IP header on.
    pub bytes_to_target: u64,
    /// Forwarded to clients.
    pub to_client: u64,
    /// Bytes of those, from the IP header on.
    pub bytes_to_client: u64,
    /// Dropped, whatever the reason.
    pub dropped: u64,
    /// Left to the host, whatever the reason.
    pub passed: u64,
}

/// Flows, now and since the start.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct FlowCounts {
    /// In conntrack and not expired, half open or established.
    pub active: u64,
    /// Half open, of those.
    pub half_open: u64,
    /// Opened since the start.
    pub created: u64,
    /// Established flows that were pushed out for lack of room.
    pub evicted: u64,
    /// Half-open flows that were pushed out for lack of room, as a flood does.
    pub half_open_evicted: u64,
    /// New flows that were refused.
    pub refused: u64,
    /// Source ports that were tried and found taken.
    pub port_retries: u64,
}

/// What a program costs.
#[derive(Clone, Debug, Serialize)]
pub struct ProgramView {
    /// Its name.
    pub name: String,
    /// Runs that the kernel counted; it counts only while somebody asks (`stats --watch`) or
    /// `kernel.bpf_stats_enabled` is set.
    pub run_count: u64,
    /// Nanoseconds per run, of those.
    pub avg_ns: u64,
}

impl StatsView {
    /// The view; sums what was dropped and passed.
    #[must_use]
    pub fn new(
        mut packets: PacketCounts,
        drops: BTreeMap<&'static str, u64>,
        passes: BTreeMap<&'static str, u64>,
        flows: FlowCounts,
        programs: Vec<ProgramView>,
    ) -> Self {
        packets.dropped = drops.values().sum();
        packets.passed = passes.values().sum();
        Self {
            schema: SCHEMA,
            packets,
            drops,
            passes,
            flows,
            programs,
        }
    }

    /// As JSON.
    ///
    /// # Errors
    /// Never, in practice: the view holds nothing that JSON cannot.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// As tables; reasons that never occurred are left away.
    #[must_use]
    pub fn table(&self) -> String {
        let packets = &self.packets;
        let flows = &self.flows;
        let mut text = table(
            &[
                ("PACKETS", Align::Left),
                ("COUNT", Align::Right),
                ("BYTES", Align::Right),
            ],
            &[
                vec![
                    "to targets".into(),
                    packets.to_target.to_string(),
                    bytes(packets.bytes_to_target),
                ],
                vec![
                    "to clients".into(),
                    packets.to_client.to_string(),
                    bytes(packets.bytes_to_client),
                ],
                vec!["dropped".into(), packets.dropped.to_string()],
                vec!["left to the host".into(), packets.passed.to_string()],
            ],
        );
        text.push('\n');
        let drops = Drop::ALL.iter().map(|drop| (drop.name(), drop.meaning()));
        text.push_str(&reasons("DROPPED", &self.drops, drops));
        let passes = Pass::ALL.iter().map(|pass| (pass.name(), pass.meaning()));
        text.push_str(&reasons("LEFT TO THE HOST", &self.passes, passes));
        text.push_str(&table(
            &[("FLOWS", Align::Left), ("COUNT", Align::Right)],
            &[
                vec!["active".into(), flows.active.to_string()],
                vec!["half open, of those".into(), flows.half_open.to_string()],
                vec!["created".into(), flows.created.to_string()],
                vec!["evicted".into(), flows.evicted.to_string()],
                vec![
                    "evicted half open".into(),
                    flows.half_open_evicted.to_string(),
                ],
                vec!["refused".into(), flows.refused.to_string()],
            ],
        ));
        text.push('\n');
        let rows: Vec<Vec<String>> = self.programs.iter().map(program_row).collect();
        let header = [
            ("PROGRAM", Align::Left),
            ("RUNS", Align::Right),
            ("NS PER RUN", Align::Right),
        ];
        text.push_str(&table(&header, &rows));
        text
    }
}

fn program_row(program: &ProgramView) -> Vec<String> {
    if program.run_count == 0 {
        return vec![program.name.clone(), "not counted".into(), "-".into()];
    }
    vec![
        program.name.clone(),
        program.run_count.to_string(),
        program.avg_ns.to_string(),
    ]
}

fn reasons(
    title: &str,
    counts: &BTreeMap<&'static str, u64>,
    meanings: impl Iterator<Item = (&'static str, &'static str)>,
) -> String {
    let rows: Vec<Vec<String>> = meanings
        .filter_map(|(name, meaning)| {
            let count = counts.get(name).copied().filter(|count| *count > 0)?;
            Some(vec![
                name.to_owned(),
                count.to_string(),
                meaning.trim_end_matches('.').to_owned(),
            ])
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let header = [
        (title, Align::Left),
        ("COUNT", Align::Right),
        ("MEANING", Align::Left),
    ];
    table(&header, &rows) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_what_occurred_and_nothing_else() {
        let drops = Drop::ALL
            .iter()
            .map(|drop| (drop.name(), u64::from(*drop == Drop::NoPort)));
        let passes = Pass::ALL.iter().map(|pass| (pass.name(), 0));
        let packets = PacketCounts {
            to_target: 3,
            bytes_to_target: 2048,
            ..Default::default()
        };
        let view = StatsView::new(
            packets,
            drops.collect(),
            passes.collect(),
            FlowCounts::default(),
            vec![ProgramView {
                name: "portfwd_xdp".to_owned(),
                run_count: 0,
                avg_ns: 0,
            }],
        );
        let text = view.table();
        assert!(text.contains("to targets            3  2.0 KiB"), "{text}");
        assert!(
            text.contains("no_port      1  No source port toward the target was free"),
            "{text}"
        );
        assert!(
            !text.contains("ttl_exceeded") && !text.contains("LEFT TO THE HOST"),
            "{text}"
        );
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        let json: serde_json::Value =
            serde_json::from_str(&view.json().expect("JSON")).expect("JSON");
        assert_eq!(json["drops"]["no_port"], 1);
        assert_eq!(json["drops"]["ttl_exceeded"], 0);
        assert_eq!(json["packets"]["dropped"], 1);
    }
}
