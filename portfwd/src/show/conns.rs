//! `conns`: flows, as a table, as JSON, and as conntrack-tools prints them. Written one by one,
//! so that a million flows need no memory.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use portfwd_common::{Flow, FlowKey, Protocol, Tier, V4};
use serde::{Deserialize, Serialize};

/// A flow, both directions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FlowView {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// netfilter's name of the state.
    pub state: &'static str,
    /// The rule's name.
    pub rule: String,
    /// The client's address and port.
    pub client: SocketAddr,
    /// What the client dialled.
    pub listen: SocketAddr,
    /// The source that the target sees.
    pub snat: SocketAddr,
    /// The target.
    pub target: SocketAddr,
    /// Packets to the target.
    pub packets_to_target: u64,
    /// Bytes of those, from the IP header on.
    pub bytes_to_target: u64,
    /// Packets to the client.
    pub packets_to_client: u64,
    /// Bytes of those, from the IP header on.
    pub bytes_to_client: u64,
    /// Seconds until it ends if nothing comes.
    pub expires_in_s: u64,
    /// Whether the handshake is complete, or the target has answered.
    pub assured: bool,
    /// IANA number of the protocol.
    #[serde(skip)]
    pub protocol_number: u8,
}

/// Which flows are meant; everything that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlowFilter {
    /// The rule's name.
    pub rule: Option<String>,
    /// The client's address.
    pub source: Option<IpAddr>,
    /// The listen address, or the target's.
    pub destination: Option<IpAddr>,
    /// The protocol's name.
    pub protocol: Option<String>,
    /// The state's name.
    pub state: Option<String>,
}

impl FlowFilter {
    /// Whether `flow` is meant.
    #[must_use]
    pub fn matches(&self, flow: &FlowView) -> bool {
        let is = |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|w| w == name);
        is(&self.rule, &flow.rule)
            && is(&self.protocol, flow.protocol)
            && is(&self.state, flow.state)
            && self
                .source
                .is_none_or(|address| flow.client.ip() == address)
            && self
                .destination
                .is_none_or(|address| flow.listen.ip() == address || flow.target.ip() == address)
    }
}

/// The view of a flow from its entry toward the target, and its other entry where there is one.
#[must_use]
pub fn flow_view(
    key: &FlowKey<V4>,
    flow: &Flow<V4>,
    reply: Option<&Flow<V4>>,
    tier: Tier,
    names: &HashMap<u32, String>,
    now_ns: u64,
) -> FlowView {
    let socket = |address: [u8; 4], port: [u8; 2]| {
        SocketAddr::new(IpAddr::from(address), u16::from_be_bytes(port))
    };
    let state = flow.state();
    let count = |read: fn(&Flow<V4>) -> u64| reply.map_or(0, read);
    FlowView {
        protocol: key.protocol().map_or("unknown", Protocol::name),
        state: state.name(),
        rule: names
            .get(&flow.rule)
            .cloned()
            .unwrap_or_else(|| format!("#{}", flow.rule)),
        client: socket(key.source, key.source_port),
        listen: socket(key.destination, key.destination_port),
        snat: socket(flow.new_source, flow.new_source_port),
        target: socket(flow.new_destination, flow.new_destination_port),
        packets_to_target: flow.packets,
        bytes_to_target: flow.bytes,
        packets_to_client: count(|reply| reply.packets),
        bytes_to_client: count(|reply| reply.bytes),
        expires_in_s: flow.expires_at_ns.saturating_sub(now_ns) / 1_000_000_000,
        assured: tier == Tier::Established,
        protocol_number: key.protocol,
    }
}

/// Writes a flow as conntrack-tools does, with the rule's name behind it.
///
/// # Errors
/// Where the output cannot be written.
pub fn write_conntrack(out: &mut impl Write, flow: &FlowView) -> io::Result<()> {
    let state = if flow.protocol == "tcp" {
        format!("{} ", flow.state)
    } else {
        String::new()
    };
    let unreplied = if matches!(flow.state, "SYN_SENT" | "UNREPLIED") {
        "[UNREPLIED] "
    } else {
        ""
    };
    let assured = if flow.assured { "[ASSURED] " } else { "" };
    writeln!(
        out,
        "{:<8} {} {} {}src={} dst={} sport={} dport={} packets={} bytes={} {}src={} dst={} \
         sport={} dport={} packets={} bytes={} {}rule={}",
        flow.protocol,
        flow.protocol_number,
        flow.expires_in_s,
        state,
        flow.client.ip(),
        flow.listen.ip(),
        flow.client.port(),
        flow.listen.port(),
        flow.packets_to_target,
        flow.bytes_to_target,
        unreplied,
        flow.target.ip(),
        flow.snat.ip(),
        flow.target.port(),
        flow.snat.port(),
        flow.packets_to_client,
        flow.bytes_to_client,
        assured,
        flow.rule,
    )
}

