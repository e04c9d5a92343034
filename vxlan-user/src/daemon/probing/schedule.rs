//! Which peer is due next. Peers whose times fall into the same tick share a list, so that an event
//! costs no look at every peer, and a peer no comparison with others. Pure.

use std::{collections::BTreeMap, time::Duration};

/// Times are rounded up to a multiple of this, in ns.
const TICK: u64 = 10_000_000;

/// When each peer is due.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// The peers of each tick. An entry is void if its peer is due at another tick.
    ticks: BTreeMap<u64, Vec<usize>>,
    /// By peer: its tick.
    due: Vec<Option<u64>>,
}

impl Schedule {
    /// Creates a schedule in which all of `peers` peers are due at `now`.
    pub(super) fn new(peers: usize, now: Duration) -> Self {
        let tick = tick_until(now);
        let ticks = BTreeMap::from([(tick, (0..peers).rev().collect())]);
        Self { ticks, due: vec![Some(tick); peers] }
    }

    /// Sets when a peer is due, unless it is due earlier: whoever takes it then finds that there is
    /// nothing to do, and sets the time anew.
    pub(super) fn bring_forward(&mut self, peer: usize, at: Duration) {
        let Some(due) = self.due.get_mut(peer) else { return };
        let tick = tick_until(at);
        if due.is_none_or(|due| tick < due) {
            *due = Some(tick);
            self.ticks.entry(tick).or_default().push(peer);
        }
    }

    /// Returns when the next peer is due.
    pub(super) fn next(&mut self) -> Option<Duration> {
        loop {
            let mut first = self.ticks.first_entry()?;
            let tick = *first.key();
            while let Some(peer) = first.get().last() {
                if self.due.get(*peer) == Some(&Some(tick)) {
                    return Some(Duration::from_nanos(tick.saturating_mul(TICK)));
                }
                first.get_mut().pop();
            }
            first.remove();
        }
    }

    /// Takes out a peer that is due at `now`; the caller sets when it is due again.
    pub(super) fn take(&mut self, now: Duration) -> Option<usize> {
        if self.next()? > now {
            return None;
        }
        let peer = self.ticks.first_entry()?.get_mut().pop()?;
        *self.due.get_mut(peer)? = None;
        Some(peer)
    }
}

/// Returns the number of the first tick that is not before a point in time.
fn tick_until(at: Duration) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX).div_ceil(TICK)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn peers_come_in_the_order_of_their_times() {
        let mut schedule = Schedule::new(3, at(1));
        let all: Vec<_> = std::iter::from_fn(|| schedule.take(at(1))).collect();
        assert_eq!((all.len(), schedule.next()), (3, None));
        for (peer, due) in [(0, 9), (1, 7), (2, 8)] {
            schedule.bring_forward(peer, at(due));
        }
        assert_eq!((schedule.next(), schedule.take(at(6))), (Some(at(7)), None));
        // Earlier counts, later does not, and none comes twice.
        schedule.bring_forward(0, at(5));
        schedule.bring_forward(1, at(20));
        assert_eq!(schedule.take(at(10)), Some(0));
        assert_eq!(schedule.take(at(10)), Some(1));
        assert_eq!(schedule.take(at(10)), Some(2));
        assert_eq!(schedule.take(at(10)), None);
        // Beyond 2^32 ticks, and within one tick.
        let late = at(400 * 24 * 3600);
        for millis in [3, 4] {
            schedule.bring_forward(0, late + Duration::from_millis(millis));
        }
        let due = late + Duration::from_nanos(TICK);
        assert_eq!((schedule.next(), schedule.take(late)), (Some(due), None));
        assert_eq!((schedule.take(due), schedule.next()), (Some(0), None));
        schedule.bring_forward(7, at(1));
        assert_eq!(schedule.next(), None, "there is no such peer");
    }
}
