//! How one job of a guest went.

use std::time::Duration;

use super::tally::Tally;

/// How one job went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) tally: Tally,
    /// By our clock.
    pub(crate) took: Duration,
    /// What is wrong; empty when nothing is.
    pub(crate) problems: Vec<String>,
}

impl Outcome {
    pub(crate) fn sentence(&self) -> String {
        let mut text = format!("{}: ", self.name);
        let Tally { passed, failed, left_out } = &self.tally;
        if passed + failed + left_out.len() > 0 {
            text.push_str(&format!("{passed} passed, {failed} failed"));
            if !left_out.is_empty() {
                text.push_str(&format!(", {} left out", left_out.len()));
            }
            text.push_str(", ");
        }
        text.push_str(&format!("{:.0?}", self.took));
        for problem in &self.problems {
            text.push_str(&format!("; {problem}"));
        }
        text
    }
}
