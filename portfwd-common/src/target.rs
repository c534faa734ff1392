//! A target and the hop that packets to it go through.

use bytemuck::{Pod, Zeroable};

use crate::{Family, Mac};

/// The value of the `targets` map (an array): where a target is. Flows name a target by its
/// index, so that a changed MAC address or gateway reaches every flow at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Target<F: Family> {
    /// The target's address.
    pub address: F::Addr,
    /// The neighbour that packets to it go to: itself, or a gateway.
    pub next_hop: F::Addr,
    /// The MAC address of that neighbour, valid in [`NextHopState::Reachable`].
    pub mac: Mac,
    /// A [`NextHopState`] as its number.
    pub state: u8,
    /// Always zero.
    pub reserved: u8,
}

/// What is known of a target's next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum NextHopState {
    /// The host has no route to the target (or the entry is not in use).
    NoRoute,
    /// There is a route, but the neighbour's MAC address is not known yet.
    Unresolved,
    /// The MAC address is known.
    Reachable,
}

impl<F: Family> Target<F> {
    /// What is known of the next hop.
    #[inline(always)]
    #[must_use]
    pub fn state(&self) -> NextHopState {
        match self.state {
            1 => NextHopState::Unresolved,
            2 => NextHopState::Reachable,
            _ => NextHopState::NoRoute,
        }
    }
}

// SAFETY: all zero bytes are addresses, a MAC address and numbers of value zero.
unsafe impl<F: Family> Zeroable for Target<F> {}
// SAFETY: repr(C), every field is Pod with an alignment of one byte, so there is no padding.
unsafe impl<F: Family> Pod for Target<F> {}
