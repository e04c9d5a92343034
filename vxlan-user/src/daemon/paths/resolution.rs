//! Resolves the path to each peer: endpoint, link, route and next hop, as the kernel has them now.
//! Resolves the paths to many peers at a time; the caller decides to which peers, and when. What is
//! read of the kernel is in [`super::kernel_view`].

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
};

use vxlan_common::table::PeerEntry;

use super::{
    kernel_view::{KernelView, PathQuestion},
    resolved::{NextHopState, PathResult, ResolvedPaths, ResolvedPeer},
};
use crate::{
    config,
    daemon::preflight::{Preflight, addresses},
    host::{Host, Neighbour, NeighbourState},
    plan::{self, Endpoints, LearnedEndpoint, PeerPath},
};

/// Whether packets can be sent to an endpoint.
enum EndpointStatus {
    /// Its next hop is resolved, or the endpoint is in use and its next hop has not failed.
    Usable(PeerPath),
    /// Resolution of its next hop has only begun.
    Unknown(PeerPath),
    /// Its next hop does not answer.
    Unreachable(String),
}

/// Resolves the paths to `peers` while nothing else goes on: to the first endpoint that has a route
/// and a next hop that answers, or to the learned endpoint. Each endpoint counts as in use.
pub(in crate::daemon) async fn resolve(
    preflight: &Preflight,
    learned: &Endpoints,
    host: &Host,
    peers: &[usize],
) -> Vec<ResolvedPeer> {
    let view = question(preflight, learned, peers).read(host).await;
    let (paths, unresolved) = paths(&view, preflight, learned, None, peers);
    if let Err(error) = host.resolve_neighbours(preflight.facts.ifindex, &unresolved).await {
        tracing::debug!("{error}");
    }
    paths.peers
}

/// Returns what must be read of the kernel to resolve the paths to `peers`.
pub(in crate::daemon) fn question(
    preflight: &Preflight,
    learned: &Endpoints,
    peers: &[usize],
) -> PathQuestion {
    let all = peers.iter().flat_map(|peer| endpoints(preflight, learned, *peer));
    let addresses: HashSet<IpAddr> = all.map(|endpoint| endpoint.ip()).collect();
    let facts = &preflight.facts;
    PathQuestion {
        underlay: preflight.underlay.name.clone(),
        ifindex: facts.ifindex,
        mtu: facts.mtu,
        has_link_local: addresses::has_link_local(&preflight.underlay),
        addresses: addresses.into_iter().map(|at| (at, facts.source_for(at))).collect(),
    }
}

/// Draws the paths to `peers` from what the kernel has answered. `entries` has the present entry of
/// every peer; at a start it is `None`. Peers whose endpoints have changed since the question are
/// left out. Returns the next hops, too, that the kernel will not resolve without a request.
pub(in crate::daemon) fn paths(
    view: &KernelView,
    preflight: &Preflight,
    learned: &Endpoints,
    entries: Option<&[PeerEntry]>,
    peers: &[usize],
) -> (ResolvedPaths, Vec<IpAddr>) {
    let mut unresolved = HashSet::new();
    let resolve = |peer: &usize| {
        if !endpoints(preflight, learned, *peer).all(|endpoint| view.covers(endpoint.ip())) {
            return None;
        }
        let entry = entries.and_then(|entries| entries.get(*peer));
        let path = path(view, preflight, learned, (*peer, entry), &mut unresolved);
        let hops = endpoints(preflight, learned, *peer).filter_map(|at| view.next_hop(at.ip()));
        Some(ResolvedPeer { peer: *peer, path, next_hops: hops.collect() })
    };
    let peers = peers.iter().filter_map(resolve).collect();
    let state = |neighbour: &Result<Option<Neighbour>, String>| {
        NextHopState::from_neighbour(neighbour.as_ref().ok().and_then(Option::as_ref))
    };
    let next_hop_states = view.neighbours.iter().map(|(hop, found)| (*hop, state(found))).collect();
    let paths = ResolvedPaths { mtu: view.link.mtu, peers, next_hop_states };
    (paths, unresolved.into_iter().collect())
}

/// Lists where a peer may be reached: its declared endpoints and its learned one.
pub(in crate::daemon) fn endpoints(
    preflight: &Preflight,
    learned: &Endpoints,
    peer: usize,
) -> impl Iterator<Item = SocketAddr> {
    let declared = preflight.config.peers.get(peer).into_iter().flat_map(|peer| &peer.endpoints);
    declared.map(|at| at.value).chain(learned.of(peer).map(|at| at.endpoint))
}

/// Returns the path to a peer without a request to the kernel, which then looks the next hop up for
/// every packet. `None`: the peer has several endpoints, and only [`resolve`] can choose.
pub(in crate::daemon) fn assume(
    preflight: &Preflight,
    learned: &Endpoints,
    peer: usize,
) -> Option<PathResult> {
    let mut endpoints = endpoints(preflight, learned, peer);
    let Some(endpoint) = endpoints.next() else { return Some(Err(NOT_LEARNED.to_owned())) };
    if endpoints.next().is_some() {
        return None;
    }
    preflight.facts.source_for(endpoint.ip())?;
    let (gateway, mtu) = (endpoint.ip(), preflight.facts.mtu);
    Some(Ok(PeerPath { endpoint, gateway, resolved: false, mtu }))
}

