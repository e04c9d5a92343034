//! The way to each peer: endpoint, link, route and link-layer next hop, as the kernel has them now.
//! Asks for many peers at a time; which of them to ask for, and when, is not decided here.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
};

use vxlan_common::table::PeerEntry;

use crate::{
    config::{self, Config},
    daemon::preflight::{Preflight, addresses},
    host::{Host, Neighbour, NeighbourState, NextHop},
    plan::{self, Endpoints, PeerPath},
};

/// The way to a peer, or why there is none at present: then packets to it are `no_neighbour`.
pub(in crate::daemon) type Way = Result<PeerPath, String>;

/// The ways to some peers.
pub(in crate::daemon) struct Ways {
    /// Of the underlay interface, as it is now.
    pub(in crate::daemon) mtu: u32,
    /// In the order in which they were asked for.
    pub(in crate::daemon) to_peers: Vec<Looked>,
    /// How far the kernel was with the next hops of their endpoints.
    pub(in crate::daemon) standings: HashMap<IpAddr, Standing>,
}

/// What a look at the way to one peer has found.
pub(in crate::daemon) struct Looked {
    pub(in crate::daemon) peer: usize,
    pub(in crate::daemon) way: Way,
    /// Of all its endpoints, also of those that are not used.
    pub(in crate::daemon) next_hops: Vec<IpAddr>,
}

/// How far the kernel is with a next hop, as far as a way depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::daemon) enum Standing {
    Answers,
    Failed,
    /// Nothing is known, or it has been asked.
    Open,
}

impl Standing {
    pub(in crate::daemon) fn of(neighbour: Option<&Neighbour>) -> Self {
        let Some(neighbour) = neighbour else { return Self::Open };
        if neighbour.usable_mac().is_some() {
            Self::Answers
        } else if neighbour.state == NeighbourState::Failed {
            Self::Failed
        } else {
            Self::Open
        }
    }
}

/// The underlay interface as it is now.
struct Now {
    mtu: u32,
    /// Why nothing can be sent over it.
    dead: Option<String>,
    /// It has an address to ask for IPv6 neighbours from.
    asks_ipv6: bool,
}

/// What is known of the next hop of an endpoint.
enum Hop {
    /// It has answered, or is in use and has not failed.
    Works(PeerPath),
    /// Nothing yet: it has been asked for.
    Unknown(PeerPath),
    /// It does not answer.
    Silent(String),
}

/// What the kernel has said of endpoints and their next hops.
struct Answers {
    underlay: Now,
    hops: HashMap<IpAddr, Result<NextHop, String>>,
    neighbours: HashMap<IpAddr, Result<Option<Neighbour>, String>>,
}

/// Asks the kernel for the ways to `peers`: over the first of its endpoints that has a route and a
/// next hop that answers, or to what was learned. `entries` says which way each of all peers had so far;
/// at a start all are given the benefit of the doubt.
pub(in crate::daemon) async fn to(
    preflight: &Preflight,
    learned: &Endpoints,
    host: &Host,
    entries: Option<&[PeerEntry]>,
    peers: &[usize],
) -> Ways {
    let answers = ask(preflight, learned, host, peers).await;
    let mut open = HashSet::new();
    let look = |peer: &usize| {
        let entry = entries.and_then(|entries| entries.get(*peer));
        let way = answers.way(preflight, learned, (*peer, entry), &mut open);
        let hops = endpoints(preflight, learned, *peer).filter_map(|at| answers.next_hop(at.ip()));
        Looked { peer: *peer, way, next_hops: hops.collect() }
    };
    let to_peers = peers.iter().map(look).collect();
    let open: Vec<IpAddr> = open.into_iter().collect();
    if let Err(error) = host.resolve_neighbours(preflight.facts.ifindex, &open).await {
        tracing::debug!("{error}");
    }
    let standing = |of: &Result<Option<Neighbour>, String>| {
        Standing::of(of.as_ref().ok().and_then(Option::as_ref))
    };
    let standings = answers.neighbours.iter().map(|(at, of)| (*at, standing(of))).collect();
    Ways { mtu: answers.underlay.mtu, to_peers, standings }
}

