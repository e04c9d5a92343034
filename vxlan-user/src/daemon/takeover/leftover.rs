//! What former runs left on this host and the configuration asks for no more: interfaces, routes, a
//! clsact qdisc. Some of it is in the way of what is made and goes before, the rest goes after the swap.
//!
//! Which routes there are the kernel is asked: a start that was killed may have made some without a
//! record of them.

use std::collections::{HashMap, HashSet};

use anyhow::Context as _;
use ipnet::IpNet;

use crate::{
    config::{self, RouteTable},
    daemon::preflight::Preflight,
    host::{Host, HostError},
    state::{self, State},
};

/// Is this the same network, under the same name?
fn same_network(new: &config::Network, old: &state::Network) -> bool {
    new.interface.value == old.interface && new.vni.value.get() == old.vni
}

/// Takes away what new interfaces and routes would find in their way: networks that give their name or
/// VNI to another, and routes of a prefix that moves to another network.
pub(in crate::daemon) async fn make_room(host: &Host, preflight: &Preflight) -> anyhow::Result<()> {
    let networks = &preflight.config.networks;
    let former = || preflight.former.iter().flat_map(|former| &former.networks);
    for old in former() {
        let in_the_way = |new: &config::Network| {
            new.interface.value == old.interface || new.vni.value.get() == old.vni
        };
        let stays = networks.iter().any(|new| same_network(new, old));
        if !stays && networks.iter().any(in_the_way) {
            let removed = host.delete_overlay(&old.interface).await;
            removed.with_context(|| format!("the former network {} is in the way", old.vni))?;
        }
    }
    let new = networks.iter().map(|new| new.interface.value.as_str());
    let ours: HashSet<&str> = former().map(|old| old.interface.as_str()).chain(new).collect();
    let overlays = host.list_overlays().await?;
    let through = overlays.iter().map(|overlay| (overlay.ifindex, overlay.name.as_str()));
    let through = through.filter(|(_, name)| ours.contains(name)).collect();
    Ok(remove_routes(host, networks, &through, moves).await?)
}

/// Takes away interfaces and routes of a former run that are asked for no more, and the record of them:
/// the last `left` networks of the state. What cannot be removed stays on record, or is found again.
/// Through the interfaces in `made` are only the routes that were made with them.
pub(in crate::daemon) async fn remove(
    host: &Host,
    preflight: &Preflight,
    state: &mut State,
    left: usize,
    made: &[String],
) {
    for old in state.networks.split_off(state.networks.len().saturating_sub(left)) {
        if let Err(error) = host.delete_overlay(&old.interface).await {
            tracing::warn!("interface {} stays: {error}", old.interface);
            state.networks.push(old);
        }
    }
    let networks = &preflight.config.networks;
    let stay = state.networks.iter().take(networks.len());
    let adopted = stay.filter(|network| !made.contains(&network.interface));
    let through = adopted.map(|network| (network.ifindex, network.interface.as_str())).collect();
    if let Err(error) = remove_routes(host, networks, &through, unwanted).await {
        tracing::warn!("a route stays: {error}");
    }
    leave_clsact(host, preflight).await;
}

/// A route through one interface has a prefix that another one shall have.
fn moves(through: &str, wanted: Option<&str>) -> bool {
    wanted.is_some_and(|wanted| wanted != through)
}

fn unwanted(through: &str, wanted: Option<&str>) -> bool {
    wanted != Some(through)
}

/// Removes those of our routes through these interfaces that `go`, by the name of the interface that they
/// lead to, and of the one whose network routes their prefix.
async fn remove_routes(
    host: &Host,
    networks: &[config::Network],
    through: &HashMap<u32, &str>,
    go: fn(&str, Option<&str>) -> bool,
) -> Result<(), HostError> {
    if through.is_empty() {
        return Ok(());
    }
    let routed = networks.iter().filter(|new| new.route_table.value == RouteTable::Main);
    let wanted = routed.flat_map(|new| {
        new.prefixes().map(|prefix| (prefix.value.trunc(), new.interface.value.as_str()))
    });
    let wanted: HashMap<IpNet, &str> = wanted.collect();
    let mut routes = host.own_routes().await?;
    routes.retain(|(prefix, ifindex)| {
        through.get(ifindex).is_some_and(|name| go(name, wanted.get(prefix).copied()))
    });
    host.remove_routes(&routes).await.map(drop)
}

/// A qdisc made for a former underlay interface is not ours to leave behind on it.
async fn leave_clsact(host: &Host, preflight: &Preflight) {
    let Some(former) = preflight.former.as_ref().map(|state| &state.underlay) else { return };
    let made = former.tc.is_some_and(|tc| tc.made_clsact);
    if made
        && former.interface != preflight.underlay.name
        && let Ok(link) = host.underlay_link(&former.interface).await
        && let Err(error) = host.remove_clsact(link.ifindex).await
    {
        tracing::warn!("the clsact qdisc of {} stays: {error}", former.interface);
    }
}
