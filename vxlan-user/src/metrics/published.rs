//! The source of the metrics page: replaced by the daemon when its configuration changes, read by
//! the HTTP servers.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use super::{snapshot::LastReload, source::SnapshotSource};

/// Holds the source in use. Clones share it.
#[derive(Clone)]
pub struct Published(Arc<RwLock<(Arc<SnapshotSource>, LastReload)>>);

impl Published {
    /// Holds the source that a start has made.
    pub fn new(source: SnapshotSource) -> Self {
        let reload = LastReload { successful: true, success_at: SystemTime::now() };
        Self(Arc::new(RwLock::new((Arc::new(source), reload))))
    }

    /// Replaces the source after a reload that succeeded.
    pub fn replace(&self, source: SnapshotSource) {
        let reload = LastReload { successful: true, success_at: SystemTime::now() };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = (Arc::new(source), reload);
    }

    /// Records that a reload has failed. The source stays.
    pub fn reload_failed(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).1.successful = false;
    }

    /// Returns the source in use, and how the latest reload ended.
    pub fn latest(&self) -> (Arc<SnapshotSource>, LastReload) {
        let latest = self.0.read().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&latest.0), latest.1)
    }
}
