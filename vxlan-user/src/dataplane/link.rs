//! Swapping what is attached, without a gap: a pinned link gets another program, and a new link takes the
//! place of an old one whose interface is gone. And the way back, should a later hook refuse.

use std::{
    fs, io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use aya::programs::links::FdLink;

use super::{DataPlaneError, Pins, PreviousFilter, detach, syscall};

/// Ends the name of a link that is not in its place yet. One that a kill has left goes there at the next
/// start.
pub(super) const NEW: &str = "_new";

/// What is pinned at a place now.
pub(super) struct Pinned {
    fd: OwnedFd,
    /// 0: its interface is gone.
    pub(super) ifindex: u32,
}

impl Pinned {
    /// `None`: nothing is pinned there.
    pub(super) fn at(path: &Path) -> Result<Option<Self>, DataPlaneError> {
        if !path.exists() {
            return Ok(None);
        }
        let failed = |error| DataPlaneError::pin(path, error);
        let fd = syscall::pinned(path).map_err(failed)?;
        let ifindex = syscall::link_info(fd.as_fd()).map_err(failed)?.ifindex;
        Ok(Some(Self { fd, ifindex }))
    }

    /// Puts another program in. `false`: the link's interface has gone.
    pub(super) fn swap(&self, program: BorrowedFd<'_>) -> io::Result<bool> {
        match syscall::update_link(self.fd.as_fd(), program) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn detach(&self) -> io::Result<()> {
        syscall::detach_link(self.fd.as_fd())
    }
}

/// Pins a link that was just made, in place of `former`, which is then detached.
pub(super) fn pin(
    link: FdLink,
    path: &Path,
    former: Option<&Pinned>,
) -> Result<(), DataPlaneError> {
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
    former.map_or(Ok(()), Pinned::detach).map_err(failed)
}

/// The programs that were in the pinned links and in filters before a swap.
pub struct AttachedPrograms {
    /// `None`: its program is none that was pinned.
    links: Vec<(PathBuf, Option<OwnedFd>)>,
    filters: Vec<PreviousFilter>,
}

impl AttachedPrograms {
    /// Those of links can be read; those of `filters` are told.
    pub fn read(pins: &Pins, filters: Vec<PreviousFilter>) -> Result<Self, DataPlaneError> {
        let mut programs = Vec::new();
        for path in pins.programs() {
            let failed = |error| DataPlaneError::pin(&path, error);
            let program = syscall::pinned(&path).map_err(failed)?;
            programs.push((syscall::program_id(program.as_fd()).map_err(failed)?, program));
        }
        let mut links = Vec::new();
        for path in pins.links() {
            let failed = |error| DataPlaneError::pin(&path, error);
            let link = syscall::pinned(&path).map_err(failed)?;
            let id = syscall::link_info(link.as_fd()).map_err(failed)?.program;
            let program = programs.iter().find(|(same, _)| *same == id);
            let program = program.map(|(_, fd)| fd.try_clone()).transpose().map_err(failed)?;
            links.push((path, program));
        }
        Ok(Self { links, filters })
    }

    /// Puts them back, and takes off what was attached since. Tries all, and returns what failed.
    pub fn restore(self, pins: &Pins) -> Vec<String> {
        let filters = self.filters.iter().map(PreviousFilter::restore);
        let mut problems: Vec<String> = filters.filter_map(Result::err).collect();
        for path in pins.links() {
            let before = self.links.iter().find(|(known, _)| *known == path);
            let restored = match before {
                Some((_, Some(program))) => syscall::pinned(&path)
                    .and_then(|link| syscall::update_link(link.as_fd(), program.as_fd())),
                Some((_, None)) => Ok(()),
                None => detach::pinned_link(&path),
            };
            problems.extend(restored.err().map(|error| format!("{}: {error}", path.display())));
        }
        problems
    }
}
