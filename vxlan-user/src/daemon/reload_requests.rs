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

/// The outcome of a reload, which the requester receives. The error is text for the user.
pub(super) type ReloadOutcome = Result<(), String>;

/// A request whose sender waits for the outcome: the channel to send the outcome on.
pub(super) type ReloadRequest = oneshot::Sender<ReloadOutcome>;

/// All sources of requests.
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

    /// Takes the requests that wait.
    pub(super) fn waiting(&mut self) -> impl Iterator<Item = ReloadRequest> {
        std::iter::from_fn(|| self.received.try_recv().ok())
    }

    /// Records which version of the file the daemon is about to read.
    pub(super) fn record_file_version(&mut self) {
        if let Some(watched) = &mut self.watched {
            watched.read = FileStamp::read(&watched.path);
        }
    }
}

/// A file that is polled. Polling finds every replacement of the file, also by a rename and behind
/// a symbolic link.
struct WatchedFile {
    path: PathBuf,
    tick: Interval,
    /// The version that the daemon has read.
    read: Option<FileStamp>,
    /// The version at the latest poll. A file that is still being written differs from poll to
    /// poll.
    last_seen: Option<FileStamp>,
}

/// What distinguishes one version of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    /// Device and inode number.
    file: (u64, u64),
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

impl FileStamp {
    /// `None`: there is no such file.
    fn read(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

impl WatchedFile {
    fn new(path: &Path) -> Self {
        let now = FileStamp::read(path);
        Self { path: path.to_owned(), tick: interval(POLL_INTERVAL), read: now, last_seen: now }
    }

    /// Waits until the file differs from the version that was read, and is the same at two polls in
    /// a row.
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
