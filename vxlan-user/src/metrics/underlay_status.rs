//! The status of the underlay interface, shared between the daemon and the metrics page.

use std::sync::{Arc, Mutex, PoisonError};

use crate::state;

/// The latest status of the underlay interface, as the daemon observes it. Clones share it.
#[derive(Clone, Debug)]
pub struct SharedUnderlay(Arc<Mutex<state::UnderlayRecord>>);

impl SharedUnderlay {
    pub fn new(now: state::UnderlayRecord) -> Self {
        Self(Arc::new(Mutex::new(now)))
    }

    /// Replaces the status.
    pub fn put(&self, now: &state::UnderlayRecord) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone_from(now);
    }

    /// Returns the latest status.
    pub fn latest(&self) -> state::UnderlayRecord {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
