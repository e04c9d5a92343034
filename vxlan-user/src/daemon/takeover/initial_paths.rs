//! The paths to peers that a takeover begins with, before any packet passes.

use std::{collections::HashMap, time::Instant};

use crate::{
    daemon::{
        paths::{
            path_mtu::{self, PathMtus},
            resolution,
            resolved::{PATHS_AT_A_TIME, PathResult},
        },
        preflight::Preflight,
        reconcile::peer_log::{PeerChange, PeerLog},
        running::ActivePlane,
    },
    dataplane::uptime,
    host::Host,
    plan::{self, Endpoints, LearnedEndpoint, PeerPath, Plan},
    state::{HostState, NarrowPath},
};

/// Lists the endpoints that a previous run has learned, by name of the peer.
pub(super) fn learned_endpoints(previous: Option<&HostState>) -> HashMap<&str, LearnedEndpoint> {
    let peers = previous.into_iter().flat_map(|previous| &previous.peers);
    peers.filter_map(|peer| Some((peer.name.as_str(), peer.learned?))).collect()
}

/// Resolves the paths to the first peers, and to those with a choice of endpoints. The paths to the
/// other peers are assumed, and resolved once traffic passes. A peer without a path is worth a
/// warning, and no reason to fail.
pub(super) async fn resolve(
    preflight: &Preflight,
    endpoints: &Endpoints,
    host: &Host,
) -> Vec<Option<PeerPath>> {
    let peers = &preflight.config.peers;
    let assumed = |peer| match peer {
        0..PATHS_AT_A_TIME => None,
        _ => resolution::assume(preflight, endpoints, peer),
    };
    let mut paths: Vec<Option<PathResult>> = (0..peers.len()).map(assumed).collect();
    let unknown = paths.iter().enumerate().filter(|(_, path)| path.is_none());
    let unknown: Vec<usize> = unknown.map(|(peer, _)| peer).collect();
    for resolved in resolution::resolve(preflight, endpoints, host, &unknown).await {
        paths[resolved.peer] = Some(resolved.path);
    }
    let mut log = PeerLog::default();
    let usable = peers.iter().zip(paths).map(|(peer, path)| match path? {
        Ok(path) => Some(path),
        Err(reason) => {
            if log.permits(PeerChange::Unreachable, peer.name.as_str(), Instant::now()) {
                tracing::warn!(peer = %peer.name, "not reachable: {reason}");
            }
            None
        }
    });
    let usable = usable.collect();
    log.write_omitted();
    usable
}

/// Keeps the present paths to peers whose endpoints stay, until they are resolved again.
pub(super) fn keep_present(plan: &mut Plan, preflight: &Preflight, running: &ActivePlane) {
    let before = &running.preflight;
    if before.facts.ifindex == preflight.facts.ifindex {
        plan.keep_paths(&preflight.config, &running.plan, &before.config);
    }
}

/// Lowers the MTU of each path that a previous run has found to be narrow. Otherwise every packet
/// that is too long would be lost until the path MTU is found again.
pub(super) fn apply_narrow(plan: &mut Plan, recorded: &[NarrowPath]) {
    let paths = PathMtus::from_record(path_mtu::LIFETIME, recorded, Instant::now(), uptime());
    for entry in &mut plan.peers {
        entry.mtu = paths.limit(plan::entry_endpoint(entry), entry.mtu);
    }
}
