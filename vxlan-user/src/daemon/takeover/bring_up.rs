//! The part of a start or a reload that changes the host: overlay interfaces, routes, programs. All or
//! nothing; docs/lifecycle.md has the order.

use std::{collections::HashMap, sync::Arc, time::Instant};

use ipnet::IpNet;

use super::{
    leftover, record,
    replace::{self, Predecessors},
};
use crate::{
    config::{self, RouteTable},
    daemon::{
        directories::Directories,
        paths::{
            path_mtu::{self, PathMtus},
            resolution as ways,
        },
        preflight::{Preflight, keys},
        reconcile::reconciler::AT_A_TIME,
        running::ActivePlane,
    },
    dataplane::{
        AttachedPrograms, DataPlane, Generation, LoadOptions, TcHook, detach_deliver_filter, uptime,
    },
    host::{Host, OverlaySpec, WantedRoute, hidden_name},
    plan::{self, Endpoints, LearnedEndpoint, OverlayFacts, PeerPath, Plan, overlay_mac},
    state::{NarrowPath, State},
};

/// What a failed start must take back.
#[derive(Default)]
struct Made {
    overlays: Vec<String>,
    routes: Vec<WantedRoute>,
    /// There were no pins before.
    pinned: bool,
    /// Links and filters as they were.
    before: Option<AttachedPrograms>,
    /// Interface of a `deliver` filter, and whether its clsact qdisc is ours too.
    filter: Option<(String, u32, bool)>,
}

/// Makes everything that `preflight` ask for. `running` is what this process made before, and goes on if
/// this fails.
pub(in crate::daemon) async fn bring_up(
    directories: &Directories,
    host: &Host,
    preflight: Preflight,
    options: LoadOptions,
    running: Option<&ActivePlane>,
) -> anyhow::Result<ActivePlane> {
    let mut made = Made::default();
    let former = preflight.former.clone();
    match make(directories, host, preflight, options, running, &mut made).await {
        Ok(started) => Ok(started),
        Err(error) => {
            undo(directories, host, former, running, made).await;
            Err(error)
        }
    }
}

async fn make(
    directories: &Directories,
    host: &Host,
    preflight: Preflight,
    options: LoadOptions,
    running: Option<&ActivePlane>,
    made: &mut Made,
) -> anyhow::Result<ActivePlane> {
    let predecessors = Predecessors::open(directories, preflight.former.as_ref())?;
    let kept = predecessors.kept(&preflight)?;
    let former = former_endpoints(&preflight);
    let endpoints = Endpoints::new(&preflight.config, |name| former.get(name).copied());
    let (config, facts) = (&preflight.config, &preflight.facts);
    let mut plan = Plan::new(config, facts, endpoints.all(), &kept, &mut rand::rng());
    plan.probers = keys::probers(&preflight.keys);
    tracing::debug!("start: planned");
    // The verifier's word comes before the first change.
    let options = LoadOptions {
        slots: plan.names.slots.len() as u32,
        mac_addresses: Plan::stations_for(&preflight.config),
        neighbours: Plan::neighbours_for(&preflight.config),
        learned_endpoints: Plan::learning_for(&preflight.config),
        ..options
    };
    let mut plane = DataPlane::load(options)?;
    tracing::debug!("start: programs loaded");
    plane.check_capacity(&plan)?;
    let mut state = record::planned(&preflight, &endpoints, host).await?;
    // Again before the change itself, so that `down` finds all of it even if this process is killed
    // half-way.
    directories.run_dir.store(&record::merged(&state, preflight.former.as_ref()))?;
    made.pinned = !directories.pins.exist();
    directories.pins.prepare()?;
    let pins_lock = match running {
        Some(running) => running.pins_lock.clone(),
        None => directories.pins.lock()?.map(Arc::new),
    };
    leftover::make_room(host, &preflight).await?;
    let overlays = make_overlays(host, &preflight, &mut state, made).await?;
    tracing::debug!("start: recorded, interfaces made");
    make_routes(host, &preflight, &mut state, made).await?;
    tracing::debug!("start: routes made");
    let ways = ways_at_start(&preflight, &endpoints, host).await;
    tracing::debug!("start: ways known");
    plan.set_overlays(&overlays);
    plan.set_paths(&preflight.config, &preflight.facts, endpoints.all(), &ways);
    match running {
        Some(running) => {
            let before = &running.preflight;
            if before.facts.ifindex == preflight.facts.ifindex {
                plan.keep_paths(&preflight.config, &running.plan, &before.config);
            }
        }
        None => keep_paths(&mut plan, &state.narrow_paths),
    }
    plane.fill(&plan)?;
    tracing::debug!("start: maps filled");
    if let Some(former) = predecessors.at_work() {
        plane.inherit(former, &plan)?;
    }
    tracing::debug!("start: inherited");
    let number = directories.pins.next_generation(&state.generations);
    plane.pin(&directories.pins, number)?;
    made.before = Some(AttachedPrograms::read(
        &directories.pins,
        predecessors.filters(&preflight, &directories.pins),
    )?);
    state.generations.push(Generation::new(number, plan.names.clone(), plane.layouts()));
    let left = record::left_over(&state, preflight.former.as_ref());
    state.networks.extend(left.iter().cloned());
    directories.run_dir.store(&state)?;
    made.filter = state
        .underlay
        .tc
        .filter(|tc| tc.hook == TcHook::Netlink && preflight.former.is_none())
        .map(|tc| (preflight.underlay.name.clone(), preflight.facts.ifindex, tc.made_clsact));
    let attachment = replace::swap(directories, &preflight, &mut plane, &plan)?;
    tracing::debug!("start: pinned and attached");
    // From here on nothing is undone: the new generation carries the traffic.
    state.underlay.xdp = Some(attachment.clone());
    state.entries = record::entries(&plan, &plane);
    if let Err(error) = predecessors.retire(directories, &mut state) {
        tracing::warn!("counters are carried over at the next start only: {error:#}");
    }
    leftover::remove(host, &preflight, &mut state, left.len(), &made.overlays).await;
    if let Err(error) = directories.run_dir.store(&state) {
        tracing::warn!("{error}");
    }
    tracing::debug!("start: tidied up and recorded");
    Ok(ActivePlane { preflight, plane, attachment, state, plan, endpoints, pins_lock })
}

