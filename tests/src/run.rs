//! One run of the harness: a name prefix that no other run has, and a directory for its files and
//! its BPF pins. Owns the prefix, the directory, and the lock that tells others the run is alive.
//! Topologies and namespaces belong to a run; `sweep` removes runs whose owner is dead.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Once,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::{Flock, FlockArg};

pub use crate::run_names::{LAB, ROOT};
use crate::{
    bpffs::Bpffs,
    netns::Netns,
    run_names::{OWNER, TEST},
    sweep,
};

static NEXT: AtomicU32 = AtomicU32::new(0);
static SWEPT: Once = Once::new();

/// Dropping it unmounts its bpffs and removes its directory. Namespaces must be gone by then, so
/// keep the run as the last field of whatever owns both.
#[derive(Debug)]
pub struct Run {
    prefix: String,
    dir: PathBuf,
    bpffs: Option<Bpffs>,
    /// Held until the process dies, however it dies.
    _owner: Flock<File>,
}

impl Run {
    /// A run of a test. The first one in a process sweeps what dead runs have left.
    pub fn new() -> Result<Self> {
        need_root()?;
        let mut swept = Ok(());
        SWEPT.call_once(|| swept = sweep().map(drop));
        swept?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self::create(format!("{TEST}-{}-{number}", std::process::id()))
    }

    /// The lab's run. Removes an earlier lab first; refuses to when that lab is still alive.
    pub fn lab() -> Result<Self> {
        need_root()?;
        sweep()?;
        if let Some(pid) = sweep::live_owner(LAB)? {
            bail!(
                "a lab is up already, run by process {pid}: stop it (Ctrl-C there) and try again"
            );
        }
        Self::create(LAB.to_owned())
    }

    fn create(prefix: String) -> Result<Self> {
        // While this lock is held no sweep can take the new directory for a dead run's.
        let _gate = sweep::gate()?;
        let dir = Path::new(ROOT).join(&prefix);
        fs::create_dir(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let path = dir.join(OWNER);
        fs::write(&path, std::process::id().to_string())?;
        let owner = Flock::lock(File::open(&path)?, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, errno)| errno)
            .with_context(|| format!("locking {}", path.display()))?;
        let mut run = Self { prefix, dir, bpffs: None, _owner: owner };
        run.bpffs = Some(Bpffs::mount(run.dir.join("bpf"))?);
        Ok(run)
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The run's own directory, which goes with it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The run's private BPF file system, for pins.
    pub fn bpffs(&self) -> &Path {
        // `create` has mounted it before anyone can hold a `Run`.
        self.bpffs.as_ref().map_or(&self.dir, Bpffs::path)
    }

    /// A new namespace `<prefix>-<role>`.
    pub fn netns(&self, role: &str) -> Result<Netns> {
        Netns::create(&format!("{}-{role}", self.prefix))
    }

    /// Writes a file into the run's directory.
    pub fn write(&self, name: &str, contents: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        fs::write(&path, contents).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Writes a key for probes there: 32 random bytes, for root alone.
    pub fn write_key(&self, name: &str) -> Result<PathBuf> {
        let mut key = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut key)?;
        let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = self.dir.join(name);
        let mut options = File::options();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| writeln!(file, "{digits}"));
        written.with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // The mount first: a directory with a mount inside cannot be removed.
        self.bpffs = None;
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            eprintln!("harness: cannot remove {}: {error}", self.dir.display());
        }
    }
}

fn need_root() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("network namespaces need root; run this as root");
    }
    Ok(())
}
