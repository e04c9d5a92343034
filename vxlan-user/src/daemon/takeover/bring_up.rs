//! The part of a start or a reload that changes the host: overlay interfaces, routes, programs. All or
//! nothing; docs/lifecycle.md has the order.

use std::{collections::HashMap, fs::File, sync::Arc, time::Instant};

use ipnet::IpNet;

use super::{
    leftover, record,
    replace::{self, Predecessors},
};
use crate::{
    config::{self, RouteTable},
    daemon::{
        Places,
        paths::{
            path_mtu::{self, PathMtus},
            resolution as ways,
        },
        preflight::{host::Findings, keys},
        reconcile::reconciler::AT_A_TIME,
    },
    dataplane::{
        AttachedPrograms, Attachment, DataPlane, Generation, LoadOptions, TcHook,
        detach_deliver_filter, uptime,
    },
    host::{Host, OverlaySpec, WantedRoute},
    plan::{self, Endpoints, LearnedEndpoint, OverlayFacts, PeerPath, Plan, overlay_mac},
    state::{NarrowPath, State},
};

/// A data plane that carries traffic.
#[derive(Debug)]
pub struct Started {
    pub findings: Findings,
    pub plane: DataPlane,
    pub attachment: Attachment,
    pub state: State,
    pub(in crate::daemon) plan: Plan,
    /// Where peers are whose endpoint is learned.
    pub(in crate::daemon) endpoints: Endpoints,
    /// The pins are this process's as long as it is open.
    pins_lock: Option<Arc<File>>,
}

impl Started {
    /// The generation at work.
    pub(in crate::daemon) fn generation(&self) -> u64 {
        self.state.generations.last().map_or(0, |generation| generation.number)
    }
}

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

/// Makes everything that `findings` ask for. `running` is what this process made before, and goes on if
/// this fails.
pub(in crate::daemon) async fn bring_up(
    places: &Places,
    host: &Host,
    findings: Findings,
    options: LoadOptions,
    running: Option<&Started>,
) -> anyhow::Result<Started> {
    let mut made = Made::default();
    let former = findings.former.clone();
    match make(places, host, findings, options, running, &mut made).await {
        Ok(started) => Ok(started),
        Err(error) => {
            undo(places, host, former, running, made).await;
            Err(error)
        }
    }
}

