//! The daemon: brings configuration, host and data plane together and keeps them so.
//!
//! [`run`] starts and stays; [`check`] looks without touching; [`down`] removes what a run left. The
//! order of a start is: look at everything, change nothing; then make, and undo all of it should a
//! step fail. Prints nothing: that is the command line's part.

mod addresses;
mod affected;
mod ageing;
mod api;
mod bring_up;
mod checks;
mod down;
mod event_loop;
mod fits;
mod follow;
mod keys;
mod ladder;
mod obsolete;
mod path_mtu;
mod probing;
mod record;
mod reload;
mod service;
mod shown;
mod swap;
mod underlay;
mod ways;

use std::path::PathBuf;

pub use api::Api;
pub use bring_up::Started;
pub use checks::{Findings, check};
pub use down::{Removed, down};
pub use event_loop::run;

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
