//! Routes of the main table: ours are added and removed, everybody else's only read.
//!
//! Owns the protocol number by which our routes are known. Which prefixes a network needs is not
//! decided here.

use std::{fmt, net::IpAddr};

use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use netlink_packet_route::{
    AddressFamily,
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol,
        RouteScope, RouteType, RouteVia,
    },
};
use rtnetlink::RouteMessageBuilder;

use super::{
    Host,
    error::{During as _, HostError},
};

/// Marks our routes, as `zebra` or `bird` mark theirs: `ip route show proto 143`. The kernel leaves
/// the numbers above 4 to programs; nobody has registered this one in `linux/rtnetlink.h` or
/// iproute2's `rt_protos`.
pub const ROUTE_PROTOCOL: u8 = 143;

/// What [`Host::add_route`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteChange {
    Added,
    AlreadyThere,
}

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

    /// Sends what it covers straight to this interface, whoever made it.
    fn leads_to(&self, ifindex: u32) -> bool {
        self.unicast && self.gateway.is_none() && self.ifindex == Some(ifindex)
    }
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

/// What the kernel makes of a route that is added without a metric.
fn default_metric(prefix: IpNet) -> u32 {
    if prefix.addr().is_ipv4() { 0 } else { 1024 }
}

impl Host {
    /// Adds a route to the prefix straight through the interface, marked as ours.
    ///
    /// Does nothing if a route leads there already: ours of an earlier run, or the one that came
    /// with the interface's own address. Changes ours if it prefers another source address. Any
    /// other route for exactly this prefix that would win against ours, or bar it, is an error.
    pub async fn add_route(
        &self,
        prefix: IpNet,
        ifindex: u32,
        source: Option<IpAddr>,
    ) -> Result<RouteChange, HostError> {
        let prefix = prefix.trunc();
        let metric = default_metric(prefix);
        let mut replace = false;
        for present in self.main_table(prefix.addr()).await? {
            if present.prefix != prefix || present.metric > metric {
                continue;
            }
            if !present.leads_to(ifindex) {
                let found = self.describe(&present).await;
                return Err(HostError::ForeignRoute { prefix, found });
            }
            if !present.is_ours() || present.preferred_source == source {
                return Ok(RouteChange::AlreadyThere);
            }
            replace = true;
        }
        let mut message = ours(prefix, ifindex);
        if let Some(source) = source {
            message.attributes.push(RouteAttribute::PrefSource(source.into()));
        }
        let mut request = self.handle.route().add(message);
        if replace {
            request = request.replace();
        }
        let name = self.name_of(ifindex).await;
        request.execute().await.during(|| match source {
            Some(source) => format!("add route {prefix} dev {name} src {source}"),
            None => format!("add route {prefix} dev {name}"),
        })?;
        Ok(RouteChange::Added)
    }

    /// Would [`Host::add_route`] be free to add a route for this prefix, once the interfaces `ours`
    /// and their routes are gone? Changes nothing.
    ///
    /// # Errors
    /// [`HostError::ForeignRoute`]
    pub async fn may_add_route(&self, prefix: IpNet, ours: &[u32]) -> Result<(), HostError> {
        let prefix = prefix.trunc();
        for present in self.main_table(prefix.addr()).await? {
            let same = present.prefix == prefix && present.metric <= default_metric(prefix);
            if same && !ours.iter().any(|ifindex| present.leads_to(*ifindex)) {
                let found = self.describe(&present).await;
                return Err(HostError::ForeignRoute { prefix, found });
            }
        }
        Ok(())
    }

    /// Removes the route to the prefix through the interface if it is ours. `false`: there is none.
    pub async fn remove_route(&self, prefix: IpNet, ifindex: u32) -> Result<bool, HostError> {
        let prefix = prefix.trunc();
        let mut message = ours(prefix, ifindex);
        // Whatever its scope: the protocol number is what tells.
        message.header.scope = RouteScope::NoWhere;
        let name = self.name_of(ifindex).await;
        let removed = self.handle.route().del(message).execute().await;
        match removed.during(|| format!("remove route {prefix} dev {name}")) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.errno(), Some(libc::ESRCH | libc::ENODEV)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The routes of both families through this interface, whoever made them.
    pub async fn routes_of(&self, ifindex: u32) -> Result<Vec<Route>, HostError> {
        let mut routes = self.main_table(IpAddr::from([0; 4])).await?;
        routes.extend(self.main_table(IpAddr::from([0; 16])).await?);
        routes.retain(|route| route.ifindex == Some(ifindex));
        Ok(routes)
    }

    /// The main table of the family of this address.
    async fn main_table(&self, family: IpAddr) -> Result<Vec<Route>, HostError> {
        let mut request = RouteMessage::default();
        request.header.address_family = match family {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        let dump = self.handle.route().get(request).execute().try_collect::<Vec<RouteMessage>>();
        match dump.await.during(|| "list the routes".to_owned()) {
            Ok(messages) => Ok(messages.iter().filter_map(Route::from_message).collect()),
            // A kernel without IPv6 has no IPv6 routes.
            Err(error) if error.errno() == Some(libc::EOPNOTSUPP) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// As `ip route` would show it.
    async fn describe(&self, route: &Route) -> String {
        let device = match route.ifindex {
            Some(ifindex) => Some(self.name_of(ifindex).await),
            None => None,
        };
        Described { route, device }.to_string()
    }
}

fn ours(prefix: IpNet, ifindex: u32) -> RouteMessage {
    let mut message = RouteMessageBuilder::<IpAddr>::new()
        .protocol(RouteProtocol::Other(ROUTE_PROTOCOL))
        .scope(RouteScope::Link)
        .output_interface(ifindex)
        .build();
    message.header.address_family = match prefix {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    };
    message.header.destination_prefix_length = prefix.prefix_len();
    message.attributes.push(RouteAttribute::Destination(prefix.addr().into()));
    message
}

struct Described<'a> {
    route: &'a Route,
    device: Option<String>,
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
