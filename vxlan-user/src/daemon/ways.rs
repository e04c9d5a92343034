//! The way to each peer: route and link-layer next hop, followed as they change.

use std::net::IpAddr;

use super::checks::Findings;
use crate::{
    host::{Host, HostError, NeighbourState},
    plan::WayFacts,
};

/// The way to a peer, or why there is none at present: then packets to it are `no_neighbour`.
pub(super) type Way = Result<WayFacts, String>;

/// Asks the kernel's routing for the way to every peer. `reachable` says who had one so far.
pub(super) async fn all(findings: &Findings, host: &Host, reachable: &[bool]) -> Vec<Way> {
    let peers = findings.config.peers.len();
    if let Some(reason) = dead_link(findings, host).await {
        return vec![Err(reason); peers];
    }
    let mut ways = Vec::with_capacity(peers);
    for (peer, reachable) in findings.config.peers.iter().zip(reachable) {
        let way = one(findings, host, peer.endpoint.value.ip(), *reachable).await;
        ways.push(way.unwrap_or_else(|error| Err(error.to_string())));
    }
    ways
}

/// Why nothing at all can leave. A device without carrier takes packets and loses them uncounted.
async fn dead_link(findings: &Findings, host: &Host) -> Option<String> {
    match host.underlay(&findings.underlay.name).await {
        Ok(link) if !link.up => Some(format!("{} is down", link.name)),
        Ok(link) if !link.carrier => Some(format!("{} has no carrier", link.name)),
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    }
}

async fn one(
    findings: &Findings,
    host: &Host,
    endpoint: IpAddr,
    reachable: bool,
) -> Result<Way, HostError> {
    let ifindex = findings.facts.ifindex;
    let hop = host.next_hop(endpoint, ifindex, Some(findings.facts.address.into())).await?;
    let gateway = hop.gateway.unwrap_or(endpoint);
    // The kernel resolves a neighbour when it is first used, so only a failure is news. After one
    // nothing uses it any more: it is asked for again here until it answers.
    let neighbour = host.neighbour(ifindex, gateway).await?;
    let silent = neighbour.is_some_and(|neighbour| {
        neighbour.state == NeighbourState::Failed
            || (neighbour.state == NeighbourState::Incomplete && !reachable)
    });
    if !silent {
        let resolved = neighbour.is_some_and(|neighbour| neighbour.usable_mac().is_some());
        return Ok(Ok(WayFacts { gateway, resolved, mtu: hop.mtu }));
    }
    host.resolve_neighbour(ifindex, gateway).await?;
    Ok(Err(format!("the next hop {gateway} does not answer on {}", findings.underlay.name)))
}
