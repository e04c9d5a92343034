//! The next hop of a packet to a peer, from the kernel's routing. Changes nothing.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    net::IpAddr,
};

use futures_util::TryStreamExt as _;
use netlink_packet_route::{
    AddressFamily,
    route::{RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteType},
};

use super::{
    connection::Host,
    error::{During as _, HostError},
    pipeline,
    route::{gateway, ip},
};

/// The kernel's answer for one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextHop {
    /// `None`: the destination is on the link itself.
    pub gateway: Option<IpAddr>,
    pub ifindex: u32,
    pub preferred_source: Option<IpAddr>,
    /// The route's own MTU, set by hand; `None`: the interface's counts.
    pub mtu: Option<u32>,
}

impl Host {
    /// Looks up the path to each destination out of the interface `via_ifindex`, for packets from
    /// the source beside it (which must be an address of this host) or from whatever the kernel
    /// would choose. The answers are in the same order.
    pub async fn next_hops(
        &self,
        destinations: &[(IpAddr, Option<IpAddr>)],
        via_ifindex: u32,
    ) -> Vec<Result<NextHop, HostError>> {
        // One at a time: these are lists.
        let mut local: HashMap<IpAddr, bool> = HashMap::new();
        for source in destinations.iter().filter_map(|(_, source)| *source) {
            if let Entry::Vacant(unknown) = local.entry(source) {
                // What cannot be known is left to the kernel's answer.
                unknown.insert(self.is_local(source).await.unwrap_or(true));
            }
        }
        let local = &local;
        let questions = destinations.iter().map(|(destination, source)| async move {
            if let Some(address) = *source
                && local.get(&address) == Some(&false)
            {
                // The kernel's answer to this is the one for a missing route, or for IPv6 none at
                // all.
                let interface = self.name_of(via_ifindex).await;
                return Err(HostError::SourceNotLocal { address, interface });
            }
            self.look_up(*destination, via_ifindex, *source).await
        });
        pipeline::all(questions).await
    }

    /// [`Host::next_hops`] of one.
    pub async fn next_hop(
        &self,
        destination: IpAddr,
        via_ifindex: u32,
        source: Option<IpAddr>,
    ) -> Result<NextHop, HostError> {
        let mut hops = self.next_hops(&[(destination, source)], via_ifindex).await;
        match hops.pop() {
            Some(hop) => hop,
            None => Err(kernel_error(destination, libc::ENETUNREACH)),
        }
    }

    async fn look_up(
        &self,
        destination: IpAddr,
        via_ifindex: u32,
        source: Option<IpAddr>,
    ) -> Result<NextHop, HostError> {
        if destination.is_multicast() || destination.is_unspecified() {
            let kind = if destination.is_multicast() { "multicast" } else { "unspecified" };
            let interface = self.name_of(via_ifindex).await;
            return Err(HostError::NotAnotherHost { destination, interface, kind });
        }
        let mut message = self.request_route(destination, via_ifindex, source).await?;
        // Given a source too, the kernel takes the interface of an IPv6 request for a preference.
        let elsewhere = next_hop(&message, via_ifindex).ifindex != via_ifindex;
        if elsewhere && message.header.kind == RouteType::Unicast {
            message = self.request_route(destination, via_ifindex, None).await?;
        }
        let kind = message.header.kind;
        if kind == RouteType::Unicast {
            return Ok(next_hop(&message, via_ifindex));
        }
        let not_another_host = [
            (RouteType::Local, "local"),
            (RouteType::Broadcast, "broadcast"),
            (RouteType::Anycast, "anycast"),
        ];
        if let Some((_, kind)) = not_another_host.into_iter().find(|(known, _)| *known == kind) {
            let interface = self.name_of(via_ifindex).await;
            return Err(HostError::NotAnotherHost { destination, interface, kind });
        }
        let error = kernel_error(destination, libc::ENETUNREACH);
        Err(self.unrouted(error, destination, via_ifindex).await)
    }

