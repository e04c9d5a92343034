//! The latest reports: written by the event loop, read by `/metrics` and `vxlan show`.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use serde::{Deserialize, Serialize};

use super::{brief_report::BriefReport, report::Report};

/// Holds the latest report on each peer. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SharedReports(Arc<RwLock<Vec<Option<BriefReport>>>>);

impl SharedReports {
    /// Sets which peers there are, in the order of the configuration. Those that were there keep
    /// their reports.
    pub fn set_peers<'a>(&self, names: impl Iterator<Item = &'a str>) {
        // A writer that panicked has left every report whole.
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = all.drain(..).flatten();
        let mut known: HashMap<String, BriefReport> =
            known.map(|report| (report.brief().peer.clone(), report)).collect();
        all.extend(names.map(|name| known.remove(name)));
    }

    /// Replaces the reports on some peers, from the one with the index `first` on.
    pub fn put_some(&self, first: usize, reports: Vec<BriefReport>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let end = first + reports.len();
        if all.len() < end {
            all.resize(end, None);
        }
        let replaced = all.iter_mut().skip(first).zip(reports);
        replaced.for_each(|(known, report)| *known = Some(report));
    }

    /// Returns the latest report on each peer on which there is one, without sentences.
    pub fn latest(&self) -> Vec<Arc<Report>> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().flatten().map(|report| Arc::clone(report.brief())).collect()
    }

    /// Returns the same with sentences.
    pub fn latest_full(&self) -> Vec<Report> {
        // Sentences are written without keeping the event loop from its reports.
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        all.iter().flatten().map(BriefReport::full).collect()
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
