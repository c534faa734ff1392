//! Which source address a target sees.

use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;
use std::str::FromStr;

use super::check::unusable;
use super::{Part, RuleError};
use crate::error::Quoted;

/// The source address toward the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Snat {
    /// The address that the client dialled, so that replies come back through this host.
    #[default]
    Auto,
    /// This address.
    Address(IpAddr),
}

impl Display for Snat {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

impl FromStr for Snat {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        const WAY_OUT: &str = "use auto, or one address of this host, as in 192.168.1.34";
        let refused = |message| Err(Part::Snat.error(message));
        match text {
            "auto" => return Ok(Self::Auto),
            "none" => {
                let message = "keeping the client's address (none) is not supported yet";
                return refused(format!("{message}: {WAY_OUT}"));
            }
            _ if text.contains(',') => {
                let message = "several source addresses are not supported yet";
                return refused(format!("{message}: {WAY_OUT}"));
            }
            _ => {}
        }
        let Ok(address) = text.parse::<IpAddr>() else {
            return refused(format!(
                "{} is not a source address: {WAY_OUT}",
                Quoted(text)
            ));
        };
        if let Some((address, reason)) = unusable(address) {
            return refused(format!("cannot send from {address}, {reason}: {WAY_OUT}"));
        }
        if address.is_ipv6() {
            return refused(format!("{address}: IPv6 is not supported yet: {WAY_OUT}"));
        }
        Ok(Self::Address(address))
    }
}
