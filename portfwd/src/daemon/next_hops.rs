//! Following the network: the interface's addresses and MAC address, the targets' next hops.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use anyhow::{Context, Result};

use super::Daemon;
use crate::net::NextHop;
use crate::state::Desired;

impl Daemon {
    /// Takes in whatever has changed.
    pub(super) async fn follow_network(&mut self) -> Result<()> {
        self.follow_interface().await?;
        self.follow_next_hops().await
    }

    async fn follow_interface(&mut self) -> Result<()> {
        let mut interface = self.netlink.interface(&self.options.interface).await?;
        // Only whether others came before us was of interest, and only at the start.
        interface.xdp_program = self.interface.xdp_program;
        if interface == self.interface {
            return Ok(());
        }
        let addresses_changed = interface.addresses != self.interface.addresses;
        let mac_changed =
            (interface.mac, interface.index) != (self.interface.mac, self.interface.index);
        if mac_changed {
            self.settings.mac = interface.mac;
            self.settings.ifindex = interface.index;
            self.datapath.maps.set_settings(&self.settings)?;
            tracing::info!(
                "{} has the MAC address {} now",
                interface.name,
                interface.mac
            );
        }
        let created_anew = interface.index != self.interface.index;
        self.interface = interface;
        if created_anew {
            self.datapath
                .attach(&self.options.interface, self.options.mode)?;
            tracing::info!("{} is there again: attached to it", self.options.interface);
        }
        if addresses_changed {
            let addresses = self.interface.addresses.clone();
            self.apply(Desired {
                addresses,
                ..self.desired.clone()
            })?;
        }
        Ok(())
    }

    /// Asks for the neighbours, and for the routes that are not known, and writes what changed.
    pub(super) async fn follow_next_hops(&mut self) -> Result<()> {
        let index = self.interface.index;
        let neighbours = self.netlink.neighbours(index).await?;
        let mut to_probe = BTreeSet::new();
        for (slot, known) in &mut self.installed.targets {
            let address = Ipv4Addr::from(known.address);
            let route = match self.routes.get(slot) {
                Some(route) => *route,
                None => self.netlink.route(index, address).await?,
            };
            self.routes.insert(*slot, route);
            let hop = NextHop::new(address, route, &neighbours);
            if hop.target != *known {
                self.datapath.maps.set_target(*slot, &hop.target)?;
                tracing::debug!(
                    "target {address}: {route:?}, {:?} {}",
                    hop.target.state(),
                    hop.target.mac
                );
                *known = hop.target;
            }
            to_probe.extend(hop.probe);
        }
        for neighbour in to_probe {
            self.netlink
                .probe(index, neighbour)
                .await
                .with_context(|| format!("is {} up?", self.interface.name))?;
        }
        Ok(())
    }
}
