//! Rules: what a user may ask to be forwarded, as text, as JSON and checked.
//! Knows neither maps nor interfaces: only what a rule says and whether rules fit together.

mod check;
mod json;
mod parse;
mod set;
mod snat;
#[cfg(test)]
mod tests;

use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;
use std::str::FromStr;

use portfwd_common::{PortRange, Protocol};
use thiserror::Error;

pub use check::parse_name;
pub use parse::parse_ports;
pub use set::{SetError, name_and_check};
pub use snat::Snat;

/// A rule as it is shown in messages that say how to write one.
pub const EXAMPLE: &str = "81/tcp=192.168.1.32:80";

/// A rule that was checked: it makes sense by itself, and this version can carry it out.
///
/// As text it is `[LISTEN_ADDR:]PORT[-PORT]/PROTO=TARGET_ADDR:PORT[-PORT]`; its name and its
/// source address are said beside it. As JSON it is
/// `{"name":"81-tcp","listen":"81/tcp","to":["192.168.1.32:80"],"snat":"auto"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, empty until [`name_and_check`] has given it one.
    pub name: String,
    /// The protocols, without duplicates, UDP before TCP.
    pub protocols: Vec<Protocol>,
    /// Where it listens.
    pub listen: Listen,
    /// Where connections go; never empty.
    pub targets: Vec<TargetSpec>,
    /// The source address toward the target.
    pub snat: Snat,
}

/// Where a rule listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// `None`: on every address of the interface.
    pub address: Option<IpAddr>,
    /// The ports; never empty.
    pub ports: PortRange,
}

/// A target of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetSpec {
    /// Its address.
    pub address: IpAddr,
    /// Its port for the first port that the rule listens on; the others follow one to one.
    pub first_port: u16,
}

/// A rule as it was written, in parts: `listen` is `[ADDR:]PORT[-PORT]/PROTO`, each of `to` is
/// `ADDR:PORT[-PORT]`.
#[derive(Clone, Debug)]
pub struct Written<'a> {
    /// The name, empty where none was given.
    pub name: &'a str,
    /// Where it listens.
    pub listen: &'a str,
    /// Its targets.
    pub to: Vec<&'a str>,
    /// The source address toward the target.
    pub snat: Snat,
}

/// Why a rule is refused: one line, with the way out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct RuleError {
    /// Which part of the rule is wrong.
    pub part: Part,
    message: String,
}

/// A part of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The name.
    Name,
    /// Where it listens.
    Listen,
    /// The target with this place in the list.
    Target(usize),
    /// The source address toward the target.
    Snat,
}

impl Part {
    /// This part is wrong, for the reason in `message`.
    fn error(self, message: impl Into<String>) -> RuleError {
        // A message quotes what was written, and must stay one line whatever that was.
        let mut line = String::new();
        for c in message.into().chars() {
            if c.is_control() {
                line.extend(c.escape_default());
            } else {
                line.push(c);
            }
        }
        RuleError {
            part: self,
            message: line,
        }
    }
}

impl Written<'_> {
    /// The rule, if it makes sense by itself and this version can carry it out.
    ///
    /// # Errors
    /// Names the part that is wrong.
    pub fn check(&self) -> Result<Rule, RuleError> {
        check::rule(self)
    }
}

impl Rule {
    /// The name it gets unless the user gives one: `81-tcp`, `8000-8099-tcp`, `53-udp+tcp`.
    #[must_use]
    pub fn default_name(&self) -> String {
        let ports = PortsText(self.listen.ports);
        format!("{ports}-{}", self.protocols_text())
    }

    /// Where it listens, as it is written: `192.168.1.34:81/tcp`.
    #[must_use]
    pub fn listen_text(&self) -> String {
        let protocols = self.protocols_text();
        let ports = PortsText(self.listen.ports);
        match self.listen.address {
            Some(address) => format!("{}:{ports}/{protocols}", AddressText(address)),
            None => format!("{ports}/{protocols}"),
        }
    }

    /// A target as it is written: `10.0.0.5:9000-9099`.
    #[must_use]
    pub fn target_text(&self, target: &TargetSpec) -> String {
        let ports = PortsText(self.target_ports(target));
        format!("{}:{ports}", AddressText(target.address))
    }

    /// The ports of a target: as many as the rule listens on.
    #[must_use]
    pub fn target_ports(&self, target: &TargetSpec) -> PortRange {
        let further = self
            .listen
            .ports
            .last
            .saturating_sub(self.listen.ports.first);
        PortRange {
            first: target.first_port,
            last: target.first_port.saturating_add(further),
        }
    }

    /// Whether `text` is this rule, however it is written; name and source address aside.
    #[must_use]
    pub fn is_written(&self, text: &str) -> bool {
        text.parse().is_ok_and(|other: Self| {
            self.listen == other.listen
                && self.protocols == other.protocols
                && self.targets == other.targets
        })
    }

    fn protocols_text(&self) -> String {
        let names: Vec<&str> = self
            .protocols
            .iter()
            .map(|protocol| protocol.name())
            .collect();
        names.join("+")
    }
}

/// The rule without a name, with the source address [`Snat::Auto`].
impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        parse::split(text)?.check()
    }
}

/// The text that parses to the same rule, name and source address aside.
impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let targets: Vec<String> = self.targets.iter().map(|t| self.target_text(t)).collect();
        write!(f, "{}={}", self.listen_text(), targets.join(","))
    }
}

/// Ports as they are written: `81` or `8000-8099`.
#[derive(Clone, Copy, Debug)]
pub struct PortsText(pub PortRange);

impl Display for PortsText {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let PortRange { first, last } = self.0;
        if first == last {
            write!(f, "{first}")
        } else {
            write!(f, "{first}-{last}")
        }
    }
}

/// An address as it is written before a port: IPv6 in brackets.
struct AddressText(IpAddr);

impl Display for AddressText {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(address) => write!(f, "[{address}]"),
        }
    }
}
