//! Where maps and links are pinned: links in a directory named after the ABI version, below the pin
//! directory; the maps of each generation in a numbered one below that.

use std::{
    fs::{self, DirBuilder},
    io,
    os::{fd::AsFd as _, unix::fs::DirBuilderExt as _},
    path::{Path, PathBuf},
};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use vxlan_common::ABI_VERSION;

use super::{detach, error::DataPlaneError, generation::Generation, syscall};

/// The end of the name of a link that is pinned and not yet at its final path. A start that is
/// killed leaves such a name; the next start moves that link to its path.
pub(super) const NEW: &str = "_new";
/// The beginning of the name of a pinned program; maps have others.
const PROGRAM: &str = "prog_";

/// The pins of one daemon.
#[derive(Clone, Debug)]
pub struct Pins {
    root: PathBuf,
}

impl Pins {
    /// `root` is the pin directory of the command line; nothing is touched yet.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Returns the directory of this ABI version.
    pub fn directory(&self) -> PathBuf {
        self.root.join(format!("v{ABI_VERSION}"))
    }

    /// Returns the directories of all ABI versions that have pinned something.
    fn versions(&self) -> Vec<PathBuf> {
        let is_version = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.strip_prefix('v').is_some_and(|number| number.parse::<u32>().is_ok())
        };
        entries(&self.root).into_iter().filter(is_version).collect()
    }

    pub(super) fn map(&self, generation: u64, name: &str) -> PathBuf {
        self.directory().join(generation.to_string()).join(name.to_lowercase())
    }

    /// Returns the paths at which the generations of this ABI version have a map, if they have it.
    pub(super) fn maps(&self, name: &str) -> Vec<PathBuf> {
        let generations = entries(&self.directory()).into_iter();
        generations.map(|generation| generation.join(name.to_lowercase())).collect()
    }

    pub(super) fn map_of(&self, generation: &Generation, name: &str) -> PathBuf {
        self.maps_of(generation).join(name.to_lowercase())
    }

    pub(super) fn program(&self, generation: u64, name: &str) -> PathBuf {
        self.directory().join(generation.to_string()).join(format!("{PROGRAM}{name}"))
    }

    /// Returns the paths of the programs of a generation.
    pub(super) fn programs_of(&self, generation: &Generation) -> Vec<PathBuf> {
        entries(&self.maps_of(generation)).into_iter().filter(|path| is_program(path)).collect()
    }

    /// Returns the path of one program of a generation.
    pub(super) fn program_of(&self, generation: &Generation, name: &str) -> PathBuf {
        self.maps_of(generation).join(format!("{PROGRAM}{name}"))
    }

    /// Returns the paths of the programs of every generation of every version.
    pub(super) fn programs(&self) -> Vec<PathBuf> {
        let generations = self.versions().into_iter().flat_map(|version| entries(&version));
        let all = generations.flat_map(|generation| entries(&generation));
        all.filter(|path| is_program(path)).collect()
    }

    fn maps_of(&self, generation: &Generation) -> PathBuf {
        self.root.join(format!("v{}", generation.abi)).join(generation.number.to_string())
    }

    pub(super) fn xdp_link(&self) -> PathBuf {
        self.directory().join("link_decap")
    }

    pub(super) fn deliver_link(&self) -> PathBuf {
        self.directory().join("link_deliver")
    }

    pub(super) fn encap_link(&self, vni: u32) -> PathBuf {
        self.directory().join(format!("link_encap_{vni}"))
    }

    pub(super) fn arrived_link(&self, vni: u32) -> PathBuf {
        self.directory().join(format!("link_arrived_{vni}"))
    }

    pub(super) fn segmented_link(&self) -> PathBuf {
        self.directory().join("link_segmented")
    }

    /// Returns the paths of all pinned links, of any ABI version.
    pub(super) fn links(&self) -> Vec<PathBuf> {
        let all = self.versions().into_iter().flat_map(|version| entries(&version));
        all.filter(|path| is_link(path)).collect()
    }

    /// Returns the paths of the pinned links of a program on overlay interfaces, with their VNIs.
    pub(super) fn links_of(&self, program: &str) -> Vec<(u32, PathBuf)> {
        let prefix = format!("link_{program}_");
        let vni = |path: &Path| path.file_name()?.to_str()?.strip_prefix(&prefix)?.parse().ok();
        self.links().into_iter().filter_map(|path| Some((vni(&path)?, path))).collect()
    }

    /// Checks that pins can live there. Changes nothing.
    ///
    /// # Errors
    /// The nearest existing directory is not on a BPF file system.
    pub fn check(&self) -> Result<(), DataPlaneError> {
        let existing = self.root.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
        if !is_bpffs(existing).map_err(|error| DataPlaneError::pin(existing, error))? {
            return Err(DataPlaneError::pin(
                &self.root,
                format!(
                    "{} is not on a BPF file system, which pins need. Mount one: \
                     `mount -t bpf bpf /sys/fs/bpf`, or name another place with --pin-dir",
                    existing.display()
                ),
            ));
        }
        Ok(())
    }

    /// Makes the directory of this version, and moves the links of other versions into it: a link
    /// is the same in all versions, whatever program is in it.
    pub fn prepare(&self) -> Result<(), DataPlaneError> {
        let directory = self.directory();
        self.make_directories().map_err(|error| DataPlaneError::pin(&directory, error))?;
        for link in self.links().into_iter().filter(|link| link.parent() != Some(&directory)) {
            let Some(name) = link.file_name() else { continue };
            fs::rename(&link, directory.join(name))
                .map_err(|error| DataPlaneError::pin(&link, error))?;
        }
        for link in self.links() {
            let name = link.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(name) = name.strip_suffix(NEW) {
                fs::rename(&link, directory.join(name))
                    .map_err(|error| DataPlaneError::pin(&link, error))?;
            }
        }
        Ok(())
    }

    /// Makes the directories. The pin directory, unless it is there already, is root's alone: who
    /// can open it can hold its lock.
    fn make_directories(&self) -> io::Result<()> {
        if !self.root.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.root)?;
        }
        fs::create_dir_all(self.directory())
    }

    /// Takes the pins for this process, as long as the returned file is open. Two run directories
    /// may name the same pins; the daemons must not. `None`: there is no such directory.
    pub fn lock(&self) -> Result<Option<fs::File>, DataPlaneError> {
        let directory = &self.root;
        let file = match fs::File::open(directory) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DataPlaneError::pin(directory, error)),
        };
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => Err(DataPlaneError::pin(
                directory,
                "a running daemon uses these pins; name its --run-dir, or another --pin-dir",
            )),
            Err(fs::TryLockError::Error(error)) => Err(DataPlaneError::pin(directory, error)),
        }
    }

    /// The XDP program behind the pinned link, if there is one.
    ///
    /// # Errors
    /// There is a link, and it cannot be read: whose a program is cannot be told then.
    pub fn decap_program(&self) -> Result<Option<u32>, DataPlaneError> {
        self.program_in(&self.xdp_link())
    }

    /// Returns the number of the program that sees received packets first: in XDP or, if there is
    /// none, in TC.
    ///
    /// # Errors
    /// There is a link, and it cannot be read.
    pub fn receiving_program(&self) -> Result<Option<u32>, DataPlaneError> {
        match self.decap_program()? {
            Some(program) => Ok(Some(program)),
            None => self.program_in(&self.deliver_link()),
        }
    }

    /// Returns the number of the program in the link of that name, of any ABI version.
    fn program_in(&self, link: &Path) -> Result<Option<u32>, DataPlaneError> {
        let is_it = |path: &PathBuf| path.file_name() == link.file_name();
        let Some(path) = self.links().into_iter().find(is_it) else { return Ok(None) };
        let info = syscall::pinned(&path).and_then(|link| syscall::link_info(link.as_fd()));
        info.map(|info| Some(info.program)).map_err(|error| DataPlaneError::pin(&path, error))
    }

    /// Returns whether this daemon has pinned anything.
    pub fn exist(&self) -> bool {
        self.versions().iter().any(|version| !entries(version).is_empty())
    }

    /// Returns a number above those of all pinned generations and of all `known` ones.
    pub fn next_generation(&self, known: &[Generation]) -> u64 {
        let number = |path: &PathBuf| path.file_name()?.to_str()?.parse().ok();
        let versions = self.versions();
        let pinned = versions.iter().flat_map(|version| entries(version));
        let pinned = pinned.filter_map(|path| number(&path));
        pinned.chain(known.iter().map(|known| known.number)).max().map_or(1, |last: u64| last + 1)
    }

    /// Unpins the maps of all generations but those to keep. Their programs, if any is still
    /// attached, go on.
    pub fn remove_generations_except(&self, keep: &[u64]) -> Result<(), DataPlaneError> {
        for directory in self.versions() {
            for path in entries(&directory).into_iter().filter(|path| !is_link(path)) {
                let number = path
                    .file_name()
                    .and_then(|name| name.to_str())
                    .and_then(|name| name.parse().ok());
                if number.is_some_and(|number: u64| !keep.contains(&number)) {
                    remove_tree(&path).map_err(|error| DataPlaneError::pin(&path, error))?;
                }
            }
            if directory != self.directory() {
                // What else is in it is not ours to judge.
                let _not_empty = fs::remove_dir(&directory);
            }
        }
        Ok(())
    }

    /// Unpins everything, of all versions. Programs whose only reference was a pin are detached.
    pub fn remove(&self) -> Result<(), DataPlaneError> {
        for directory in self.versions() {
            remove_tree(&directory).map_err(|error| DataPlaneError::pin(&directory, error))?;
        }
        // Only when nothing else is in it.
        let _not_empty = fs::remove_dir(&self.root);
        Ok(())
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.filter_map(Result::ok).map(|entry| entry.path()).collect()
}

fn is_link(path: &Path) -> bool {
    begins_with(path, "link_")
}

fn is_program(path: &Path) -> bool {
    begins_with(path, PROGRAM)
}

fn begins_with(path: &Path, prefix: &str) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(prefix))
}

/// Removes links first and detaches them at once, so that nothing uses the rest any more.
fn remove_tree(directory: &Path) -> io::Result<()> {
    let mut paths = entries(directory);
    paths.sort_by_key(|path| !is_link(path));
    for path in paths {
        if is_link(&path) {
            detach::pinned_link(&path)?;
        } else if path.is_dir() {
            remove_tree(&path)?;
        } else {
            fs::remove_file(path)?;
        }
    }
    fs::remove_dir(directory)
}

fn is_bpffs(path: &Path) -> io::Result<bool> {
    Ok(statfs(path)?.filesystem_type() == BPF_FS_MAGIC)
}
