//! Undoing a takeover: what was attached before, and putting it back should a later hook refuse.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
};

use aya::programs::ProgramInfo;

use super::{attach_tc::PreviousFilter, detach, error::DataPlaneError, pins::Pins, syscall};

/// The programs in the pinned links and in the filters before a takeover.
pub struct AttachedPrograms {
    /// By the path of the link. `None`: the program in the link is not pinned.
    links: Vec<(PathBuf, Option<OwnedFd>)>,
    filters: Vec<PreviousFilter>,
}

impl AttachedPrograms {
    /// Reads the programs in links; those in `filters` cannot be read, so the caller names them.
    pub fn read(pins: &Pins, filters: Vec<PreviousFilter>) -> Result<Self, DataPlaneError> {
        let mut programs = Vec::new();
        for path in pins.programs() {
            let id =
                ProgramInfo::from_pin(&path).map_err(|error| DataPlaneError::pin(&path, error));
            let program = syscall::pinned(&path).map_err(|error| DataPlaneError::pin(&path, error));
            programs.push((id?.id(), program?));
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

    /// Puts the programs back, and detaches what was attached since. Tries all, and returns what
    /// failed.
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
