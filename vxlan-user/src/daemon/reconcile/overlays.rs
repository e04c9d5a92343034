//! Keeps overlay interfaces, their addresses, settings and routes as the configuration wants them,
//! whoever changes them.

use crate::{
    daemon::{directories::Directories, running::ActivePlane},
    host::{Host, HostEvent},
};

/// Returns whether an event can change what [`reconcile`] reads.
pub(super) fn concerns(event: &HostEvent, _running: &ActivePlane) -> bool {
    matches!(event, HostEvent::Overrun)
}

/// Compares what is on the host with what shall be, and makes the difference good. Returns, for
/// each network whose interface or routes cannot be made good, the index of the network and the
/// reason.
pub(super) async fn reconcile(
    _directories: &Directories,
    _host: &Host,
    _running: &mut ActivePlane,
) -> Vec<(usize, String)> {
    Vec::new()
}
