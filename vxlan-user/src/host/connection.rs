//! The connection to the kernel's routing netlink. Sends nothing by itself.

use super::{error::HostError, patient_socket::PatientSocket};

/// A connection to the kernel's routing netlink, bound to one network namespace.
#[derive(Debug, Clone)]
pub struct Host {
    pub(super) handle: rtnetlink::Handle,
}

impl Host {
    /// Connects to the network namespace that the calling thread is in at this moment.
    ///
    /// Must be called within a tokio runtime: spawns the task that drives the connection, which
    /// ends when the last clone of this `Host` is dropped.
    pub fn new() -> Result<Self, HostError> {
        let (connection, handle, _) =
            rtnetlink::new_connection_with_socket::<PatientSocket>().map_err(HostError::Open)?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }
}
