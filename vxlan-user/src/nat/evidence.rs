//! The evidence that a verdict is drawn from. Values only: counting and measuring is done by the
//! data plane and by [`crate::probe`]. Points in time are those of a clock that never steps, as the
//! time since some fixed moment.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use vxlan_common::reason::RxDrop;

use crate::observation::{DataMapping, Delivery, Rewrite};

/// Number of probe intervals that count as recent.
pub const RECENT_INTERVALS: u32 = 3;

/// Returns the length of what counts as recent, where a request is sent in each `interval`.
pub fn recent_window(interval: Duration) -> Duration {
    interval * RECENT_INTERVALS
}

/// Everything known of the path to one peer and back.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// The peer's name, for the sentences.
    pub peer: String,
    /// Time between two requests.
    pub interval: Duration,
    pub facts: DeclaredFacts,
    pub data: DataEvidence,
    /// Absent: the peer has no key.
    pub probes: Option<ProbeEvidence>,
    /// Whether data arrives, by what both ends count.
    pub delivery: Delivery,
    /// Packets of the peer that were dropped here lately, by reason, the most frequent first.
    pub drops: Vec<(RxDrop, u64)>,
}

impl Evidence {
    /// Returns the length of what counts as recent.
    pub fn window(&self) -> Duration {
        recent_window(self.interval)
    }
}

/// What the configuration declares of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeclaredFacts {
    /// Destination of packets to the peer. Absent: not known yet.
    pub endpoint: Option<SocketAddr>,
    /// The endpoint is learned from probes.
    pub learned: bool,
    /// The address of the peer's interface, where it differs from that of the endpoint.
    pub private: Option<IpAddr>,
    /// The address that peers send to, where it differs from that of our interface.
    pub public: Option<IpAddr>,
    pub ports: SourcePorts,
}

/// The UDP source ports that a peer sends data from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourcePorts {
    /// Computed from the flow hash.
    Flow,
    Fixed(u16),
    /// The first and the last port.
    Range(u16, u16),
}

/// What data packets show, without probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataEvidence {
    /// Counted since the daemon started.
    pub total: DataCounts,
    /// Counted within the [`recent_window`].
    pub recent: DataCounts,
    pub mapping: Option<DataMapping>,
}

/// Counters of data packets, summed over all networks of the peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataCounts {
    /// Delivered.
    pub received: u64,
    pub sent: u64,
    pub src_address: u64,
    pub src_port: u64,
    pub dst_address: u64,
    /// A middlebox wrote the checksum, or did not update it when it rewrote the addresses or ports.
    pub checksum: u64,
    /// Dropped for a wrong checksum.
    pub bad_checksum: u64,
}

impl DataCounts {
    /// Returns what was added since `earlier`. A counter that went back, since its peer was removed
    /// and added again, counts from zero.
    pub fn since(&self, earlier: &Self) -> Self {
        let added = |now: u64, then: u64| now.checked_sub(then).unwrap_or(now);
        Self {
            received: added(self.received, earlier.received),
            sent: added(self.sent, earlier.sent),
            src_address: added(self.src_address, earlier.src_address),
            src_port: added(self.src_port, earlier.src_port),
            dst_address: added(self.dst_address, earlier.dst_address),
            checksum: added(self.checksum, earlier.checksum),
            bad_checksum: added(self.bad_checksum, earlier.bad_checksum),
        }
    }

    /// Returns the number of packets that arrived from the peer, delivered or not.
    pub fn arrived(&self) -> u64 {
        self.received + self.bad_checksum
    }
}

/// Computes recent counts from counters that only grow.
#[derive(Clone, Debug, Default)]
pub struct DataWindow {
    samples: VecDeque<(Duration, DataCounts)>,
    last: DataEvidence,
}

