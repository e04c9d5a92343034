//! Keeps the entries of peers in line with the host: routes and neighbours, the underlay's MTU,
//! reports of routers, and the endpoints and sizes that probes prove.
//!
//! Events mark peers. The kernel is asked for the paths to marked peers beside the event loop, to
//! some at a time ([`Reconciler::next_paths`]); what has changed is written in a turn of the loop
//! ([`Reconciler::apply_paths`]).

use std::{collections::HashMap, time::Instant};

use vxlan_common::addr::Address;

use super::{
    dirty_set::DirtySet,
    path_reader::PathReader,
    peer_log::{PeerChange, PeerLog},
    record_writer::RecordWriter,
};
use crate::{
    daemon::{
        directories::Directories,
        paths::{
            kernel_view::KernelView,
            path_mtu::{ComparisonDue, LIFETIME, MessageBudget, PathMtus},
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
    paths: PathReader,
    pub(super) path_mtus: PathMtus,
    pub(super) narrow_paths_due: ComparisonDue,
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
    pub(super) full_pass: bool,
    /// The MTU of the underlay has grown. The overlay interfaces get theirs once all paths have it.
    widen_overlays: bool,
    /// What overlay interfaces and their routes shall be like has changed.
    pub(super) overlays_changed: bool,
    pub(super) record: RecordWriter,
    pub(super) peer_log: PeerLog,
}

/// What the kernel has answered about the paths to some peers.
pub(in crate::daemon) struct ReadPaths {
    peers: Vec<usize>,
    view: KernelView,
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
    /// `reader` is a connection that nothing else uses.
    pub(in crate::daemon) fn new(
        directories: &'a Directories,
        reader: Host,
        running: &ActivePlane,
    ) -> Self {
        Self::with_paths(directories, PathReader::new(reader), running)
    }

    fn with_paths(directories: &'a Directories, paths: PathReader, running: &ActivePlane) -> Self {
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
            paths,
            path_mtus,
            narrow_paths_due: ComparisonDue::new(Instant::now()),
            message_budget: MessageBudget::new(Instant::now()),
            route_mtus: plan.peers.iter().map(|peer| peer.mtu).collect(),
            probed_mtus: vec![None; plan.peers.len()],
            dirty,
            read_underlay: true,
            full_pass: true,
            widen_overlays: false,
            overlays_changed: false,
            record: RecordWriter::default(),
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
        let new = Self::with_paths(self.directories, self.paths.anew(), running);
        *self = Self { path_mtus, probed_mtus, ..new };
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
    pub(in crate::daemon) fn mark_improvable(&mut self) {
        self.dirty.mark_improvable(PATHS_AT_A_TIME);
    }

    /// Returns whether there are paths to read, or being read.
    pub(in crate::daemon) fn has_work(&self) -> bool {
        self.paths.is_reading() || self.read_underlay || !self.dirty.is_empty()
    }

    /// Returns the MTU that link and route to a peer allow, whatever MTU the path beyond has.
    pub(in crate::daemon) fn route_mtu(&self, peer: usize) -> Option<u32> {
        self.route_mtus.get(peer).copied()
    }

    /// Reads the paths to the next marked peers; to be called again while there is
    /// [work](Self::has_work). Nothing is lost when the future is dropped before it is ready.
    pub(in crate::daemon) async fn next_paths(&mut self, running: &ActivePlane) -> ReadPaths {
        loop {
            if !self.paths.is_reading() {
                self.read_underlay = false;
                let peers = self.dirty.take(PATHS_AT_A_TIME);
                let ActivePlane { preflight, endpoints, .. } = running;
                let question = resolution::question(preflight, endpoints, &peers);
                self.paths.begin(peers, question);
            }
            match self.paths.next().await {
                (peers, Ok(view)) => return ReadPaths { peers, view },
                // The task was neither aborted nor does it panic, unless the process ends.
                (peers, Err(_)) => peers.into_iter().for_each(|peer| self.dirty.mark(peer)),
            }
        }
    }

    /// Brings peers in line with the host's routes, neighbours and underlay, as they were read.
    /// Returns the peers whose paths may differ now.
    pub(in crate::daemon) fn apply_paths(
        &mut self,
        running: &mut ActivePlane,
        ReadPaths { peers, view }: ReadPaths,
    ) -> anyhow::Result<Vec<usize>> {
        let ActivePlane { preflight, endpoints, plan, .. } = &*running;
        if view.ifindex() != preflight.facts.ifindex {
            // The underlay has another interface by now.
            peers.into_iter().for_each(|peer| self.dirty.mark(peer));
            return Ok(Vec::new());
        }
        let entries = Some(&plan.peers[..]);
        let (paths, unresolved) = resolution::paths(&view, preflight, endpoints, entries, &peers);
        self.paths.resolve_neighbours(preflight.facts.ifindex, unresolved);
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
        if changed {
            self.record.request();
        }
        Ok(paths.peers.iter().map(|resolved| resolved.peer).collect())
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
        if let Some(route_mtu) = self.route_mtus.get_mut(index)
            && std::mem::replace(route_mtu, new.mtu) != new.mtu
        {
            self.narrow_paths_due.request();
        }
        let probed = self.probed_mtus.get(index).copied().flatten().unwrap_or(u32::MAX);
        new.mtu = self.path_mtus.limit(plan::entry_endpoint(&new), new.mtu).min(probed);
        let improvable = resolution::may_improve(peer, learned.as_ref(), &new);
        self.dirty.set_improvable(index, improvable);
        if new == old {
            return Ok(());
        }
        running.plane.set_peer(index as u32, &new)?;
        running.plan.peers[index] = new;
        self.narrow_paths_due.request();
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

    /// Begins to write to disk what was learned since the last time, for the next start.
    pub(in crate::daemon) fn save(&mut self, running: &mut ActivePlane) {
        self.peer_log.write_omitted();
        self.record_narrow_paths(running);
        self.record.write(&self.directories.run_dir, &running.state);
    }

    /// Writes to disk what was learned, before the daemon ends.
    pub(in crate::daemon) fn finish(&mut self, running: &mut ActivePlane) {
        self.peer_log.write_omitted();
        self.narrow_paths_due.request();
        self.record_narrow_paths(running);
        self.record.finish(&self.directories.run_dir, &running.state);
    }
}
