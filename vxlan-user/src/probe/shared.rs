//! The latest reports: written by the event loop, read by `/metrics` and `vxlan show`.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use serde::{Deserialize, Serialize};

use super::{brief_report::BriefReport, report::Report};

/// So many reports are taken together.
const CHUNK: usize = 128;

type Chunk = Vec<Option<Arc<BriefReport>>>;

/// Holds the latest report on each peer. Clones share it.
///
/// Readers take all reports at once and hold the lock for no longer: the event loop would wait for
/// a reader whose thread has to wait for a CPU.
#[derive(Clone, Debug, Default)]
pub struct SharedReports(Arc<RwLock<Vec<Arc<Chunk>>>>);

impl SharedReports {
    /// Sets which peers there are, in the order of the configuration. Those that were there keep
    /// their reports.
    pub fn set_peers<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let known = self.all();
        let known = known.iter().flat_map(|chunk| chunk.iter()).flatten();
        let known: HashMap<&str, &Arc<BriefReport>> =
            known.map(|report| (report.brief().peer.as_str(), report)).collect();
        let each: Chunk = names.map(|name| known.get(name).copied().cloned()).collect();
        let chunks = each.chunks(CHUNK).map(|chunk| Arc::new(chunk.to_vec())).collect();
        // A writer that panicked has left every report whole.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = chunks;
    }

    /// Replaces the reports on some peers, from the one with the index `first` on.
    pub fn put_some(&self, first: usize, reports: Vec<BriefReport>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (report, at) in reports.into_iter().zip(first..) {
            while all.len() <= at / CHUNK {
                all.push(Arc::default());
            }
            let Some(chunk) = all.get_mut(at / CHUNK).map(Arc::make_mut) else { continue };
            if chunk.len() <= at % CHUNK {
                chunk.resize(at % CHUNK + 1, None);
            }
            if let Some(known) = chunk.get_mut(at % CHUNK) {
                *known = Some(Arc::new(report));
            }
        }
    }

    /// Returns the latest report on each peer on which there is one, without sentences.
    pub fn latest(&self) -> Vec<Arc<Report>> {
        let all = self.all();
        let each = all.iter().flat_map(|chunk| chunk.iter()).flatten();
        each.map(|report| Arc::clone(report.brief())).collect()
    }

    /// Returns the same with sentences.
    pub fn latest_full(&self) -> Vec<Report> {
        let all = self.all();
        all.iter().flat_map(|chunk| chunk.iter()).flatten().map(|report| report.full()).collect()
    }

    fn all(&self) -> Vec<Arc<Chunk>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        nat::{DeclaredFacts, SourcePorts},
        probe::UnkeyedPeer,
    };

    fn report(peer: &str) -> BriefReport {
        let (endpoint, private, public) = (None, None, None);
        let ports = SourcePorts::Flow;
        let facts = DeclaredFacts { endpoint, learned: false, private, public, ports };
        UnkeyedPeer::new(peer, Duration::from_secs(1), facts).report(Duration::from_secs(1))
    }

    fn names(reports: &SharedReports) -> Vec<String> {
        reports.latest().iter().map(|report| report.peer.clone()).collect()
    }

    #[test]
    fn what_a_reader_has_stays_as_it_was_and_each_report_keeps_its_place() {
        let reports = SharedReports::default();
        let many: Vec<String> = (0..CHUNK + 9).map(|number| format!("p{number}")).collect();
        // Parts that are not those of the chunks.
        for (first, part) in many.chunks(50).enumerate().map(|(part, of)| (part * 50, of)) {
            reports.put_some(first, part.iter().map(|name| report(name)).collect());
        }
        assert_eq!(names(&reports), many);
        let before = reports.all();
        reports.put_some(CHUNK, vec![report("other")]);
        assert_eq!(names(&reports)[CHUNK], "other");
        assert_eq!(before[1][0].as_ref().map(|report| &report.brief().peer), Some(&many[CHUNK]));
        assert!(Arc::ptr_eq(&before[0], &reports.all()[0]), "what did not change is shared");
        reports.set_peers(["new", "p3", "p130"].into_iter());
        assert_eq!(names(&reports), ["p3", "p130"]);
    }
}
