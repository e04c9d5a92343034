//! Rate limits, and the state of their buckets.

use crate::abi::abi;

/// A rate limit: a virtual clock runs ahead of the real one by `cost` for every unit, and a packet
/// that would put it ahead by more than `burst` is refused (the GCRA of ITU-T I.371).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct RateLimit {
    /// Cost of one unit, in 1/1024 ns; 0: no limit.
    pub cost: u64,
    /// Tolerance, in ns.
    pub burst: u64,
}

impl RateLimit {
    /// No limit.
    pub const NONE: Self = Self { cost: 0, burst: 0 };
    const SECOND: u64 = 1_000_000_000;
    const SCALE: u64 = 1024;

    /// `units` per second, and at once as many as come in `burst` ns or `min_units` of them,
    /// whatever is more. 0 units: no limit.
    pub const fn per_second(units: u64, burst: u64, min_units: u64) -> Self {
        if units == 0 {
            return Self::NONE;
        }
        let cost = (Self::SECOND * Self::SCALE).div_ceil(units);
        let room = cost.saturating_mul(min_units) / Self::SCALE;
        Self { cost, burst: if room > burst { room } else { burst } }
    }

    /// The cost of `units`, in ns.
    #[inline(always)]
    pub const fn cost_of(&self, units: u64) -> u64 {
        self.cost.wrapping_mul(units) / Self::SCALE
    }
}

/// The virtual clocks of a peer's limits, in ns. Written by `decap` alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct BucketState {
    /// Clock of the limit of packets.
    pub packets: u64,
    /// Clock of the limit of inner bytes.
    pub bytes: u64,
}

abi! {
    RateLimit: 16,
    BucketState: 16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_costs_the_inverse_of_the_rate() {
        let thousand = RateLimit::per_second(1_000, 0, 1);
        assert_eq!(
            (thousand.cost_of(1), thousand.cost_of(1_000), thousand.burst),
            (1_000_000, 1_000_000_000, 1_000_000)
        );
        // 10 Gbit/s in bytes: less than a nanosecond each.
        let fast = RateLimit::per_second(1_250_000_000, 1_000_000, 1_500);
        assert!(fast.cost_of(1_250_000_000).abs_diff(1_000_000_000) < 1_000_000, "{fast:?}");
        assert_eq!(fast.burst, 1_000_000);
        assert_eq!(RateLimit::per_second(0, 5, 5), RateLimit::NONE);
        assert_eq!(RateLimit::per_second(1, 0, 1).cost_of(1), 1_000_000_000);
    }
}
