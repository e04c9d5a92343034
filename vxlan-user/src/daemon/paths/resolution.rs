//! Resolves the path to each peer: endpoint, link, route and next hop, as the kernel has them now.
//! Resolves the paths to many peers at a time; the caller decides to which peers, and when.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
};

use vxlan_common::table::PeerEntry;

use super::resolved::{NextHopState, PathResult, ResolvedPaths, ResolvedPeer};
use crate::{
    config::{self, Config},
    daemon::preflight::{Preflight, addresses},
    host::{Host, Neighbour, NeighbourState, NextHop},
    plan::{self, Endpoints, PeerPath},
};

/// The underlay interface at present.
struct LinkStatus {
    mtu: u32,
    /// Why no packet can leave through the interface.
    unusable: Option<String>,
    /// The interface has the link-local address that neighbour solicitations are sent from.
    can_solicit: bool,
}

/// Whether packets can be sent to an endpoint.
enum EndpointStatus {
    /// Its next hop is resolved, or the endpoint is in use and its next hop has not failed.
    Usable(PeerPath),
    /// Resolution of its next hop has only begun.
    Unknown(PeerPath),
    /// Its next hop does not answer.
    Unreachable(String),
}

/// Routes and neighbours as the kernel has them, for the endpoints of some peers.
struct KernelView {
    link: LinkStatus,
    routes: HashMap<IpAddr, Result<NextHop, String>>,
    neighbours: HashMap<IpAddr, Result<Option<Neighbour>, String>>,
}

/// Resolves the paths to `peers`: to the first endpoint that has a route and a next hop that
/// answers, or to the learned endpoint. `entries` has the present entry of every peer; at a start
/// it is `None`, and each endpoint counts as in use.
pub(in crate::daemon) async fn resolve(
    preflight: &Preflight,
    learned: &Endpoints,
    host: &Host,
    entries: Option<&[PeerEntry]>,
    peers: &[usize],
) -> ResolvedPaths {
    let view = query(preflight, learned, host, peers).await;
    let mut unresolved = HashSet::new();
    let resolve = |peer: &usize| {
        let entry = entries.and_then(|entries| entries.get(*peer));
        let path = view.path(preflight, learned, (*peer, entry), &mut unresolved);
        let hops = endpoints(preflight, learned, *peer).filter_map(|at| view.next_hop(at.ip()));
        ResolvedPeer { peer: *peer, path, next_hops: hops.collect() }
    };
    let peers = peers.iter().map(resolve).collect();
    let unresolved: Vec<IpAddr> = unresolved.into_iter().collect();
    if let Err(error) = host.resolve_neighbours(preflight.facts.ifindex, &unresolved).await {
        tracing::debug!("{error}");
    }
    let state = |neighbour: &Result<Option<Neighbour>, String>| {
        NextHopState::from_neighbour(neighbour.as_ref().ok().and_then(Option::as_ref))
    };
    let next_hop_states = view.neighbours.iter().map(|(hop, found)| (*hop, state(found))).collect();
    ResolvedPaths { mtu: view.link.mtu, peers, next_hop_states }
}

