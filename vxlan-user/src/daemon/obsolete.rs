//! What former runs left on this host and the configuration asks for no more: interfaces, routes, a
//! clsact qdisc. Some of it is in the way of what is made and goes before, the rest goes after the swap.
//!
//! Which routes there are the kernel is asked: a start that was killed may have made some without a
//! record of them.

use std::collections::{HashMap, HashSet};

use anyhow::Context as _;
use ipnet::IpNet;

use super::checks::Findings;
use crate::{
    config::{self, RouteTable},
    host::{Host, HostError},
    state::{self, State},
};

/// Is this the same network, under the same name?
fn same_network(new: &config::Network, old: &state::Network) -> bool {
    new.interface.value == old.interface && new.vni.value.get() == old.vni
}

/// Takes away what new interfaces and routes would find in their way: networks that give their name or
/// VNI to another, and routes of a prefix that moves to another network.
pub(super) async fn make_room(host: &Host, findings: &Findings) -> anyhow::Result<()> {
    let networks = &findings.config.networks;
    let former = || findings.former.iter().flat_map(|former| &former.networks);
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
    let former: HashSet<&str> = former().map(|old| old.interface.as_str()).collect();
    let mut overlays = host.list_overlays().await?;
    overlays.retain(|overlay| {
        let name = overlay.name.as_str();
        former.contains(name) || networks.iter().any(|new| new.interface.value == name)
    });
    let wanted = wanted(networks, |new| new.interface.value.as_str());
    let names: HashMap<u32, &str> =
        overlays.iter().map(|overlay| (overlay.ifindex, overlay.name.as_str())).collect();
    let moves = |(prefix, ifindex): &(IpNet, u32)| {
        let through = names.get(ifindex);
        through.is_some_and(|name| wanted.get(prefix).is_some_and(|wanted| wanted != name))
    };
    if !names.is_empty() {
        remove_routes(host, moves).await?;
    }
    Ok(())
}

/// Takes away interfaces and routes of a former run that are asked for no more, and the record of them:
/// the last `left` networks of the state. What cannot be removed stays on record, or is found again.
pub(super) async fn remove(host: &Host, findings: &Findings, state: &mut State, left: usize) {
    for old in state.networks.split_off(state.networks.len().saturating_sub(left)) {
        if let Err(error) = host.delete_overlay(&old.interface).await {
            tracing::warn!("interface {} stays: {error}", old.interface);
            state.networks.push(old);
        }
    }
    let of_config = findings.config.networks.iter().zip(&state.networks);
    let numbers: HashMap<&str, u32> =
        of_config.map(|(new, made)| (new.interface.value.as_str(), made.ifindex)).collect();
    let ours: HashSet<u32> = numbers.values().copied().collect();
    let wanted = wanted(&findings.config.networks, |new| numbers[new.interface.value.as_str()]);
    let unwanted = |(prefix, ifindex): &(IpNet, u32)| {
        ours.contains(ifindex) && wanted.get(prefix) != Some(ifindex)
    };
    if let Err(error) = remove_routes(host, unwanted).await {
        tracing::warn!("a route stays: {error}");
    }
    leave_clsact(host, findings).await;
}

/// Which network routes a prefix.
fn wanted<'a, T>(
    networks: &'a [config::Network],
    network: impl Fn(&'a config::Network) -> T + Copy,
) -> HashMap<IpNet, T> {
    let routed = networks.iter().filter(|new| new.route_table.value == RouteTable::Main);
    let prefixes = routed
        .flat_map(|new| new.prefixes().map(move |prefix| (prefix.value.trunc(), network(new))));
    prefixes.collect()
}

async fn remove_routes(
    host: &Host,
    which: impl FnMut(&(IpNet, u32)) -> bool,
) -> Result<(), HostError> {
    let mut routes = host.own_routes().await?;
    routes.retain(which);
    host.remove_routes(&routes).await.map(drop)
}

/// A qdisc made for a former underlay interface is not ours to leave behind on it.
async fn leave_clsact(host: &Host, findings: &Findings) {
    let Some(former) = findings.former.as_ref().map(|state| &state.underlay) else { return };
    let made = former.tc.is_some_and(|tc| tc.made_clsact);
    if made
        && former.interface != findings.underlay.name
        && let Ok(link) = host.underlay(&former.interface).await
        && let Err(error) = host.remove_clsact(link.ifindex).await
    {
        tracing::warn!("the clsact qdisc of {} stays: {error}", former.interface);
    }
}
