//! The run directory and the record in it.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::records::HostState;

/// The format of the record. It changes when one version of this program would misread the record
/// of another. A version ignores fields that it does not know.
const FORMAT: u32 = 1;

/// The record as it is written to the file.
#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    #[serde(flatten)]
    state: &'a HostState,
}

/// The part of the file that is read first.
#[derive(Deserialize)]
struct Format {
    /// Absent in files of the first versions.
    #[serde(default)]
    format: u32,
}

/// Extension of a file that is being written.
const PARTIAL: &str = "new";

/// The run directory.
#[derive(Clone, Debug)]
pub struct RunDir {
    pub(super) path: PathBuf,
    /// Held by whoever writes the record.
    writers: Arc<Mutex<Writers>>,
    /// How many records were to be written so far.
    records: Arc<AtomicU64>,
}

/// Which record is in the file.
#[derive(Debug, Default)]
struct Writers {
    latest: u64,
}

impl RunDir {
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), writers: Arc::default(), records: Arc::default() }
    }

    fn state_file(&self) -> PathBuf {
        self.path.join("state.json")
    }

    pub(super) fn lock_file(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// Returns the path of the socket where the daemon answers the command line.
    pub fn api_socket(&self) -> PathBuf {
        self.path.join("api.sock")
    }

    pub(super) fn error_at(&self, path: &Path, error: &io::Error) -> io::Error {
        let hint = match error.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => "make room on that file system",
            Some(libc::EMFILE) => "raise the limit of open files (`ulimit -n`, LimitNOFILE=)",
            Some(libc::ENFILE) => "raise the system's limit of open files (sysctl fs.file-max)",
            Some(libc::EIO) => "the file system has failed: see `dmesg`",
            _ => "name another run directory with --run-dir",
        };
        io::Error::new(error.kind(), format!("{}: {error}; {hint}", path.display()))
    }

    /// Returns whether there is a record: this run or a previous run has made something.
    pub fn has_state(&self) -> bool {
        self.state_file().exists()
    }

    /// Loads the record of the present or the previous run. `None`: nothing was made, or `down` has
    /// removed everything.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] where the file is damaged, so that no version can read it;
    /// [`io::ErrorKind::Unsupported`] where another version has written it.
    pub fn load(&self) -> io::Result<Option<HostState>> {
        let path = self.state_file();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.error_at(&path, &error)),
        };
        let unreadable = |kind, what: String| {
            let message = format!("{}: {what}", path.display());
            io::Error::new(kind, message)
        };
        let damaged = |error| {
            let what = format!(
                "{error}: the file is damaged. Traffic goes on, and nothing was changed. `vxlan \
                 down` removes what is pinned, and then a start is possible"
            );
            unreadable(io::ErrorKind::InvalidData, what)
        };
        let Format { format } = serde_json::from_str(&text).map_err(damaged)?;
        if format != FORMAT {
            let age = if format > FORMAT { "a newer" } else { "an older" };
            let what = format!(
                "written by {age} version (format {format}, this program knows {FORMAT}). Traffic \
                 goes on, and nothing was changed. Start that version, or remove what it made with \
                 its `vxlan down`"
            );
            return Err(unreadable(io::ErrorKind::Unsupported, what));
        }
        serde_json::from_str(&text).map(Some).map_err(damaged)
    }

    /// Replaces the record in one step: a reader sees the old record or the new record.
    pub fn store(&self, state: &HostState) -> io::Result<()> {
        self.store_as(self.next_record(), state)
    }

    /// Returns a record that is to be stored later. It does not replace one that is to be stored
    /// after it, whichever is written first.
    pub fn record(&self, state: HostState) -> Record {
        Record { run_dir: self.clone(), number: self.next_record(), state }
    }

    /// Returns whether the file lacks a record that was to be stored. Waits for one that is being
    /// written.
    pub fn is_behind(&self) -> bool {
        let writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        writers.latest != self.records.load(Ordering::Relaxed)
    }

    fn next_record(&self) -> u64 {
        self.records.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn store_as(&self, number: u64, state: &HostState) -> io::Result<()> {
        let text = serde_json::to_string(&Written { format: FORMAT, state });
        let text = text.map_err(io::Error::other)?;
        // A writer that panicked has written a whole record, or none.
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        if writers.latest > number {
            return Ok(());
        }
        self.replace(&self.state_file(), &text)?;
        writers.latest = number;
        Ok(())
    }

    /// Replaces a file of the directory, see [`replace_file`].
    pub(super) fn replace(&self, path: &Path, text: &str) -> io::Result<()> {
        replace_file(path, text).map_err(|error| self.error_at(path, &error))
    }

    /// Removes everything that this program ever writes to the directory.
    pub fn clear(&self) -> io::Result<()> {
        self.remove_carried_except(None)?;
        // A process that was killed while it wrote the record has left the partial file.
        let partial = self.state_file().with_extension(PARTIAL);
        for path in [self.state_file(), partial, self.api_socket(), self.lock_file()] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.error_at(&path, &error));
                }
                _ => {}
            }
        }
        // With foreign files in it, or as a mount point, the directory stays.
        let _stays = fs::remove_dir(&self.path);
        Ok(())
    }
}

/// A record that is to be stored.
#[derive(Debug)]
pub struct Record {
    run_dir: RunDir,
    number: u64,
    state: HostState,
}

impl Record {
    /// Stores the record on a thread of its own, as a disk may be slow.
    pub fn store_aside(self) -> JoinHandle<io::Result<()>> {
        let Self { run_dir, number, state } = self;
        tokio::task::spawn_blocking(move || run_dir.store_as(number, &state))
    }
}

/// Writes a file under another name first, so that a file is never there in part.
pub(super) fn replace_file(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension(PARTIAL);
    let mut file =
        File::options().create(true).write(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_node(node: &str) -> HostState {
        let state = serde_json::json!({
            "node": node, "underlay": { "interface": "eth0", "address": "192.0.2.1" },
            "peers": [], "networks": [], "members": [], "generations": [], "entries": [],
        });
        serde_json::from_value(state).expect("a record")
    }

    #[test]
    fn an_earlier_record_does_not_replace_a_later_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let run_dir = RunDir::new(directory.path());
        let (first, second) = (run_dir.next_record(), run_dir.clone().next_record());
        assert!(run_dir.is_behind());
        for (number, node) in [(second, "later"), (first, "earlier")] {
            run_dir.store_as(number, &with_node(node)).expect("stored");
            let loaded = run_dir.load().expect("read").expect("there is a record");
            assert_eq!(loaded.node, "later");
            assert!(!run_dir.is_behind());
        }
    }
}