async fn ask(preflight: &Preflight, learned: &Endpoints, host: &Host, peers: &[usize]) -> Answers {
    let facts = &preflight.facts;
    let underlay = now(preflight, host).await;
    if underlay.dead.is_some() {
        return Answers { underlay, hops: HashMap::new(), neighbours: HashMap::new() };
    }
    let all: HashSet<IpAddr> = peers
        .iter()
        .flat_map(|peer| endpoints(preflight, learned, *peer).map(|endpoint| endpoint.ip()))
        .collect();
    let all: Vec<_> = all.into_iter().map(|at| (at, facts.source_for(at))).collect();
    let hops = host.next_hops(&all, facts.ifindex).await;
    let hops = hops.into_iter().map(|hop| hop.map_err(|error| error.to_string()));
    let hops: HashMap<_, _> = all.iter().map(|(at, _)| *at).zip(hops).collect();
    let gateways: HashSet<IpAddr> = hops
        .iter()
        .filter_map(|(at, hop)| Some(hop.as_ref().ok()?.gateway.unwrap_or(*at)))
        .collect();
    let gateways: Vec<_> = gateways.into_iter().collect();
    let neighbours = host.neighbours_at(facts.ifindex, &gateways).await;
    let neighbours = neighbours.into_iter().map(|of| of.map_err(|error| error.to_string()));
    let neighbours = gateways.into_iter().zip(neighbours).collect();
    Answers { underlay, hops, neighbours }
}

/// Where a peer may be reached: what is declared, and what was learned.
pub(in crate::daemon) fn endpoints(
    preflight: &Preflight,
    learned: &Endpoints,
    peer: usize,
) -> impl Iterator<Item = SocketAddr> {
    let declared = preflight.config.peers.get(peer).into_iter().flat_map(|peer| &peer.endpoints);
    declared.map(|at| at.value).chain(learned.of(peer).map(|at| at.endpoint))
}

