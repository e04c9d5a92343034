//! The loss among the latest packets, computed from two counters: packets sent, and packets
//! arrived.

use std::collections::VecDeque;

/// Samples of both counters of one direction, taken while the latest `window` packets were sent.
#[derive(Clone, Debug)]
pub(super) struct LossWindow {
    window: u64,
    /// Sent and arrived, in the order of `sent`. The first sample is the start of the window.
    samples: VecDeque<(u64, u64)>,
}

impl LossWindow {
    pub(super) fn new(window: u64) -> Self {
        Self { window, samples: VecDeque::new() }
    }

    /// Forgets all samples: the counters start again with another session.
    pub(super) fn clear(&mut self) {
        self.samples.clear();
    }

    /// Records the counters as they are now. Counters older than the latest sample arrived out of
    /// order, and are ignored.
    pub(super) fn record(&mut self, sent: u64, arrived: u64) {
        if let Some((last_sent, last_arrived)) = self.samples.back_mut() {
            if sent < *last_sent || arrived < *last_arrived {
                return;
            }
            if sent == *last_sent {
                *last_arrived = arrived;
                return;
            }
        }
        self.samples.push_back((sent, arrived));
        let start = sent.saturating_sub(self.window);
        while self.samples.get(1).is_some_and(|sample| sample.0 <= start) {
            self.samples.pop_front();
        }
    }

    /// Returns how many packets were sent and how many arrived since the start of the window.
    pub(super) fn counts(&self) -> (u64, u64) {
        match (self.samples.front(), self.samples.back()) {
            (Some(first), Some(last)) => (last.0 - first.0, last.1 - first.1),
            _ => (0, 0),
        }
    }

    /// Returns the share of packets that did not arrive, 0 to 1. `None`: none was sent.
    pub(super) fn loss(&self) -> Option<f64> {
        let (sent, arrived) = self.counts();
        // Counts within a window are far below 2^53, so that `f64` is exact.
        let share = |part: u64| part as f64 / sent as f64;
        (sent > 0).then(|| share(sent.saturating_sub(arrived)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_of_the_latest() {
        let mut window = LossWindow::new(32);
        assert_eq!(window.loss(), None);
        window.record(5, 0);
        assert_eq!(window.loss(), None);
        for sent in 6..=100 {
            window.record(sent, (sent - 5).min(50));
        }
        // 55 sent, 50 came; then nothing.
        assert_eq!(window.counts(), (32, 0));
        assert_eq!(window.loss(), Some(1.0));
        for sent in 101..=116 {
            window.record(sent, sent - 50);
        }
        assert_eq!(window.counts(), (32, 16));
        assert_eq!(window.loss(), Some(0.5));
    }

    #[test]
    fn counters_out_of_order_change_nothing() {
        let mut window = LossWindow::new(32);
        window.record(1, 1);
        window.record(10, 10);
        window.record(9, 9);
        window.record(11, 9);
        assert_eq!(window.counts(), (9, 9));
        window.record(10, 10);
        assert_eq!(window.loss(), Some(0.0));
    }
}