async fn make(
    places: &Places,
    host: &Host,
    findings: Findings,
    options: LoadOptions,
    running: Option<&Started>,
    made: &mut Made,
) -> anyhow::Result<Started> {
    let predecessors = Predecessors::open(places, findings.former.as_ref())?;
    let kept = predecessors.kept(&findings)?;
    let former = former_endpoints(&findings);
    let endpoints = Endpoints::new(&findings.config, |name| former.get(name).copied());
    let (config, facts) = (&findings.config, &findings.facts);
    let mut plan = Plan::new(config, facts, endpoints.all(), &kept, &mut rand::rng());
    plan.probers = keys::probers(&findings.keys);
    tracing::debug!("start: planned");
    // The verifier's word comes before the first change.
    let options = LoadOptions {
        slots: plan.names.slots.len() as u32,
        mac_addresses: Plan::stations_for(&findings.config),
        neighbours: Plan::neighbours_for(&findings.config),
        learned_endpoints: Plan::learning_for(&findings.config),
        ..options
    };
    let mut plane = DataPlane::load(options)?;
    tracing::debug!("start: programs loaded");
    plane.check_capacity(&plan)?;
    let mut state = record::planned(&findings, &endpoints, host).await?;
    // Again before the change itself, so that `down` finds all of it even if this process is killed
    // half-way.
    places.run_dir.store(&record::merged(&state, findings.former.as_ref()))?;
    made.pinned = !places.pins.exist();
    places.pins.prepare()?;
    let pins_lock = match running {
        Some(running) => running.pins_lock.clone(),
        None => places.pins.lock()?.map(Arc::new),
    };
    leftover::make_room(host, &findings).await?;
    let overlays = make_overlays(host, &findings, &mut state, made).await?;
    tracing::debug!("start: recorded, interfaces made");
    make_routes(host, &findings, &mut state, made).await?;
    tracing::debug!("start: routes made");
    let ways = ways_at_start(&findings, &endpoints, host).await;
    tracing::debug!("start: ways known");
    plan.set_overlays(&overlays);
    plan.set_paths(&findings.config, &findings.facts, endpoints.all(), &ways);
    match running {
        Some(running) => {
            let before = &running.findings;
            if before.facts.ifindex == findings.facts.ifindex {
                plan.keep_paths(&findings.config, &running.plan, &before.config);
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
    let number = places.pins.next_generation(&state.generations);
    plane.pin(&places.pins, number)?;
    made.before =
        Some(AttachedPrograms::read(&places.pins, predecessors.filters(&findings, &places.pins))?);
    state.generations.push(Generation::new(number, &plane, plan.names.clone()));
    let left = record::left_over(&state, findings.former.as_ref());
    state.networks.extend(left.iter().cloned());
    places.run_dir.store(&state)?;
    made.filter = state
        .underlay
        .tc
        .filter(|tc| tc.hook == TcHook::Netlink && findings.former.is_none())
        .map(|tc| (findings.underlay.name.clone(), findings.facts.ifindex, tc.made_clsact));
    let attachment = replace::swap(places, &findings, &mut plane, &plan)?;
    tracing::debug!("start: pinned and attached");
    // From here on nothing is undone: the new generation carries the traffic.
    state.underlay.xdp = Some(attachment.clone());
    state.entries = record::entries(&plan, &plane);
    if let Err(error) = predecessors.retire(places, &mut state) {
        tracing::warn!("counters are carried over at the next start only: {error:#}");
    }
    leftover::remove(host, &findings, &mut state, left.len(), &made.overlays).await;
    if let Err(error) = places.run_dir.store(&state) {
        tracing::warn!("{error}");
    }
    tracing::debug!("start: tidied up and recorded");
    Ok(Started { findings, plane, attachment, state, plan, endpoints, pins_lock })
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
    findings: &Findings,
    state: &mut State,
    made: &mut Made,
) -> anyhow::Result<()> {
    let mut wanted = Vec::new();
    for (network, state) in findings.config.networks.iter().zip(&mut state.networks) {
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
fn former_endpoints(findings: &Findings) -> HashMap<&str, LearnedEndpoint> {
    let peers = findings.former.iter().flat_map(|former| &former.peers);
    peers.filter_map(|peer| Some((peer.name.as_str(), peer.learned?))).collect()
}

/// The ways to the first peers, and to those with a choice of endpoints. The others are given the benefit
/// of the doubt, and looked at once traffic passes. A peer without a way is worth a warning, and no
/// reason not to start.
async fn ways_at_start(
    findings: &Findings,
    endpoints: &Endpoints,
    host: &Host,
) -> Vec<Option<PeerPath>> {
    let peers = &findings.config.peers;
    let assumed = |peer| match peer {
        0..AT_A_TIME => None,
        _ => ways::assumed(findings, endpoints, peer),
    };
    let mut all: Vec<Option<ways::Way>> = (0..peers.len()).map(assumed).collect();
    let unknown = all.iter().enumerate().filter(|(_, way)| way.is_none());
    let unknown: Vec<usize> = unknown.map(|(peer, _)| peer).collect();
    for looked in ways::to(findings, endpoints, host, None, &unknown).await.to_peers {
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
    findings: &Findings,
    state: &mut State,
    made: &mut Made,
) -> anyhow::Result<Vec<OverlayFacts>> {
    let mut overlays = Vec::new();
    for (index, network) in findings.config.networks.iter().enumerate() {
        let vni = network.vni.value.get();
        let spec = OverlaySpec {
            name: network.interface.value.clone(),
            hidden_name: hidden_name(vni),
            vni,
            mac: overlay_mac(findings.underlay.mac, vni),
            mtu: findings.overlay_mtu(network),
            addresses: network.addresses.iter().map(|at| at.value).collect(),
            ipv6: speaks_ipv6(network),
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

/// The hidden port's name: found again by anyone who knows the VNI.
pub(in crate::daemon) fn hidden_name(vni: u32) -> String {
    format!("vxport{vni}")
}

/// Are there hosts behind this one that peers ask for by ARP, as their route says that they are on the
/// link?
fn speaks_for_others(network: &config::Network) -> bool {
    let on_link =
        |prefix: &IpNet| network.addresses.iter().any(|own| own.value.trunc().contains(prefix));
    let mut ipv4 = network.local_ips.iter().filter(|prefix| prefix.addr().is_ipv4());
    !network.addresses.is_empty() && ipv4.any(|prefix| !on_link(prefix))
}

pub(in crate::daemon) fn speaks_ipv6(network: &config::Network) -> bool {
    let own = network.addresses.iter().map(|at| at.value);
    let theirs = network.prefixes().map(|at| at.value);
    own.chain(theirs).any(|prefix| prefix.addr().is_ipv6())
}

/// The source address that peers let in: our own in that network, of the prefix's family.
fn source_for(network: &config::Network, prefix: IpNet) -> Option<std::net::IpAddr> {
    let addresses = network.addresses.iter().map(|at| at.value.addr());
    addresses.into_iter().find(|address| address.is_ipv4() == prefix.addr().is_ipv4())
}

async fn undo(
    places: &Places,
    host: &Host,
    former: Option<State>,
    running: Option<&Started>,
    made: Made,
) {
    let mut problems = Vec::new();
    let mut note = |result: Result<(), String>| problems.extend(result.err());
    if let Some(before) = made.before {
        before.restore(&places.pins).into_iter().for_each(|problem| note(Err(problem)));
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
            places.pins.remove()
        } else {
            places.pins.remove_generations_except(&numbers)
        };
        problems.extend(unpinned.err().map(|error| error.to_string()));
    }
    if problems.is_empty() {
        let restored = match &former {
            Some(former) => places.run_dir.store(former),
            None => places.run_dir.clear(),
        };
        problems.extend(restored.err().map(|error| error.to_string()));
    }
    for problem in problems {
        tracing::error!("while undoing the failed start: {problem}; `vxlan down` tries again");
    }
}

/// Interfaces and routes as they were, where making room took them away or their settings were changed.
async fn revive(host: &Host, running: &Started) -> anyhow::Result<()> {
    let mut state = running.state.clone();
    let mut made = Made::default();
    make_overlays(host, &running.findings, &mut state, &mut made).await?;
    for network in &mut state.networks {
        network.routes.clear();
    }
    make_routes(host, &running.findings, &mut state, &mut made).await
}
