//! The host as it was at one moment, as far as overlay interfaces are concerned: one list each of
//! interfaces, addresses and routes, whoever made them. Changes nothing.

use std::{collections::HashMap, net::IpAddr};

use ipnet::IpNet;
use netlink_packet_route::route::RouteProtocol;

use super::{
    address::InterfaceAddress,
    connection::Host,
    error::HostError,
    link::Link,
    main_table::MainTable,
    overlay_owner::{End, foreign, labelled, marked},
    overlay_spec::{Made, set_aside_name},
    route::{Described, Route},
};

/// Interfaces, addresses and routes at one moment.
#[derive(Debug, Clone, Default)]
pub struct HostView {
    links: Vec<Link>,
    by_name: HashMap<String, usize>,
    by_ifindex: HashMap<u32, usize>,
    addresses: HashMap<u32, Vec<InterfaceAddress>>,
    routes: MainTable,
    own_routes: Vec<(IpNet, u32)>,
    /// By interface: for how long at most an ARP reply for somebody else is held back, in ms.
    proxy_delays: HashMap<u32, u64>,
    /// The ends of pairs of ours by VNI, as far as their groups tell.
    marked: HashMap<u32, Vec<usize>>,
}

/// The ends of a network's pair that are in this namespace.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PairView<'a> {
    pub(super) overlay: Option<&'a Link>,
    pub(super) hidden: Option<&'a Link>,
}

impl PairView<'_> {
    /// Whether both ends are there, and belong together.
    pub(super) fn is_whole(&self) -> bool {
        let ends = self.overlay.zip(self.hidden);
        ends.is_some_and(|(overlay, hidden)| overlay.peer == Some(hidden.ifindex))
    }
}

impl HostView {
    pub(super) fn new(
        links: Vec<Link>,
        addresses: HashMap<u32, Vec<InterfaceAddress>>,
        routes: MainTable,
        proxy_delays: HashMap<u32, u64>,
    ) -> Self {
        let ours = routes.all().filter(|route| route.is_ours() && route.unicast);
        let own_routes = ours.filter_map(|route| Some((route.prefix, route.ifindex?))).collect();
        let mut view =
            Self { links, addresses, routes, own_routes, proxy_delays, ..Self::default() };
        for (at, link) in view.links.iter().enumerate() {
            view.by_name.insert(link.name.clone(), at);
            view.by_ifindex.insert(link.ifindex, at);
            if let Some((_, vni)) = marked(link) {
                view.marked.entry(vni).or_default().push(at);
                // It is about to go, and its routes with it.
                if link.name == set_aside_name(vni) {
                    view.routes.leave_out(link.ifindex);
                }
            }
        }
        view
    }

    pub(super) fn has_group(&self, group: u32) -> bool {
        self.links.iter().any(|link| link.group == group)
    }

    pub(super) fn named(&self, name: &str) -> Option<&Link> {
        self.by_name.get(name).and_then(|at| self.links.get(*at))
    }

    pub(super) fn link(&self, ifindex: u32) -> Option<&Link> {
        self.by_ifindex.get(&ifindex).and_then(|at| self.links.get(*at))
    }

    /// The gateways of all routes through this interface.
    pub fn gateways(&self, ifindex: u32) -> Vec<IpAddr> {
        self.routes.gateways(ifindex)
    }

    /// Our routes, of both families, with the interfaces they lead to; also of those that are about
    /// to go.
    pub fn own_routes(&self) -> &[(IpNet, u32)] {
        &self.own_routes
    }

    pub(super) fn routes(&self) -> &MainTable {
        &self.routes
    }

    pub(super) fn addresses(&self, ifindex: u32) -> &[InterfaceAddress] {
        self.addresses.get(&ifindex).map_or(&[], Vec::as_slice)
    }

    pub(super) fn proxy_delay(&self, ifindex: u32) -> Option<u64> {
        self.proxy_delays.get(&ifindex).copied()
    }