/// Paths that a former run has found to be narrow are taken to be so: else every packet that is too long
/// would be lost until that is found once more.
fn keep_paths(plan: &mut Plan, known: &[NarrowPath]) {
    let paths = PathMtus::of_record(path_mtu::LIFETIME, known, Instant::now(), uptime());
    for entry in &mut plan.peers {
        entry.mtu = paths.limit(plan::entry_endpoint(entry), entry.mtu);
    }
}

async fn make_routes(
    host: &Host,
    preflight: &Preflight,
    state: &mut State,
    made: &mut Made,
) -> anyhow::Result<()> {
    let mut wanted = Vec::new();
    for (network, state) in preflight.config.networks.iter().zip(&mut state.networks) {
        if network.route_table.value == RouteTable::Off {
            continue;
        }
        for prefix in network.prefixes() {
            let (prefix, source) = (prefix.value, source_for(network, prefix.value));
            wanted.push(WantedRoute { prefix, ifindex: state.ifindex, source });
            state.routes.push(prefix);
        }
    }
    Ok(host.add_routes(&wanted, &mut made.routes).await?)
}

/// Where a former run knew peers to be.
fn former_endpoints(preflight: &Preflight) -> HashMap<&str, LearnedEndpoint> {
    let peers = preflight.former.iter().flat_map(|former| &former.peers);
    peers.filter_map(|peer| Some((peer.name.as_str(), peer.learned?))).collect()
}

/// The ways to the first peers, and to those with a choice of endpoints. The others are given the benefit
/// of the doubt, and looked at once traffic passes. A peer without a way is worth a warning, and no
/// reason not to start.
async fn ways_at_start(
    preflight: &Preflight,
    endpoints: &Endpoints,
    host: &Host,
) -> Vec<Option<PeerPath>> {
    let peers = &preflight.config.peers;
    let assumed = |peer| match peer {
        0..AT_A_TIME => None,
        _ => ways::assumed(preflight, endpoints, peer),
    };
    let mut all: Vec<Option<ways::Way>> = (0..peers.len()).map(assumed).collect();
    let unknown = all.iter().enumerate().filter(|(_, way)| way.is_none());
    let unknown: Vec<usize> = unknown.map(|(peer, _)| peer).collect();
    for looked in ways::to(preflight, endpoints, host, None, &unknown).await.to_peers {
        all[looked.peer] = Some(looked.way);
    }
    let named = peers.iter().zip(all).map(|(peer, way)| match way? {
        Ok(way) => Some(way),
        Err(reason) => {
            tracing::warn!(peer = %peer.name, "not reachable: {reason}");
            None
        }
    });
    named.collect()
}

