//! Who asks a running daemon to read its configuration again: a signal, the command line, a change of the
//! file. What follows is [`super::reload`]'s matter.

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

/// How often a watched file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The answer to who asked: an error is in the words that a person reads.
pub(super) type Outcome = Result<(), String>;

/// Where a request comes from, if somebody waits for the outcome.
pub(super) type Asked = oneshot::Sender<Outcome>;

/// Everything that can ask for a reload.
pub(super) struct Requests {
    hangup: Signal,
    asked: mpsc::Receiver<Asked>,
    watched: Option<Watched>,
}

impl Requests {
    /// `watch`: a change of the file is a request too.
    pub(super) fn new(
        hangup: Signal,
        config: &Path,
        watch: bool,
        asked: mpsc::Receiver<Asked>,
    ) -> Self {
        Self { hangup, asked, watched: watch.then(|| Watched::new(config)) }
    }

    /// The next one. Nothing is lost when the future is dropped before it is ready.
    pub(super) async fn next(&mut self) -> Option<Asked> {
        let changed = async {
            match &mut self.watched {
                Some(watched) => watched.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.hangup.recv() => None,
            Some(asked) = self.asked.recv() => Some(asked),
            () = changed => None,
        }
    }

    /// What is there is being read now.
    pub(super) fn read(&mut self) {
        if let Some(watched) = &mut self.watched {
            watched.read = Stamp::of(&watched.path);
        }
    }
}

/// A file that is looked at now and then: that finds every way of replacing it, renames and links
/// included.
struct Watched {
    path: PathBuf,
    tick: Interval,
    /// As it was when it was read.
    read: Option<Stamp>,
    /// As it was at the latest look: what is still being written changes from look to look.
    seen: Option<Stamp>,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    /// `None`: there is no such file.
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            file: (found.dev(), found.ino()),
            size: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    }
}

impl Watched {
    fn new(path: &Path) -> Self {
        let now = Stamp::of(path);
        Self { path: path.to_owned(), tick: interval(LOOK), read: now, seen: now }
    }

    async fn changed(&mut self) {
        loop {
            self.tick.tick().await;
            let now = Stamp::of(&self.path);
            let settled = self.seen == now;
            self.seen = now;
            if settled && now.is_some() && now != self.read {
                return;
            }
        }
    }
}
