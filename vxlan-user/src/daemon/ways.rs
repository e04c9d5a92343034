//! The way to each peer: endpoint, link, route and link-layer next hop, followed as they change.

use std::net::SocketAddr;

use vxlan_common::table::Peer;

use super::{addresses, checks::Findings, path_mtu};
use crate::{
    config::{self, Config},
    host::{Host, HostError, NeighbourState},
    plan::{Endpoints, WayFacts},
};

/// The way to a peer, or why there is none at present: then packets to it are `no_neighbour`.
pub(super) type Way = Result<WayFacts, String>;

/// The ways to all peers.
pub(super) struct Ways {
    /// Of the underlay interface, as it is now.
    pub(super) mtu: u32,
    /// In the order of the configuration.
    pub(super) to_peers: Vec<Way>,
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
enum NextHop {
    /// It has answered, or is in use and has not failed.
    Works(WayFacts),
    /// Nothing yet: it has been asked for.
    Unknown(WayFacts),
    /// It does not answer.
    Silent(String),
}

/// Asks the kernel for the way to every peer: over the first of its endpoints that has a route and a
/// next hop that answers, or to what was learned. `entries` says which way each had so far; at a start all are given the
/// benefit of the doubt.
pub(super) async fn all(
    findings: &Findings,
    learned: &Endpoints,
    host: &Host,
    entries: Option<&[Peer]>,
) -> Ways {
    let underlay = now(findings, host).await;
    let mut to_peers = Vec::with_capacity(findings.config.peers.len());
    for index in 0..findings.config.peers.len() {
        let entry = entries.and_then(|entries| entries.get(index));
        to_peers.push(to_peer(findings, learned, host, (index, entry), &underlay).await);
    }
    Ways { mtu: underlay.mtu, to_peers }
}

/// The way to one peer, which has another endpoint now.
pub(super) async fn to(
    findings: &Findings,
    learned: &Endpoints,
    host: &Host,
    entries: &[Peer],
    index: usize,
) -> Way {
    let underlay = now(findings, host).await;
    to_peer(findings, learned, host, (index, entries.get(index)), &underlay).await
}

async fn now(findings: &Findings, host: &Host) -> Now {
    // A device without carrier takes packets and loses them uncounted.
    let link = host.underlay(&findings.underlay.name).await;
    let (mtu, dead) = match &link {
        Ok(link) if !link.up => (link.mtu, Some(format!("{} is down", link.name))),
        Ok(link) if !link.carrier => (link.mtu, Some(format!("{} has no carrier", link.name))),
        Ok(link) => (link.mtu, None),
        Err(error) => (findings.facts.mtu, Some(error.to_string())),
    };
    // As it is now: the kernel makes such an address when the link comes up.
    let asks_ipv6 = addresses::has_link_local(link.as_ref().unwrap_or(&findings.underlay));
    Now { mtu, dead, asks_ipv6 }
}

/// The way over the first endpoint that works, else over one of which nothing is known yet.
async fn to_peer(
    findings: &Findings,
    learned: &Endpoints,
    host: &Host,
    (index, entry): (usize, Option<&Peer>),
    underlay: &Now,
) -> Way {
    let peer = &findings.config.peers[index];
    if let Some(reason) = &underlay.dead {
        return Err(reason.clone());
    }
    let endpoints = || {
        let learned = learned.of(index).map(|at| at.endpoint);
        peer.endpoints.iter().map(|at| at.value).chain(learned)
    };
    if endpoints().next().is_none() {
        return Err("its endpoint is not learned yet".to_owned());
    }
    let mut unknown = None;
    let mut reasons = Vec::new();
    for endpoint in endpoints() {
        let in_use = entry.is_none_or(|entry| uses(entry, endpoint));
        match to_endpoint(findings, host, endpoint, underlay, in_use).await {
            Ok(NextHop::Works(way)) => return Ok(told(peer, entry, way)),
            Ok(NextHop::Unknown(way)) => unknown = unknown.or(Some(way)),
            Ok(NextHop::Silent(reason)) => reasons.push(reason),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    unknown.map(|way| told(peer, entry, way)).ok_or_else(|| reasons.join("; "))
}

/// Is this endpoint the one that the entry sends to? Another port makes no other way.
fn uses(entry: &Peer, endpoint: SocketAddr) -> bool {
    entry.ifindex != 0 && path_mtu::endpoint(entry).ip() == endpoint.ip()
}

/// Says which endpoint is used from now on, where a peer has several.
fn told(peer: &config::Peer, entry: Option<&Peer>, way: WayFacts) -> WayFacts {
    let first = peer.endpoint().is_some_and(|first| first.value == way.endpoint);
    let changed = entry.map_or(!first, |entry| !uses(entry, way.endpoint));
    if peer.endpoints.len() > 1 && changed {
        tracing::info!(peer = %peer.name, "packets go to its endpoint {}", way.endpoint);
    }
    way
}

async fn to_endpoint(
    findings: &Findings,
    host: &Host,
    endpoint: SocketAddr,
    underlay: &Now,
    in_use: bool,
) -> Result<NextHop, HostError> {
    let facts = &findings.facts;
    let hop = host.next_hop(endpoint.ip(), facts.ifindex, facts.source_for(endpoint.ip())).await?;
    let gateway = hop.gateway.unwrap_or(endpoint.ip());
    let mtu = hop.mtu.map_or(underlay.mtu, |of_route| of_route.min(underlay.mtu));
    let neighbour = host.neighbour(facts.ifindex, gateway).await?;
    let resolved = neighbour.is_some_and(|neighbour| neighbour.usable_mac().is_some());
    let way = WayFacts { endpoint, gateway, resolved, mtu };
    if gateway.is_ipv6() && !underlay.asks_ipv6 {
        // Without such an address the kernel asks in the name of packets alone: nothing can be known.
        return Ok(NextHop::Works(way));
    }
    let state = neighbour.map_or(NeighbourState::None, |neighbour| neighbour.state);
    // What is in use the kernel has asked for, so only a failure is news. What failed, and what is
    // not in use, nobody else asks for: until it answers, it is done here.
    let asked = state == NeighbourState::Incomplete;
    let silent = state == NeighbourState::Failed || (asked && !in_use);
    let needs_no_asking = resolved || (asked && in_use);
    if !needs_no_asking {
        host.resolve_neighbour(facts.ifindex, gateway).await?;
    }
    Ok(if silent {
        let name = &findings.underlay.name;
        NextHop::Silent(format!("the next hop {gateway} does not answer on {name}"))
    } else if resolved || in_use {
        NextHop::Works(way)
    } else {
        NextHop::Unknown(way)
    })
}

/// Must next hops be asked for again? So it is where a peer has no way, or one that is not over its
/// first endpoint. An endpoint that is not learned yet cannot be asked for.
pub(super) fn may_improve(config: &Config, learned: &Endpoints, entries: &[Peer]) -> bool {
    config.peers.iter().zip(entries).enumerate().any(|(index, (peer, entry))| {
        let learned = learned.of(index).map(|at| at.endpoint);
        let first = peer.endpoint().map(|at| at.value).or(learned);
        first.is_some_and(|first| !uses(entry, first))
    })
}
