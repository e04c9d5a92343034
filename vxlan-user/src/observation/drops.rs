//! Packets of a peer that were dropped here lately, by reason.

use std::time::Duration;

use vxlan_common::reason::{RX_SLOTS, RxDrop};

/// Dropped packets by reason, the number of the reason being the index.
pub type DropCounts = [u64; RX_SLOTS];

/// Computes recent counts from counters that only grow.
#[derive(Clone, Debug, Default)]
pub struct DropWindow {
    /// The counters as they were at the start of the window, and at the latest sample after which
    /// the next window begins. Absent: nothing was dropped yet.
    samples: Option<Box<[(Duration, DropCounts); 2]>>,
    /// There was a sample.
    started: bool,
    recent: Vec<(RxDrop, u64)>,
}

impl DropWindow {
    /// Records the counters as they are at `now`. What was added within the latest `window`, or up
    /// to twice that, is recent.
    pub fn sample(&mut self, now: Duration, counts: &DropCounts, window: Duration) {
        let started = std::mem::replace(&mut self.started, true);
        if self.samples.is_none() && counts.iter().all(|count| *count == 0) {
            return;
        }
        let first = if started { [0; RX_SLOTS] } else { *counts };
        let samples = self.samples.get_or_insert_with(|| Box::new([(now, first); 2]));
        if now.saturating_sub(samples[1].0) >= window {
            samples[0] = samples[1];
            samples[1] = (now, *counts);
        }
        let before = &samples[0].1;
        // A counter that went back, since its peer was removed and added again, begins anew.
        if before.iter().zip(counts).any(|(before, now)| now < before) {
            **samples = [(now, *counts); 2];
            self.recent.clear();
            return;
        }
        let added = |reason: &RxDrop| {
            let index = *reason as usize;
            counts.get(index).zip(before.get(index)).map_or(0, |(now, before)| now - before)
        };
        let recent = RxDrop::ALL.iter().map(|reason| (*reason, added(reason)));
        self.recent = recent.filter(|(_, packets)| *packets != 0).collect();
        self.recent.sort_by_key(|(_, packets)| std::cmp::Reverse(*packets));
    }

    /// Returns the reasons with the number of packets, the most frequent first.
    pub fn recent(&self) -> &[(RxDrop, u64)] {
        &self.recent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_drops_are_those_of_one_to_two_windows() {
        let mut drops = DropWindow::default();
        let mut counts = [0; RX_SLOTS];
        let window = Duration::from_secs(15);
        for second in 0..100 {
            let dropping = (20..50).contains(&second);
            if dropping {
                counts[RxDrop::UnknownVni as usize] += 3;
                counts[RxDrop::EcnError as usize] += 4;
            }
            drops.sample(Duration::from_secs(second), &counts, window);
            let recent = drops.recent();
            match second {
                0..=19 | 80.. => assert!(recent.is_empty(), "{second}: {recent:?}"),
                36..=50 => {
                    assert_eq!(recent[0].0, RxDrop::EcnError, "{second}");
                    assert!((40..=120).contains(&recent[1].1), "{second}: {recent:?}");
                }
                _ => {}
            }
        }
        counts = [0; RX_SLOTS];
        drops.sample(Duration::from_secs(101), &counts, window);
        assert!(drops.recent().is_empty());
    }
}
