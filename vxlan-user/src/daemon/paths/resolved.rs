//! Resolved paths to peers, as values. How paths are resolved is in `resolution`.

use std::{collections::HashMap, net::IpAddr};

use crate::{
    host::{Neighbour, NeighbourState},
    plan::PeerPath,
};

/// Paths resolved in one batch, which takes some milliseconds, so that the other branches of the
/// event loop have their turn.
pub(in crate::daemon) const PATHS_AT_A_TIME: usize = 64;

/// The path to a peer, or why there is none at present: then packets to the peer are dropped as
/// `no_neighbour`.
pub(in crate::daemon) type PathResult = Result<PeerPath, String>;

/// The paths to some peers.
pub(in crate::daemon) struct ResolvedPaths {
    /// The present MTU of the underlay interface.
    pub(in crate::daemon) mtu: u32,
    /// In the order of the request.
    pub(in crate::daemon) peers: Vec<ResolvedPeer>,
    /// The neighbour states that these paths were made from, by next hop.
    pub(in crate::daemon) next_hop_states: HashMap<IpAddr, NextHopState>,
}

/// The path to one peer.
pub(in crate::daemon) struct ResolvedPeer {
    pub(in crate::daemon) peer: usize,
    pub(in crate::daemon) path: PathResult,
    /// The next hops to all endpoints of the peer, those not in use included.
    pub(in crate::daemon) next_hops: Vec<IpAddr>,
}

/// The state of a next hop in the kernel's neighbour table, as far as a path depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::daemon) enum NextHopState {
    /// The kernel has a MAC address that it may use.
    Resolved,
    Failed,
    /// There is no entry, or resolution is in progress.
    Unresolved,
}

impl NextHopState {
    pub(in crate::daemon) fn from_neighbour(neighbour: Option<&Neighbour>) -> Self {
        let Some(neighbour) = neighbour else { return Self::Unresolved };
        if neighbour.usable_mac().is_some() {
            Self::Resolved
        } else if neighbour.state == NeighbourState::Failed {
            Self::Failed
        } else {
            Self::Unresolved
        }
    }
}
