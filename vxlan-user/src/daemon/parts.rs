//! What the parts of the daemon need of a new generation, opened before it takes over: from then on
//! nothing may fail, as the previous generation is gone.

use super::{
    directories::Directories,
    probing::ProbingParts,
    reconcile::ageing::{self, AgeingMaps},
    running::ActivePlane,
    serve::program_log::ProgramLog,
};
use crate::{
    dataplane::{LoadOptions, Reader},
    metrics::RttHistogram,
};

/// Maps and sockets, all open.
pub(super) struct Parts {
    pub(super) probing: ProbingParts,
    pub(super) ageing: AgeingMaps,
    /// For the metrics page.
    pub(super) reader: Reader,
    pub(super) program_log: Option<ProgramLog>,
}

impl Parts {
    /// Opens what the parts need of a generation that is filled and pinned. Round-trip times that
    /// there are go on.
    pub(super) fn open(
        directories: &Directories,
        running: &mut ActivePlane,
        options: LoadOptions,
        round_trips: Option<RttHistogram>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            probing: ProbingParts::open(directories, running, round_trips)?,
            ageing: ageing::open(&directories.pins, running.generation())?,
            reader: directories.reader(&running.state)?,
            program_log: ProgramLog::open(running, options)?,
        })
    }
}

/// Opens the counters again once those of the previous generation are carried over, so that its
/// maps need no memory any more. `reader` counts the same, from both generations.
pub(super) fn latest_reader(
    directories: &Directories,
    running: &ActivePlane,
    reader: Reader,
) -> Reader {
    directories.reader(&running.state).unwrap_or(reader)
}
