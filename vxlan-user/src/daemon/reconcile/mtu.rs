//! MTUs: those of the overlay interfaces, which follow the underlay's, and those of the paths, from
//! routers and probes.

use std::time::Instant;

use vxlan_common::{outer, wire::ipv6::MIN_MTU as MIN_IPV6_MTU};

use super::reconciler::Reconciler;
use crate::{
    daemon::{paths::path_mtu, running::ActivePlane},
    dataplane::uptime,
    host::IcmpMessage,
    plan,
};

impl Reconciler<'_> {
    /// Plans for each overlay interface whose network declares no MTU the one that the MTU of the
    /// underlay allows. [`super::overlays`] sets it. Returns whether an MTU has changed.
    pub(super) fn plan_overlay_mtus(&mut self, running: &mut ActivePlane) -> bool {
        let ActivePlane { preflight, state, plan, plane, .. } = running;
        let underlay = &preflight.underlay.name;
        let (mut changed, mut narrow) = (Vec::new(), Vec::new());
        let networks = preflight.config.networks.iter().zip(&mut state.networks).enumerate();
        for (index, (network, record)) in networks {
            let fits = preflight.overlay_mtu(network);
            // Below that the kernel would take IPv6 off the interface, addresses and routes with
            // it.
            let min_mtu = if network.has_ipv6() { MIN_IPV6_MTU } else { 0 };
            let (old, new) = (record.mtu, fits.max(min_mtu));
            if network.mtu.is_some() || new == old {
                continue;
            }
            record.mtu = new;
            if plan.set_redirected_mtu(index, new)
                && let Err(error) = plane.set_redirect(plan, index)
            {
                tracing::warn!("what XDP redirects into {}: {error}", record.interface);
            }
            changed.push(format!("MTU of {}: {new}, was {old}", record.interface));
            if new > fits {
                narrow.push(format!(
                    "{fits} bytes would fit {underlay}, and IPv6 needs {new}: longer packets of {} \
                     are dropped",
                    record.interface
                ));
            }
        }
        first_of(&changed).for_each(|line| tracing::info!("{line}"));
        first_of(&narrow).for_each(|line| tracing::warn!("{line}"));
        self.overlays_changed |= !changed.is_empty();
        !changed.is_empty()
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
        self.narrow_paths_due.request();
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
            self.overlays_changed = true;
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
            self.narrow_paths_due.request();
            self.overlays_changed = true;
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

    /// Has the record follow which paths are narrower than link and route allow.
    pub(super) fn record_narrow_paths(&mut self, running: &mut ActivePlane) {
        // Until every path is resolved, the MTU that link and route allow is not known.
        if self.full_pass || !self.narrow_paths_due.take(Instant::now()) {
            return;
        }
        let paths = running.plan.peers.iter().zip(&self.route_mtus);
        let paths =
            paths.map(|(peer, route_mtu)| (plan::entry_endpoint(peer), peer.mtu, *route_mtu));
        let narrow = self.path_mtus.record(paths, Instant::now(), uptime());
        if path_mtu::differ(&narrow, &running.state.narrow_paths) {
            running.state.narrow_paths = narrow;
            self.record.request();
        }
    }

    /// Drops routers' reports that are too old, and marks their peers: the path may be wider again.
    pub(in crate::daemon) fn expire_path_mtus(&mut self) {
        for endpoint in self.path_mtus.expire(Instant::now()) {
            tracing::info!("the path to {endpoint} may be as wide as its route again");
            self.dirty.mark_prefix(endpoint.ip().into());
        }
    }
}

/// Returns the first lines of many, and one that counts the rest.
fn first_of(lines: &[String]) -> impl Iterator<Item = String> {
    const LISTED: usize = 3;
    let more = lines.len().saturating_sub(LISTED);
    let rest = (more != 0).then(|| format!("the same of {more} more interfaces"));
    lines.iter().take(LISTED).cloned().chain(rest)
}
