//! MTUs: those of the overlay interfaces, which follow the underlay's, and those of the paths, from
//! routers and probes.

use std::time::Instant;

use vxlan_common::{outer, wire::ipv6::MIN_MTU as MIN_IPV6_MTU};

use super::reconciler::Reconciler;
use crate::{
    daemon::{paths::path_mtu, running::ActivePlane},
    host::IcmpMessage,
    plan,
};

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

    /// Takes in the message of a router that a packet was too big. `probe` has the path to a peer
    /// probed, and returns whether that can be done: then the message is a reason to probe and no
    /// more. Else it is believed if it quotes enough of the packet.
    pub(in crate::daemon) fn packet_too_big(
        &mut self,
        running: &mut ActivePlane,
        message: &IcmpMessage,
        mut probe: impl FnMut(usize, u32) -> bool,
    ) -> anyhow::Result<()> {
        let (now, from) = (Instant::now(), message.from);
        let settings = &running.plan.settings;
        let Some(parsed) = path_mtu::Message::parse(settings, &message.bytes, from.is_ipv6())
        else {
            return Ok(());
        };
        let report =
            if self.message_budget.take(now) { parsed.report(&running.plan) } else { None };
        let Some(report) = report else {
            tracing::debug!("{from} reports on a packet that is not ours");
            return Ok(());
        };
        let peers = running.plan.peers.iter_mut().zip(&running.preflight.config.peers);
        for (index, (entry, peer)) in peers.enumerate() {
            let (old_mtu, mtu) = (entry.mtu, report.mtu);
            if plan::entry_endpoint(entry) != report.endpoint || probe(index, report.reported) {
                continue;
            }
            if !report.is_plausible {
                tracing::debug!(peer = %peer.name, "{from} quotes too little to be believed");
                continue;
            }
            if !self.path_mtus.lower(&report, old_mtu, now) {
                continue;
            }
            entry.mtu = mtu;
            running.plane.set_peer(index as u32, entry)?;
            tracing::info!(
                peer = %peer.name,
                "path MTU {mtu}, was {old_mtu}: {from} had to drop a packet"
            );
            if report.reported < mtu {
                tracing::warn!(
                    peer = %peer.name,
                    "{from} reports an MTU of {}, and anyone could do that: without a `key_file` \
                     for probes to prove it, no path is taken to be narrower than {mtu}. If that \
                     is true, longer packets are lost: set `mtu` of the network to at most {}",
                    report.reported,
                    report.reported.saturating_sub(outer::overhead(entry.family))
                );
            }
        }
        Ok(())
    }

    /// Drops routers' reports that are too old, and marks their peers: the path may be wider again.
    pub(in crate::daemon) fn expire_path_mtus(&mut self) {
        for endpoint in self.path_mtus.expire(Instant::now()) {
            tracing::info!("the path to {endpoint} may be as wide as its route again");
            self.dirty.mark_prefix(endpoint.ip().into());
        }
    }
}
