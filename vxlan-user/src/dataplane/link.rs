//! Pinned links. A takeover leaves no gap: a pinned link gets another program, and a new link takes
//! the place of one whose interface is gone.

use std::{
    fs, io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
};

use aya::programs::links::FdLink;

use super::{
    error::DataPlaneError,
    pins::NEW,
    syscall::{self, TcxHook},
};

/// The link that is pinned at a path.
pub(super) struct PinnedLink {
    fd: OwnedFd,
    /// The kernel's number of the link.
    id: u32,
    /// 0: the interface is gone.
    pub(super) ifindex: u32,
    /// The kernel's number of the program in it.
    pub(super) program: u32,
}

impl PinnedLink {
    /// Opens a link. `None`: nothing is pinned there.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, DataPlaneError> {
        if !path.exists() {
            return Ok(None);
        }
        let failed = |error| DataPlaneError::pin(path, error);
        let fd = syscall::pinned(path).map_err(failed)?;
        let info = syscall::link_info(fd.as_fd()).map_err(failed)?;
        Ok(Some(Self { fd, id: info.id, ifindex: info.ifindex, program: info.program }))
    }

    /// Replaces the program in the link. `false`: the link's interface has gone.
    pub(super) fn replace(&self, program: BorrowedFd<'_>) -> io::Result<bool> {
        match syscall::update_link(self.fd.as_fd(), program) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns whether the link is the first of those in its hook.
    pub(super) fn is_first(&self, hook: TcxHook) -> io::Result<bool> {
        syscall::is_first_tcx_link(self.id, self.ifindex, hook)
    }

    fn detach(&self) -> io::Result<()> {
        syscall::detach_link(self.fd.as_fd())
    }
}

impl From<PinnedLink> for OwnedFd {
    fn from(link: PinnedLink) -> Self {
        link.fd
    }
}

/// Pins a new link in place of `previous`, which is then detached. Returns the new link.
pub(super) fn pin(
    link: FdLink,
    path: &Path,
    previous: Option<&PinnedLink>,
) -> Result<OwnedFd, DataPlaneError> {
    let failed = |error: io::Error| DataPlaneError::pin(path, error);
    // No name on a BPF file system has a dot.
    let new =
        path.with_file_name(format!("{}{NEW}", path.file_name().unwrap_or_default().display()));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    link.pin(&new).map_err(|error| DataPlaneError::pin(&new, error))?;
    fs::rename(&new, path).map_err(failed)?;
    let link = syscall::pinned(path).map_err(failed)?;
    previous.map_or(Ok(()), PinnedLink::detach).map_err(failed)?;
    Ok(link)
}
