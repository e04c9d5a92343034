//! Whether data arrives at the other end, from what both ends count. Every probe has the counters
//! of its sender; this host reads its own once in a second. Pure, like the prober.
//!
//! The two are never read in the same moment. So of every report it is known between which bounds
//! the counters of this host were, and only what holds for every value between them is concluded.

use std::{collections::VecDeque, time::Duration};

use super::sessions::{DRIFT, nanos};
use crate::observation::{Delivery, DeliveryCounts, LostData};

/// The counters of the sender of a probe are from no earlier than this before it was sent: they are
/// read once in a second, and a busy host may be late.
const MAX_COUNTER_AGE: Duration = Duration::from_secs(3);
/// Packets of the peer that it had counted when it sent a report have arrived this much later.
const MAX_TRANSIT: Duration = Duration::from_millis(500);
/// Fewer packets say nothing: they may be of a kind that the other end refuses by its rules.
const MIN_PACKETS: u64 = 5;
/// Data is lost if fewer than one of so many packets arrives.
const LOST_FACTOR: u64 = 10;
/// It arrives again once one of so many does.
const RECOVERED_FACTOR: u64 = 4;
/// Reports within this time of the latest one are passed over.
const MIN_SPACING: Duration = Duration::from_millis(1500);
/// Reports that are older than this are forgotten, so that stray packets never add up; or than what
/// [`DeliveryTracker::remember_for`] says.
const MEMORY: Duration = Duration::from_secs(20);
/// A loss after which nothing was sent for so long is no present fact any more.
const MAX_AGE: Duration = Duration::from_secs(300);

/// Packets that this host has counted.
#[derive(Clone, Copy, Debug, Default)]
struct OwnCounts {
    sent: u64,
    received: u64,
}

/// What a peer reports to have counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerCounts {
    pub(super) session: u64,
    /// Time of sending in ns, by the clock of the peer.
    pub(super) sent_at: u64,
    /// Received from this host, and sent to it.
    pub(super) received: u64,
    pub(super) sent: u64,
}

/// A report of the peer, with bounds of what this host had counted by then.
#[derive(Clone, Copy, Debug)]
struct Report {
    /// When it was sent, by the clock of this host.
    at: Duration,
    /// Counted by the peer: received from this host, and sent to it.
    peer_received: u64,
    peer_sent: u64,
    /// Counted by this host: no more than when the peer read its counters.
    low: OwnCounts,
    /// No less than when all that the peer had sent was here.
    high: OwnCounts,
}

/// Bounds of what was sent and what arrived in one direction between two reports.
#[derive(Clone, Copy, Debug)]
struct Span {
    min_sent: u64,
    max_sent: u64,
    min_arrived: u64,
    max_arrived: u64,
}

/// A loss in one direction, and when it was found first and last.
#[derive(Clone, Copy, Debug)]
struct Loss {
    sent: u64,
    arrived: u64,
    within: Duration,
    first: Duration,
    last: Duration,
}

/// What both ends count of the data between this host and one peer.
#[derive(Clone, Debug, Default)]
pub(super) struct DeliveryTracker {
    /// When this host has counted what, the latest last.
    own: VecDeque<(Duration, OwnCounts)>,
    reports: VecDeque<Report>,
    /// The latest report, which waits for the counters of this host.
    pending: Option<Report>,
    /// The first report of the session.
    first: Option<Report>,
    /// The session of the peer that the reports are of, and its latest counters.
    session: u64,
    latest: Option<(Duration, [u64; 2])>,
    /// The shortest time from a report's sending to its arrival, with what the clocks differ by,
    /// in ns; and when that was observed.
    fastest: Option<(i128, Duration)>,
    /// By direction: transmit, receive.
    lost: [Option<Loss>; 2],
    /// For how long reports are remembered, if longer than [`MEMORY`].
    memory: Duration,
}

impl DeliveryTracker {
    /// Remembers reports for longer, as they come more seldom.
    pub(super) fn remember_for(&mut self, memory: Duration) {
        self.memory = memory;
    }

    /// Records what this host has counted.
    pub(super) fn sample(&mut self, now: Duration, sent: u64, received: u64) {
        let went_back = |(at, last): &(Duration, OwnCounts)| {
            sent < last.sent || received < last.received || now < *at
        };
        if self.own.back().is_some_and(went_back) {
            *self = Self { session: self.session, memory: self.memory, ..Self::default() };
        }
        let counts = OwnCounts { sent, received };
        let old = |at: &(Duration, OwnCounts)| now.saturating_sub(at.0) > MAX_COUNTER_AGE * 2;
        while self.own.get(1).is_some_and(old) {
            self.own.pop_front();
        }
        self.own.push_back((now, counts));
        if let Some(report) = self.pending.take_if(|report| report.at + MAX_TRANSIT <= now) {
            self.evaluate(Report { high: counts, ..report });
        }
        for loss in &mut self.lost {
            loss.take_if(|loss| now.saturating_sub(loss.last) >= MAX_AGE);
        }
    }

