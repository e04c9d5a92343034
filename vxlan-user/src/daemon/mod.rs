//! The daemon: brings configuration, host and data plane together and keeps them so.
//!
//! [`run`] starts and stays; [`check`] looks without touching; [`down`] removes what a run left. The
//! order of a start is: look at everything, change nothing; then make, and undo all of it should a
//! step fail. Prints nothing: that is the command line's part.

mod down;
mod paths;
mod preflight;
mod probing;
mod reconcile;
mod reload;
mod run;
mod serve;
mod takeover;

use std::path::PathBuf;

pub use down::{Removed, down};
pub use preflight::host::{Findings, check};
pub use run::run;
pub use serve::api::Api;
pub use takeover::bring_up::Started;

use crate::{
    dataplane::{Pins, Reader},
    state::{RunDir, State},
};

/// Where one daemon keeps its things.
#[derive(Clone, Debug)]
pub struct Places {
    pub config: PathBuf,
    pub run_dir: RunDir,
    pub pins: Pins,
}

impl Places {
    /// What the data plane on record counts and knows, also while no daemon runs.
    ///
    /// # Errors
    /// It is not pinned here, or what was counted before is not readable.
    pub fn reader(&self, state: &State) -> anyhow::Result<Reader> {
        let carried = self.run_dir.carried(state.generations.first())?;
        Ok(Reader::open(&self.pins, &state.generations, carried)?)
    }
}
