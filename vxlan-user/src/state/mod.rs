//! What a daemon made on this host, on disk: so that `show` can name it and `down` can remove exactly
//! that, also when the daemon is gone. Owns the run directory, nothing in the kernel.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    net::{IpAddr, SocketAddr},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    dataplane::{Attachment, Generation, TcHook, Totals},
    plan::LearnedEndpoint,
};

/// Of the file. It changes when a version would misread another's; what is merely added is left out by
/// those that do not know it.
const FORMAT: u32 = 1;

/// The whole of it. Order of peers and networks is the order of their indices in the maps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub node: String,
    pub underlay: Underlay,
    pub peers: Vec<Peer>,
    pub networks: Vec<Network>,
    /// Members in the order of their indices.
    pub members: Vec<Member>,
    /// For a start, which then has to lose nothing to find them once more.
    #[serde(default)]
    pub narrow_paths: Vec<NarrowPath>,
    /// The maps, the oldest first: the last one is at work, or about to be, and those before it have
    /// counters that were not carried over yet. Empty until there is one.
    pub generations: Vec<Generation>,
    /// Entries that the daemon put into each map.
    pub entries: Vec<Entries>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Underlay {
    pub interface: String,
    /// The first of `addresses`.
    pub address: IpAddr,
    /// What packets are sent from: one of each family that there is.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// Absent until attached.
    pub xdp: Option<Attachment>,
    /// Absent: nothing was attached, or meant to be.
    pub tc: Option<Tc>,
    /// Why nothing can pass at present, or not from every address.
    #[serde(default)]
    pub lost: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tc {
    pub hook: TcHook,
    /// The clsact qdisc of the underlay interface was not there before.
    pub made_clsact: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    pub name: String,
    /// The first of them, or the learned one; on the pinned tables' word, see [`Peer::use_endpoint`],
    /// the one in use. Absent: it is not learned yet.
    pub endpoint: Option<SocketAddr>,
    /// Of the family of `endpoint`, else any.
    pub private_address: Option<IpAddr>,
    /// In the order of preference.
    #[serde(default)]
    pub endpoints: Vec<SocketAddr>,
    #[serde(default)]
    pub private_addresses: Vec<IpAddr>,
    /// What its probes have proved, if its endpoint is learned: a restart begins with it.
    #[serde(default)]
    pub learned: Option<LearnedEndpoint>,
}

/// As it is on disk.
#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    #[serde(flatten)]
    state: &'a State,
}

/// What is read of the file first.
#[derive(Deserialize)]
struct Format {
    /// Versions before the first one that had this did not say.
    #[serde(default)]
    format: u32,
}

impl Peer {
    /// Notes which endpoint is in use.
    pub fn use_endpoint(&mut self, endpoint: Option<SocketAddr>) {
        self.endpoint = endpoint;
        let same_family =
            |at: &&IpAddr| endpoint.is_some_and(|endpoint| at.is_ipv4() == endpoint.is_ipv4());
        let private = self.private_addresses.iter().find(same_family);
        self.private_address = private.or(self.private_addresses.first()).copied();
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    pub vni: u32,
    pub interface: String,
    pub hidden: String,
    /// 0 until made.
    pub ifindex: u32,
    pub mtu: u32,
    pub addresses: Vec<IpNet>,
    /// Prefixes that the daemon saw to a route for; it removes those that are marked as its own.
    pub routes: Vec<IpNet>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub peer: usize,
    pub network: usize,
    pub allowed_ips: Vec<IpNet>,
}

/// A path that takes less than link and route allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NarrowPath {
    pub endpoint: SocketAddr,
    pub mtu: u32,
    /// From this on it may have become wider: seconds since boot, as [`uptime`](crate::dataplane::uptime)
    /// counts them.
    pub until: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entries {
    pub map: String,
    pub entries: u64,
    pub capacity: u64,
}

/// The end of the name of a file that is being written.
const HALF: &str = "new";
/// The beginning of the name of a file of [`RunDir::carried`].
const CARRIED: &str = "carried-";

/// The run directory.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
}

