//! From a route and the neighbours to the entry of the `targets` map: a pure function.

use std::net::Ipv4Addr;

use portfwd_common::{Mac, NextHopState, Target, V4};
use rtnetlink::packet_route::neighbour::NeighbourState;

use super::Neighbours;

/// The kernel's way to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Out of the interface, to this neighbour: the target itself or a gateway.
    Via(Ipv4Addr),
    /// The target is an address of this host.
    Local,
    /// The target lies behind another interface.
    OtherInterface(u32),
    /// There is no route.
    None,
}

/// A target's next hop, and whether the kernel should be asked about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// The entry of the `targets` map.
    pub target: Target<V4>,
    /// The neighbour to probe: its MAC address is not known, or no longer certain.
    pub probe: Option<Ipv4Addr>,
}

impl NextHop {
    /// The next hop of the target at `address`.
    #[must_use]
    pub fn new(address: Ipv4Addr, route: Route, neighbours: &Neighbours) -> Self {
        let entry = |next_hop: Ipv4Addr, mac: Mac, state: NextHopState| Target {
            address: address.octets(),
            next_hop: next_hop.octets(),
            mac,
            state: state as u8,
            reserved: 0,
        };
        let Route::Via(next_hop) = route else {
            let unspecified = Ipv4Addr::UNSPECIFIED;
            let target = entry(unspecified, Mac::default(), NextHopState::NoRoute);
            return Self {
                target,
                probe: None,
            };
        };
        let unresolved = entry(next_hop, Mac::default(), NextHopState::Unresolved);
        let (target, certain) = match neighbours.get(&next_hop) {
            Some((mac, state)) if has_address(*state) => (
                entry(next_hop, *mac, NextHopState::Reachable),
                is_certain(*state),
            ),
            _ => (unresolved, false),
        };
        Self {
            target,
            probe: (!certain).then_some(next_hop),
        }
    }
}

/// Whether the kernel itself would send to the MAC address in this state.
fn has_address(state: NeighbourState) -> bool {
    is_certain(state)
        || matches!(
            state,
            NeighbourState::Stale | NeighbourState::Delay | NeighbourState::Probe
        )
}

fn is_certain(state: NeighbourState) -> bool {
    matches!(
        state,
        NeighbourState::Reachable | NeighbourState::Permanent | NeighbourState::Noarp
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const B: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 32);
    const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn next_hop(route: Route, neighbour: Ipv4Addr, state: NeighbourState) -> NextHop {
        NextHop::new(B, route, &Neighbours::from([(neighbour, (MAC, state))]))
    }

    #[test]
    fn in_the_subnet_the_target_is_its_own_next_hop() {
        let hop = next_hop(Route::Via(B), B, NeighbourState::Reachable);
        assert_eq!(hop.target.state(), NextHopState::Reachable);
        assert_eq!((hop.target.next_hop, hop.target.mac), (B.octets(), MAC));
        assert_eq!(hop.probe, None);
    }

    #[test]
    fn behind_a_gateway_the_gateway_is() {
        let hop = next_hop(Route::Via(GATEWAY), GATEWAY, NeighbourState::Stale);
        assert_eq!(hop.target.state(), NextHopState::Reachable);
        assert_eq!(
            (hop.target.address, hop.target.next_hop),
            (B.octets(), GATEWAY.octets())
        );
        assert_eq!(hop.probe, Some(GATEWAY), "a stale entry is used and probed");
    }

    #[test]
    fn without_a_mac_address_it_is_unresolved_and_probed() {
        for state in [
            NeighbourState::Incomplete,
            NeighbourState::Failed,
            NeighbourState::None,
        ] {
            let hop = next_hop(Route::Via(B), B, state);
            assert_eq!(hop.target.state(), NextHopState::Unresolved, "{state:?}");
            assert_eq!(hop.target.mac, Mac::default());
            assert_eq!(hop.probe, Some(B));
        }
        let unknown = next_hop(Route::Via(B), GATEWAY, NeighbourState::Reachable);
        assert_eq!(unknown.target.state(), NextHopState::Unresolved);
    }

    #[test]
    fn without_a_route_nothing_is_probed() {
        for route in [Route::None, Route::Local, Route::OtherInterface(7)] {
            let hop = next_hop(route, B, NeighbourState::Reachable);
            assert_eq!(hop.target.state(), NextHopState::NoRoute, "{route:?}");
            assert_eq!(hop.probe, None);
        }
    }
}
