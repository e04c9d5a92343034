//! How many of the latest packets arrived, from two counters: how many were sent, and how many came.

use std::collections::VecDeque;

/// Both counters of one direction, as they were while the latest `window` packets were sent.
#[derive(Clone, Debug)]
pub(super) struct Crossing {
    window: u64,
    /// Sent and arrived, by what was sent. The first is where counting begins.
    samples: VecDeque<(u64, u64)>,
}

impl Crossing {
    pub(super) fn new(window: u64) -> Self {
        Self { window, samples: VecDeque::new() }
    }

    /// Counters begin again, with another session.
    pub(super) fn clear(&mut self) {
        self.samples.clear();
    }

    /// The counters as they are now. Older ones than the latest, which came late, are left out.
    pub(super) fn note(&mut self, sent: u64, arrived: u64) {
        if let Some((last, came)) = self.samples.back_mut() {
            if sent < *last || arrived < *came {
                return;
            }
            if sent == *last {
                *came = arrived;
                return;
            }
        }
        self.samples.push_back((sent, arrived));
        let start = sent.saturating_sub(self.window);
        while self.samples.get(1).is_some_and(|sample| sample.0 <= start) {
            self.samples.pop_front();
        }
    }

    /// How many were sent and how many arrived since the window began.
    pub(super) fn counts(&self) -> (u64, u64) {
        match (self.samples.front(), self.samples.back()) {
            (Some(first), Some(last)) => (last.0 - first.0, last.1 - first.1),
            _ => (0, 0),
        }
    }

    /// The share that did not arrive, 0 to 1.
    pub(super) fn loss(&self) -> Option<f64> {
        let (sent, arrived) = self.counts();
        // The counts of a window: no number above 2^53.
        let share = |part: u64| part as f64 / sent as f64;
        (sent > 0).then(|| share(sent.saturating_sub(arrived)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_of_the_latest() {
        let mut crossing = Crossing::new(32);
        assert_eq!(crossing.loss(), None);
        crossing.note(5, 0);
        assert_eq!(crossing.loss(), None);
        for sent in 6..=100 {
            crossing.note(sent, (sent - 5).min(50));
        }
        // 55 sent, 50 came; then nothing.
        assert_eq!(crossing.counts(), (32, 0));
        assert_eq!(crossing.loss(), Some(1.0));
        for sent in 101..=116 {
            crossing.note(sent, sent - 50);
        }
        assert_eq!(crossing.counts(), (32, 16));
        assert_eq!(crossing.loss(), Some(0.5));
    }

    #[test]
    fn what_comes_late_changes_nothing() {
        let mut crossing = Crossing::new(32);
        crossing.note(1, 1);
        crossing.note(10, 10);
        crossing.note(9, 9);
        crossing.note(11, 9);
        assert_eq!(crossing.counts(), (9, 9));
        crossing.note(10, 10);
        assert_eq!(crossing.loss(), Some(0.0));
    }
}
