//! What netlink tells of interfaces, routes and neighbours. Nothing is changed here but that
//! the kernel is asked to resolve a neighbour.

mod next_hop;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, anyhow, bail};
use futures::channel::mpsc::UnboundedReceiver;
use futures::{StreamExt, TryStreamExt};
use portfwd_common::Mac;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage, LinkXdp};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::sys::SocketAddr;
use rtnetlink::{Handle, MulticastGroup, RouteMessageBuilder, new_multicast_connection};

pub use next_hop::{NextHop, Route};

/// An interface as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// The kernel's index.
    pub index: u32,
    /// Its MAC address.
    pub mac: Mac,
    /// Whether it is administratively up.
    pub up: bool,
    /// Its IPv4 addresses.
    pub addresses: Vec<Ipv4Addr>,
    /// The XDP program that is attached to it, by the kernel's id.
    pub xdp_program: Option<u32>,
}

/// What is known of the neighbours on one interface.
pub type Neighbours = HashMap<Ipv4Addr, (Mac, NeighbourState)>;

type Messages = UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>;

/// A connection to the kernel's routing tables.
pub struct Netlink {
    handle: Handle,
    messages: Messages,
}

impl Netlink {
    /// Connects, and listens for changes from then on. Needs a tokio runtime.
    ///
    /// # Errors
    /// Where no netlink socket can be had.
    pub fn connect() -> Result<Self> {
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Neigh,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv4Route,
        ];
        let (connection, handle, messages) =
            new_multicast_connection(&groups).context("cannot open a netlink socket")?;
        tokio::spawn(connection);
        Ok(Self { handle, messages })
    }

    /// Waits until a link, address, route or neighbour has changed. Messages that are already
    /// there count as one change; a lost message (ENOBUFS) counts as a change too.
    pub async fn changed(&mut self) {
        loop {
            let Some((first, _)) = self.messages.next().await else {
                // The connection has ended; a caller that polls anyway is woken by its clock.
                return std::future::pending().await;
            };
            let mut relevant = is_relevant(&first);
            while let Ok((message, _)) = self.messages.try_recv() {
                relevant |= is_relevant(&message);
            }
            if relevant {
                return;
            }
        }
    }

    /// The interface with this name.
    ///
    /// # Errors
    /// Where there is none, or it has no MAC address.
    pub async fn interface(&self, name: &str) -> Result<Interface> {
        let mut links = self
            .handle
            .link()
            .get()
            .match_name(name.to_owned())
            .execute();
        let link = match links.try_next().await {
            Ok(Some(link)) => link,
            _ => bail!("there is no interface `{name}`: `ip link` lists them"),
        };
        let index = link.header.index;
        let mut addresses = Vec::new();
        let mut found = self
            .handle
            .address()
            .get()
            .set_link_index_filter(index)
            .execute();
        while let Some(message) = found
            .try_next()
            .await
            .context("cannot list the addresses")?
        {
            addresses.extend(
                message
                    .attributes
                    .iter()
                    .find_map(|attribute| match attribute {
                        AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
                        _ => None,
                    }),
            );
        }
        addresses.sort();
        Ok(Interface {
            name: name.to_owned(),
            index,
            mac: mac_of(&link).with_context(|| {
                format!("`{name}` has no MAC address: portfwd needs an Ethernet interface")
            })?,
            up: link.header.flags.contains(LinkFlags::Up),
            addresses,
            xdp_program: xdp_program(&link),
        })
    }

    /// The way to `target`, as far as it leaves through interface `index`.
    ///
    /// # Errors
    /// Where the kernel does not answer.
    pub async fn route(&self, index: u32, target: Ipv4Addr) -> Result<Route> {
        let request = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(target, 32)
            .build();
        let mut routes = self.handle.route().get(request).execute();
        match routes.try_next().await {
            Ok(Some(route)) => Ok(read_route(&route, index, target)),
            Ok(None) => Ok(Route::None),
            Err(rtnetlink::Error::NetlinkError(_)) => Ok(Route::None),
            Err(error) => {
                Err(anyhow!(error).context(format!("cannot look up the route to {target}")))
            }
        }
    }

    /// The neighbours on interface `index`.
    ///
    /// # Errors
    /// Where the kernel does not answer.
    pub async fn neighbours(&self, index: u32) -> Result<Neighbours> {
        let mut known = Neighbours::new();
        let mut found = self
            .handle
            .neighbours()
            .get()
            .set_address_family(AddressFamily::Inet)
            .execute();
        while let Some(neighbour) = found
            .try_next()
            .await
            .context("cannot list the neighbours")?
        {
            if neighbour.header.ifindex == index
                && let Some((address, mac)) = read_neighbour(&neighbour)
            {
                known.insert(address, (mac, neighbour.header.state));
            }
        }
        Ok(known)
    }

    /// Asks the kernel to find out, or to confirm, the MAC address of a neighbour.
    ///
    /// # Errors
    /// Where the kernel refuses, for instance while the interface is down.
    pub async fn probe(&self, index: u32, neighbour: Ipv4Addr) -> Result<()> {
        let request = self.handle.neighbours().add(index, neighbour.into());
        request
            .flags(NeighbourFlags::Use)
            .state(NeighbourState::None)
            .replace()
            .execute()
            .await
            .with_context(|| format!("cannot ask for the MAC address of {neighbour}"))
    }
}

fn is_relevant(message: &NetlinkMessage<RouteNetlinkMessage>) -> bool {
    matches!(
        message.payload,
        NetlinkPayload::InnerMessage(_) | NetlinkPayload::Overrun(_) | NetlinkPayload::Error(_)
    )
}

fn mac_of(link: &LinkMessage) -> Option<Mac> {
    let address = link
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Address(address) => Some(address.as_slice()),
            _ => None,
        })?;
    Some(Mac(address.try_into().ok()?))
}

fn xdp_program(link: &LinkMessage) -> Option<u32> {
    let xdp = link
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Xdp(xdp) => Some(xdp),
            _ => None,
        })?;
    xdp.iter().find_map(|attribute| match attribute {
        LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) => Some(*id),
        _ => None,
    })
}

fn read_route(route: &RouteMessage, index: u32, target: Ipv4Addr) -> Route {
    match route.header.kind {
        RouteType::Local => return Route::Local,
        RouteType::Unicast => {}
        _ => return Route::None,
    }
    let leaves_by = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Oif(oif) => Some(*oif),
            _ => None,
        });
    if leaves_by != Some(index) {
        return Route::OtherInterface(leaves_by.unwrap_or_default());
    }
    let gateway = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => Some(*gateway),
            _ => None,
        });
    Route::Via(gateway.unwrap_or(target))
}

fn read_neighbour(neighbour: &NeighbourMessage) -> Option<(Ipv4Addr, Mac)> {
    let (mut address, mut mac) = (None, Mac::default());
    for attribute in &neighbour.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(inet)) => address = Some(*inet),
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                mac = Mac(bytes.as_slice().try_into().ok()?);
            }
            _ => {}
        }
    }
    Some((address?, mac))
}