const NOT_LEARNED: &str = "its endpoint is not learned yet";

/// Chooses the path to the first usable endpoint, else to the first of unknown status. Adds to
/// `unresolved` the next hops that the kernel will not resolve without a request.
fn path(
    view: &KernelView,
    preflight: &Preflight,
    learned: &Endpoints,
    (index, entry): (usize, Option<&PeerEntry>),
    unresolved: &mut HashSet<IpAddr>,
) -> PathResult {
    let Some(peer) = preflight.config.peers.get(index) else {
        return Err("there is no such peer".to_owned());
    };
    if let Some(reason) = &view.link.unusable {
        return Err(reason.clone());
    }
    if endpoints(preflight, learned, index).next().is_none() {
        return Err(NOT_LEARNED.to_owned());
    }
    let mut unknown = None;
    let mut reasons = Vec::new();
    for endpoint in endpoints(preflight, learned, index) {
        let in_use = entry.is_none_or(|entry| sends_to(entry, endpoint));
        match status(view, preflight, endpoint, in_use, unresolved) {
            Ok(EndpointStatus::Usable(path)) => return Ok(log_change(peer, entry, path)),
            Ok(EndpointStatus::Unknown(path)) => unknown = unknown.or(Some(path)),
            Ok(EndpointStatus::Unreachable(reason)) | Err(reason) => reasons.push(reason),
        }
    }
    unknown.map(|path| log_change(peer, entry, path)).ok_or_else(|| reasons.join("; "))
}

/// Returns whether packets can be sent to an endpoint; the error tells why there is no path.
fn status(
    view: &KernelView,
    preflight: &Preflight,
    endpoint: SocketAddr,
    in_use: bool,
    unresolved: &mut HashSet<IpAddr>,
) -> Result<EndpointStatus, String> {
    if preflight.facts.source_for(endpoint.ip()).is_none() {
        let name = &preflight.underlay.name;
        return Err(format!("{name} has no address to send to {endpoint} from"));
    }
    let absent = || "its route was not looked up".to_owned();
    let route =
        view.routes.get(&endpoint.ip()).ok_or_else(absent)?.as_ref().map_err(Clone::clone)?;
    let gateway = route.gateway.unwrap_or(endpoint.ip());
    let mtu = route.mtu.map_or(view.link.mtu, |mtu| mtu.min(view.link.mtu));
    let neighbour =
        view.neighbours.get(&gateway).ok_or_else(absent)?.as_ref().map_err(Clone::clone)?;
    let resolved = NextHopState::from_neighbour(neighbour.as_ref()) == NextHopState::Resolved;
    let path = PeerPath { endpoint, gateway, resolved, mtu };
    if gateway.is_ipv6() && !view.link.can_solicit {
        // The kernel then solicits on behalf of packets alone, so no state is ever known.
        return Ok(EndpointStatus::Usable(path));
    }
    let state = neighbour.map_or(NeighbourState::None, |neighbour| neighbour.state);
    // The kernel resolves the next hop of an endpoint in use by itself, so only a failure
    // counts. A next hop that failed, or is not in use, is resolved on request until it
    // answers.
    let incomplete = state == NeighbourState::Incomplete;
    let silent = state == NeighbourState::Failed || (incomplete && !in_use);
    let kernel_resolves = resolved || (incomplete && in_use);
    if !kernel_resolves {
        unresolved.insert(gateway);
    }
    Ok(if silent {
        let name = &preflight.underlay.name;
        EndpointStatus::Unreachable(format!("the next hop {gateway} does not answer on {name}"))
    } else if resolved || in_use {
        EndpointStatus::Usable(path)
    } else {
        EndpointStatus::Unknown(path)
    })
}

/// Returns whether the entry sends to this endpoint. The port makes no difference to the path.
fn sends_to(entry: &PeerEntry, endpoint: SocketAddr) -> bool {
    entry.ifindex != 0 && plan::entry_endpoint(entry).ip() == endpoint.ip()
}

/// Logs a change of the endpoint in use, where a peer has several.
fn log_change(peer: &config::Peer, entry: Option<&PeerEntry>, path: PeerPath) -> PeerPath {
    let first = peer.endpoint() == Some(path.endpoint);
    let changed = entry.map_or(!first, |entry| !sends_to(entry, path.endpoint));
    if peer.endpoints.len() > 1 && changed {
        tracing::info!(peer = %peer.name, "packets go to its endpoint {}", path.endpoint);
    }
    path
}

/// Returns whether the path to a peer could be better: there is none, or it does not lead to the
/// first endpoint. An endpoint that is not learned yet cannot be resolved.
pub(in crate::daemon) fn may_improve(
    peer: &config::Peer,
    learned: Option<&LearnedEndpoint>,
    entry: &PeerEntry,
) -> bool {
    let first = plan::known_endpoint(peer, learned);
    first.is_some_and(|first| !sends_to(entry, first))
}
