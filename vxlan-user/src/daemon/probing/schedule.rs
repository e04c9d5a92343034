//! Which peer is due next: a heap, so that an event costs no look at every peer. Pure.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

/// When each peer is due.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// An entry is void if its peer is due at another time.
    heap: BinaryHeap<Reverse<(Duration, usize)>>,
    /// By peer.
    due: Vec<Option<Duration>>,
}

impl Schedule {
    /// Creates a schedule in which all of `peers` peers are due at `now`.
    pub(super) fn new(peers: usize, now: Duration) -> Self {
        let heap = (0..peers).map(|peer| Reverse((now, peer))).collect();
        Self { heap, due: vec![Some(now); peers] }
    }

    /// Sets when a peer is due, unless it is due earlier: whoever takes it then finds that there is
    /// nothing to do, and sets the time anew.
    pub(super) fn bring_forward(&mut self, peer: usize, at: Duration) {
        let Some(due) = self.due.get_mut(peer) else { return };
        if due.is_none_or(|due| at < due) {
            *due = Some(at);
            self.heap.push(Reverse((at, peer)));
        }
    }

    /// Returns when the next peer is due.
    pub(super) fn next(&mut self) -> Option<Duration> {
        loop {
            let Reverse((at, peer)) = *self.heap.peek()?;
            if self.is_due(peer, at) {
                return Some(at);
            }
            self.heap.pop();
        }
    }

    /// Takes out a peer that is due at `now`; the caller sets when it is due again.
    pub(super) fn take(&mut self, now: Duration) -> Option<usize> {
        if self.next()? > now {
            return None;
        }
        let Reverse((_, peer)) = self.heap.pop()?;
        *self.due.get_mut(peer)? = None;
        Some(peer)
    }

    fn is_due(&self, peer: usize, at: Duration) -> bool {
        self.due.get(peer).copied().flatten() == Some(at)
    }
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
        schedule.bring_forward(7, at(1));
        assert_eq!(schedule.next(), None, "there is no such peer");
    }
}
