//! How many lines of the daemon's log were lost. Counted where the log is written, which is the
//! command line's part.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A count. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct LostLines(Arc<AtomicU64>);

impl LostLines {
    pub fn add(&self, lines: u64) {
        self.0.fetch_add(lines, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
