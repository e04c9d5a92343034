//! What the verdict, the report and the prober read of the statistics.

use std::{net::IpAddr, time::Duration};

use super::probe_stats::{ProbeStats, ReceivedAs};
use crate::{
    nat::{ProbeEvidence, UnsolicitedCounts},
    observation::Rewrite,
    probe::{
        message::ProbeRefusal,
        report::{ProbeCounts, Rtt},
        requests::REPLY_TIMEOUT,
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
            ours: self.ours(),
            ours_ago: self.ours.map_or(Duration::ZERO, |(_, at)| ago(at)),
            theirs: self.theirs(),
            theirs_ago: self.theirs.map_or(Duration::ZERO, |(_, at)| ago(at)),
            sent: self.sent_before + self.requests_sent,
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
            sent: self.sent_before + self.requests_sent,
            answered: self.answered,
            lost: self.lost,
            received: self.received,
            refused: refused.map(|(why, count)| (why.label().into(), count)).collect(),
        }
    }

    /// Returns whether a NAT has a mapping that it may forget. A NAT that lets unsolicited packets
    /// in has none. `declared`: public addresses that are mapped to this host alone.
    pub(in crate::probe::prober) fn needs_keepalive(&self, declared: &[IpAddr]) -> bool {
        let ours = self.ours().is_some_and(|Rewrite { sent, seen }| {
            let port = sent.source.port() != seen.source.port();
            let own = declared.contains(&seen.source.ip()) && self.near.counts().1 > 0;
            port || (sent.source.ip() != seen.source.ip() && !own)
        });
        let theirs = |theirs: Rewrite| theirs.sent.source.port() != theirs.seen.source.port();
        ours || self.theirs().is_some_and(theirs)
    }

    pub(in crate::probe::prober) fn ours(&self) -> Option<Rewrite> {
        self.ours.map(|(rewrite, _)| rewrite)
    }

    pub(in crate::probe::prober) fn theirs(&self) -> Option<Rewrite> {
        self.theirs.map(|(rewrite, _)| rewrite)
    }

    pub(in crate::probe::prober) fn requests_sent(&self) -> u64 {
        self.requests_sent
    }

    /// Returns when the latest probe came that is proven to be fresh.
    pub(in crate::probe::prober) fn last_fresh(&self) -> Option<Duration> {
        self.last_fresh
    }

    /// Returns when the latest reply came, to any request.
    pub(in crate::probe::prober) fn last_reply(&self) -> Option<Duration> {
        self.last_reply
    }

    pub(in crate::probe::prober) fn timeout(&self) -> Duration {
        self.rtt.timeout().min(REPLY_TIMEOUT)
    }

    /// Returns the time after which a probe without padding is sent to tell a lost size from a peer
    /// that is silent, where losses are likely: a reply may still come after that, at the price of
    /// one more probe.
    pub(in crate::probe::prober) fn short_timeout(&self) -> Duration {
        self.rtt.short_timeout().min(REPLY_TIMEOUT)
    }

    /// Returns when the next request in flight is lost.
    pub(in crate::probe::prober) fn next_expiry(&self) -> Option<Duration> {
        self.in_flight.front().map(|sent| sent.at + REPLY_TIMEOUT + Duration::from_millis(1))
    }
}