    /// The kernel's answer, whatever kind of route it is.
    async fn request_route(
        &self,
        destination: IpAddr,
        via_ifindex: u32,
        source: Option<IpAddr>,
    ) -> Result<RouteMessage, HostError> {
        // Given an interface and finding no route, the kernel takes an IPv4 destination to be on
        // the link, and its answer looks like any other. Requested to name the matching entry of
        // the table instead, it reports that there is none.
        let lookups = [RouteFlags::FibMatch, RouteFlags::empty()];
        let mut answer: Option<RouteMessage> = None;
        for flags in lookups {
            let of_entry = answer.take().and_then(metrics);
            let request = route_request(destination, via_ifindex, source, flags);
            let found = self.handle.route().get(request).execute().try_next().await;
            let found = found.during(|| format!("look up the route to {destination}"));
            answer = match found {
                Ok(message) => message,
                Err(error) => {
                    return Err(self.unrouted(error, destination, via_ifindex).await);
                }
            };
            // The second answer has what the kernel learned from the path, of which it tells nobody
            // when it forgets it, and which it believes more easily than the daemon does. What
            // counts is the entry's own MTU.
            if flags.is_empty()
                && let Some(message) = &mut answer
            {
                message.attributes.retain(|at| !matches!(at, RouteAttribute::Metrics(_)));
                message.attributes.extend(of_entry.map(RouteAttribute::Metrics));
            }
        }
        match answer {
            Some(message) => Ok(message),
            None => {
                let error = kernel_error(destination, libc::ENETUNREACH);
                Err(self.unrouted(error, destination, via_ifindex).await)
            }
        }
    }

    /// Tells the absence of a route from a failed lookup.
    async fn unrouted(&self, error: HostError, destination: IpAddr, via_ifindex: u32) -> HostError {
        let HostError::Kernel { doing, source: cause } = error else { return error };
        let interface = self.name_of(via_ifindex).await;
        match cause.raw_os_error() {
            Some(
                libc::ENETUNREACH
                | libc::EHOSTUNREACH
                | libc::EACCES
                | libc::EINVAL
                | libc::ESRCH
                | libc::EAGAIN,
            ) => HostError::NoRoute { destination, interface, source: cause },
            _ => HostError::Kernel { doing: format!("{doing} via {interface}"), source: cause },
        }
    }
}

fn metrics(message: RouteMessage) -> Option<Vec<RouteMetric>> {
    message.attributes.into_iter().find_map(|attribute| {
        if let RouteAttribute::Metrics(metrics) = attribute { Some(metrics) } else { None }
    })
}

fn kernel_error(destination: IpAddr, errno: i32) -> HostError {
    HostError::Kernel {
        doing: format!("look up the route to {destination}"),
        source: io::Error::from_raw_os_error(errno),
    }
}

fn route_request(
    destination: IpAddr,
    via_ifindex: u32,
    source: Option<IpAddr>,
    flags: RouteFlags,
) -> RouteMessage {
    let bits = |address: IpAddr| if address.is_ipv4() { 32 } else { 128 };
    let mut message = RouteMessage::default();
    message.header.address_family = match destination {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.flags = flags;
    message.header.destination_prefix_length = bits(destination);
    message.attributes.push(RouteAttribute::Destination(destination.into()));
    message.attributes.push(RouteAttribute::Oif(via_ifindex));
    if let Some(source) = source {
        message.header.source_prefix_length = bits(source);
        message.attributes.push(RouteAttribute::Source(source.into()));
    }
    message
}

fn next_hop(message: &RouteMessage, via_ifindex: u32) -> NextHop {
    let mut hop =
        NextHop { gateway: None, ifindex: via_ifindex, preferred_source: None, mtu: None };
    for attribute in &message.attributes {
        if let RouteAttribute::Oif(ifindex) = attribute {
            hop.ifindex = *ifindex;
        } else if let RouteAttribute::PrefSource(address) = attribute {
            hop.preferred_source = ip(address);
        } else if let RouteAttribute::Metrics(metrics) = attribute {
            hop.mtu = metrics.iter().find_map(mtu);
        } else if let Some(gateway) = gateway(attribute) {
            hop.gateway = Some(gateway);
        }
    }
    hop
}

fn mtu(metric: &RouteMetric) -> Option<u32> {
    if let RouteMetric::Mtu(mtu) = metric { Some(*mtu) } else { None }
}
