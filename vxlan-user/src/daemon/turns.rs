//! Measures the turns of the event loop: the time from an event to when the loop waits again, in
//! which it serves nothing else.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use crate::metrics::LongestTurn;

/// The longest turn is reported for this time at least, and for twice as long at most.
const PERIOD: Duration = Duration::from_secs(300);
/// No turn shall take longer.
const TARGET: Duration = Duration::from_millis(10);

/// The turns of the event loop.
pub(super) struct Turns {
    longest: LongestTurn,
    /// The turn that goes on.
    current: Option<Turn>,
    /// The longest turn of the period before, and of this one.
    periods: [Duration; 2],
    /// When this period began.
    period_began: Instant,
}

/// A turn that goes on.
struct Turn {
    event: &'static str,
    began: Instant,
    /// What the thread had used of a CPU by then: on a busy machine a turn takes longer.
    cpu_time: Duration,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self {
            longest: LongestTurn::default(),
            current: None,
            periods: [Duration::ZERO; 2],
            period_began: Instant::now(),
        }
    }

    /// Returns where the longest turn is reported.
    pub(super) fn longest(&self) -> LongestTurn {
        self.longest.clone()
    }

    /// Begins a turn.
    pub(super) fn begin(&mut self, event: &'static str) {
        self.current = Some(Turn { event, began: Instant::now(), cpu_time: cpu_time() });
    }

    /// Ends the turn, as the loop waits for the next event.
    pub(super) fn end(&mut self) {
        let Some(Turn { event, began, cpu_time: before }) = self.current.take() else { return };
        let took = began.elapsed();
        if took > TARGET {
            let (took, used) = (took.as_millis(), cpu_time().saturating_sub(before).as_millis());
            tracing::debug!("the event loop took {took} ms, {used} ms of a CPU, for: {event}");
        }
        self.record(took, Instant::now());
    }

    fn record(&mut self, took: Duration, now: Instant) {
        let elapsed = now.saturating_duration_since(self.period_began);
        if elapsed >= PERIOD {
            let [_, previous] = self.periods;
            let previous = if elapsed < 2 * PERIOD { previous } else { Duration::ZERO };
            self.periods = [previous, Duration::ZERO];
            self.period_began = now;
        }
        let [previous, current] = &mut self.periods;
        *current = took.max(*current);
        self.longest.put((*current).max(*previous));
    }
}

/// Returns what this thread has used of a CPU.
fn cpu_time() -> Duration {
    // Every kernel has the clock, so the call cannot fail.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_turn_counts_for_one_period_and_not_for_three() {
        let mut turns = Turns::new();
        let (longest, start) = (turns.longest(), turns.period_began);
        let mut record = |took, at| {
            turns.record(Duration::from_millis(took), start + at);
            longest.latest().as_millis()
        };
        assert_eq!(record(40, PERIOD / 2), 40);
        assert_eq!(record(3, PERIOD - Duration::from_secs(1)), 40);
        assert_eq!(record(5, PERIOD + PERIOD / 4), 40);
        assert_eq!(record(4, 2 * PERIOD + PERIOD / 2), 5);
        assert_eq!(record(1, 9 * PERIOD), 1);
    }
}