    /// Finds the pair of a network, whatever the names of its ends are.
    pub(super) fn pair(&self, vni: u32, made: &Made) -> PairView<'_> {
        let mut pair = PairView::default();
        let marked_ends = self.marked.get(&vni).into_iter().flatten();
        for link in marked_ends.filter_map(|at| self.links.get(*at)) {
            match marked(link) {
                Some((End::Overlay, _)) => pair.overlay = pair.overlay.or(Some(link)),
                Some((End::Hidden, _)) => pair.hidden = pair.hidden.or(Some(link)),
                None => {}
            }
        }
        if pair.overlay.is_none() {
            pair.overlay = match (pair.hidden, made.ifindex) {
                (Some(hidden), _) => hidden.peer.and_then(|peer| self.link(peer)),
                (None, Some(ifindex)) => self.link(ifindex).filter(|link| {
                    let has_our_mac = made.mac.is_some() && link.mac == made.mac;
                    labelled(link) == Some((End::Overlay, vni)) || link.is_veth() && has_our_mac
                }),
                (None, None) => None,
            };
        }
        if pair.hidden.is_none() {
            let peer = pair.overlay.and_then(|overlay| overlay.peer);
            pair.hidden = peer.and_then(|peer| self.link(peer)).filter(|link| link.is_veth());
        }
        pair
    }

    /// Returns whether an end of any pair of ours has this name.
    pub(super) fn is_end(&self, link: &Link) -> bool {
        let peer = || link.peer.and_then(|peer| self.link(peer));
        marked(link).is_some() || link.is_veth() && peer().is_some_and(|at| marked(at).is_some())
    }

    /// Returns the route that stands in the way of a route for this prefix, once the interfaces
    /// `ours` and their routes are gone; as the error that it would be.
    pub fn conflict(&self, prefix: IpNet, ours: &[u32]) -> Option<HostError> {
        Some(self.foreign_route(self.routes.conflicting_route(prefix, ours)?))
    }

    /// Returns the index of the overlay interface of a network, if there is one of ours.
    pub fn overlay_ifindex(&self, vni: u32, made: &Made) -> Option<u32> {
        Some(self.pair(vni, made).overlay?.ifindex)
    }

    /// Lists the VNIs of all pairs of ours that are in this namespace, in part at least.
    pub fn marked_vnis(&self) -> impl Iterator<Item = u32> {
        self.marked.keys().copied()
    }

    /// Makes the error for a route that conflicts with one of ours.
    pub(super) fn foreign_route(&self, route: &Route) -> HostError {
        let name = |ifindex| self.link(ifindex).map(|link| link.name.clone());
        let device = route.ifindex.map(|at| name(at).unwrap_or_else(|| format!("ifindex {at}")));
        let found = Described { route, device }.to_string();
        let connected = route.protocol == u8::from(RouteProtocol::Kernel);
        HostError::ForeignRoute { prefix: route.prefix, found, connected }
    }

    /// Checks that no foreign interface has the name of an end of this network's pair. With
    /// `recorded` it may also be that of another network's pair, which was made here before.
    ///
    /// # Errors
    /// [`HostError::ForeignInterface`]
    pub fn check_name(
        &self,
        name: &str,
        vni: u32,
        made: &Made,
        recorded: bool,
    ) -> Result<(), HostError> {
        let Some(link) = self.named(name) else { return Ok(()) };
        let pair = self.pair(vni, made);
        let is_ours =
            [pair.overlay, pair.hidden].iter().flatten().any(|end| end.ifindex == link.ifindex)
                || recorded && (self.is_end(link) || labelled(link).is_some());
        if is_ours { Ok(()) } else { Err(foreign(link)) }
    }
}

impl Host {
    /// Reads interfaces alone.
    pub async fn view_links(&self) -> Result<HostView, HostError> {
        let links = self.links().await?;
        Ok(HostView::new(links, HashMap::new(), MainTable::default(), HashMap::new()))
    }

    /// Reads interfaces, addresses and routes, and with `proxy_delays` how long ARP replies for
    /// others are held back.
    pub async fn view(&self, proxy_delays: bool) -> Result<HostView, HostError> {
        let links = self.links().await?;
        let mut addresses: HashMap<u32, Vec<InterfaceAddress>> = HashMap::new();
        for message in self.all_address_messages().await? {
            if let Some(address) = InterfaceAddress::from_message(&message) {
                addresses.entry(message.header.index).or_default().push(address);
            }
        }
        let routes = self.main_table().await?;
        let delays = if proxy_delays { self.proxy_delays().await? } else { HashMap::new() };
        Ok(HostView::new(links, addresses, routes, delays))
    }
}
