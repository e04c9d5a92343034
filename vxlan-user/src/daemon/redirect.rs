//! Makes an overlay interface ready for what XDP redirects into its hidden port.

use crate::{
    dataplane::{AttachTarget, DataPlane, DataPlaneError, Pins},
    host::switch_gro_on,
};

/// Has an overlay interface take what XDP redirects there. GRO is switched on with it, for sockets
/// that read merged datagrams; whoever switches it off later has it off.
pub(super) fn take_redirected(
    plane: &mut DataPlane,
    on: AttachTarget<'_>,
    vni: u32,
    pins: &Pins,
) -> Result<(), DataPlaneError> {
    if plane.attach_arrived(on, vni, pins)?
        && let Err(error) = switch_gro_on(on.interface)
    {
        tracing::warn!("GRO on {}: {error}", on.interface);
    }
    Ok(())
}
