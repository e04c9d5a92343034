//! Removes what previous runs left on this host and the configuration does not ask for: interfaces,
//! routes, a clsact qdisc. That is after the programs are replaced; before, what conflicts with new
//! interfaces and routes makes room.
//!
//! Routes are read from the kernel: a start that was killed may have made routes without a record.

use std::collections::{HashMap, HashSet};

use anyhow::Context as _;
use ipnet::IpNet;

use super::changes::Changes;
use crate::{
    config,
    daemon::{overlay_specs::routed_prefixes, preflight::Preflight},
    host::{Host, HostError, HostView, Made},
    state::{self, HostState},
};

/// Makes room for new interfaces and routes: gives interfaces of the previous run other names, if
/// another network is to have theirs or they are to have another one, and removes routes of a
/// prefix that moves to another network. `view` is the host; it is returned if nothing was in the
/// way, so that the host is still like that.
pub(in crate::daemon) async fn make_room(
    host: &Host,
    preflight: &Preflight,
    view: HostView,
    changes: &mut Changes,
) -> anyhow::Result<Option<HostView>> {
    let networks = &preflight.config.networks;
    let previous = || preflight.previous.iter().flat_map(|previous| &previous.networks);
    let made: Vec<_> = previous().map(|old| (old.vni, old.made())).collect();
    changes.before_overlays = view.save_overlays(&made);
    let by_name: HashMap<&str, u32> =
        networks.iter().map(|new| (new.interface.value.as_str(), new.vni.value.get())).collect();
    let by_vni: HashMap<u32, &str> =
        networks.iter().map(|new| (new.vni.value.get(), new.interface.value.as_str())).collect();
    let is_in_conflict = |old: &&state::NetworkRecord| {
        let (name, vni) = (old.interface.as_str(), old.vni);
        by_name.get(name).is_some_and(|new| *new != vni)
            || by_vni.get(&vni).is_some_and(|new| *new != name)
    };
    let aside: Vec<u32> = previous().filter(is_in_conflict).map(|old| old.vni).collect();
    let renamed = host.set_aside(&changes.before_overlays, &aside).await;
    let renamed = renamed.context("a previous network is in the way")?;
    let interfaces = own_interfaces(&view, previous(), networks);
    let removed = remove_routes(host, networks, (&view, &interfaces), moves).await?;
    Ok((renamed == 0 && removed == 0).then_some(view))
}

/// Removes interfaces, routes and blackholes of a previous run that the configuration does not ask
/// for, and the record of the interfaces: the last `leftover` networks of the state. An interface
/// that cannot be removed stays on record; a route that cannot is found in the kernel by the next
/// start. `view` is the host since everything new is there.
pub(in crate::daemon) async fn remove(
    host: &Host,
    view: &HostView,
    preflight: &Preflight,
    state: &mut HostState,
    leftover: usize,
) {
    let old = state.networks.split_off(state.networks.len().saturating_sub(leftover));
    let pairs: Vec<_> = old.iter().map(|old| (old.vni, old.made())).collect();
    if let Err(error) = host.delete_made_pairs(&pairs).await {
        tracing::warn!("interfaces of previous networks stay: {error}");
        state.networks.extend(old);
    }
    let networks = &preflight.config.networks;
    let interfaces = own_interfaces(view, state.networks.iter().take(networks.len()), networks);
    if let Err(error) = remove_routes(host, networks, (view, &interfaces), unwanted).await {
        tracing::warn!("a leftover route stays: {error}");
    }
    if let Err(error) = remove_blackholes(host, preflight).await {
        tracing::warn!("a leftover blackhole stays: {error}");
    }
    remove_clsact(host, preflight).await;
}

/// Returns the VNIs of the overlay interfaces that these records and networks have, by index of the
/// interface.
fn own_interfaces<'a>(
    view: &HostView,
    records: impl Iterator<Item = &'a state::NetworkRecord>,
    networks: &[config::Network],
) -> HashMap<u32, u32> {
    let made = records.map(|record| (record.vni, record.made()));
    let mut made: HashMap<u32, Made> = made.collect();
    for network in networks {
        made.entry(network.vni.value.get()).or_default();
    }
    let ifindex = |(vni, made): (&u32, &Made)| Some((view.overlay_ifindex(*vni, made)?, *vni));
    made.iter().filter_map(ifindex).collect()
}

/// Returns whether a route through the network `present` shall lead through another one.
fn moves(present: u32, wanted: Option<u32>) -> bool {
    wanted.is_some_and(|wanted| wanted != present)
}

/// Returns whether a route through the network `present` shall not be there.
fn unwanted(present: u32, wanted: Option<u32>) -> bool {
    wanted != Some(present)
}

/// Removes the daemon's routes of a view through `interfaces`, which has VNIs by index, for which
/// `selects` returns true. Its arguments are the network that a route leads through, and the
/// network, if any, that the configuration routes the prefix through. Returns how many routes it
/// has selected.
async fn remove_routes(
    host: &Host,
    networks: &[config::Network],
    (view, interfaces): (&HostView, &HashMap<u32, u32>),
    selects: fn(u32, Option<u32>) -> bool,
) -> Result<usize, HostError> {
    let wanted = networks.iter().flat_map(|new| {
        let vni = new.vni.value.get();
        routed_prefixes(new).into_iter().map(move |prefix| (prefix.trunc(), vni))
    });
    let wanted: HashMap<IpNet, u32> = wanted.collect();
    let mut routes = view.own_routes().to_vec();
    routes.retain(|(prefix, ifindex)| {
        interfaces.get(ifindex).is_some_and(|vni| selects(*vni, wanted.get(prefix).copied()))
    });
    host.remove_routes(&routes).await?;
    Ok(routes.len())
}

/// Removes the blackholes of a previous run that the configuration does not ask for.
async fn remove_blackholes(host: &Host, preflight: &Preflight) -> Result<(), HostError> {
    let networks = preflight.config.networks.iter().filter(|network| network.blackhole);
    let wanted: HashSet<IpNet> =
        networks.flat_map(routed_prefixes).map(|prefix| prefix.trunc()).collect();
    let previous = preflight.previous.iter().flat_map(|previous| &previous.networks);
    let made = previous.filter(|network| network.blackholes).flat_map(|network| &network.routes);
    let unwanted: Vec<IpNet> =
        made.map(IpNet::trunc).filter(|prefix| !wanted.contains(prefix)).collect();
    host.remove_blackholes(&unwanted).await.map(drop)
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
