//! The latest reports: written by the event loop, read by `/metrics` and `vxlan show`.

use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::report::Report;

/// Holds the latest report on each peer. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SharedReports(Arc<RwLock<Arc<[Report]>>>);

impl SharedReports {
    /// Replaces all reports: one for each peer, in the order of the configuration.
    pub fn put(&self, reports: Vec<Report>) {
        // A writer that panicked has left the previous reports whole.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = reports.into();
    }

    /// Returns the latest reports; none before the first were put.
    pub fn latest(&self) -> Arc<[Report]> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The answer to `GET /nat`, which `vxlan show nat --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NatReports {
    pub node: String,
    pub peers: Vec<Report>,
}

/// Returns a report to build others from: of a peer with a key of which nothing is known yet.
#[cfg(test)]
pub(crate) fn sample(peer: &str) -> Report {
    use super::report::{Liveness, LivenessSource};
    let liveness = Liveness { by: LivenessSource::Probes, up: None, last_seen: None };
    Report { keyed: true, liveness, ..Report::empty(peer) }
}
