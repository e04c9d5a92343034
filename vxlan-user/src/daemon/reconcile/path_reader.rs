//! Asks the kernel for paths beside the event loop: one question at a time, over a connection of
//! its own. Which paths, and what follows from the answer, is the [`super::reconciler`]'s matter.

use std::net::IpAddr;

use tokio::task::{JoinError, JoinHandle};

use crate::{
    daemon::paths::kernel_view::{KernelView, PathQuestion},
    host::Host,
};

/// Reads paths.
pub(super) struct PathReader {
    /// Nothing else uses it: the kernel makes one list at a time for each connection.
    host: Host,
    reading: Option<Reading>,
}

/// Paths to some peers that are being read.
struct Reading {
    peers: Vec<usize>,
    task: JoinHandle<KernelView>,
}

impl PathReader {
    pub(super) fn new(host: Host) -> Self {
        Self { host, reading: None }
    }

    /// Returns a reader over the same connection that reads nothing yet.
    pub(super) fn anew(&self) -> Self {
        Self::new(self.host.clone())
    }

    pub(super) fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// Begins to read the paths to some peers; instead of others, if any are being read.
    pub(super) fn begin(&mut self, peers: Vec<usize>, question: PathQuestion) {
        let host = self.host.clone();
        let task = tokio::spawn(async move { question.read(&host).await });
        self.reading = Some(Reading { peers, task });
    }

    /// Waits for the answer, and returns it with the peers. Nothing is lost when the future is
    /// dropped before it is ready. Never ready if nothing is being read.
    pub(super) async fn next(&mut self) -> (Vec<usize>, Result<KernelView, JoinError>) {
        let Some(reading) = &mut self.reading else { return std::future::pending().await };
        let view = (&mut reading.task).await;
        let peers = self.reading.take().map_or_else(Vec::new, |reading| reading.peers);
        (peers, view)
    }

    /// Has the kernel resolve next hops. An answer is an event, and no reason to wait.
    pub(super) fn resolve_neighbours(&self, ifindex: u32, unresolved: Vec<IpAddr>) {
        if unresolved.is_empty() {
            return;
        }
        let host = self.host.clone();
        tokio::spawn(async move {
            if let Err(error) = host.resolve_neighbours(ifindex, &unresolved).await {
                tracing::debug!("{error}");
            }
        });
    }
}
