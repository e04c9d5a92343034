//! When the peers are reported on: a part of them at a time, so that the event loop serves others
//! in between, and all of them once in a second, or in a few where they are many. Pure.

use std::{ops::Range, time::Duration};

/// Peers reported on in one turn.
const PEERS_AT_A_TIME: usize = 128;
/// Most peers reported on in a second, unless the interval of probes demands more.
const PEERS_PER_SECOND: u32 = 1_250;
/// The shortest time from one pass to the next.
const MIN_PASS: Duration = Duration::from_secs(1);

/// A pass over all peers.
#[derive(Debug)]
pub(super) struct ReportPass {
    peers: usize,
    /// How long a pass takes.
    length: Duration,
    began: Duration,
    /// The first peer that is left.
    next: usize,
    due: Duration,
}

impl ReportPass {
    /// Plans passes over `peers` peers, each in at most an `interval` of probes, or in a second.
    pub(super) fn new(peers: usize, interval: Duration, now: Duration) -> Self {
        let many = MIN_PASS * u32::try_from(peers).unwrap_or(u32::MAX) / PEERS_PER_SECOND;
        let length = many.min(interval).max(MIN_PASS);
        Self { peers, length, began: now, next: 0, due: now }
    }

    /// Returns when the next part is due.
    pub(super) fn due(&self) -> Duration {
        self.due
    }

    /// Returns whether the part that [`take`](Self::take) returns next begins a pass.
    pub(super) fn is_at_start(&self) -> bool {
        self.next == 0
    }

    /// Takes the peers that are due at `now`.
    pub(super) fn take(&mut self, now: Duration) -> Range<usize> {
        if self.next == 0 {
            self.began = now;
        }
        let part = self.next..(self.next + PEERS_AT_A_TIME).min(self.peers);
        self.next = if part.end == self.peers { 0 } else { part.end };
        let done = if self.next == 0 { self.peers } else { self.next };
        // Before the first peer of all, and where there is none, the next pass is a whole one off.
        let share = if self.peers == 0 { 1.0 } else { done as f64 / self.peers as f64 };
        self.due = (self.began + self.length.mul_f64(share)).max(now);
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    /// Each peer is reported on as often as any other; returns how long the passes took.
    fn passes(peers: usize, interval: Duration) -> Vec<Duration> {
        let mut pass = ReportPass::new(peers, interval, INTERVAL);
        let mut took = Vec::new();
        for _ in 0..3 {
            let (began, mut expected) = (pass.due(), 0);
            loop {
                assert_eq!(pass.is_at_start(), expected == 0);
                let part = pass.take(pass.due());
                assert_eq!(part.start, expected);
                assert!(part.len() <= PEERS_AT_A_TIME);
                expected = part.end;
                if pass.is_at_start() {
                    break;
                }
            }
            assert_eq!(expected, peers);
            took.push(pass.due() - began);
        }
        took
    }

    #[test]
    fn a_pass_takes_a_second_or_a_few() {
        let seconds = |count| vec![Duration::from_secs(count); 3];
        assert_eq!(passes(0, INTERVAL), seconds(1));
        assert_eq!(passes(1, INTERVAL), seconds(1));
        assert_eq!(passes(1_250, INTERVAL), seconds(1));
        assert_eq!(passes(5_000, INTERVAL), seconds(4));
        assert_eq!(passes(10_000, INTERVAL), seconds(5));
        assert_eq!(passes(10_000, 2 * INTERVAL), seconds(8));
        assert_eq!(passes(16_000, Duration::from_millis(200)), seconds(1));
    }

    #[test]
    fn a_late_turn_does_not_pile_up_others() {
        let mut pass = ReportPass::new(10_000, INTERVAL, INTERVAL);
        pass.take(INTERVAL);
        let late = INTERVAL + Duration::from_secs(60);
        pass.take(late);
        assert_eq!(pass.due(), late);
    }
}
