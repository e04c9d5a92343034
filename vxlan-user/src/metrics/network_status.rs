//! Whether packets of each network can pass, shared between the daemon and the metrics page.

use std::sync::{Arc, Mutex, PoisonError};

/// By network, in the order of the record: why packets cannot pass. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SharedNetworks(Arc<Mutex<Vec<Option<String>>>>);

impl SharedNetworks {
    /// Replaces the status of all networks.
    pub fn put(&self, lost: Vec<Option<String>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = lost;
    }

    /// Returns the latest status.
    pub fn latest(&self) -> Vec<Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
