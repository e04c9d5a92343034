//! What XDP has redirected and what has arrived: the difference is on its way or lost. Tells the
//! lost from the rest. Reads no map.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Longer than any frame is on its way: through one queue of the CPU's own softirqs.
pub(super) const SETTLED: Duration = Duration::from_millis(20);

/// What is known of each counter slot in which frames were missing.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    slots: Mutex<HashMap<u32, Missing>>,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    read: Instant,
    /// All that were redirected until then.
    redirected: u64,
    /// Never falls.
    lost: u64,
}

impl InFlight {
    /// Returns how many frames of a slot are lost for certain, as two readings show it: what was
    /// redirected before the earlier one and has not arrived by now.
    pub(super) fn lost(&self, slot: u32, redirected: u64, arrived: u64, now: Instant) -> u64 {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(missing) = slots.get_mut(&slot) else {
            if redirected > arrived {
                slots.insert(slot, Missing { read: now, redirected, lost: 0 });
            }
            return 0;
        };
        if now.saturating_duration_since(missing.read) >= SETTLED {
            let lost = missing.redirected.saturating_sub(arrived);
            *missing = Missing { read: now, redirected, lost: missing.lost.max(lost) };
        }
        missing.lost
    }

    /// Returns whether it is open what has become of some.
    pub(super) fn is_open(&self, slot: u32, redirected: u64, arrived: u64) -> bool {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        redirected > arrived + slots.get(&slot).map_or(0, |missing| missing.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_flight_is_not_lost() {
        let (flight, start) = (InFlight::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(flight.lost(1, 100, 100, at(0)), 0);
        assert_eq!(flight.lost(1, 110, 100, at(10)), 0);
        assert_eq!(flight.lost(1, 200, 105, at(20)), 0);
        assert_eq!(flight.lost(1, 300, 290, at(200)), 0);
        assert_eq!(flight.lost(2, 7, 7, at(200)), 0);
    }

    #[test]
    fn what_has_not_arrived_by_the_next_reading_is_lost_for_good() {
        let (flight, start) = (InFlight::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(flight.lost(1, 110, 100, at(0)), 0);
        assert_eq!(flight.lost(1, 110, 100, at(100)), 10);
        // More arrive, and the number stays.
        assert_eq!(flight.lost(1, 300, 290, at(150)), 10);
        assert_eq!(flight.lost(1, 310, 295, at(200)), 10);
        assert_eq!(flight.lost(1, 310, 295, at(300)), 15);
    }
}