impl DataWindow {
    /// Records the counters as they are at `now`. May be called at any rate.
    pub fn sample(
        &mut self,
        now: Duration,
        total: DataCounts,
        mapping: Option<DataMapping>,
        interval: Duration,
    ) {
        // The window starts at the newest sample that is old enough.
        let window = recent_window(interval);
        let old = |at: &(Duration, DataCounts)| now.saturating_sub(at.0) >= window;
        while self.samples.get(1).is_some_and(old) {
            self.samples.pop_front();
        }
        let start = self.samples.front().map_or(total, |at| at.1);
        let recent = total.since(&start);
        let spacing = interval / 4;
        let late = |at: &(Duration, DataCounts)| now.saturating_sub(at.0) >= spacing;
        if self.samples.back().is_none_or(late) {
            self.samples.push_back((now, total));
        }
        self.last = DataEvidence { total, recent, mapping };
    }

    /// Returns the counts as of the latest sample.
    pub fn evidence(&self) -> DataEvidence {
        self.last
    }
}

/// What probes show of a peer with a key.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProbeEvidence {
    /// Our latest request that the peer has described, unsolicited requests left out, and the time
    /// since then.
    pub ours: Option<Rewrite>,
    pub ours_ago: Duration,
    /// The latest request of the peer, unsolicited requests left out, and the time since then.
    pub theirs: Option<Rewrite>,
    pub theirs_ago: Duration,
    /// Our requests, without those that may be lost (path MTU, unsolicited).
    pub sent: u64,
    /// Number of `sent` that were answered.
    pub answered: u64,
    /// Number of `sent` since the latest that was answered.
    pub unanswered: u64,
    /// Time since the latest reply; without any, since the first request.
    pub since_reply: Duration,
    /// Time since the latest probe made with the key of the peer, proven to be fresh or not.
    pub last_seen: Option<Duration>,
    /// Recent requests of the peer that were accepted.
    pub proven: u64,
    /// Recent requests of the peer that were not proven to be fresh.
    pub unproven: u64,
    /// What the peer reports of our session.
    pub reported: Option<PeerReport>,
    /// Number of our requests that arrived, according to the latest request of the peer that is not
    /// proven to be fresh.
    pub unproven_report: Option<u64>,
    /// Accepted requests of the peer within the window in which its unsolicited requests are
    /// counted.
    pub received: u64,
    /// Requests that the peer reports as sent since the last one that arrived.
    pub missed: u64,
    pub unsolicited: UnsolicitedCounts,
    /// Our mapped address or port differs from peer to peer.
    pub varies: bool,
    /// The peer reports that its mapped address or port differs from peer to peer.
    pub peer_varies: bool,
}

/// What a peer reports of the session of this host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerReport {
    /// Number of requests that it received.
    pub received: u64,
    /// The highest number among these requests.
    pub highest: u64,
}

/// Counts the latest unsolicited requests: those from a port that no mapping expects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnsolicitedCounts {
    /// Sent by us while other requests were answered.
    pub sent: u64,
    /// Number of `sent` that were answered.
    pub answered: u64,
    /// Received from the peer, among [`ProbeEvidence::received`].
    pub received: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_is_three_intervals() {
        let start = Duration::from_secs(1_000_000);
        let interval = Duration::from_secs(5);
        let mut window = DataWindow::default();
        for second in 0..60 {
            let received = second.min(30);
            let total = DataCounts { received, ..DataCounts::default() };
            window.sample(start + Duration::from_secs(second), total, None, interval);
            let recent = window.evidence().recent.received;
            if second <= 15 {
                assert_eq!(recent, second);
            } else if second <= 30 {
                assert!((15..=17).contains(&recent), "{second}: {recent}");
            } else if second >= 47 {
                assert_eq!(recent, 0, "{second}");
            }
        }
    }

    #[test]
    fn counters_that_went_back_count_from_zero() {
        let before = DataCounts { received: 10, ..DataCounts::default() };
        let after = DataCounts { received: 3, ..DataCounts::default() };
        assert_eq!(after.since(&before).received, 3);
        assert_eq!(before.since(&after).received, 7);
    }
}
