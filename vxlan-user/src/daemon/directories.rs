//! Where one daemon keeps what it makes, and reads what it is to do.

use std::path::PathBuf;

use crate::{
    dataplane::{Pins, Reader},
    state::{HostState, RunDir},
};

/// The paths that tell one daemon on a host from another.
#[derive(Clone, Debug)]
pub struct Directories {
    /// The configuration file.
    pub config: PathBuf,
    pub run_dir: RunDir,
    pub pins: Pins,
}

impl Directories {
    /// Opens the pinned maps of the data plane in `state`, which works also while no daemon runs.
    ///
    /// # Errors
    /// It is not pinned here, or what was counted before is not readable.
    pub fn reader(&self, state: &HostState) -> anyhow::Result<Reader> {
        let carried = self.run_dir.carried(state.generations.first())?;
        Ok(Reader::open(&self.pins, &state.generations, carried)?)
    }
}
