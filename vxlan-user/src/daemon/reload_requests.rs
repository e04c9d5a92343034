//! Requests to read the configuration again, from a signal, the command line, or a change of the
//! file. [`super::reload`] acts on them.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    signal::unix::Signal,
    sync::{mpsc, oneshot},
    time::{Interval, interval},
};

/// How often a watched file is polled.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// What the requester gets; an error is a message for a person.
pub(super) type ReloadOutcome = Result<(), String>;

/// A request of a requester that waits for the outcome.
pub(super) type ReloadRequest = oneshot::Sender<ReloadOutcome>;

/// Every source of requests.
pub(super) struct ReloadRequests {
    hangup: Signal,
    received: mpsc::Receiver<ReloadRequest>,
    watched: Option<WatchedFile>,
}

impl ReloadRequests {
    /// With `watch` a change of the file is a request, too.
    pub(super) fn new(
        hangup: Signal,
        config: &Path,
        watch: bool,
        received: mpsc::Receiver<ReloadRequest>,
    ) -> Self {
        Self { hangup, received, watched: watch.then(|| WatchedFile::new(config)) }
    }

    /// Waits for the next request; `None` is a request that nobody waits for. Nothing is lost when
    /// the future is dropped before it is ready.
    pub(super) async fn next(&mut self) -> Option<ReloadRequest> {
        let changed = async {
            match &mut self.watched {
                Some(watched) => watched.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.hangup.recv() => None,
            Some(request) = self.received.recv() => Some(request),
            () = changed => None,
        }
    }

    /// The file as it is now is being read.
    pub(super) fn file_is_read(&mut self) {
        if let Some(watched) = &mut self.watched {
            watched.read = FileStamp::read(&watched.path);
        }
    }
}

/// A file that is resolved at now and then: that finds every way of replacing it, renames and links
/// included.
struct WatchedFile {
    path: PathBuf,
    tick: Interval,
    /// The file as it was when the daemon read it.
    read: Option<FileStamp>,
    /// As it was at the latest look: what is still being written changes from look to look.
    last_seen: Option<FileStamp>,
}

/// What tells one version of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
}

impl FileStamp {
    /// `None`: there is no such file.
    fn read(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            file: (found.dev(), found.ino()),
            size: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    }
}

impl WatchedFile {
    fn new(path: &Path) -> Self {
        let now = FileStamp::read(path);
        Self { path: path.to_owned(), tick: interval(POLL_INTERVAL), read: now, last_seen: now }
    }

    async fn changed(&mut self) {
        loop {
            self.tick.tick().await;
            let now = FileStamp::read(&self.path);
            let settled = self.last_seen == now;
            self.last_seen = now;
            if settled && now.is_some() && now != self.read {
                return;
            }
        }
    }
}