/// Held by the daemon as long as it runs.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl RunDir {
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    fn state_file(&self) -> PathBuf {
        self.path.join("state.json")
    }

    fn lock_file(&self) -> PathBuf {
        self.path.join("lock")
    }

    /// Where the daemon answers the command line.
    pub fn api_socket(&self) -> PathBuf {
        self.path.join("api.sock")
    }

    /// Makes the directory and takes the lock.
    ///
    /// # Errors
    /// With [`io::ErrorKind::WouldBlock`] where a daemon runs already; the message has its number.
    pub fn lock(&self) -> io::Result<Lock> {
        loop {
            let lock = self.lock_once()?;
            // The previous holder may have removed the file between our opening and locking it; then
            // somebody else can lock the new one.
            let locked = lock.file.metadata()?.ino();
            if fs::metadata(self.lock_file()).is_ok_and(|now| now.ino() == locked) {
                return Ok(lock);
            }
        }
    }

    fn lock_once(&self) -> io::Result<Lock> {
        fs::create_dir_all(&self.path).map_err(|error| self.said(&self.path, &error))?;
        let path = self.lock_file();
        let mut file = File::options()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| self.said(&path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = fs::read_to_string(&path).unwrap_or_default();
                let message = format!(
                    "a daemon is running already in {} (process {pid}). Stop it first, for example \
                     with `kill {pid}`",
                    self.path.display(),
                    pid = pid.trim(),
                );
                return Err(io::Error::new(io::ErrorKind::WouldBlock, message));
            }
            Err(TryLockError::Error(error)) => return Err(self.said(&path, &error)),
        }
        file.set_len(0)?;
        write!(file, "{}", std::process::id())?;
        Ok(Lock { file })
    }

    /// Does a daemon run here?
    pub fn is_locked(&self) -> bool {
        File::open(self.lock_file())
            .is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }

    fn said(&self, path: &Path, error: &io::Error) -> io::Error {
        let hint = "name another run directory with --run-dir";
        io::Error::new(error.kind(), format!("{}: {error}; {hint}", path.display()))
    }

    /// Was anything made, by this run or a previous one?
    pub fn has_state(&self) -> bool {
        self.state_file().exists()
    }

    /// The state of the present or the previous run. `None`: nothing was made, or `down` removed it.
    ///
    /// # Errors
    /// With [`io::ErrorKind::InvalidData`] where the file is damaged, so that nobody can read it.
    pub fn load(&self) -> io::Result<Option<State>> {
        let path = self.state_file();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.said(&path, &error)),
        };
        let bad = |kind, what: String| {
            let message = format!("{}: {what}", path.display());
            io::Error::new(kind, message)
        };
        let damaged = |error| {
            let what = format!(
                "{error}: the file is damaged. Traffic goes on, and nothing was changed. `vxlan down` \
                 removes what is pinned, and then a start is possible"
            );
            bad(io::ErrorKind::InvalidData, what)
        };
        let Format { format } = serde_json::from_str(&text).map_err(damaged)?;
        if format != FORMAT {
            let who = if format > FORMAT { "a newer" } else { "an older" };
            let what = format!(
                "written by {who} version (format {format}, this program knows {FORMAT}). Traffic goes \
                 on, and nothing was changed. Start that version, or remove what it made with its \
                 `vxlan down`"
            );
            return Err(bad(io::ErrorKind::Unsupported, what));
        }
        serde_json::from_str(&text).map(Some).map_err(damaged)
    }

    /// What was counted before a generation. Nothing, if nobody wrote that down.
    pub fn carried(&self, generation: Option<&Generation>) -> io::Result<Totals> {
        let Some(generation) = generation else { return Ok(Totals::default()) };
        let path = self.carried_file(generation.number);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Totals::default()),
            Err(error) => return Err(self.said(&path, &error)),
        };
        serde_json::from_str(&text).map_err(|error| {
            let message = format!(
                "{}: {error}: the file is damaged. Without it counters would go backwards: remove it if \
                 they may",
                path.display()
            );
            io::Error::new(io::ErrorKind::InvalidData, message)
        })
    }

    /// Writes that down.
    pub fn store_carried(&self, generation: &Generation, totals: &Totals) -> io::Result<()> {
        let text = serde_json::to_string(totals).map_err(io::Error::other)?;
        self.replace(&self.carried_file(generation.number), &text)
    }

    fn carried_file(&self, generation: u64) -> PathBuf {
        self.path.join(format!("{CARRIED}{generation}.json"))
    }

    /// The files of generations that are no more.
    pub fn remove_carried_except(&self, keep: Option<&Generation>) -> io::Result<()> {
        let keep = keep.map(|keep| self.carried_file(keep.number));
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.said(&self.path, &error)),
        };
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(CARRIED) && Some(&path) != keep.as_ref() {
                fs::remove_file(&path).map_err(|error| self.said(&path, &error))?;
            }
        }
        Ok(())
    }

    /// Replaces the state in one step: a reader sees the old one or the new one.
    pub fn store(&self, state: &State) -> io::Result<()> {
        let text = serde_json::to_string(&Written { format: FORMAT, state });
        self.replace(&self.state_file(), &text.map_err(io::Error::other)?)
    }

    fn replace(&self, path: &Path, text: &str) -> io::Result<()> {
        let new = path.with_extension(HALF);
        let mut file = File::create(&new).map_err(|error| self.said(&new, &error))?;
        file.write_all(text.as_bytes()).map_err(|error| self.said(&new, &error))?;
        file.sync_all().map_err(|error| self.said(&new, &error))?;
        fs::rename(&new, path).map_err(|error| self.said(path, &error))
    }

    /// Removes everything this program ever writes there.
    pub fn clear(&self) -> io::Result<()> {
        self.remove_carried_except(None)?;
        // The second one is what somebody has left who was killed while writing the first.
        let half = self.state_file().with_extension(HALF);
        for path in [self.state_file(), half, self.api_socket(), self.lock_file()] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.said(&path, &error));
                }
                _ => {}
            }
        }
        // Somebody else's files may be in it, or it is a mount point: then it stays.
        let _stays = fs::remove_dir(&self.path);
        Ok(())
    }
}