async fn make_overlays(
    host: &Host,
    preflight: &Preflight,
    state: &mut State,
    made: &mut Made,
) -> anyhow::Result<Vec<OverlayFacts>> {
    let mut overlays = Vec::new();
    for (index, network) in preflight.config.networks.iter().enumerate() {
        let vni = network.vni.value.get();
        let spec = OverlaySpec {
            name: network.interface.value.clone(),
            hidden_name: hidden_name(vni),
            vni,
            mac: overlay_mac(preflight.underlay.mac, vni),
            mtu: preflight.overlay_mtu(network),
            addresses: network.addresses.iter().map(|at| at.value).collect(),
            ipv6: network.has_ipv6(),
            proxy_arp: speaks_for_others(network),
        };
        let overlay = host.create_overlay(&spec).await?;
        if !overlay.adopted {
            made.overlays.push(spec.name);
        }
        state.networks[index].ifindex = overlay.ifindex;
        overlays.push(OverlayFacts { ifindex: overlay.ifindex, mac: overlay.mac });
    }
    Ok(overlays)
}

/// Are there hosts behind this one that peers ask for by ARP, as their route says that they are on the
/// link?
fn speaks_for_others(network: &config::Network) -> bool {
    let on_link =
        |prefix: &IpNet| network.addresses.iter().any(|own| own.value.trunc().contains(prefix));
    let mut ipv4 = network.local_ips.iter().filter(|prefix| prefix.addr().is_ipv4());
    !network.addresses.is_empty() && ipv4.any(|prefix| !on_link(prefix))
}

/// The source address that peers let in: our own in that network, of the prefix's family.
fn source_for(network: &config::Network, prefix: IpNet) -> Option<std::net::IpAddr> {
    let addresses = network.addresses.iter().map(|at| at.value.addr());
    addresses.into_iter().find(|address| address.is_ipv4() == prefix.addr().is_ipv4())
}

async fn undo(
    directories: &Directories,
    host: &Host,
    former: Option<State>,
    running: Option<&ActivePlane>,
    made: Made,
) {
    let mut problems = Vec::new();
    let mut note = |result: Result<(), String>| problems.extend(result.err());
    if let Some(before) = made.before {
        before.restore(&directories.pins).into_iter().for_each(|problem| note(Err(problem)));
    }
    if let Some((interface, ifindex, made_clsact)) = made.filter {
        detach_deliver_filter(&interface);
        if made_clsact {
            note(host.remove_clsact(ifindex).await.map(drop).map_err(|error| error.to_string()));
        }
    }
    let routes: Vec<_> = made.routes.iter().map(|made| (made.prefix, made.ifindex)).collect();
    note(host.remove_routes(&routes).await.map(drop).map_err(|error| error.to_string()));
    for name in made.overlays {
        note(host.delete_overlay(&name).await.map(drop).map_err(|error| error.to_string()));
    }
    if let Some(running) = running {
        note(revive(host, running).await.map_err(|error| format!("{error:#}")));
    }
    if problems.is_empty() {
        let known = former.as_ref().map_or(&[][..], |former| &former.generations);
        let numbers: Vec<u64> = known.iter().map(|generation| generation.number).collect();
        let unpinned = if made.pinned {
            directories.pins.remove()
        } else {
            directories.pins.remove_generations_except(&numbers)
        };
        problems.extend(unpinned.err().map(|error| error.to_string()));
    }
    if problems.is_empty() {
        let restored = match &former {
            Some(former) => directories.run_dir.store(former),
            None => directories.run_dir.clear(),
        };
        problems.extend(restored.err().map(|error| error.to_string()));
    }
    for problem in problems {
        tracing::error!("while undoing the failed start: {problem}; `vxlan down` tries again");
    }
}

/// Interfaces and routes as they were, where making room took them away or their settings were changed.
async fn revive(host: &Host, running: &ActivePlane) -> anyhow::Result<()> {
    let mut state = running.state.clone();
    let mut made = Made::default();
    make_overlays(host, &running.preflight, &mut state, &mut made).await?;
    for network in &mut state.networks {
        network.routes.clear();
    }
    make_routes(host, &running.preflight, &mut state, &mut made).await
}
