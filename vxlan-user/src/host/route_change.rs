//! Adding and removing our routes of the main table. Which prefixes a network needs is not decided
//! here.

use std::{net::IpAddr, ops::ControlFlow};

use ipnet::IpNet;
use netlink_packet_route::{
    AddressFamily,
    route::{RouteAttribute, RouteMessage, RouteMetric, RouteProtocol, RouteScope, RouteType},
};
use rtnetlink::RouteMessageBuilder;

use super::{
    connection::Host,
    error::{During as _, HostError, errno, ipv6_off},
    overlay_spec::RouteSpec,
    pipeline::in_flight,
    route::{BLACKHOLE_METRIC, ROUTE_PROTOCOL},
};

impl Host {
    /// Adds a route straight through an interface, marked as ours.
    pub(super) async fn add_overlay_route(
        &self,
        route: &RouteSpec,
        (ifindex, name): (u32, &str),
        replaces: bool,
    ) -> Result<(), HostError> {
        let RouteSpec { prefix, source, mtu } = *route;
        let mut message = ours(prefix, ifindex);
        if let Some(source) = source {
            message.attributes.push(RouteAttribute::PrefSource(source.into()));
        }
        if let Some(mtu) = mtu {
            message.attributes.push(RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)]));
        }
        let request = self.handle.route().add(message);
        let request = if replaces { request.replace() } else { request };
        let added = request.execute().await.during(|| match source {
            Some(source) => format!("add route {prefix} dev {name} src {source}"),
            None => format!("add route {prefix} dev {name}"),
        });
        added.map_err(|error| ipv6_off(error, prefix, name))
    }

    /// Adds a blackhole, marked as ours, which counts while there is no other route for the prefix.
    pub(super) async fn add_blackhole_route(&self, prefix: IpNet) -> Result<(), HostError> {
        let added = self.handle.route().add(blackhole(prefix)).execute().await;
        match added.during(|| format!("add blackhole {prefix}")) {
            Err(error) if error.errno() == Some(libc::EEXIST) => Ok(()),
            other => other,
        }
    }

    /// Removes our blackholes for these prefixes, as far as they are there.
    ///
    /// # Errors
    /// The first that the kernel refuses to remove; the others are removed all the same.
    pub async fn remove_blackholes(&self, prefixes: &[IpNet]) -> Result<usize, HostError> {
        let all = prefixes.iter().map(|prefix| (*prefix, blackhole(prefix.trunc())));
        let (removed, refused) = self.remove_all(all).await;
        let Some((prefix, error)) = refused else { return Ok(removed) };
        Err(error).during(|| format!("remove blackhole {prefix}"))
    }

    /// Removes routes to prefixes through interfaces, as far as they are ours and there.
    ///
    /// # Errors
    /// The first that the kernel refuses to remove; the others are removed all the same.
    pub async fn remove_routes(&self, routes: &[(IpNet, u32)]) -> Result<usize, HostError> {
        let all = routes.iter().map(|(prefix, ifindex)| {
            let mut message = ours(prefix.trunc(), *ifindex);
            // Whatever its scope: the protocol number is what tells.
            message.header.scope = RouteScope::NoWhere;
            ((*prefix, *ifindex), message)
        });
        let (removed, refused) = self.remove_all(all).await;
        let Some(((prefix, ifindex), error)) = refused else { return Ok(removed) };
        let name = self.name_of(ifindex).await;
        Err(error).during(|| format!("remove route {prefix} dev {name}"))
    }

    /// Removes what is there. Returns how many were, and the first that the kernel refuses to
    /// remove, by its key.
    async fn remove_all<K>(
        &self,
        all: impl Iterator<Item = (K, RouteMessage)>,
    ) -> (usize, Option<(K, rtnetlink::Error)>) {
        let requests = all.map(|(key, message)| {
            let request = self.handle.route().del(message);
            async move { (key, request.execute().await) }
        });
        let (mut removed, mut refused) = (0, None);
        in_flight(requests, |(key, done)| {
            match done {
                Ok(()) => removed += 1,
                Err(error) if matches!(errno(&error), Some(libc::ESRCH | libc::ENODEV)) => {}
                Err(error) => {
                    refused.get_or_insert((key, error));
                }
            }
            ControlFlow::Continue(())
        })
        .await;
        (removed, refused)
    }

    /// [`Host::remove_routes`] of one. `false`: there is none.
    pub async fn remove_route(&self, prefix: IpNet, ifindex: u32) -> Result<bool, HostError> {
        Ok(self.remove_routes(&[(prefix, ifindex)]).await? == 1)
    }
}

fn ours(prefix: IpNet, ifindex: u32) -> RouteMessage {
    let mut message = RouteMessageBuilder::<IpAddr>::new()
        .protocol(RouteProtocol::Other(ROUTE_PROTOCOL))
        .scope(RouteScope::Link)
        .output_interface(ifindex)
        .build();
    set_destination(&mut message, prefix);
    message
}

fn blackhole(prefix: IpNet) -> RouteMessage {
    let mut message = RouteMessageBuilder::<IpAddr>::new()
        .protocol(RouteProtocol::Other(ROUTE_PROTOCOL))
        .scope(RouteScope::Universe)
        .kind(RouteType::BlackHole)
        .priority(BLACKHOLE_METRIC)
        .build();
    set_destination(&mut message, prefix);
    message
}

fn set_destination(message: &mut RouteMessage, prefix: IpNet) {
    message.header.address_family = match prefix {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    };
    message.header.destination_prefix_length = prefix.prefix_len();
    message.attributes.push(RouteAttribute::Destination(prefix.addr().into()));
}
