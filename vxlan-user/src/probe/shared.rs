//! The latest reports: the prober writes them, `/metrics` and `vxlan show` read them.

use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::Report;

/// A place for the latest report on each peer. Clones are the same place.
#[derive(Clone, Debug, Default)]
pub struct SharedReports(Arc<RwLock<Arc<[Report]>>>);

impl SharedReports {
    /// Replaces all of them: one for each peer, in the order of the configuration.
    pub fn put(&self, reports: Vec<Report>) {
        // A writer that panicked has left the former reports whole.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = reports.into();
    }

    /// The latest; none before the first were put.
    pub fn latest(&self) -> Arc<[Report]> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the daemon answers to `GET /nat`, and `vxlan show nat --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NatReports {
    pub node: String,
    pub peers: Vec<Report>,
}

/// A report to build others from: a peer with a key, of which nothing is known yet.
#[cfg(test)]
pub(crate) fn sample(peer: &str) -> Report {
    use super::{By, Liveness};
    let liveness = Liveness { by: By::Probes, up: None, last_seen: None };
    Report { liveness, ..Report::empty(peer) }
}
