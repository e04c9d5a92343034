//! Routes as values: what a route message says, and the protocol number by which our routes are
//! known. Neither reads nor changes the host.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use netlink_packet_route::{
    AddressFamily,
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric,
        RouteProtocol, RouteType, RouteVia,
    },
};

/// Marks our routes, as `zebra` or `bird` mark theirs: `ip route show proto 143`. The kernel leaves
/// the numbers above 4 to programs; nobody has registered this one in `linux/rtnetlink.h` or
/// iproute2's `rt_protos`.
pub const ROUTE_PROTOCOL: u8 = 143;

/// The metric of our blackholes: a route of ours or of anybody else wins against them.
pub const BLACKHOLE_METRIC: u32 = 0xfff0_0000;

/// A route of the main table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub prefix: IpNet,
    /// `None`: no single outgoing interface, as with several next hops or a blackhole.
    pub ifindex: Option<u32>,
    pub gateway: Option<IpAddr>,
    pub preferred_source: Option<IpAddr>,
    pub metric: u32,
    pub protocol: u8,
    /// Whether it leads to another host or link (not a blackhole and the like).
    pub unicast: bool,
    /// Whether what it covers is dropped without a word.
    pub blackhole: bool,
    /// The MTU that the route has of its own.
    pub mtu: Option<u32>,
}

impl Route {
    /// Whether the route carries our protocol number.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.protocol == ROUTE_PROTOCOL
    }

    pub(super) fn from_message(message: &RouteMessage) -> Option<Self> {
        let header = &message.header;
        let unspecified = if header.address_family == AddressFamily::Inet {
            IpAddr::from([0; 4])
        } else if header.address_family == AddressFamily::Inet6 {
            IpAddr::from([0; 16])
        } else {
            return None;
        };
        let mut table = u32::from(header.table);
        let mut destination = unspecified;
        let mut route = Self {
            prefix: IpNet::from(unspecified),
            ifindex: None,
            gateway: None,
            preferred_source: None,
            metric: 0,
            protocol: header.protocol.into(),
            unicast: header.kind == RouteType::Unicast,
            blackhole: header.kind == RouteType::BlackHole,
            mtu: None,
        };
        for attribute in &message.attributes {
            if let RouteAttribute::Destination(address) = attribute {
                destination = ip(address)?;
            } else if let RouteAttribute::Oif(ifindex) = attribute {
                route.ifindex = Some(*ifindex);
            } else if let RouteAttribute::Table(id) = attribute {
                table = *id;
            } else if let RouteAttribute::PrefSource(address) = attribute {
                route.preferred_source = ip(address);
            } else if let RouteAttribute::Priority(metric) = attribute {
                route.metric = *metric;
            } else if let RouteAttribute::Metrics(metrics) = attribute {
                route.mtu = metrics.iter().find_map(route_mtu);
            } else if let Some(gateway) = gateway(attribute) {
                route.gateway = Some(gateway);
            }
        }
        let copy = header.flags.contains(RouteFlags::Cloned);
        if table != u32::from(RouteHeader::RT_TABLE_MAIN) || header.tos != 0 || copy {
            return None;
        }
        route.prefix = IpNet::new(destination, header.destination_prefix_length).ok()?;
        Some(route)
    }

    /// Whether it is the blackhole that we put beside a route.
    pub(super) fn is_our_blackhole(&self) -> bool {
        self.blackhole && self.is_ours() && self.metric == BLACKHOLE_METRIC
    }

    /// Sends what it covers straight to this interface, whoever made it.
    pub(super) fn leads_to(&self, ifindex: u32) -> bool {
        self.unicast && self.gateway.is_none() && self.ifindex == Some(ifindex)
    }
}

fn route_mtu(metric: &RouteMetric) -> Option<u32> {
    if let RouteMetric::Mtu(mtu) = metric { Some(*mtu) } else { None }
}

pub(super) fn ip(address: &RouteAddress) -> Option<IpAddr> {
    if let RouteAddress::Inet(address) = address {
        Some((*address).into())
    } else if let RouteAddress::Inet6(address) = address {
        Some((*address).into())
    } else {
        None
    }
}

/// The gateway in an attribute; an IPv4 route may have an IPv6 one, under another name.
pub(super) fn gateway(attribute: &RouteAttribute) -> Option<IpAddr> {
    if let RouteAttribute::Gateway(address) = attribute {
        ip(address)
    } else if let RouteAttribute::Via(RouteVia::Inet(address)) = attribute {
        Some((*address).into())
    } else if let RouteAttribute::Via(RouteVia::Inet6(address)) = attribute {
        Some((*address).into())
    } else {
        None
    }
}

/// A route in the words of `ip route`.
pub(super) struct Described<'a> {
    pub(super) route: &'a Route,
    pub(super) device: Option<String>,
}

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.route.unicast {
            f.write_str("unreachable or blackhole ")?;
        }
        write!(f, "{}", self.route.prefix)?;
        if let Some(gateway) = self.route.gateway {
            write!(f, " via {gateway}")?;
        }
        match &self.device {
            Some(device) => write!(f, " dev {device}")?,
            None if self.route.unicast => f.write_str(" with several next hops")?,
            None => {}
        }
        write!(f, " proto {}", RouteProtocol::from(self.route.protocol))?;
        if self.route.metric != 0 {
            write!(f, " metric {}", self.route.metric)?;
        }
        Ok(())
    }
}
