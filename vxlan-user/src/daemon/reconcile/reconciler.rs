//! Keeps the entries of peers in line with the host: routes and neighbours, the underlay's MTU,
//! reports of routers, and the endpoints and sizes that probes prove.
//!
//! Events mark peers; [`Reconciler::run_batch`] resolves the paths to marked peers, some at a time,
//! and writes what has changed.

use std::{collections::HashMap, time::Instant};

use vxlan_common::addr::Address;

use super::{
    dirty_set::DirtySet,
    peer_log::{PeerChange, PeerLog},
};
use crate::{
    daemon::{
        directories::Directories,
        paths::{
            path_mtu::{self, LIFETIME, MessageBudget, PathMtus},
            resolution,
            resolved::{PATHS_AT_A_TIME, ResolvedPeer},
        },
        running::ActivePlane,
    },
    dataplane::uptime,
    host::{Host, HostEvent},
    plan,
};

/// What reconciliation needs besides the data plane.
pub(in crate::daemon) struct Reconciler<'a> {
    directories: &'a Directories,
    pub(super) host: &'a Host,
    pub(super) path_mtus: PathMtus,
    pub(super) message_budget: MessageBudget,
    /// By peer: the MTU that link and route allow, whatever MTU the path beyond has.
    pub(super) route_mtus: Vec<u32>,
    /// By peer: the path MTU that probes have found.
    pub(super) probed_mtus: Vec<Option<u32>>,
    /// The peers whose paths must be resolved.
    pub(super) dirty: DirtySet,
    /// The MTU of the underlay interface must be read, whichever peers are marked.
    read_underlay: bool,
    /// An event has marked every peer, and not every path was resolved since.
    full_pass: bool,
    /// The MTU of the underlay has grown. The overlay interfaces get theirs once all paths have it.
    widen_overlays: bool,
    /// What overlay interfaces and their routes shall be like has changed.
    pub(super) overlays_changed: bool,
    /// The record on disk lacks something that was learned.
    pub(super) unsaved: bool,
    pub(super) peer_log: PeerLog,
}

/// Takes the next hops out of the entries of all peers, so that the kernel looks the next hop up
/// for every packet: without a daemon nothing notices that a next hop has ceased to answer.
pub(in crate::daemon) fn clear_next_hops(running: &mut ActivePlane) -> anyhow::Result<()> {
    for (index, peer) in running.plan.peers.iter_mut().enumerate() {
        peer.gateway = Address::ZERO;
        running.plane.set_peer(index as u32, peer)?;
    }
    Ok(())
}

impl<'a> Reconciler<'a> {
    pub(in crate::daemon) fn new(
        directories: &'a Directories,
        host: &'a Host,
        running: &ActivePlane,
    ) -> Self {
        let ActivePlane { preflight, endpoints, plan, .. } = running;
        let mut dirty = DirtySet::new(plan.peers.len());
        for peer in 0..plan.peers.len() {
            let reachable_at = resolution::endpoints(preflight, endpoints, peer);
            dirty.set_addresses(peer, reachable_at.map(|endpoint| endpoint.ip()).collect());
        }
        // Only resolution finds which next hops lead to the peers.
        dirty.mark_all();
        let recorded = &running.state.narrow_paths;
        let path_mtus = PathMtus::from_record(LIFETIME, recorded, Instant::now(), uptime());
        Self {
            directories,
            host,
            path_mtus,
            message_budget: MessageBudget::new(Instant::now()),
            route_mtus: plan.peers.iter().map(|peer| peer.mtu).collect(),
            probed_mtus: vec![None; plan.peers.len()],
            dirty,
            read_underlay: true,
            full_pass: true,
            widen_overlays: false,
            overlays_changed: false,
            unsaved: false,
            peer_log: PeerLog::default(),
        }
    }

    /// Continues under another configuration: keeps the known path MTUs, and what probes have found
    /// about the peers that stay.
    pub(in crate::daemon) fn reload(&mut self, previous: &ActivePlane, running: &ActivePlane) {
        let names = |plane: &ActivePlane| -> Vec<String> {
            plane.preflight.config.peers.iter().map(|peer| peer.name.value.clone()).collect()
        };
        let probed: HashMap<String, Option<u32>> =
            names(previous).into_iter().zip(std::mem::take(&mut self.probed_mtus)).collect();
        let probed_mtus =
            names(running).iter().map(|peer| probed.get(peer).copied().flatten()).collect();
        let path_mtus = std::mem::replace(&mut self.path_mtus, PathMtus::new(LIFETIME));
        *self = Self { path_mtus, probed_mtus, ..Self::new(self.directories, self.host, running) };
    }

    /// Marks the peers that events on the host concern.
    pub(in crate::daemon) fn observe(&mut self, events: &[HostEvent], running: &ActivePlane) {
        let underlay = running.preflight.facts.ifindex;
        for event in events {
            self.dirty.mark_event(event, underlay);
            self.read_underlay |= match event {
                HostEvent::Overrun => true,
                HostEvent::Link { ifindex, .. }
                | HostEvent::LinkRemoved { ifindex, .. }
                | HostEvent::Address { ifindex, .. }
                | HostEvent::AddressRemoved { ifindex, .. } => *ifindex == underlay,
                HostEvent::Route(_)
                | HostEvent::RouteRemoved(_)
                | HostEvent::Neighbour(_)
                | HostEvent::NeighbourRemoved { .. }
                | HostEvent::TrafficControl { .. } => false,
            };
        }
        self.full_pass |= self.read_underlay;
    }

