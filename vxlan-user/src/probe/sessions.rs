//! The sessions of a peer: the current one, in which its requests are accepted, and of each other
//! one the highest sequence number, by which a recording of an earlier session is told from a peer
//! that has started anew.

use std::{collections::VecDeque, time::Duration};

use super::{message::Probe, replay_window::ReplayWindow};

/// Number of sessions that are remembered.
pub(super) const MAX_SESSIONS: usize = 16;

/// How much longer than the fastest request of its session a request may take.
pub(super) const LATENESS: Duration = Duration::from_secs(60);
/// Two clocks may drift apart by this fraction of the elapsed time (1/1024).
pub(super) const DRIFT: i128 = 1024;

/// The session of the peer that its requests are accepted in.
#[derive(Clone, Debug)]
pub(super) struct CurrentSession {
    pub(super) session: u64,
    pub(super) token: u64,
    pub(super) window: ReplayWindow,
    /// The fastest request: its arrival, and how far the two clocks are apart by it.
    pub(super) fastest: (Duration, i128),
    /// When the latest request was accepted.
    pub(super) accepted_at: Duration,
}

/// The latest of the peer's other sessions, each with its highest sequence; the latest first.
#[derive(Clone, Debug, Default)]
pub(super) struct OtherSessions(VecDeque<(u64, u64)>);

impl OtherSessions {
    /// Returns the highest sequence that was seen in a session; zero: none.
    pub(super) fn highest(&self, session: u64) -> u64 {
        self.0.iter().find(|known| known.0 == session).map_or(0, |known| known.1)
    }

    /// Records a sequence of a session.
    pub(super) fn record(&mut self, session: u64, sequence: u64) {
        let highest = self.highest(session).max(sequence);
        self.0.retain(|known| known.0 != session);
        self.0.truncate(MAX_SESSIONS - 1);
        self.0.push_front((session, highest));
    }
}

impl CurrentSession {
    /// Returns whether the request was held back on the path.
    pub(super) fn is_late(&self, now: Duration, offset: i128) -> bool {
        let (at, offset_of_fastest) = self.fastest;
        let drift = nanos(now.saturating_sub(at)) / DRIFT;
        offset - offset_of_fastest > nanos(LATENESS) + drift
    }
}

/// Returns how far the clock of the receiver is ahead of the clock of the sender, plus the transit
/// time, in ns.
pub(super) fn offset(probe: &Probe, now: Duration) -> i128 {
    nanos(now) - i128::from(probe.sent_at)
}

/// Returns a time in ns.
pub(super) fn nanos(time: Duration) -> i128 {
    // At most u64::MAX seconds, in ns: 94 bits.
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered() {
        let mut sessions = OtherSessions::default();
        for session in 1..=MAX_SESSIONS as u64 {
            sessions.record(session, 10 * session);
        }
        sessions.record(1, 5);
        assert_eq!((sessions.highest(1), sessions.highest(2)), (10, 20));
        sessions.record(99, 7);
        assert_eq!((sessions.highest(1), sessions.highest(2), sessions.highest(99)), (10, 0, 7));
    }
}
