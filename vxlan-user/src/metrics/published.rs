//! The source of the metrics page: replaced by the daemon when its configuration changes, read by
//! the HTTP servers.

use std::{
    sync::{Arc, PoisonError, RwLock, RwLockWriteGuard},
    time::SystemTime,
};

use super::{snapshot::LastReload, source::SnapshotSource};

/// Changes whenever a source was replaced, or a reload has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Version(u64);

struct Latest {
    source: Arc<SnapshotSource>,
    reload: LastReload,
    version: Version,
}

/// Holds the source in use. Clones share it.
#[derive(Clone)]
pub struct Published(Arc<RwLock<Latest>>);

impl Published {
    /// Holds the source that a start has made.
    pub fn new(source: SnapshotSource) -> Self {
        let reload = LastReload { successful: true, success_at: SystemTime::now() };
        let version = Version::default();
        Self(Arc::new(RwLock::new(Latest { source: Arc::new(source), reload, version })))
    }

    /// Replaces the source after a reload that succeeded.
    pub fn replace(&self, source: SnapshotSource) {
        let reload = LastReload { successful: true, success_at: SystemTime::now() };
        let mut latest = self.latest_mut();
        (latest.source, latest.reload) = (Arc::new(source), reload);
    }

    /// Records that a reload has failed. The source stays.
    pub fn reload_failed(&self) {
        self.latest_mut().reload.successful = false;
    }

    /// Returns the source in use, and how the latest reload ended.
    pub(super) fn latest(&self) -> (Arc<SnapshotSource>, LastReload, Version) {
        let latest = self.0.read().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&latest.source), latest.reload, latest.version)
    }

    /// Returns what is about to be changed, as another version.
    fn latest_mut(&self) -> RwLockWriteGuard<'_, Latest> {
        let mut latest = self.0.write().unwrap_or_else(PoisonError::into_inner);
        latest.version.0 += 1;
        latest
    }
}
