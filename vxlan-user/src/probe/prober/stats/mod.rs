//! Statistics of the probes of both sides, which the verdict and the report are computed from.
//!
//! Files, lowest first; a file imports only from those before it:
//!
//! 1. `probe_stats`
//! 2. `summary`

mod probe_stats;
mod summary;

pub(super) use probe_stats::{ProbeStats, ReceivedAs};
