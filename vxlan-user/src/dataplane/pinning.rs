//! Pinning what one process has loaded and attached, and pinning it again should somebody have
//! removed the pins. Where pins live is [`Pins`]' matter.

use std::{
    fs,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use super::{
    detach::unpin_link, error::DataPlaneError, loader::DataPlane, names, pins::Pins, syscall,
    tables,
};

impl DataPlane {
    /// Pins every map and program in the directory of a new generation.
    pub fn pin(&mut self, pins: &Pins, generation: u64) -> Result<(), DataPlaneError> {
        self.pin_missing(pins, generation).map(drop)
    }

    /// Pins what is attached and loaded again, where its pin is gone. Returns how many were.
    ///
    /// # Errors
    /// There is no BPF file system any more. The programs stay attached as long as this process
    /// lives.
    pub fn restore_pins(&mut self, pins: &Pins, generation: u64) -> Result<usize, DataPlaneError> {
        let mut restored = 0;
        for (path, link) in &self.links {
            if !path.exists() {
                make_parent(path)?;
                let failed = |error| DataPlaneError::pin(path, error);
                syscall::pin(link.as_fd(), path).map_err(failed)?;
                restored += 1;
            }
        }
        Ok(restored + self.pin_missing(pins, generation)?)
    }

    /// Holds what is pinned now in place of each link: a takeover that failed may have had to
    /// attach anew, in undoing.
    pub fn hold_pinned(&mut self) -> Result<(), DataPlaneError> {
        for (path, link) in self.links.iter_mut().filter(|(path, _)| path.exists()) {
            *link = syscall::pinned(path).map_err(|error| DataPlaneError::pin(path, error))?.into();
        }
        Ok(())
    }

    /// Returns whether pins seem to be gone: a look at some of them, which is cheap.
    pub fn lacks_pins(&self, pins: &Pins, generation: u64) -> bool {
        let [first, last] =
            [self.links.first_key_value(), self.links.last_key_value()].map(Option::into_iter);
        first.chain(last).any(|(path, _)| !path.exists())
            || !pins.map(generation, "SETTINGS").exists()
    }

    /// Detaches the receiving programs that are attached by links, on whichever device those links
    /// are by now.
    pub fn detach_from_underlay(&mut self, pins: &Pins) -> Result<(), DataPlaneError> {
        for path in [pins.xdp_link(), pins.deliver_link()] {
            self.links.remove(&path);
            unpin_link(&path)?;
        }
        Ok(())
    }

    /// Holds a link that is pinned there, as long as this process lives.
    pub(super) fn hold(&mut self, path: PathBuf, link: Option<OwnedFd>) {
        match link {
            Some(link) => self.links.insert(path, link.into()),
            None => self.links.remove(&path),
        };
    }

    fn pin_missing(&mut self, pins: &Pins, generation: u64) -> Result<usize, DataPlaneError> {
        let mut pinned = 0;
        for (name, map) in self.bpf.maps().filter(|(name, _)| tables::is_ours(name)) {
            let path = pins.map(generation, name);
            if !path.exists() {
                make_parent(&path)?;
                map.pin(&path).map_err(|error| DataPlaneError::pin(path, error))?;
                pinned += 1;
            }
        }
        for name in names::PROGRAMS {
            let path = pins.program(generation, name);
            if !path.exists() {
                let program = self.bpf.program_mut(name);
                let program = program.ok_or(DataPlaneError::Missing { what: "program", name })?;
                program.pin(&path).map_err(|error| DataPlaneError::pin(path, error))?;
                pinned += 1;
            }
        }
        Ok(pinned)
    }
}

fn make_parent(path: &Path) -> Result<(), DataPlaneError> {
    let Some(directory) = path.parent() else { return Ok(()) };
    fs::create_dir_all(directory).map_err(|error| DataPlaneError::pin(directory, error))
}
