//! The clock that the programs read. Owns no map: the copy of the clock in a map is
//! [`super::Clock`].

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Returns whole seconds since boot: the clock of the FDB's `seen`.
pub fn uptime() -> u32 {
    u32::try_from(now().as_secs()).unwrap_or(u32::MAX)
}

/// Returns the time since boot without suspensions, as `bpf_ktime_get_ns` does. This clock never
/// steps.
pub fn now() -> Duration {
    // The clock exists in every kernel, so the call cannot fail.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}
