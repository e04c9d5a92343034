//! Bounds the argument with another program that changes back what the daemon makes good. Pure:
//! points in time come in as arguments.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

/// How often the same change is made within [`SPAN`]. Nobody but a program repeats a change so
/// often.
const MAX_REPEATS: usize = 20;
const SPAN: Duration = Duration::from_secs(10);

/// When each change of each network was made.
#[derive(Debug, Default)]
pub(super) struct Restless(HashMap<(usize, String), VecDeque<Instant>>);

impl Restless {
    /// Records that a change of a network was made.
    pub(super) fn record(&mut self, network: usize, change: &str, now: Instant) {
        let times = self.0.entry((network, change.to_owned())).or_default();
        times.push_back(now);
        if times.len() > MAX_REPEATS {
            times.pop_front();
        }
    }

    /// Returns the networks that nothing is changed of for now: a change was made too often.
    pub(super) fn held(&mut self, now: Instant) -> Vec<usize> {
        let recent = |at: &Instant| now.saturating_duration_since(*at) < SPAN;
        self.0.retain(|_, times| times.back().is_some_and(recent));
        let often = self
            .0
            .iter()
            .filter(|(_, times)| times.len() == MAX_REPEATS && times.front().is_some_and(recent));
        often.map(|((network, _), _)| *network).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_is_made_again_and_again_is_held_for_a_while() {
        let start = Instant::now();
        let mut restless = Restless::default();
        let mut at = start;
        for _ in 0..MAX_REPEATS {
            assert!(restless.held(at).is_empty());
            restless.record(3, "gets MTU 1450", at);
            restless.record(4, &format!("{at:?}"), at);
            at += Duration::from_millis(100);
        }
        assert_eq!(restless.held(at), [3]);
        assert!(restless.held(start + SPAN).is_empty());
        restless.record(3, "gets MTU 1450", start + SPAN);
        assert_eq!(restless.held(start + SPAN), [3]);
        assert!(restless.held(at + SPAN).is_empty());
        assert!(restless.held(at + SPAN + SPAN).is_empty());
        assert!(restless.0.is_empty(), "what is past is forgotten");
    }

    #[test]
    fn many_different_changes_are_no_argument() {
        let now = Instant::now();
        let mut restless = Restless::default();
        for number in 0..100 {
            restless.record(3, &number.to_string(), now);
        }
        assert!(restless.held(now).is_empty());
    }
}