/// Writes a flow as one JSON object, without a newline.
///
/// # Errors
/// Where the output cannot be written.
pub fn write_flow_json(out: &mut impl Write, flow: &FlowView) -> io::Result<()> {
    serde_json::to_writer(out, flow).map_err(io::Error::from)
}

/// Writes the table's header (`None`) or a flow's row. The columns have fixed widths, which
/// IPv4 endpoints fit, since the flows that follow are not known yet.
///
/// # Errors
/// Where the output cannot be written.
pub fn write_flow_table(out: &mut impl Write, flow: Option<&FlowView>) -> io::Result<()> {
    let Some(flow) = flow else {
        return writeln!(
            out,
            "{:<5} {:<11} {:<21} {:<21} {:>6}  RULE",
            "PROTO", "STATE", "CLIENT", "TARGET", "ENDS"
        );
    };
    let ends = format!("{}s", flow.expires_in_s);
    writeln!(
        out,
        "{:<5} {:<11} {:<21} {:<21} {:>6}  {}",
        flow.protocol,
        flow.state,
        flow.client.to_string(),
        flow.target.to_string(),
        ends,
        flow.rule
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> FlowView {
        let socket = |text: &str| text.parse().expect("an endpoint");
        FlowView {
            protocol: "tcp",
            state: "ESTABLISHED",
            rule: "81-tcp".to_owned(),
            client: socket("192.168.1.185:63613"),
            listen: socket("192.168.1.34:81"),
            snat: socket("192.168.1.34:63613"),
            target: socket("192.168.1.32:80"),
            packets_to_target: 6,
            bytes_to_target: 842,
            packets_to_client: 5,
            bytes_to_client: 1310,
            expires_in_s: 431_997,
            assured: true,
            protocol_number: 6,
        }
    }

    fn written(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).expect("a vector takes all");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn in_the_conntrack_format() {
        assert_eq!(
            written(|out| write_conntrack(out, &flow())),
            "tcp      6 431997 ESTABLISHED src=192.168.1.185 dst=192.168.1.34 sport=63613 dport=81 \
             packets=6 bytes=842 src=192.168.1.32 dst=192.168.1.34 sport=80 dport=63613 packets=5 \
             bytes=1310 [ASSURED] rule=81-tcp\n"
        );
        let unreplied = FlowView {
            protocol: "udp",
            protocol_number: 17,
            state: "UNREPLIED",
            assured: false,
            expires_in_s: 29,
            ..flow()
        };
        assert!(
            written(|out| write_conntrack(out, &unreplied))
                .starts_with("udp      17 29 src=192.168.1.185 dst=192.168.1.34 sport=63613")
        );
        assert!(
            written(|out| write_conntrack(out, &unreplied))
                .contains("bytes=842 [UNREPLIED] src=192.168.1.32")
        );
    }

    #[test]
    fn as_json_with_endpoints() {
        let json: serde_json::Value =
            serde_json::from_str(&written(|out| write_flow_json(out, &flow()))).expect("JSON");
        assert_eq!(json["client"], "192.168.1.185:63613");
        assert_eq!(json["expires_in_s"], 431_997);
        assert_eq!(json["assured"], true);
    }

    #[test]
    fn the_table_fits_80_columns() {
        for line in [None, Some(&flow())] {
            assert!(written(|out| write_flow_table(out, line)).trim_end().len() <= 80);
        }
    }

    #[test]
    fn a_filter_wants_everything_that_it_names() {
        let yes = FlowFilter {
            rule: Some("81-tcp".to_owned()),
            source: Some(IpAddr::from([192, 168, 1, 185])),
            destination: Some(IpAddr::from([192, 168, 1, 32])),
            protocol: Some("tcp".to_owned()),
            state: Some("ESTABLISHED".to_owned()),
        };
        assert!(yes.matches(&flow()) && FlowFilter::default().matches(&flow()));
        for no in [
            FlowFilter {
                rule: Some("81".to_owned()),
                ..yes.clone()
            },
            FlowFilter {
                source: Some(IpAddr::from([192, 168, 1, 32])),
                ..yes.clone()
            },
            FlowFilter {
                destination: Some(IpAddr::from([192, 168, 1, 185])),
                ..yes.clone()
            },
            FlowFilter {
                protocol: Some("udp".to_owned()),
                ..yes.clone()
            },
            FlowFilter {
                state: Some("CLOSE".to_owned()),
                ..yes.clone()
            },
        ] {
            assert!(!no.matches(&flow()), "{no:?}");
        }
    }
}