    /// Marks some of the peers whose path may improve: no event tells that a next hop which failed
    /// would answer now.
    pub(in crate::daemon) fn mark_improvable(&mut self, running: &ActivePlane) {
        let ActivePlane { preflight, endpoints, plan, .. } = running;
        self.dirty.mark_some(PATHS_AT_A_TIME, |peer| {
            resolution::may_improve(&preflight.config, endpoints, &plan.peers, peer)
        });
    }

    /// Returns whether [`run_batch`](Self::run_batch) has anything to do.
    pub(in crate::daemon) fn has_work(&self) -> bool {
        self.read_underlay || !self.dirty.is_empty()
    }

    /// Returns the MTU that link and route to a peer allow, whatever MTU the path beyond has.
    pub(in crate::daemon) fn route_mtu(&self, peer: usize) -> Option<u32> {
        self.route_mtus.get(peer).copied()
    }

    /// Brings the next marked peers in line with the host's routes, neighbours and underlay; to be
    /// called again while it [has work](Self::has_work). Returns the peers whose paths may differ
    /// now.
    pub(in crate::daemon) async fn run_batch(
        &mut self,
        running: &mut ActivePlane,
    ) -> anyhow::Result<Vec<usize>> {
        let peers = self.dirty.take(PATHS_AT_A_TIME);
        let ActivePlane { preflight, endpoints, plan, .. } = &*running;
        let entries = Some(&plan.peers[..]);
        let paths = resolution::resolve(preflight, endpoints, self.host, entries, &peers).await;
        self.read_underlay = false;
        let old_mtu = running.preflight.facts.mtu;
        running.preflight.facts.mtu = paths.mtu;
        running.preflight.underlay.mtu = paths.mtu;
        if paths.mtu != old_mtu {
            self.dirty.mark_all();
            self.widen_overlays = paths.mtu > old_mtu;
        }
        let mut changed = paths.mtu < old_mtu && self.plan_overlay_mtus(running);
        self.dirty.record(&paths);
        paths.peers.iter().try_for_each(|resolved| self.apply_path(running, resolved))?;
        if self.dirty.is_empty() && std::mem::take(&mut self.full_pass) {
            tracing::debug!("every path is resolved");
        }
        if self.widen_overlays && self.dirty.is_empty() {
            self.widen_overlays = false;
            changed |= self.plan_overlay_mtus(running);
        }
        if changed && let Err(error) = self.directories.run_dir.store(&running.state) {
            // Only `vxlan show` reads these MTUs.
            tracing::warn!("{error}");
        }
        Ok(peers)
    }

    /// Writes the entry of a peer, where its path has changed.
    pub(super) fn apply_path(
        &mut self,
        running: &mut ActivePlane,
        resolved: &ResolvedPeer,
    ) -> anyhow::Result<()> {
        let (index, path) = (resolved.peer, &resolved.path);
        let (preflight, learned) = (&running.preflight, running.endpoints.of(index));
        let peer = &preflight.config.peers[index];
        let old = running.plan.peers[index];
        let usable = path.as_ref().ok();
        let mut new = plan::peer_entry(peer, &preflight.facts, usable, learned.as_ref(), old.slot);
        if let Some(route_mtu) = self.route_mtus.get_mut(index) {
            *route_mtu = new.mtu;
        }
        let probed = self.probed_mtus.get(index).copied().flatten().unwrap_or(u32::MAX);
        new.mtu = self.path_mtus.limit(plan::entry_endpoint(&new), new.mtu).min(probed);
        if new == old {
            return Ok(());
        }
        running.plane.set_peer(index as u32, &new)?;
        running.plan.peers[index] = new;
        self.overlays_changed |= new.mtu != old.mtu;
        let mut permits =
            |change| self.peer_log.permits(change, peer.name.as_str(), Instant::now());
        match path {
            Ok(path) if old.ifindex == 0 => {
                if permits(PeerChange::Reachable) {
                    tracing::info!(peer = %peer.name, "reachable via {}", path.gateway);
                }
            }
            Ok(path) => tracing::debug!(peer = %peer.name, "the path is now {path:?}"),
            Err(reason) => {
                if permits(PeerChange::Unreachable) {
                    tracing::warn!(peer = %peer.name, "not reachable: {reason}");
                }
            }
        }
        Ok(())
    }

    /// Returns whether what overlay interfaces and their routes shall be like has changed since the
    /// last call.
    pub(in crate::daemon) fn take_overlays_changed(&mut self) -> bool {
        std::mem::take(&mut self.overlays_changed)
    }

    /// Writes to disk what was learned since the last time, for the next start.
    pub(in crate::daemon) fn save(&mut self, running: &mut ActivePlane) {
        self.peer_log.write_omitted();
        // Until every path is resolved, the MTU that link and route allow is not known.
        if !self.full_pass {
            let paths = running.plan.peers.iter().zip(&self.route_mtus);
            let paths =
                paths.map(|(peer, route_mtu)| (plan::entry_endpoint(peer), peer.mtu, *route_mtu));
            let narrow = self.path_mtus.record(paths, Instant::now(), uptime());
            if path_mtu::differ(&narrow, &running.state.narrow_paths) {
                running.state.narrow_paths = narrow;
                self.unsaved = true;
            }
        }
        if !self.unsaved {
            return;
        }
        match self.directories.run_dir.store(&running.state) {
            Ok(()) => self.unsaved = false,
            Err(error) => tracing::warn!("{error}"),
        }
    }
}
