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
    dataplane::{Attachment, TcHook},
    plan::{Learned, SlotOwner},
};

/// The whole of it. Order of peers and networks is the order of their indices in the maps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    pub node: String,
    pub underlay: Underlay,
    pub peers: Vec<Peer>,
    pub networks: Vec<Network>,
    /// Members in the order of their indices.
    pub members: Vec<Member>,
    /// By slot number.
    pub slots: Vec<SlotOwner>,
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
    pub learned: Option<Learned>,
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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entries {
    pub map: String,
    pub entries: u64,
    pub capacity: u64,
}

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
            // The former holder may have removed the file between our opening and locking it; then
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

    /// Was anything made, by this run or a former one?
    pub fn has_state(&self) -> bool {
        self.state_file().exists()
    }

    /// The state of the present or the former run. `None`: nothing was made, or `down` removed it.
    pub fn load(&self) -> io::Result<Option<State>> {
        let path = self.state_file();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.said(&path, &error)),
        };
        let state = serde_json::from_str(&text).map_err(|error| {
            let message = format!(
                "{}: {error}. It was not written by this version, or is damaged; remove it after \
                 `ip link delete` of the overlay interfaces",
                path.display()
            );
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?;
        Ok(Some(state))
    }

    /// Replaces the state in one step: a reader sees the old one or the new one.
    pub fn store(&self, state: &State) -> io::Result<()> {
        let new = self.path.join("state.json.new");
        let text = serde_json::to_string_pretty(state).map_err(io::Error::other)?;
        let mut file = File::create(&new).map_err(|error| self.said(&new, &error))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, self.state_file()).map_err(|error| self.said(&new, &error))
    }

    /// Removes everything this program ever writes there.
    pub fn clear(&self) -> io::Result<()> {
        for path in [self.state_file(), self.api_socket(), self.lock_file()] {
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