    /// Records what an accepted probe reports, which came at `arrived`.
    pub(super) fn report(&mut self, counts: &PeerCounts, arrived: Duration) {
        if self.session != counts.session {
            self.restart(counts.session);
        }
        let at = self.time_of_sending(counts.sent_at, arrived);
        let counters = [counts.received, counts.sent];
        if let Some((last, before)) = self.latest {
            if at < last + MIN_SPACING {
                return;
            }
            if counters[0] < before[0] || counters[1] < before[1] {
                self.restart(counts.session);
            }
        }
        self.latest = Some((at, counters));
        let old = |own: &&(Duration, OwnCounts)| own.0 + MAX_COUNTER_AGE <= at;
        let Some((_, low)) = self.own.iter().rev().find(old).copied() else { return };
        let [peer_received, peer_sent] = counters;
        self.pending.get_or_insert(Report { at, peer_received, peer_sent, low, high: low });
    }

    /// Begins anew with what the peer reports.
    fn restart(&mut self, session: u64) {
        let own = std::mem::take(&mut self.own);
        *self = Self { own, session, memory: self.memory, ..Self::default() };
    }

    /// Returns when a report was sent, by the clock of this host. A report that was held back on
    /// the path is as old as it was late.
    fn time_of_sending(&mut self, sent_at: u64, arrived: Duration) -> Duration {
        let took = nanos(arrived) - i128::from(sent_at);
        let fastest = self.fastest.map_or(took, |(fastest, since)| {
            took.min(fastest + nanos(arrived.saturating_sub(since)) / DRIFT)
        });
        self.fastest = Some((fastest, arrived));
        let late = u64::try_from(took - fastest).unwrap_or(0);
        arrived.saturating_sub(Duration::from_nanos(late))
    }

    fn evaluate(&mut self, latest: Report) {
        self.first.get_or_insert(latest);
        let memory = self.memory.max(MEMORY);
        self.reports.retain(|report| latest.at.saturating_sub(report.at) <= memory);
        for direction in 0..self.lost.len() {
            let span = |first: &Report| Span::between(first, &latest)[direction];
            let before = self.lost[direction];
            let since = |report: &Report| before.is_some_and(|loss| report.at >= loss.first);
            let recovered = |report: &Report| since(report) && span(report).has_recovered();
            if let Some(from) = self.reports.iter().rposition(recovered) {
                self.lost[direction] = None;
                self.reports.drain(..from);
            } else if let Some(first) = self.reports.iter().find(|at| span(at).is_lost()) {
                self.lost[direction] = Some(Loss {
                    sent: span(first).min_sent,
                    arrived: span(first).max_arrived,
                    within: latest.at.saturating_sub(first.at),
                    first: before.map_or(first.at, |before| before.first),
                    last: latest.at,
                });
            }
        }
        self.reports.push_back(latest);
    }

    /// Returns what is known at `now`.
    pub(super) fn delivery(&self, now: Duration) -> Delivery {
        let [tx, rx] = self.lost.map(|loss| {
            loss.map(|loss| LostData {
                sent: loss.sent,
                arrived: loss.arrived,
                within: loss.within,
                ago: now.saturating_sub(loss.last),
            })
        });
        let counts = self.first.zip(self.reports.back()).map(|(first, latest)| DeliveryCounts {
            since: now.saturating_sub(first.at),
            sent: latest.high.sent.saturating_sub(first.high.sent),
            peer_received: latest.peer_received.saturating_sub(first.peer_received),
            peer_sent: latest.peer_sent.saturating_sub(first.peer_sent),
            received: latest.high.received.saturating_sub(first.high.received),
        });
        let reported = |counter: usize| self.latest.map(|(_, counters)| counters[counter]);
        let (peer_received, peer_sent) = (reported(0), reported(1));
        Delivery { tx, rx, counts, peer_received, peer_sent, networks: Vec::new() }
    }
}

impl Span {
    /// Returns the span of each direction: transmit, receive.
    fn between(first: &Report, later: &Report) -> [Self; 2] {
        let peer_received = later.peer_received.saturating_sub(first.peer_received);
        let peer_sent = later.peer_sent.saturating_sub(first.peer_sent);
        let tx = Self {
            min_sent: later.low.sent.saturating_sub(first.high.sent),
            max_sent: later.high.sent.saturating_sub(first.low.sent),
            min_arrived: peer_received,
            max_arrived: peer_received,
        };
        let rx = Self {
            min_sent: peer_sent,
            max_sent: peer_sent,
            min_arrived: later.low.received.saturating_sub(first.high.received),
            max_arrived: later.high.received.saturating_sub(first.low.received),
        };
        [tx, rx]
    }

    fn is_lost(&self) -> bool {
        self.min_sent >= MIN_PACKETS && self.max_arrived * LOST_FACTOR < self.min_sent
    }

    fn has_recovered(&self) -> bool {
        self.min_arrived > 0 && self.min_arrived * RECOVERED_FACTOR >= self.max_sent
    }
}
