//! What the verdict and the report read of the statistics.

use std::time::Duration;

use super::probe_stats::{ProbeStats, ReceivedAs};
use crate::{
    nat::{ProbeEvidence, UnsolicitedCounts},
    probe::{
        message::ProbeRefusal,
        report::{ProbeCounts, Rtt},
    },
};

impl ProbeStats {
    /// Returns the evidence for the verdict.
    pub(in crate::probe::prober) fn evidence(
        &self,
        now: Duration,
        window: Duration,
        varies: bool,
    ) -> ProbeEvidence {
        let ago = |at: Duration| now.saturating_sub(at);
        let recent = |class| {
            let is = |probe: &&(Duration, ReceivedAs)| probe.1 == class && ago(probe.0) < window;
            self.recent.iter().filter(is).count() as u64
        };
        let (requests, unsolicited) = self.near.counts();
        ProbeEvidence {
            ours: self.ours,
            theirs: self.theirs,
            sent: self.requests_sent,
            answered: self.answered,
            unanswered: self.requests_sent - self.answered_number,
            since_reply: self.last_reply.or(self.first_sent).map_or(Duration::ZERO, ago),
            last_seen: self.last_seen.map(ago),
            proven: recent(ReceivedAs::Proven),
            unproven: recent(ReceivedAs::Unproven),
            reported: self.reported,
            unproven_report: self.unproven_report,
            received: requests,
            missed: self.missed(),
            unsolicited: UnsolicitedCounts {
                sent: self.far.len() as u64,
                answered: self.far.iter().filter(|answered| **answered).count() as u64,
                received: unsolicited,
            },
            varies,
            peer_varies: self.peer_varies,
        }
    }

    /// Returns the round-trip time.
    pub(in crate::probe::prober) fn rtt(&self) -> Option<Rtt> {
        self.rtt.rtt()
    }

    /// Returns the loss of our requests, and of those of the peer.
    pub(in crate::probe::prober) fn losses(&self) -> [Option<f64>; 2] {
        [self.tx.loss(), self.rx.loss()]
    }

    /// Returns the path MTU from the peer to us, as the peer has found it.
    pub(in crate::probe::prober) fn peer_path_mtu(&self) -> Option<u32> {
        (self.peer_path_mtu != 0).then_some(self.peer_path_mtu)
    }

    /// Returns the counters for the report.
    pub(in crate::probe::prober) fn counts(&self) -> ProbeCounts {
        let refused = ProbeRefusal::ALL.iter().zip(self.refused);
        ProbeCounts {
            sent: self.requests_sent,
            answered: self.answered,
            lost: self.lost,
            received: self.received,
            refused: refused.map(|(why, count)| (why.label().to_owned(), count)).collect(),
        }
    }
}
