//! Reading the main routing table, everybody's routes included. Changes nothing.

use std::{collections::HashMap, net::IpAddr};

use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use netlink_packet_route::{AddressFamily, route::RouteMessage};

use super::{
    connection::Host,
    error::{During as _, HostError},
    route::Route,
};

/// What the kernel makes of a route that is added without a metric.
pub(super) fn default_metric(prefix: IpNet) -> u32 {
    if prefix.addr().is_ipv4() { 0 } else { 1024 }
}

/// The main table as it was at one moment.
#[derive(Debug, Clone, Default)]
pub struct MainTable {
    by_prefix: HashMap<IpNet, Vec<Route>>,
}

impl MainTable {
    pub(super) fn new(routes: Vec<Route>) -> Self {
        let mut table = Self::default();
        for route in routes {
            table.by_prefix.entry(route.prefix).or_default().push(route);
        }
        table
    }

    /// The routes for exactly this prefix.
    pub(super) fn of(&self, prefix: IpNet) -> impl Iterator<Item = &Route> {
        self.by_prefix.get(&prefix).into_iter().flatten()
    }

    /// Leaves out the routes through an interface.
    pub(super) fn leave_out(&mut self, ifindex: u32) {
        for routes in self.by_prefix.values_mut() {
            routes.retain(|route| !route.leads_to(ifindex));
        }
    }

    /// All routes.
    pub(super) fn all(&self) -> impl Iterator<Item = &Route> {
        self.by_prefix.values().flatten()
    }

    /// The routes for exactly this prefix that would win against one of ours, or bar it.
    pub(super) fn before_ours(&self, prefix: IpNet) -> impl Iterator<Item = &Route> {
        let metric = default_metric(prefix);
        self.of(prefix).filter(move |present| present.metric <= metric)
    }

    /// The gateways of all routes through this interface.
    pub(super) fn gateways(&self, ifindex: u32) -> Vec<IpAddr> {
        let through = self.by_prefix.values().flatten().filter(|at| at.ifindex == Some(ifindex));
        let mut gateways: Vec<_> = through.filter_map(|route| route.gateway).collect();
        gateways.sort_unstable();
        gateways.dedup();
        gateways
    }

    /// The route that stands in the way of one of ours for this prefix, once the interfaces `ours`
    /// and their routes are gone.
    pub(super) fn conflicting_route(&self, prefix: IpNet, ours: &[u32]) -> Option<&Route> {
        let mut present = self.before_ours(prefix.trunc());
        present.find(|present| !ours.iter().any(|ifindex| present.leads_to(*ifindex)))
    }
}

impl Host {
    /// The routes of both families through this interface, whoever made them.
    pub async fn routes_of(&self, ifindex: u32) -> Result<Vec<Route>, HostError> {
        let mut routes = self.routes().await?;
        routes.retain(|route| route.ifindex == Some(ifindex));
        Ok(routes)
    }

    /// Lists the prefixes of the blackholes that bear our mark: protocol, type and metric.
    pub async fn own_blackholes(&self) -> Result<Vec<IpNet>, HostError> {
        let all = self.routes().await?;
        let ours = all.into_iter().filter(Route::is_our_blackhole);
        Ok(ours.map(|route| route.prefix).collect())
    }

    /// The main table, of both families.
    pub async fn main_table(&self) -> Result<MainTable, HostError> {
        Ok(MainTable::new(self.routes().await?))
    }

    async fn routes(&self) -> Result<Vec<Route>, HostError> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut request = RouteMessage::default();
            request.header.address_family = family;
            let mut dump = self.handle.route().get(request).execute();
            loop {
                match dump.try_next().await.during(|| "list the routes".to_owned()) {
                    Ok(Some(message)) => routes.extend(Route::from_message(&message)),
                    Ok(None) => break,
                    // A kernel without IPv6 has no IPv6 routes.
                    Err(error) if error.errno() == Some(libc::EOPNOTSUPP) => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(routes)
    }
}
