//! What the kernel says of the paths to some endpoints: link, routes and neighbours, read beside
//! the event loop. Draws no conclusions.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use crate::{
    daemon::preflight::addresses,
    host::{Host, Neighbour, NextHop},
};

/// The underlay interface at present.
pub(super) struct LinkStatus {
    pub(super) mtu: u32,
    /// Why no packet can leave through the interface.
    pub(super) unusable: Option<String>,
    /// The interface has the link-local address that neighbour solicitations are sent from.
    pub(super) can_solicit: bool,
}

/// Which paths are to be read.
pub(in crate::daemon) struct PathQuestion {
    /// Name and index of the underlay interface.
    pub(super) underlay: String,
    pub(super) ifindex: u32,
    /// What counts where the interface cannot be read.
    pub(super) mtu: u32,
    pub(super) has_link_local: bool,
    /// Addresses of endpoints, each with the source of packets to it.
    pub(super) addresses: Vec<(IpAddr, Option<IpAddr>)>,
}

/// Routes and neighbours as the kernel has them, for the endpoints of some peers.
pub(in crate::daemon) struct KernelView {
    /// Of the underlay interface.
    ifindex: u32,
    pub(super) link: LinkStatus,
    pub(super) routes: HashMap<IpAddr, Result<NextHop, String>>,
    pub(super) neighbours: HashMap<IpAddr, Result<Option<Neighbour>, String>>,
}

impl PathQuestion {
    /// Reads link, routes and neighbours.
    pub(in crate::daemon) async fn read(self, host: &Host) -> KernelView {
        let link = self.link_status(host).await;
        let Self { ifindex, addresses, .. } = self;
        if link.unusable.is_some() {
            let (routes, neighbours) = (HashMap::new(), HashMap::new());
            return KernelView { ifindex, link, routes, neighbours };
        }
        let routes = host.next_hops(&addresses, ifindex).await;
        let routes = routes.into_iter().map(|route| route.map_err(|error| error.to_string()));
        let routes: HashMap<_, _> = addresses.iter().map(|(at, _)| *at).zip(routes).collect();
        let gateways: HashSet<IpAddr> = routes
            .iter()
            .filter_map(|(at, route)| Some(route.as_ref().ok()?.gateway.unwrap_or(*at)))
            .collect();
        let gateways: Vec<_> = gateways.into_iter().collect();
        let found = host.neighbours_at(ifindex, &gateways).await;
        let found = found.into_iter().map(|found| found.map_err(|error| error.to_string()));
        let neighbours = gateways.into_iter().zip(found).collect();
        KernelView { ifindex, link, routes, neighbours }
    }

    async fn link_status(&self, host: &Host) -> LinkStatus {
        // A device without carrier takes packets and loses them uncounted.
        let link = host.underlay_link(&self.underlay).await;
        let (mtu, unusable) = match &link {
            Ok(link) if !link.up => (link.mtu, Some(format!("{} is down", link.name))),
            Ok(link) if !link.carrier => (link.mtu, Some(format!("{} has no carrier", link.name))),
            Ok(link) => (link.mtu, None),
            Err(error) => (self.mtu, Some(error.to_string())),
        };
        // Read each time: the kernel makes the link-local address when the link comes up.
        let can_solicit = link.as_ref().map_or(self.has_link_local, addresses::has_link_local);
        LinkStatus { mtu, unusable, can_solicit }
    }
}

impl KernelView {
    /// Returns the index of the underlay interface that this is about.
    pub(in crate::daemon) fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// Returns whether the path to this endpoint was read, or none is needed to know that there is
    /// no path.
    pub(super) fn covers(&self, endpoint: IpAddr) -> bool {
        self.link.unusable.is_some() || self.routes.contains_key(&endpoint)
    }

    /// Returns the address of the next hop to an endpoint. `None`: there is no route.
    pub(super) fn next_hop(&self, endpoint: IpAddr) -> Option<IpAddr> {
        Some(self.routes.get(&endpoint)?.as_ref().ok()?.gateway.unwrap_or(endpoint))
    }
}
