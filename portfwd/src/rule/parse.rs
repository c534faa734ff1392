//! The notation of rules: from text to addresses, ports and protocols.
//! Does not know which of them make sense together.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portfwd_common::{PortRange, Protocol};

use super::{EXAMPLE, Part, RuleError, Snat, Written};
use crate::error::Quoted;

/// `[ADDR:]PORT[-PORT]` or `ADDR`, with IPv6 in brackets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endpoint {
    pub address: Option<IpAddr>,
    pub ports: Option<PortRange>,
}

/// What stands behind the slash.
#[derive(Clone, Debug)]
pub(super) enum Protocols {
    /// Some of them, without duplicates, UDP before TCP.
    Named(Vec<Protocol>),
    /// Every protocol and port of an address.
    Any,
}

/// Splits a rule into its parts.
pub(super) fn split(text: &str) -> Result<Written<'_>, RuleError> {
    if text.is_empty() {
        return Err(Part::Listen.error(format!("the rule is empty: write one like {EXAMPLE}")));
    }
    let Some((listen, to)) = text.split_once('=') else {
        // What is there may be wrong too, and comes first.
        self::listen(text).map_err(|message| Part::Listen.error(message))?;
        let message = format!(
            "{} has no target: write it as {text}=192.168.1.32:80",
            Quoted(text)
        );
        return Err(Part::Target(0).error(message));
    };
    Ok(Written {
        name: "",
        listen,
        to: to.split(',').collect(),
        snat: Snat::Auto,
    })
}

/// Reads `[ADDR:]PORT[-PORT]/PROTO`.
pub(super) fn listen(text: &str) -> Result<(Endpoint, Protocols), String> {
    let Some((place, names)) = text.rsplit_once('/') else {
        if text.is_empty() {
            return Err("there is no port to listen on: write it as 81/tcp".to_owned());
        }
        endpoint(text)?;
        return Err(format!(
            "{} has no protocol: write it as {text}/tcp",
            Quoted(text)
        ));
    };
    if place.is_empty() {
        return Err(format!(
            "{} has no port to listen on: write it as 81{text}",
            Quoted(text)
        ));
    }
    Ok((endpoint(place)?, protocols(names)?))
}

/// Reads `ADDR:PORT[-PORT]`.
pub(super) fn target(text: &str) -> Result<Endpoint, String> {
    if text.is_empty() {
        return Err("the target is missing: write it as 192.168.1.32:80".to_owned());
    }
    endpoint(text)
}

/// Reads `PORT` or `PORT-PORT`.
///
/// # Errors
/// In one line, with the way out.
pub fn parse_ports(text: &str) -> Result<PortRange, String> {
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first, text)?, port(last, text)?),
        None => (port(text, text)?, port(text, text)?),
    };
    if last < first {
        return Err(format!(
            "the range {text} runs backwards: write it as {last}-{first}"
        ));
    }
    Ok(PortRange { first, last })
}

fn port(text: &str, whole: &str) -> Result<u16, String> {
    const WAY_OUT: &str = "ports are numbers from 1 to 65535";
    if text.is_empty() {
        return Err(format!("a port is missing in {}: {WAY_OUT}", Quoted(whole)));
    }
    // Not left to `parse`, which takes a plus sign.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{} is not a port: {WAY_OUT}", Quoted(text)));
    }
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("there is no port {}: {WAY_OUT}", Quoted(text))),
        Ok(port) => Ok(port),
    }
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    if let Some(rest) = text.strip_prefix('[') {
        return bracketed(rest, text);
    }
    let (address, ports) = match text.split_once(':') {
        Some((_, ports)) if ports.contains(':') => {
            return Err(format!(
                "{} is ambiguous: an IPv6 address goes in brackets, as in [2001:db8::1]:81",
                Quoted(text)
            ));
        }
        Some(("", _)) => {
            return Err(format!(
                "there is no address before the colon of {}",
                Quoted(text)
            ));
        }
        Some((address, ports)) => (Some(address), Some(ports)),
        None if text.contains('.') => (Some(text), None),
        None => (None, Some(text)),
    };
    Ok(Endpoint {
        address: address.map(ipv4).transpose()?,
        ports: ports.map(parse_ports).transpose()?,
    })
}

/// Reads what follows the opening bracket.
fn bracketed(rest: &str, whole: &str) -> Result<Endpoint, String> {
    const FORM: &str = "write it as [2001:db8::1]:81";
    let Some((address, rest)) = rest.split_once(']') else {
        return Err(format!("{} lacks a closing bracket: {FORM}", Quoted(whole)));
    };
    let Ok(address) = address.parse::<Ipv6Addr>() else {
        return Err(format!(
            "{} is not an IPv6 address: {FORM}",
            Quoted(address)
        ));
    };
    let ports = match rest.strip_prefix(':') {
        Some(ports) => Some(parse_ports(ports)?),
        None if rest.is_empty() => None,
        None => {
            return Err(format!(
                "{} lacks a colon before the port: {FORM}",
                Quoted(whole)
            ));
        }
    };
    Ok(Endpoint {
        address: Some(address.into()),
        ports,
    })
}

fn ipv4(text: &str) -> Result<IpAddr, String> {
    let address: Result<Ipv4Addr, _> = text.parse();
    address.map(IpAddr::V4).map_err(|_| {
        let looks_like_a_name = text.bytes().any(|byte| byte.is_ascii_alphabetic());
        let hint = if looks_like_a_name {
            "host names are not looked up, write its address"
        } else {
            "write it with four numbers"
        };
        format!(
            "{} is not an IPv4 address: {hint}, as in 192.168.1.32",
            Quoted(text)
        )
    })
}

fn protocols(text: &str) -> Result<Protocols, String> {
    const WAY_OUT: &str = "use tcp, udp or udp+tcp, as in 81/tcp";
    if text.eq_ignore_ascii_case("any") {
        return Ok(Protocols::Any);
    }
    let mut named = Vec::new();
    for name in text.split('+') {
        let protocol = match name.to_ascii_lowercase().as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "" => {
                return Err(format!(
                    "a protocol is missing in {}: {WAY_OUT}",
                    Quoted(text)
                ));
            }
            _ => return Err(format!("unknown protocol {}: {WAY_OUT}", Quoted(name))),
        };
        if named.contains(&protocol) {
            return Err(format!(
                "{} names a protocol twice: {WAY_OUT}",
                Quoted(text)
            ));
        }
        named.push(protocol);
    }
    // The order in which `53/udp+tcp` is usually written.
    named.sort_by_key(|protocol| *protocol != Protocol::Udp);
    Ok(Protocols::Named(named))
}