/// Reads link, routes and neighbours for all endpoints of `peers`.
async fn query(
    preflight: &Preflight,
    learned: &Endpoints,
    host: &Host,
    peers: &[usize],
) -> KernelView {
    let facts = &preflight.facts;
    let link = link_status(preflight, host).await;
    if link.unusable.is_some() {
        return KernelView { link, routes: HashMap::new(), neighbours: HashMap::new() };
    }
    let addresses: HashSet<IpAddr> = peers
        .iter()
        .flat_map(|peer| endpoints(preflight, learned, *peer).map(|endpoint| endpoint.ip()))
        .collect();
    let addresses: Vec<_> = addresses.into_iter().map(|at| (at, facts.source_for(at))).collect();
    let routes = host.next_hops(&addresses, facts.ifindex).await;
    let routes = routes.into_iter().map(|route| route.map_err(|error| error.to_string()));
    let routes: HashMap<_, _> = addresses.iter().map(|(at, _)| *at).zip(routes).collect();
    let gateways: HashSet<IpAddr> = routes
        .iter()
        .filter_map(|(at, route)| Some(route.as_ref().ok()?.gateway.unwrap_or(*at)))
        .collect();
    let gateways: Vec<_> = gateways.into_iter().collect();
    let neighbours = host.neighbours_at(facts.ifindex, &gateways).await;
    let neighbours = neighbours.into_iter().map(|found| found.map_err(|error| error.to_string()));
    let neighbours = gateways.into_iter().zip(neighbours).collect();
    KernelView { link, routes, neighbours }
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

async fn link_status(preflight: &Preflight, host: &Host) -> LinkStatus {
    // A device without carrier takes packets and loses them uncounted.
    let link = host.underlay_link(&preflight.underlay.name).await;
    let (mtu, unusable) = match &link {
        Ok(link) if !link.up => (link.mtu, Some(format!("{} is down", link.name))),
        Ok(link) if !link.carrier => (link.mtu, Some(format!("{} has no carrier", link.name))),
        Ok(link) => (link.mtu, None),
        Err(error) => (preflight.facts.mtu, Some(error.to_string())),
    };
    // Read each time: the kernel makes the link-local address when the link comes up.
    let can_solicit = addresses::has_link_local(link.as_ref().unwrap_or(&preflight.underlay));
    LinkStatus { mtu, unusable, can_solicit }
}

impl KernelView {
    /// Returns the address of the next hop to an endpoint. `None`: there is no route.
    fn next_hop(&self, endpoint: IpAddr) -> Option<IpAddr> {
        Some(self.routes.get(&endpoint)?.as_ref().ok()?.gateway.unwrap_or(endpoint))
    }

    /// Chooses the path to the first usable endpoint, else to the first of unknown status. Adds to
    /// `unresolved` the next hops that the kernel will not resolve without a request.
    fn path(
        &self,
        preflight: &Preflight,
        learned: &Endpoints,
        (index, entry): (usize, Option<&PeerEntry>),
        unresolved: &mut HashSet<IpAddr>,
    ) -> PathResult {
        let Some(peer) = preflight.config.peers.get(index) else {
            return Err("there is no such peer".to_owned());
        };
        if let Some(reason) = &self.link.unusable {
            return Err(reason.clone());
        }
        if endpoints(preflight, learned, index).next().is_none() {
            return Err(NOT_LEARNED.to_owned());
        }
        let mut unknown = None;
        let mut reasons = Vec::new();
        for endpoint in endpoints(preflight, learned, index) {
            let in_use = entry.is_none_or(|entry| sends_to(entry, endpoint));
            match self.status(preflight, endpoint, in_use, unresolved) {
                Ok(EndpointStatus::Usable(path)) => return Ok(log_change(peer, entry, path)),
                Ok(EndpointStatus::Unknown(path)) => unknown = unknown.or(Some(path)),
                Ok(EndpointStatus::Unreachable(reason)) | Err(reason) => reasons.push(reason),
            }
        }
        unknown.map(|path| log_change(peer, entry, path)).ok_or_else(|| reasons.join("; "))
    }

    /// Returns whether packets can be sent to an endpoint; the error tells why there is no path.
    fn status(
        &self,
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
            self.routes.get(&endpoint.ip()).ok_or_else(absent)?.as_ref().map_err(Clone::clone)?;
        let gateway = route.gateway.unwrap_or(endpoint.ip());
        let mtu = route.mtu.map_or(self.link.mtu, |mtu| mtu.min(self.link.mtu));
        let neighbour =
            self.neighbours.get(&gateway).ok_or_else(absent)?.as_ref().map_err(Clone::clone)?;
        let resolved = NextHopState::from_neighbour(neighbour.as_ref()) == NextHopState::Resolved;
        let path = PeerPath { endpoint, gateway, resolved, mtu };
        if gateway.is_ipv6() && !self.link.can_solicit {
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
    config: &Config,
    learned: &Endpoints,
    entries: &[PeerEntry],
    peer: usize,
) -> bool {
    let Some((config, entry)) = config.peers.get(peer).zip(entries.get(peer)) else {
        return false;
    };
    let first = plan::known_endpoint(config, learned.of(peer).as_ref());
    first.is_some_and(|first| !sends_to(entry, first))
}
