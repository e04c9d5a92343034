//! The endpoint that probes for a peer go to.

use std::net::SocketAddr;

use vxlan_common::table::PeerEntry;

use crate::{daemon::running::ActivePlane, plan};

/// Returns the endpoint that data packets for a peer go to at present. `None`: there is no path.
fn data_endpoint(entry: &PeerEntry) -> Option<SocketAddr> {
    (entry.ifindex != 0).then(|| plan::entry_endpoint(entry))
}

/// Returns the endpoint that probes for a peer go to: that of data, or without a path the declared
/// endpoint, so that silence there is noticed.
pub(super) fn destination(running: &ActivePlane, peer: usize) -> Option<SocketAddr> {
    let declared = || running.preflight.config.peers.get(peer)?.endpoint();
    running.plan.peers.get(peer).and_then(data_endpoint).or_else(declared)
}

/// Converts an MTU to the length of an IP packet, which has 16 bits.
pub(super) fn packet_length(bytes: u32) -> u16 {
    u16::try_from(bytes).unwrap_or(u16::MAX)
}
