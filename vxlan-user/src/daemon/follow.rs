//! Keeps a running data plane in line with what changes under it: routes and neighbours, the
//! underlay's MTU, and what routers say of the paths.

use std::time::Instant;

use vxlan_common::addr::Address;

use super::{
    Places,
    bring_up::{Started, speaks_ipv6},
    path_mtu::{self, LIFETIME, Ours, PathMtus},
    ways,
};
use crate::{
    host::{Host, HostEvent, IcmpMessage, MIN_IPV6_MTU},
    plan,
};

/// What following needs besides the data plane.
pub(super) struct Follower<'a> {
    places: &'a Places,
    host: &'a Host,
    paths: PathMtus,
}

/// Can this event change the way to a peer, or what fits through it?
pub(super) fn concerns(event: &HostEvent, running: &Started) -> bool {
    let underlay = running.findings.facts.ifindex;
    match event {
        HostEvent::Overrun | HostEvent::Route(_) | HostEvent::RouteRemoved(_) => true,
        HostEvent::Link { ifindex, .. }
        | HostEvent::LinkRemoved { ifindex, .. }
        | HostEvent::Address { ifindex, .. }
        | HostEvent::AddressRemoved { ifindex, .. }
        | HostEvent::NeighbourRemoved { ifindex, .. } => *ifindex == underlay,
        HostEvent::Neighbour(neighbour) => neighbour.ifindex == underlay,
    }
}

/// From now on nobody tells when a next hop stops to answer: the kernel shall look it up each time.
pub(super) fn unname_next_hops(running: &mut Started) -> anyhow::Result<()> {
    for (index, peer) in running.plan.peers.iter_mut().enumerate() {
        peer.gateway = Address::ZERO;
        running.plane.set_peer(index as u32, peer)?;
    }
    Ok(())
}

impl<'a> Follower<'a> {
    pub(super) fn new(places: &'a Places, host: &'a Host) -> Self {
        Self { places, host, paths: PathMtus::new(LIFETIME) }
    }

    /// Brings everything in line with the host's routes, neighbours and underlay.
    pub(super) async fn follow(&self, running: &mut Started) -> anyhow::Result<()> {
        let Started { findings, endpoints, plan, .. } = &*running;
        let ways = ways::all(findings, endpoints, self.host, Some(&plan.peers)).await;
        let wider = ways.mtu > running.findings.facts.mtu;
        running.findings.facts.mtu = ways.mtu;
        running.findings.underlay.mtu = ways.mtu;
        // An overlay interface never sends what the ways do not take.
        let mut changed = !wider && self.follow_mtu(running).await;
        self.follow_ways(running, &ways.to_peers)?;
        changed |= wider && self.follow_mtu(running).await;
        if changed && let Err(error) = self.places.run_dir.store(&running.state) {
            // Only `vxlan show` reads it now.
            tracing::warn!("{error}");
        }
        Ok(())
    }

    fn follow_ways(&self, running: &mut Started, ways: &[ways::Way]) -> anyhow::Result<()> {
        let findings = &running.findings;
        for (index, (peer, way)) in findings.config.peers.iter().zip(ways).enumerate() {
            let old = running.plan.peers[index];
            let (way, learned) = (way.as_ref(), running.endpoints.of(index));
            let mut new =
                plan::peer_entry(peer, &findings.facts, way.ok(), learned.as_ref(), old.slot);
            new.mtu = self.paths.limit(path_mtu::endpoint(&new), new.mtu);
            if new == old {
                continue;
            }
            running.plane.set_peer(index as u32, &new)?;
            running.plan.peers[index] = new;
            match way {
                Ok(way) if old.ifindex == 0 => {
                    tracing::info!(peer = %peer.name, "now by way of {}", way.gateway);
                }
                Ok(way) => tracing::debug!(peer = %peer.name, "the way is now {way:?}"),
                Err(reason) => tracing::warn!(peer = %peer.name, "not reachable: {reason}"),
            }
        }
        Ok(())
    }

    /// Has the overlay interfaces of networks without an MTU of their own follow the underlay's.
    /// True: one has changed.
    async fn follow_mtu(&self, running: &mut Started) -> bool {
        let Started { findings, state, .. } = running;
        let mut changed = false;
        for (network, made) in findings.config.networks.iter().zip(&mut state.networks) {
            let fits = findings.overlay_mtu(network);
            // Below that the kernel would take IPv6 off the interface, addresses and routes with it.
            let least = if speaks_ipv6(network) { MIN_IPV6_MTU } else { 0 };
            let (old, new) = (made.mtu, fits.max(least));
            if network.mtu.is_some() || new == old {
                continue;
            }
            let vni = network.vni.value;
            match self.host.set_overlay_mtu(&made.interface, new).await {
                Ok(()) => {
                    made.mtu = new;
                    changed = true;
                    tracing::info!(%vni, "MTU of {}: {new}, was {old}", made.interface);
                }
                Err(error) => tracing::warn!(%vni, "MTU of {} stays: {error}", made.interface),
            }
            if new > fits {
                tracing::warn!(
                    %vni,
                    "{fits} bytes would fit {}, and IPv6 needs {new}: longer packets are dropped",
                    findings.underlay.name
                );
            }
        }
        changed
    }

    /// A router says that a packet was too big for it.
    pub(super) fn too_big(
        &mut self,
        running: &mut Started,
        message: &IcmpMessage,
    ) -> anyhow::Result<()> {
        // Anybody can send these: what they are comes before what they are about.
        if !path_mtu::is_too_big(&message.bytes, message.from.is_ipv6()) {
            return Ok(());
        }
        let ours = Ours::of(&running.plan);
        let Some(said) = ours.read(&message.bytes, message.from.is_ipv6()) else {
            tracing::debug!("{} says something of a packet that is not ours", message.from);
            return Ok(());
        };
        let peers = running.plan.peers.iter_mut().zip(&running.findings.config.peers);
        for (index, (entry, peer)) in peers.enumerate() {
            let known = entry.mtu;
            if path_mtu::endpoint(entry) != said.endpoint
                || !self.paths.lower(&said, known, Instant::now())
            {
                continue;
            }
            entry.mtu = said.mtu;
            running.plane.set_peer(index as u32, entry)?;
            tracing::info!(
                peer = %peer.name,
                "path MTU {}, was {known}: {} had to drop a packet",
                said.mtu,
                message.from
            );
        }
        Ok(())
    }

    /// Forgets what routers said long ago. True: something was forgotten, and what it was about must
    /// be looked at again.
    pub(super) fn forget(&mut self) -> bool {
        let old = self.paths.expire(Instant::now());
        for endpoint in &old {
            tracing::info!("the path to {endpoint} may be as wide as its route again");
        }
        !old.is_empty()
    }
}
