//! The longest recent turn of the event loop: written by the daemon, read by the metrics page.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// How long the longest recent turn of the event loop took. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct LongestTurn(Arc<AtomicU64>);

impl LongestTurn {
    /// Replaces the time.
    pub fn put(&self, turn: Duration) {
        let nanos = u64::try_from(turn.as_nanos()).unwrap_or(u64::MAX);
        self.0.store(nanos, Ordering::Relaxed);
    }

    /// Returns the time.
    pub fn latest(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}
