//! Removes what previous runs left on this host and the configuration does not ask for: interfaces,
//! routes, a clsact qdisc. What conflicts with new interfaces and routes goes before these are
//! made, the rest after the programs are replaced.
//!
//! Routes are read from the kernel: a start that was killed may have made routes without a record.

use std::collections::{HashMap, HashSet};

use anyhow::Context as _;
use ipnet::IpNet;

use crate::{
    config::{self, RouteTable},
    daemon::preflight::Preflight,
    host::{Host, HostError},
    state::{self, HostState},
};

/// Returns whether both are the same network, with the same interface name.
fn same_network(new: &config::Network, old: &state::NetworkRecord) -> bool {
    new.interface.value == old.interface && new.vni.value.get() == old.vni
}

/// Removes what conflicts with new interfaces and routes: networks whose name or VNI another
/// network has now, and routes of a prefix that moves to another network.
pub(in crate::daemon) async fn remove_conflicting(
    host: &Host,
    preflight: &Preflight,
) -> anyhow::Result<()> {
    let networks = &preflight.config.networks;
    let previous = || preflight.previous.iter().flat_map(|previous| &previous.networks);
    for old in previous() {
        let conflicts = |new: &config::Network| {
            new.interface.value == old.interface || new.vni.value.get() == old.vni
        };
        let stays = networks.iter().any(|new| same_network(new, old));
        if !stays && networks.iter().any(conflicts) {
            let removed = host.delete_overlay(&old.interface).await;
            removed.with_context(|| format!("the previous network {} is in the way", old.vni))?;
        }
    }
    let new = networks.iter().map(|new| new.interface.value.as_str());
    let own_names: HashSet<&str> =
        previous().map(|old| old.interface.as_str()).chain(new).collect();
    let overlays = host.list_overlays().await?;
    let interfaces = overlays.iter().map(|overlay| (overlay.ifindex, overlay.name.as_str()));
    let interfaces = interfaces.filter(|(_, name)| own_names.contains(name)).collect();
    Ok(remove_routes(host, networks, &interfaces, moves).await?)
}

/// Removes interfaces and routes of a previous run that the configuration does not ask for, and the
/// record of the interfaces: the last `leftover` networks of the state. An interface that cannot be
/// removed stays on record; a route that cannot is found in the kernel by the next start. All
/// routes through `new_interfaces`, which this takeover has made, are new.
pub(in crate::daemon) async fn remove(
    host: &Host,
    preflight: &Preflight,
    state: &mut HostState,
    leftover: usize,
    new_interfaces: &[String],
) {
    for old in state.networks.split_off(state.networks.len().saturating_sub(leftover)) {
        if let Err(error) = host.delete_overlay(&old.interface).await {
            tracing::warn!("interface {} stays: {error}", old.interface);
            state.networks.push(old);
        }
    }
    let networks = &preflight.config.networks;
    let stay = state.networks.iter().take(networks.len());
    let adopted = stay.filter(|network| !new_interfaces.contains(&network.interface));
    let interfaces = adopted.map(|network| (network.ifindex, network.interface.as_str())).collect();
    if let Err(error) = remove_routes(host, networks, &interfaces, unwanted).await {
        tracing::warn!("a leftover route stays: {error}");
    }
    remove_clsact(host, preflight).await;
}

/// Returns whether a route through `present` shall lead through another interface.
fn moves(present: &str, wanted: Option<&str>) -> bool {
    wanted.is_some_and(|wanted| wanted != present)
}

/// Returns whether a route through `present` shall not be there.
fn unwanted(present: &str, wanted: Option<&str>) -> bool {
    wanted != Some(present)
}

/// Removes the daemon's routes through `interfaces`, which has names by index, for which `selects`
/// returns true. Its arguments are the name of the interface that a route leads through, and the
/// name of the interface, if any, that the configuration routes the prefix through.
async fn remove_routes(
    host: &Host,
    networks: &[config::Network],
    interfaces: &HashMap<u32, &str>,
    selects: fn(&str, Option<&str>) -> bool,
) -> Result<(), HostError> {
    if interfaces.is_empty() {
        return Ok(());
    }
    let routed = networks.iter().filter(|new| new.route_table.value == RouteTable::Main);
    let wanted = routed.flat_map(|new| {
        new.prefixes().map(|prefix| (prefix.value.trunc(), new.interface.value.as_str()))
    });
    let wanted: HashMap<IpNet, &str> = wanted.collect();
    let mut routes = host.own_routes().await?;
    routes.retain(|(prefix, ifindex)| {
        interfaces.get(ifindex).is_some_and(|name| selects(name, wanted.get(prefix).copied()))
    });
    host.remove_routes(&routes).await.map(drop)
}

/// Removes the clsact qdisc that was made for another underlay interface than the present one.
async fn remove_clsact(host: &Host, preflight: &Preflight) {
    let Some(previous) = preflight.previous.as_ref().map(|state| &state.underlay) else { return };
    let made_clsact = previous.tc.is_some_and(|tc| tc.made_clsact);
    if made_clsact
        && previous.interface != preflight.underlay.name
        && let Ok(link) = host.underlay_link(&previous.interface).await
        && let Err(error) = host.remove_clsact(link.ifindex).await
    {
        tracing::warn!("the clsact qdisc of {} stays: {error}", previous.interface);
    }
}
