//! The way to each peer: route and link-layer next hop, followed as they change.

use std::net::IpAddr;

use super::checks::Findings;
use crate::{
    host::{Host, HostError, NeighbourState},
    plan::WayFacts,
};

/// Asks the kernel's routing for the way to every peer. `None`: there is none at present, and packets
/// to that peer are counted as `no_neighbour`.
pub(super) async fn all(findings: &Findings, host: &Host) -> Vec<Option<WayFacts>> {
    let mut ways = Vec::with_capacity(findings.config.peers.len());
    for peer in &findings.config.peers {
        let endpoint = peer.endpoint.value.ip();
        ways.push(match one(findings, host, endpoint).await {
            Ok(way) => way,
            Err(error) => {
                tracing::warn!(peer = %peer.name, "no way to the peer: {error}");
                None
            }
        });
    }
    ways
}

async fn one(
    findings: &Findings,
    host: &Host,
    endpoint: IpAddr,
) -> Result<Option<WayFacts>, HostError> {
    let ifindex = findings.facts.ifindex;
    let hop = host.next_hop(endpoint, ifindex, Some(findings.facts.address.into())).await?;
    let gateway = hop.gateway.unwrap_or(endpoint);
    // The kernel resolves a neighbour when it is first used, so only a failure is news.
    let neighbour = host.neighbour(ifindex, gateway).await?;
    if neighbour.is_some_and(|neighbour| neighbour.state == NeighbourState::Failed) {
        host.resolve_neighbour(ifindex, gateway).await?;
        tracing::warn!(%gateway, "the next hop does not answer; asking again");
        return Ok(None);
    }
    Ok(Some(WayFacts { gateway, mtu: hop.mtu }))
}
