//! A report whose sentences are still to be written, and what they are drawn from. There is one on
//! each peer every second or few; hardly anybody reads the sentences.

use std::sync::Arc;

use super::report::Report;
use crate::nat::{self, Evidence};

/// A report without sentences, and its evidence.
#[derive(Clone, Debug)]
pub struct BriefReport {
    report: Arc<Report>,
    evidence: Evidence,
    /// A sentence on the overlay of the other end.
    overlay: Option<String>,
}

impl BriefReport {
    pub(super) fn new(report: Report, evidence: Evidence, overlay: Option<String>) -> Self {
        Self { report: Arc::new(report), evidence, overlay }
    }

    /// Returns the report without sentences.
    pub fn brief(&self) -> &Arc<Report> {
        &self.report
    }

    /// Writes the sentences: the reasons for the verdict, and what else is worth saying.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = nat::assess(&self.evidence).evidence;
        sentences.extend(self.overlay.clone());
        sentences
    }

    /// Returns the report with its sentences.
    pub fn full(&self) -> Report {
        Report { evidence: self.sentences(), ..Report::clone(&self.report) }
    }
}
