//! MTUs: those of the overlay interfaces, which follow the underlay's, and those of the paths, from
//! routers and probes.

use std::time::Instant;

use vxlan_common::wire::ipv6::MIN_MTU as MIN_IPV6_MTU;

use super::reconciler::Reconciler;
use crate::{
    daemon::{
        paths::path_mtu::{self, OwnPackets},
        running::ActivePlane,
    },
    host::IcmpMessage,
    plan,
};

/// A path whose MTU a router has reported to be below the known one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::daemon) struct NarrowedPath {
    pub(in crate::daemon) peer: usize,
    pub(in crate::daemon) previous_mtu: u32,
    pub(in crate::daemon) mtu: u32,
}

impl Reconciler<'_> {
    /// Sets the MTU of each overlay interface whose network declares none to what the MTU of the
    /// underlay allows. Returns whether an MTU has changed.
    pub(super) async fn apply_overlay_mtus(&self, running: &mut ActivePlane) -> bool {
        let ActivePlane { preflight, state, .. } = running;
        let mut changed = false;
        for (network, record) in preflight.config.networks.iter().zip(&mut state.networks) {
            let fits = preflight.overlay_mtu(network);
            // Below that the kernel would take IPv6 off the interface, addresses and routes with
            // it.
            let min_mtu = if network.has_ipv6() { MIN_IPV6_MTU } else { 0 };
            let (old, new) = (record.mtu, fits.max(min_mtu));
            if network.mtu.is_some() || new == old {
                continue;
            }
            let vni = network.vni.value;
            match self.host.set_overlay_mtu(&record.interface, new).await {
                Ok(()) => {
                    record.mtu = new;
                    changed = true;
                    tracing::info!(%vni, "MTU of {}: {new}, was {old}", record.interface);
                }
                Err(error) => tracing::warn!(%vni, "MTU of {} stays: {error}", record.interface),
            }
            if new > fits {
                tracing::warn!(
                    %vni,
                    "{fits} bytes would fit {}, and IPv6 needs {new}: longer packets are dropped",
                    preflight.underlay.name
                );
            }
        }
        changed
    }

    /// Applies the path MTU that probes have found; with `None` they no longer know it. With
    /// `proved` the probes count more than the report of a router.
    pub(in crate::daemon) fn set_probed_mtu(
        &mut self,
        running: &mut ActivePlane,
        peer: usize,
        mtu: Option<u32>,
        proved: bool,
    ) -> anyhow::Result<()> {
        let (Some(probed), Some(entry)) =
            (self.probed_mtus.get_mut(peer), running.plan.peers.get_mut(peer))
        else {
            return Ok(());
        };
        *probed = mtu;
        let endpoint = plan::entry_endpoint(entry);
        if proved {
            self.path_mtus.remove(endpoint);
        }
        let route_mtu = self.route_mtus.get(peer).copied().unwrap_or(entry.mtu);
        let new = self.path_mtus.limit(endpoint, route_mtu).min(mtu.unwrap_or(u32::MAX));
        if new != entry.mtu {
            let name = &running.preflight.config.peers[peer].name;
            tracing::info!(peer = %name, "path MTU {new}, was {}: found by probes", entry.mtu);
            entry.mtu = new;
            running.plane.set_peer(peer as u32, entry)?;
        }
        Ok(())
    }

    /// Applies the report of a router that a packet was too big. Returns the peer whose path is
    /// narrower now.
    pub(in crate::daemon) fn packet_too_big(
        &mut self,
        running: &mut ActivePlane,
        message: &IcmpMessage,
    ) -> anyhow::Result<Option<NarrowedPath>> {
        // Anyone can send ICMP messages, so the cheap check comes before the set of own packets is
        // made.
        if !path_mtu::is_packet_too_big(&message.bytes, message.from.is_ipv6()) {
            return Ok(None);
        }
        let own_packets = OwnPackets::from_plan(&running.plan);
        let Some(reported) = own_packets.parse(&message.bytes, message.from.is_ipv6()) else {
            tracing::debug!("{} reports on a packet that is not ours", message.from);
            return Ok(None);
        };
        let mut narrowed = None;
        let peers = running.plan.peers.iter_mut().zip(&running.preflight.config.peers);
        for (index, (entry, peer)) in peers.enumerate() {
            let old_mtu = entry.mtu;
            if plan::entry_endpoint(entry) != reported.endpoint
                || !self.path_mtus.lower(&reported, old_mtu, Instant::now())
            {
                continue;
            }
            entry.mtu = reported.mtu;
            running.plane.set_peer(index as u32, entry)?;
            tracing::info!(
                peer = %peer.name,
                "path MTU {}, was {old_mtu}: {} had to drop a packet",
                reported.mtu,
                message.from
            );
            narrowed = Some(NarrowedPath { peer: index, previous_mtu: old_mtu, mtu: reported.mtu });
        }
        Ok(narrowed)
    }

    /// Drops routers' reports that are too old, and marks their peers: the path may be wider again.
    pub(in crate::daemon) fn expire_path_mtus(&mut self) {
        for endpoint in self.path_mtus.expire(Instant::now()) {
            tracing::info!("the path to {endpoint} may be as wide as its route again");
            self.dirty.mark_prefix(endpoint.ip().into());
        }
    }
}
