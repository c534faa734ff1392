//! Which source ports may be claimed, and in which order they are tried.

use bytemuck::{Pod, Zeroable};

use crate::Settings;

/// How many ports are tried before a packet is refused.
pub const PORT_TRIES: u32 = 32;

/// A range of ports in host order, both ends included; empty where `first` is above `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct PortRange {
    /// The lowest port.
    pub first: u16,
    /// The highest port.
    pub last: u16,
}

impl PortRange {
    /// A range of no port.
    pub const EMPTY: Self = Self { first: 1, last: 0 };

    /// How many ports it has.
    #[inline(always)]
    #[must_use]
    pub fn size(self) -> u32 {
        (u32::from(self.last) + 1).saturating_sub(u32::from(self.first))
    }

    /// Whether `port` (host order) is one of them.
    #[inline(always)]
    #[must_use]
    pub fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl Settings {
    /// Whether `port` (host order) may be claimed.
    #[inline(always)]
    pub(crate) fn may_claim(&self, port: u16) -> bool {
        self.ports[0].contains(port) || self.ports[1].contains(port)
    }

    /// How many ports may be claimed.
    #[inline(always)]
    pub(crate) fn claimable(&self) -> u32 {
        self.ports[0].size() + self.ports[1].size()
    }

    /// The port number `index` of those that may be claimed; `index < self.claimable()`.
    #[inline(always)]
    pub(crate) fn port_at(&self, index: u32) -> u16 {
        let [low, high] = self.ports;
        if index < low.size() {
            low.first.wrapping_add(index as u16)
        } else {
            high.first.wrapping_add((index - low.size()) as u16)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(ports: [PortRange; 2]) -> Settings {
        Settings {
            ports,
            ..Zeroable::zeroed()
        }
    }

    #[test]
    fn every_index_is_a_port_of_its_own_and_may_be_claimed() {
        let settings = settings([
            PortRange {
                first: 1024,
                last: 32767,
            },
            PortRange {
                first: 61000,
                last: 65535,
            },
        ]);
        let mut seen = std::collections::BTreeSet::new();
        for index in 0..settings.claimable() {
            let port = settings.port_at(index);
            assert!(settings.may_claim(port), "{port}");
            assert!(seen.insert(port), "{port} twice");
        }
        assert_eq!(seen.len(), 31744 + 4536);
        assert!(!settings.may_claim(40000) && !settings.may_claim(1023));
    }

    #[test]
    fn an_empty_range_has_no_port() {
        let settings = settings([
            PortRange {
                first: 5000,
                last: 5000,
            },
            PortRange::EMPTY,
        ]);
        assert_eq!(settings.claimable(), 1);
        assert_eq!(settings.port_at(0), 5000);
        assert!(!settings.may_claim(0) && !settings.may_claim(1));
    }
}
