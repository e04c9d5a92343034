//! The paths that one daemon works with: configuration file, run directory, pins.

use std::path::PathBuf;

use crate::{
    dataplane::{Pins, Reader},
    state::{HostState, RunDir},
};

/// The paths that distinguish one daemon on a host from another.
#[derive(Clone, Debug)]
pub struct Directories {
    /// The configuration file.
    pub config: PathBuf,
    pub run_dir: RunDir,
    pub pins: Pins,
}

impl Directories {
    /// Opens the pinned maps of the data plane that `state` records. Works also while no daemon
    /// runs.
    ///
    /// # Errors
    /// The maps are not pinned here, or the file with carried counters is not readable.
    pub fn reader(&self, state: &HostState) -> anyhow::Result<Reader> {
        let carried = self.run_dir.carried(state.generations.first())?;
        Ok(Reader::open(&self.pins, &state.generations, carried)?)
    }
}
