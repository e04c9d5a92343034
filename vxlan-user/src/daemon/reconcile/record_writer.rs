//! Writes the record to disk beside the event loop, one at a time: a disk may be slow. What is in
//! the record is the business of others.

use std::io;

use futures_util::FutureExt;
use tokio::task::JoinHandle;

use crate::state::{HostState, RunDir};

/// What is to be written, and what is being written.
#[derive(Debug, Default)]
pub(super) struct RecordWriter {
    /// The record on disk lacks something.
    unsaved: bool,
    writing: Option<JoinHandle<io::Result<()>>>,
}

impl RecordWriter {
    /// Has the record written with the next [`write`](Self::write).
    pub(super) fn request(&mut self) {
        self.unsaved = true;
    }

    /// Begins to write what is not on disk yet. To be called about once a second.
    pub(super) fn write(&mut self, run_dir: &RunDir, state: &HostState) {
        let written = self.writing.take_if(|writing| writing.is_finished());
        if let Some(Some(Ok(Err(error)))) = written.map(FutureExt::now_or_never) {
            tracing::warn!("{error}");
            self.unsaved = true;
        }
        if self.unsaved && self.writing.is_none() {
            self.unsaved = false;
            self.writing = Some(run_dir.record(state.clone()).store_aside());
        }
    }

    /// Writes what is not known to be on disk, and returns when it is there.
    pub(super) fn finish(&mut self, run_dir: &RunDir, state: &HostState) {
        let unsaved = std::mem::take(&mut self.unsaved);
        if (unsaved || run_dir.is_behind())
            && let Err(error) = run_dir.store(state)
        {
            tracing::warn!("{error}");
        }
    }
}
