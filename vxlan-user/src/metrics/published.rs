//! What is shown at present, and since when: the daemon replaces it when its configuration changes,
//! servers read it.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use super::Source;

/// How the latest attempt to apply the configuration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastReload {
    pub successful: bool,
    /// When it last was.
    pub success_at: SystemTime,
}

/// A place for the source at work. Clones are the same place.
#[derive(Clone)]
pub struct Published(Arc<RwLock<(Arc<Source>, LastReload)>>);

impl Published {
    /// What a start has brought up.
    pub fn new(source: Source) -> Self {
        let reload = LastReload { successful: true, success_at: SystemTime::now() };
        Self(Arc::new(RwLock::new((Arc::new(source), reload))))
    }

    /// A reload has succeeded.
    pub fn replace(&self, source: Source) {
        let reload = LastReload { successful: true, success_at: SystemTime::now() };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = (Arc::new(source), reload);
    }

    /// A reload has failed, and everything is as it was.
    pub fn failed(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).1.successful = false;
    }

    pub fn latest(&self) -> (Arc<Source>, LastReload) {
        let latest = self.0.read().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&latest.0), latest.1)
    }
}
