//! Adding and removing our routes of the main table. Which prefixes a network needs is not decided
//! here.

use std::{net::IpAddr, ops::ControlFlow};

use ipnet::IpNet;
use netlink_packet_route::{
    AddressFamily,
    route::{RouteAttribute, RouteMessage, RouteProtocol, RouteScope},
};
use rtnetlink::RouteMessageBuilder;

use super::{
    connection::Host,
    error::{During as _, HostError, errno},
    pipeline::in_flight,
    route::ROUTE_PROTOCOL,
};

/// What [`Host::add_route`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteChange {
    Added,
    AlreadyThere,
}

/// A route straight through an interface that somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedRoute {
    pub prefix: IpNet,
    pub ifindex: u32,
    /// What the kernel shall prefer as source address.
    pub source: Option<IpAddr>,
}

impl Host {
    /// Adds routes to prefixes straight through interfaces, marked as ours; `made` gets those that
    /// were added, also when not all could be.
    ///
    /// Does nothing where a route leads there already: ours of an earlier run, or the one that came
    /// with the interface's own address. Changes ours if it prefers another source address.
    ///
    /// # Errors
    /// [`HostError::ForeignRoute`]: another route for exactly one of these prefixes would win
    /// against ours, or bar it; then nothing was changed. Or the kernel refuses one.
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