/// The way to a peer for which nobody has been asked: the kernel looks it up for every packet. `None`
/// where there is a choice of endpoints, which needs a look.
pub(in crate::daemon) fn assumed(
    preflight: &Preflight,
    learned: &Endpoints,
    peer: usize,
) -> Option<Way> {
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

async fn now(preflight: &Preflight, host: &Host) -> Now {
    // A device without carrier takes packets and loses them uncounted.
    let link = host.underlay_link(&preflight.underlay.name).await;
    let (mtu, dead) = match &link {
        Ok(link) if !link.up => (link.mtu, Some(format!("{} is down", link.name))),
        Ok(link) if !link.carrier => (link.mtu, Some(format!("{} has no carrier", link.name))),
        Ok(link) => (link.mtu, None),
        Err(error) => (preflight.facts.mtu, Some(error.to_string())),
    };
    // As it is now: the kernel makes such an address when the link comes up.
    let asks_ipv6 = addresses::has_link_local(link.as_ref().unwrap_or(&preflight.underlay));
    Now { mtu, dead, asks_ipv6 }
}

impl Answers {
    fn next_hop(&self, endpoint: IpAddr) -> Option<IpAddr> {
        Some(self.hops.get(&endpoint)?.as_ref().ok()?.gateway.unwrap_or(endpoint))
    }

    /// The way over the first endpoint that works, else over one of which nothing is known yet. `open` gets
    /// the next hops that nobody else asks for.
    fn way(
        &self,
        preflight: &Preflight,
        learned: &Endpoints,
        (index, entry): (usize, Option<&PeerEntry>),
        open: &mut HashSet<IpAddr>,
    ) -> Way {
        let Some(peer) = preflight.config.peers.get(index) else {
            return Err("there is no such peer".to_owned());
        };
        if let Some(reason) = &self.underlay.dead {
            return Err(reason.clone());
        }
        if endpoints(preflight, learned, index).next().is_none() {
            return Err(NOT_LEARNED.to_owned());
        }
        let mut unknown = None;
        let mut reasons = Vec::new();
        for endpoint in endpoints(preflight, learned, index) {
            let in_use = entry.is_none_or(|entry| uses(entry, endpoint));
            match self.hop(preflight, endpoint, in_use, open) {
                Ok(Hop::Works(way)) => return Ok(told(peer, entry, way)),
                Ok(Hop::Unknown(way)) => unknown = unknown.or(Some(way)),
                Ok(Hop::Silent(reason)) | Err(reason) => reasons.push(reason),
            }
        }
        unknown.map(|way| told(peer, entry, way)).ok_or_else(|| reasons.join("; "))
    }

    fn hop(
        &self,
        preflight: &Preflight,
        endpoint: SocketAddr,
        in_use: bool,
        open: &mut HashSet<IpAddr>,
    ) -> Result<Hop, String> {
        if preflight.facts.source_for(endpoint.ip()).is_none() {
            let name = &preflight.underlay.name;
            return Err(format!("{name} has no address to send to {endpoint} from"));
        }
        let unasked = || "nobody was asked for it".to_owned();
        let hop =
            self.hops.get(&endpoint.ip()).ok_or_else(unasked)?.as_ref().map_err(Clone::clone)?;
        let gateway = hop.gateway.unwrap_or(endpoint.ip());
        let mtu = hop.mtu.map_or(self.underlay.mtu, |of_route| of_route.min(self.underlay.mtu));
        let neighbour =
            self.neighbours.get(&gateway).ok_or_else(unasked)?.as_ref().map_err(Clone::clone)?;
        let resolved = Standing::of(neighbour.as_ref()) == Standing::Answers;
        let way = PeerPath { endpoint, gateway, resolved, mtu };
        if gateway.is_ipv6() && !self.underlay.asks_ipv6 {
            // Without such an address the kernel asks in the name of packets alone: nothing can be
            // known.
            return Ok(Hop::Works(way));
        }
        let state = neighbour.map_or(NeighbourState::None, |neighbour| neighbour.state);
        // What is in use the kernel has asked for, so only a failure is news. What failed, and what is
        // not in use, nobody else asks for: until it answers, it is done here.
        let asked = state == NeighbourState::Incomplete;
        let silent = state == NeighbourState::Failed || (asked && !in_use);
        let needs_no_asking = resolved || (asked && in_use);
        if !needs_no_asking {
            open.insert(gateway);
        }
        Ok(if silent {
            let name = &preflight.underlay.name;
            Hop::Silent(format!("the next hop {gateway} does not answer on {name}"))
        } else if resolved || in_use {
            Hop::Works(way)
        } else {
            Hop::Unknown(way)
        })
    }
}

/// Is this endpoint the one that the entry sends to? Another port makes no other way.
fn uses(entry: &PeerEntry, endpoint: SocketAddr) -> bool {
    entry.ifindex != 0 && plan::entry_endpoint(entry).ip() == endpoint.ip()
}

/// Says which endpoint is used from now on, where a peer has several.
fn told(peer: &config::Peer, entry: Option<&PeerEntry>, way: PeerPath) -> PeerPath {
    let first = peer.endpoint().is_some_and(|first| first.value == way.endpoint);
    let changed = entry.map_or(!first, |entry| !uses(entry, way.endpoint));
    if peer.endpoints.len() > 1 && changed {
        tracing::info!(peer = %peer.name, "packets go to its endpoint {}", way.endpoint);
    }
    way
}

/// Could the way to a peer be better? So it is where it has no way, or one that is not over its first
/// endpoint. An endpoint that is not learned yet cannot be asked for.
pub(in crate::daemon) fn may_improve(
    config: &Config,
    learned: &Endpoints,
    entries: &[PeerEntry],
    peer: usize,
) -> bool {
    let Some((of, entry)) = config.peers.get(peer).zip(entries.get(peer)) else { return false };
    let learned = learned.of(peer).map(|at| at.endpoint);
    let first = of.endpoint().map(|at| at.value).or(learned);
    first.is_some_and(|first| !uses(entry, first))
}
