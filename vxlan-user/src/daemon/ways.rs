//! The way to each peer: link, route and link-layer next hop, followed as they change.

use std::net::IpAddr;

use super::checks::Findings;
use crate::{
    host::{Host, HostError, NeighbourState},
    plan::WayFacts,
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

/// Asks the kernel for the way to every peer. `reachable` says who had one so far.
pub(super) async fn all(findings: &Findings, host: &Host, reachable: &[bool]) -> Ways {
    // A device without carrier takes packets and loses them uncounted.
    let (mtu, dead) = match host.underlay(&findings.underlay.name).await {
        Ok(link) if !link.up => (link.mtu, Some(format!("{} is down", link.name))),
        Ok(link) if !link.carrier => (link.mtu, Some(format!("{} has no carrier", link.name))),
        Ok(link) => (link.mtu, None),
        Err(error) => (findings.facts.mtu, Some(error.to_string())),
    };
    let mut to_peers = Vec::with_capacity(findings.config.peers.len());
    for (peer, reachable) in findings.config.peers.iter().zip(reachable) {
        to_peers.push(match &dead {
            Some(reason) => Err(reason.clone()),
            None => one(findings, host, peer.endpoint.value.ip(), *reachable)
                .await
                .unwrap_or_else(|error| Err(error.to_string())),
        });
    }
    Ways { mtu, to_peers }
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
