//! Interface names: parts of paths here, so they are checked before anything is done with them.

use thiserror::Error;

/// The kernel's limit, without the terminating zero (IFNAMSIZ of linux/if.h).
const LONGEST: usize = 15;

/// A name that no interface can have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} cannot be an interface: names have 1 to {LONGEST} characters, without spaces, `/` and `:`"
)]
pub struct InvalidName(String);

/// Checks what a user gave as an interface, by the kernel's own rules (`dev_valid_name`).
///
/// # Errors
/// Where no interface can have this name.
pub fn parse_name(text: &str) -> Result<String, InvalidName> {
    let is_allowed = |c: char| !c.is_whitespace() && !c.is_control() && c != '/' && c != ':';
    if (1..=LONGEST).contains(&text.len())
        && text != "."
        && text != ".."
        && text.chars().all(is_allowed)
    {
        return Ok(text.to_owned());
    }
    Err(InvalidName(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_kernel_takes() {
        for good in [
            "eth0",
            "enp0s31f6",
            "br-lan",
            "eth0.100",
            "wlan_0",
            "a23456789012345",
        ] {
            assert_eq!(parse_name(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            ".",
            "..",
            "/etc",
            "../etc",
            "a/b",
            "a b",
            "a:b",
            "a\n",
            "a234567890123456",
        ] {
            assert!(parse_name(bad).is_err(), "{bad:?}");
        }
    }
}
