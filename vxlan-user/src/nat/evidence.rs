//! What a verdict is drawn from. Values only: who counts and measures is the matter of the data plane
//! and of [`crate::probe`]. Points in time are those of a clock that never steps, as the time since any one
//! moment.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::probe::{DataMapping, Rewrite};

/// How many intervals "lately" is.
pub const WINDOW: u32 = 3;

/// All that is known of the way to one peer and back.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// The peer's name, for the sentences.
    pub peer: String,
    /// Between two requests. Three of them are what counts as lately.
    pub interval: Duration,
    pub facts: Facts,
    pub data: Passive,
    /// Absent: there is no key for the peer.
    pub probes: Option<Probed>,
}

/// What the configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Where packets to the peer go; absent: nowhere yet.
    pub endpoint: Option<SocketAddr>,
    /// The endpoint is learned from probes.
    pub learned: bool,
    /// The address that the peer's interface carries, where it is not that of its endpoint.
    pub private: Option<IpAddr>,
    /// The address that peers send to, where it is not that of our interface.
    pub public: Option<IpAddr>,
    pub ports: Ports,
}

/// The ports that the peer sends data from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Made from the flow hash.
    Flow,
    Fixed(u16),
    /// The first and the last of them.
    Range(u16, u16),
}

/// What data packets show by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passive {
    /// Since the daemon started.
    pub total: DataCounts,
    /// Lately.
    pub recent: DataCounts,
    pub mapping: Option<DataMapping>,
}

/// Data packets, in all networks of the peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataCounts {
    /// Delivered.
    pub received: u64,
    pub sent: u64,
    pub src_address: u64,
    pub src_port: u64,
    pub dst_address: u64,
    /// A box on the way wrote the checksum, or left it when it rewrote what it is over.
    pub checksum: u64,
    /// Dropped for their checksum.
    pub bad_checksum: u64,
}

impl DataCounts {
    /// What was added since `earlier`. Counters that went back (a peer was taken out and came again)
    /// begin anew.
    pub fn since(&self, earlier: &Self) -> Self {
        let less = |now: u64, then: u64| now.checked_sub(then).unwrap_or(now);
        Self {
            received: less(self.received, earlier.received),
            sent: less(self.sent, earlier.sent),
            src_address: less(self.src_address, earlier.src_address),
            src_port: less(self.src_port, earlier.src_port),
            dst_address: less(self.dst_address, earlier.dst_address),
            checksum: less(self.checksum, earlier.checksum),
            bad_checksum: less(self.bad_checksum, earlier.bad_checksum),
        }
    }

    /// Did anything come from the peer, be it delivered or not?
    pub fn came(&self) -> u64 {
        self.received + self.bad_checksum
    }
}

/// Makes "lately" out of counters that only grow.
#[derive(Clone, Debug, Default)]
pub struct DataWindow {
    samples: VecDeque<(Duration, DataCounts)>,
    last: Passive,
}

impl DataWindow {
    /// The counters as they are at `now`. May be called as often as one likes.
    pub fn sample(
        &mut self,
        now: Duration,
        total: DataCounts,
        mapping: Option<DataMapping>,
        interval: Duration,
    ) {
        // The newest sample that is old enough is the start of the window; older ones are of no use.
        let window = interval * WINDOW;
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
        self.last = Passive { total, recent, mapping };
    }

    /// As of the latest sample.
    pub fn passive(&self) -> Passive {
        self.last
    }
}

/// What probes show.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Probed {
    /// The latest of our requests that the peer has described, if it is not an unsolicited one.
    pub ours: Option<Rewrite>,
    /// The same of the peer's requests.
    pub theirs: Option<Rewrite>,
    /// Requests of ours that count.
    pub sent: u64,
    /// Of these, answered.
    pub answered: u64,
    /// Of these, sent since the latest that was answered.
    pub unanswered: u64,
    /// Since the latest answer; without any, since the first request.
    pub silent: Duration,
    /// Since anything with the peer's key came: proven or not.
    pub heard: Option<Duration>,
    /// Accepted requests of the peer's, lately.
    pub proven: u64,
    /// Requests of the peer's that were not proved to be fresh, lately.
    pub unproven: u64,
    /// What the peer says of our session.
    pub reported: Option<Reported>,
    /// How many of our requests arrived, by the latest request of the peer's that is not proved fresh.
    pub hearsay: Option<u64>,
    /// The latest accepted requests of the peer's that count; those that are looked at for unsolicited
    /// ones among them.
    pub received: u64,
    /// Requests that the peer says it has sent since the last one that was heard.
    pub missed: u64,
    pub unsolicited: Unsolicited,
    /// Our address or port differs from peer to peer.
    pub varies: bool,
    /// The peer says so of its own.
    pub peer_varies: bool,
}

/// What the peer says of this host's session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// Requests that it received.
    pub received: u64,
    /// The number of the latest of them.
    pub highest: u64,
}

/// The latest requests from ports that nobody waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsolicited {
    /// By us, while other requests were answered.
    pub sent: u64,
    /// Of these, answered.
    pub answered: u64,
    /// From the peer, among [`Probed::received`].
    pub received: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lately_is_three_intervals() {
        let start = Duration::from_secs(1_000_000);
        let interval = Duration::from_secs(5);
        let mut window = DataWindow::default();
        for second in 0..60 {
            let received = second.min(30);
            let total = DataCounts { received, ..DataCounts::default() };
            window.sample(start + Duration::from_secs(second), total, None, interval);
            let lately = window.passive().recent.received;
            if second <= 15 {
                assert_eq!(lately, second);
            } else if second <= 30 {
                assert!((15..=17).contains(&lately), "{second}: {lately}");
            } else if second >= 47 {
                assert_eq!(lately, 0, "{second}");
            }
        }
    }

    #[test]
    fn counters_that_went_back_begin_anew() {
        let before = DataCounts { received: 10, ..DataCounts::default() };
        let after = DataCounts { received: 3, ..DataCounts::default() };
        assert_eq!(after.since(&before).received, 3);
        assert_eq!(before.since(&after).received, 7);
    }
}
