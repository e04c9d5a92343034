//! Puts what is known of the underlay interface and of the hooks into record and metrics.

use super::publisher::Publisher;
use crate::{
    metrics::SharedUnderlay,
    state::{HostState, Record, RunDir, UnderlayRecord},
};

/// What was published last.
pub(super) struct UnderlayPublication {
    status: SharedUnderlay,
    /// What is in the status, or will be once the record is on disk.
    published: UnderlayRecord,
    publisher: Publisher,
}

impl UnderlayPublication {
    pub(super) fn new(state: &HostState) -> Self {
        let published = state.underlay.clone();
        let status = SharedUnderlay::new(published.clone());
        Self { status, published, publisher: Publisher::default() }
    }

    /// Returns where the status is reported.
    pub(super) fn status(&self) -> SharedUnderlay {
        self.status.clone()
    }

    /// Continues with a record that is on disk.
    pub(super) fn reload(&mut self, state: &HostState) {
        self.put(state, None);
    }

    /// Begins to store the record and then to report the status, if it has changed.
    pub(super) fn publish(&mut self, run_dir: &RunDir, state: &HostState) {
        if self.published != state.underlay {
            self.put(state, Some(run_dir.record(state.clone())));
        }
    }

    fn put(&mut self, state: &HostState, record: Option<Record>) {
        self.published.clone_from(&state.underlay);
        let (now, status) = (self.published.clone(), self.status.clone());
        self.publisher.publish_after(record, move |stored| {
            if let Err(error) = stored {
                tracing::warn!("{error}");
            }
            status.put(&now);
        });
    }
}
