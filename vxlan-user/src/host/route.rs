//! Routes of the main table: ours are added and removed, everybody else's only read.
//!
//! Owns the protocol number by which our routes are known. Which prefixes a network needs is not
//! decided here.

use std::{collections::HashMap, fmt, net::IpAddr, ops::ControlFlow};

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
    error::{During as _, HostError, errno},
    pipeline::in_flight,
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

/// A route straight through an interface that somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedRoute {
    pub prefix: IpNet,
    pub ifindex: u32,
    /// What the kernel shall prefer as source address.
    pub source: Option<IpAddr>,
}

/// The main table as it was at one moment.
#[derive(Debug, Clone, Default)]
pub struct MainTable {
    by_prefix: HashMap<IpNet, Vec<Route>>,
}

impl MainTable {
    fn of(routes: Vec<Route>) -> Self {
        let mut table = Self::default();
        for route in routes {
            table.by_prefix.entry(route.prefix).or_default().push(route);
        }
        table
    }

    /// The routes for exactly this prefix that would win against one of ours, or bar it.
    fn before_ours(&self, prefix: IpNet) -> impl Iterator<Item = &Route> {
        let metric = default_metric(prefix);
        let routes = self.by_prefix.get(&prefix).into_iter().flatten();
        routes.filter(move |present| present.metric <= metric)
    }

    /// The route for which [`Host::add_routes`] would refuse this prefix, once the interfaces `ours`
    /// and their routes are gone.
    #[must_use]
    pub fn conflicting_route(&self, prefix: IpNet, ours: &[u32]) -> Option<&Route> {
        let mut present = self.before_ours(prefix.trunc());
        present.find(|present| !ours.iter().any(|ifindex| present.leads_to(*ifindex)))
    }
}

impl Host {
    /// Adds routes to prefixes straight through interfaces, marked as ours; `made` gets those that were
    /// added, also when not all could be.
    ///
    /// Does nothing where a route leads there already: ours of an earlier run, or the one that came
    /// with the interface's own address. Changes ours if it prefers another source address.
    ///
    /// # Errors
    /// [`HostError::ForeignRoute`]: another route for exactly one of these prefixes would win against
    /// ours, or bar it; then nothing was changed. Or the kernel refuses one.
    pub async fn add_routes(
        &self,
        wanted: &[WantedRoute],
        made: &mut Vec<WantedRoute>,
    ) -> Result<(), HostError> {
        let table = self.main_table().await?;
        let mut missing = Vec::new();
        for of in wanted {
            let wanted = WantedRoute { prefix: of.prefix.trunc(), ..*of };
            let mut replace = false;
            let mut there = false;
            for present in table.before_ours(wanted.prefix) {
                if !present.leads_to(wanted.ifindex) {
                    return Err(self.foreign_route(present).await);
                }
                let as_wanted = !present.is_ours() || present.preferred_source == wanted.source;
                there |= as_wanted;
                replace |= !as_wanted;
            }
            if !there {
                missing.push((wanted, replace));
            }
        }
        let requests = missing.into_iter().map(|(wanted, replace)| {
            let mut message = ours(wanted.prefix, wanted.ifindex);
            if let Some(source) = wanted.source {
                message.attributes.push(RouteAttribute::PrefSource(source.into()));
            }
            let mut request = self.handle.route().add(message);
            if replace {
                request = request.replace();
            }
            async move { (wanted, request.execute().await) }
        });
        let mut refused = None;
        in_flight(requests, |(wanted, done)| match done {
            Ok(()) => {
                made.push(wanted);
                ControlFlow::Continue(())
            }
            Err(error) => {
                refused.get_or_insert((wanted, error));
                ControlFlow::Break(())
            }
        })
        .await;
        let Some((WantedRoute { prefix, ifindex, source }, error)) = refused else { return Ok(()) };
        let name = self.name_of(ifindex).await;
        Err(error).during(|| match source {
            Some(source) => format!("add route {prefix} dev {name} src {source}"),
            None => format!("add route {prefix} dev {name}"),
        })
    }

    /// [`Host::add_routes`] of one.
    pub async fn add_route(
        &self,
        prefix: IpNet,
        ifindex: u32,
        source: Option<IpAddr>,
    ) -> Result<RouteChange, HostError> {
        let mut made = Vec::new();
        self.add_routes(&[WantedRoute { prefix, ifindex, source }], &mut made).await?;
        Ok(if made.is_empty() { RouteChange::AlreadyThere } else { RouteChange::Added })
    }

    /// What is said of a route that is in the way.
    pub async fn foreign_route(&self, present: &Route) -> HostError {
        let found = self.describe(present).await;
        HostError::ForeignRoute { prefix: present.prefix, found }
    }

    /// Removes routes to prefixes through interfaces, as far as they are ours and there.
    ///
    /// # Errors
    /// The first that the kernel refuses to remove; the others are removed all the same.
    pub async fn remove_routes(&self, all: &[(IpNet, u32)]) -> Result<usize, HostError> {
        let requests = all.iter().map(|(prefix, ifindex)| {
            let mut message = ours(prefix.trunc(), *ifindex);
            // Whatever its scope: the protocol number is what tells.
            message.header.scope = RouteScope::NoWhere;
            let request = self.handle.route().del(message);
            async move { (*prefix, *ifindex, request.execute().await) }
        });
        let (mut removed, mut refused) = (0, None);
        in_flight(requests, |(prefix, ifindex, done)| {
            match done {
                Ok(()) => removed += 1,
                Err(error) if matches!(errno(&error), Some(libc::ESRCH | libc::ENODEV)) => {}
                Err(error) => {
                    refused.get_or_insert((prefix, ifindex, error));
                }
            }
            ControlFlow::Continue(())
        })
        .await;
        let Some((prefix, ifindex, error)) = refused else { return Ok(removed) };
        let name = self.name_of(ifindex).await;
        Err(error).during(|| format!("remove route {prefix} dev {name}"))
    }

    /// [`Host::remove_routes`] of one. `false`: there is none.
    pub async fn remove_route(&self, prefix: IpNet, ifindex: u32) -> Result<bool, HostError> {
        Ok(self.remove_routes(&[(prefix, ifindex)]).await? == 1)
    }

    /// The routes of both families through this interface, whoever made them.
    pub async fn routes_of(&self, ifindex: u32) -> Result<Vec<Route>, HostError> {
        let mut routes = self.routes().await?;
        routes.retain(|route| route.ifindex == Some(ifindex));
        Ok(routes)
    }

    /// Our routes, of both families, with the interfaces they lead to.
    pub async fn own_routes(&self) -> Result<Vec<(IpNet, u32)>, HostError> {
        let routes = self.routes().await?;
        let ours = routes.iter().filter(|route| route.is_ours());
        Ok(ours.filter_map(|route| Some((route.prefix, route.ifindex?))).collect())
    }

    /// The main table, of both families.
    pub async fn main_table(&self) -> Result<MainTable, HostError> {
        Ok(MainTable::of(self.routes().await?))
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
