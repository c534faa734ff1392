//! Whether one rule makes sense by itself, and whether this version can carry it out.

use std::net::IpAddr;

use super::parse::{self, Endpoint, Protocols};
use super::{EXAMPLE, Listen, Part, PortsText, Rule, RuleError, Snat, TargetSpec, Written};
use crate::error::Quoted;

/// The longest name.
const MAX_NAME: usize = 64;

/// Checks a name that a user gave.
///
/// # Errors
/// Where it is empty, too long, or has other characters than `A-Z a-z 0-9 . _ + -`.
pub fn parse_name(text: &str) -> Result<String, RuleError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    if (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(is_allowed) {
        return Ok(text.to_owned());
    }
    Err(Part::Name.error(format!(
        "{} is not a name: use 1 to {MAX_NAME} letters, digits, `.`, `_`, `+` and `-`, as in web-1",
        Quoted(text)
    )))
}

pub(super) fn rule(written: &Written<'_>) -> Result<Rule, RuleError> {
    if !written.name.is_empty() {
        parse_name(written.name)?;
    }
    let in_listen = |message| Part::Listen.error(message);
    let (endpoint, protocols) = parse::listen(written.listen).map_err(in_listen)?;
    let Protocols::Named(protocols) = protocols else {
        return Err(in_listen(format!(
            "{}: forwarding a whole address is not supported yet: name ports and protocol, as in {EXAMPLE}",
            Quoted(written.listen)
        )));
    };
    let listen = listen(written.listen, endpoint).map_err(in_listen)?;
    let mut targets = Vec::new();
    for (index, text) in written.to.iter().enumerate() {
        let in_target = |message| Part::Target(index).error(message);
        let endpoint = parse::target(text).map_err(in_target)?;
        targets.push(target(text, endpoint, listen).map_err(in_target)?);
    }
    let rule = Rule {
        name: written.name.to_owned(),
        protocols,
        listen,
        targets,
        snat: written.snat,
    };
    together(&rule)?;
    Ok(rule)
}

/// Checks what the parts of a rule must have in common.
pub(super) fn together(rule: &Rule) -> Result<(), RuleError> {
    if rule.targets.is_empty() {
        let message = format!("there is no target: give one, as in {EXAMPLE}");
        return Err(Part::Target(0).error(message));
    }
    for (index, target) in rule.targets.iter().enumerate() {
        fits(rule, target).map_err(|message| Part::Target(index).error(message))?;
        if rule.snat == Snat::Address(target.address) {
            return Err(Part::Snat.error(format!(
                "{} is the target's own address and cannot be the source too: use auto, or an address of this host",
                target.address
            )));
        }
    }
    if rule.targets.len() > 1 {
        return Err(Part::Target(1).error(format!(
            "several targets are not supported yet: give one, as in {}",
            example(rule)
        )));
    }
    Ok(())
}

/// Checks a target against the rule's listen address.
fn fits(rule: &Rule, target: &TargetSpec) -> Result<(), String> {
    let listen = rule.listen;
    if let Some(address) = listen.address
        && address.is_ipv4() != target.address.is_ipv4()
    {
        return Err(format!(
            "cannot forward from {address} to {}: both must be IPv4, as in {EXAMPLE}",
            target.address
        ));
    }
    if target.address.is_ipv6() {
        return Err(format!(
            "{}: IPv6 is not supported yet: use IPv4, as in {EXAMPLE}",
            target.address
        ));
    }
    let ports = rule.target_ports(target);
    if ports.size() != listen.ports.size() {
        return Err(format!(
            "{} ports from {} on run past 65535: start lower",
            listen.ports.size(),
            target.first_port
        ));
    }
    let overlap = ports.first <= listen.ports.last && listen.ports.first <= ports.last;
    if listen.address == Some(target.address) && overlap {
        return Err(format!(
            "the target {} is where the rule listens: give the address of another host, as in {EXAMPLE}",
            rule.target_text(target)
        ));
    }
    Ok(())
}

fn listen(text: &str, endpoint: Endpoint) -> Result<Listen, String> {
    if let Some((address, reason)) = endpoint.address.and_then(unusable) {
        return Err(format!(
            "cannot listen on {address}, {reason}: give an address of the interface, \
             or leave it out to listen on all of them, as in 81/tcp"
        ));
    }
    match endpoint.ports {
        Some(ports) => Ok(Listen {
            address: endpoint.address,
            ports,
        }),
        None => Err(format!(
            "{} has no port: write it as 192.168.1.34:81/tcp",
            Quoted(text)
        )),
    }
}

fn target(text: &str, endpoint: Endpoint, listen: Listen) -> Result<TargetSpec, String> {
    let Some(address) = endpoint.address else {
        return Err(format!(
            "the target {} has no address: write it as 192.168.1.32:{text}",
            Quoted(text)
        ));
    };
    let Some(ports) = endpoint.ports else {
        return Err(format!(
            "the target {} has no port: write it as {text}:{}",
            Quoted(text),
            PortsText(listen.ports)
        ));
    };
    if let Some((address, reason)) = unusable(address) {
        return Err(format!(
            "cannot forward to {address}, {reason}: give the address of another host, as in {EXAMPLE}"
        ));
    }
    if ports.size() != listen.ports.size() {
        return Err(format!(
            "{} has {} and the target {} has {}: both must have as many",
            PortsText(listen.ports),
            count(listen.ports.size()),
            PortsText(ports),
            count(ports.size())
        ));
    }
    Ok(TargetSpec {
        address,
        first_port: ports.first,
    })
}

/// Why packets from or to an address are never forwarded.
pub(super) fn unusable(address: IpAddr) -> Option<(IpAddr, &'static str)> {
    let reason = if address.is_unspecified() {
        "the unspecified address"
    } else if address.is_loopback() {
        "a loopback address, which never reaches a network interface"
    } else if address.is_multicast() {
        "a multicast address"
    } else if matches!(address, IpAddr::V4(v4) if v4.is_broadcast()) {
        "the broadcast address"
    } else if matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 0) {
        "an address of the reserved network 0.0.0.0/8"
    } else {
        return None;
    };
    Some((address, reason))
}

fn count(ports: u32) -> String {
    if ports == 1 {
        "1 port".to_owned()
    } else {
        format!("{ports} ports")
    }
}

/// The rule with its first target alone.
fn example(rule: &Rule) -> String {
    let mut rule = rule.clone();
    rule.targets.truncate(1);
    rule.to_string()
}
