//! Where maps and links are pinned: one directory per ABI version below the pin directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aya::{
    maps::{Array, Map, MapData},
    programs::links::{FdLink, PinnedLink},
};
use vxlan_common::{ABI_VERSION, table::Settings};

use super::{DataPlaneError, detach};

/// `BPF_FS_MAGIC` of include/uapi/linux/magic.h.
const BPF_FS_MAGIC: libc::__fsword_t = 0xcafe_4a11;

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

    /// The directory of this version.
    pub fn directory(&self) -> PathBuf {
        self.root.join(format!("v{ABI_VERSION}"))
    }

    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.directory().join(name.to_lowercase())
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

    /// VNIs of the networks that are attached by pinned links.
    pub fn attached_vnis(&self) -> Vec<u32> {
        self.encap_links().into_iter().map(|(vni, _)| vni).collect()
    }

    /// Pinned encap links by VNI.
    pub(super) fn encap_links(&self) -> Vec<(u32, PathBuf)> {
        let Ok(entries) = fs::read_dir(self.directory()) else { return Vec::new() };
        let vni =
            |path: &Path| path.file_name()?.to_str()?.strip_prefix("link_encap_")?.parse().ok();
        let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
        paths.filter_map(|path| Some((vni(&path)?, path))).collect()
    }

    /// Can pins live there? Changes nothing.
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

    /// Makes the directory.
    pub fn prepare(&self) -> Result<(), DataPlaneError> {
        let directory = self.directory();
        fs::create_dir_all(&directory).map_err(|error| DataPlaneError::pin(&directory, error))
    }

    /// Takes the pins for this process, as long as the returned file is open. Two run directories
    /// may name the same pins; the daemons must not. `None`: there is no such directory.
    pub fn lock(&self) -> Result<Option<fs::File>, DataPlaneError> {
        let directory = self.directory();
        let file = match fs::File::open(&directory) {
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
    pub fn decap_program(&self) -> Option<u32> {
        let link = FdLink::from(PinnedLink::from_pin(self.xdp_link()).ok()?);
        Some(link.info().ok()?.program_id())
    }

    /// The settings that the pinned programs go by.
    pub fn settings(&self) -> Option<Settings> {
        let map = Map::Array(MapData::from_pin(self.map("SETTINGS")).ok()?);
        Array::try_from(map).ok()?.get(&0, 0).ok()
    }

    /// Is anything of ours pinned?
    pub fn exist(&self) -> bool {
        fs::read_dir(self.directory()).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Unpins everything. Programs whose only reference was a pin are detached by the kernel.
    pub fn remove(&self) -> Result<(), DataPlaneError> {
        let directory = self.directory();
        remove_tree(&directory).map_err(|error| DataPlaneError::pin(&directory, error))?;
        // Only when nothing else, such as another version's pins, is in it.
        let _not_empty = fs::remove_dir(&self.root);
        Ok(())
    }
}

/// bpffs has no recursive removal of its own, and links must go before the maps they use are missed.
fn remove_tree(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut paths =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    let is_link = |path: &Path| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with("link_"))
    };
    paths.sort_by_key(|path| !is_link(path));
    for path in paths {
        if is_link(&path) { detach::pinned_link(&path)? } else { fs::remove_file(path)? }
    }
    fs::remove_dir(directory)
}

fn is_bpffs(path: &Path) -> io::Result<bool> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
    let mut info = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the path is a C string that outlives the call, and the buffer has room for one statfs.
    if unsafe { libc::statfs(path.as_ptr(), info.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: statfs returned 0, so it has filled the buffer.
    Ok(unsafe { info.assume_init() }.f_type == BPF_FS_MAGIC)
}
