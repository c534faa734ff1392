//! `list`: rules, targets and traffic.

use std::net::IpAddr;

use serde::Serialize;

use super::table::{Align, table};
use super::{SCHEMA, bytes};

/// A rule and its traffic.
#[derive(Clone, Debug, Serialize)]
pub struct RuleView {
    /// Its name.
    pub name: String,
    /// Its protocols.
    pub protocols: Vec<String>,
    /// Where it listens, as in a rule.
    pub listen: String,
    /// Its targets.
    pub targets: Vec<TargetView>,
    /// The source address toward the targets, or `auto`.
    pub snat: String,
    /// Flows in conntrack that have not expired.
    pub flows_active: u64,
    /// Flows since the rule was added.
    pub flows_total: u64,
    /// Packets to the targets.
    pub packets_to_target: u64,
    /// Bytes of those, from the IP header on.
    pub bytes_to_target: u64,
    /// Packets to clients.
    pub packets_to_client: u64,
    /// Bytes of those, from the IP header on.
    pub bytes_to_client: u64,
}

/// A target and the way to it.
#[derive(Clone, Debug, Serialize)]
pub struct TargetView {
    /// Its address.
    pub address: IpAddr,
    /// Its port; the first of a range.
    pub port: u16,
    /// `reachable`, `unresolved` or `no_route`.
    pub state: String,
    /// The neighbour that its packets go to.
    pub next_hop: Option<IpAddr>,
    /// As in a rule.
    #[serde(skip)]
    pub text: String,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    rules: &'a [RuleView],
}

/// The rules as JSON.
///
/// # Errors
/// Never, in practice: the views hold nothing that JSON cannot.
pub fn list_json(rules: &[RuleView]) -> serde_json::Result<String> {
    serde_json::to_string(&Document {
        schema: SCHEMA,
        rules,
    })
}

/// The rules as a table; a target that packets cannot reach is marked.
#[must_use]
pub fn list_table(rules: &[RuleView]) -> String {
    let header = [
        ("NAME", Align::Left),
        ("LISTEN", Align::Left),
        ("TARGET", Align::Left),
        ("ACTIVE", Align::Right),
        ("PACKETS", Align::Right),
        ("BYTES", Align::Left),
    ];
    let rows: Vec<Vec<String>> = rules.iter().map(row).collect();
    table(&header, &rows)
}

fn row(rule: &RuleView) -> Vec<String> {
    let targets: Vec<String> = rule.targets.iter().map(target).collect();
    vec![
        rule.name.clone(),
        rule.listen.clone(),
        targets.join(","),
        rule.flows_active.to_string(),
        (rule.packets_to_target + rule.packets_to_client).to_string(),
        bytes(rule.bytes_to_target + rule.bytes_to_client),
    ]
}

fn target(target: &TargetView) -> String {
    match target.state.as_str() {
        "reachable" => target.text.clone(),
        state => format!("{} ({state})", target.text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> RuleView {
        RuleView {
            name: "81-tcp".to_owned(),
            protocols: vec!["tcp".to_owned()],
            listen: "192.168.1.34:81/tcp".to_owned(),
            targets: vec![TargetView {
                address: IpAddr::from([192, 168, 1, 32]),
                port: 80,
                state: "reachable".to_owned(),
                next_hop: Some(IpAddr::from([192, 168, 1, 32])),
                text: "192.168.1.32:80".to_owned(),
            }],
            snat: "auto".to_owned(),
            flows_active: 2,
            flows_total: 5,
            packets_to_target: 60,
            bytes_to_target: 4000,
            packets_to_client: 58,
            bytes_to_client: 71_981,
        }
    }

    #[test]
    fn as_a_table() {
        assert_eq!(
            list_table(&[rule()]),
            "NAME    LISTEN               TARGET           ACTIVE  PACKETS  BYTES\n\
             81-tcp  192.168.1.34:81/tcp  192.168.1.32:80       2      118  74.2 KiB\n"
        );
    }

    #[test]
    fn a_target_out_of_reach_is_marked() {
        let mut rule = rule();
        rule.targets[0].state = "no_route".to_owned();
        assert!(list_table(&[rule]).contains("192.168.1.32:80 (no_route)"));
    }

    #[test]
    fn as_json() {
        let json: serde_json::Value =
            serde_json::from_str(&list_json(&[rule()]).expect("JSON")).expect("JSON");
        assert_eq!(json["schema"], 1);
        let rule = &json["rules"][0];
        assert_eq!(rule["targets"][0]["address"], "192.168.1.32");
        assert_eq!(rule["targets"][0]["next_hop"], "192.168.1.32");
        assert_eq!(rule["packets_to_target"], 60);
        assert_eq!(rule["protocols"][0], "tcp");
    }
}
