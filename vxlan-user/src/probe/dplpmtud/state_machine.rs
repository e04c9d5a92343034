//! The search itself. Sizes are those of IP packets, in bytes; points in time are those of a clock
//! that never steps, as the time since some fixed moment.
//!
//! ```text
//!            base lost                base acked
//!   Error <------------- Base ----------------------> Searching
//!     |                   ^                            |     ^
//!     | base acked        | black hole, packet too big |     | PMTU_RAISE_TIMER
//!     v                   |                            v     |
//!   Searching             +--------------------- SearchComplete
//! ```
//!
//! A search ends. On a path that loses only packets that are too large it ends at exactly the path
//! MTU, after at most [`MAX_SIZES`](super::MAX_SIZES) sizes. On a path with random loss it never
//! ends above the path MTU, and below only if one size was lost [`MAX_PROBES`] times in a row; the
//! next search upwards, after [`PMTU_RAISE_TIMER`], corrects that. At most one probe is in flight.

use std::time::Duration;

use super::{
    candidate::UpperBound,
    phase::{CONFIRMATION_TIMER, MAX_PROBES, PMTU_RAISE_TIMER, Phase},
};

/// The path MTU discovery of one path.
#[derive(Clone, Debug)]
pub struct Dplpmtud {
    /// Effective only up to `max_plpmtu`, see [`Self::base`].
    base_plpmtu: u16,
    max_plpmtu: u16,
    phase: Phase,
    upper: UpperBound,
    /// PROBE_COUNT: how often in a row the present size was lost.
    probe_count: u8,
    /// PROBED_SIZE of the probe in flight.
    in_flight: Option<u16>,
    plpmtu: Option<u32>,
}

impl Dplpmtud {
    /// Starts at `base`, which nearly every path carries. `max`: the MTU of the first link.
    pub fn new(base: u16, max: u16) -> Self {
        Self {
            base_plpmtu: base,
            max_plpmtu: max,
            phase: Phase::Base { publish_interim: false },
            upper: UpperBound::open(max),
            probe_count: 0,
            in_flight: None,
            plpmtu: None,
        }
    }

    /// Returns the size of the largest packet that is known to pass. `None`: until the first search
    /// has ended, and where not even the base passes.
    pub const fn plpmtu(&self) -> Option<u32> {
        self.plpmtu
    }

    /// Returns whether a search is going on.
    pub const fn is_searching(&self) -> bool {
        matches!(self.phase, Phase::Base { .. } | Phase::Searching { .. })
    }

    /// Returns the size whose fate is not known yet.
    pub const fn in_flight(&self) -> Option<u16> {
        self.in_flight
    }

    /// Returns the size to probe now. No other is returned until its fate is reported by
    /// [`Self::probe_acked`], [`Self::probe_lost`], [`Self::probe_abandoned`] or
    /// [`Self::packet_too_big`].
    pub fn poll_transmit(&mut self, now: Duration) -> Option<u16> {
        if self.in_flight.is_some() {
            return None;
        }
        let size = match self.phase {
            Phase::Base { .. } => self.base(),
            Phase::Error { retry_at } => (now >= retry_at).then_some(self.base())?,
            Phase::Searching { low, .. } => self.upper.candidate(low, self.max_plpmtu),
            Phase::SearchComplete { low, raise_at, .. }
                if now >= raise_at && low < self.max_plpmtu =>
            {
                self.phase = Phase::Searching { low, publish_interim: false };
                self.upper.too_large = u32::from(self.max_plpmtu) + 1;
                self.probe_count = 0;
                self.upper.candidate(low, self.max_plpmtu)
            }
            Phase::SearchComplete { low, confirm_at, .. } => {
                (now >= confirm_at || self.probe_count > 0).then_some(low)?
            }
        };
        self.in_flight = Some(size);
        Some(size)
    }

    /// Returns when [`Self::poll_transmit`] has a size. `None`: not before the fate of the probe in
    /// flight is reported.
    pub fn next_timeout(&self, now: Duration) -> Option<Duration> {
        if self.in_flight.is_some() {
            return None;
        }
        Some(match self.phase {
            Phase::Base { .. } | Phase::Searching { .. } => now,
            Phase::SearchComplete { .. } if self.probe_count > 0 => now,
            Phase::SearchComplete { low, confirm_at, raise_at } if low < self.max_plpmtu => {
                confirm_at.min(raise_at)
            }
            Phase::SearchComplete { confirm_at, .. } => confirm_at,
            Phase::Error { retry_at } => retry_at,
        })
    }

    /// The peer has received a probe of that size.
    pub fn probe_acked(&mut self, size: u16, now: Duration) {
        if self.in_flight == Some(size) {
            self.in_flight = None;
        }
        // A late acknowledgement counts, too; but a size that was found too large since stays too
        // large.
        if u32::from(size) >= self.upper.too_large || size > self.max_plpmtu {
            return;
        }
        match self.phase {
            Phase::Base { publish_interim } if size >= self.base() => {
                self.probe_count = 0;
                self.narrow(size, publish_interim, now);
            }
            Phase::Error { .. } if size >= self.base() => {
                self.probe_count = 0;
                self.narrow(size, false, now);
            }
            Phase::Searching { low, publish_interim } if size > low => {
                self.probe_count = 0;
                self.narrow(size, publish_interim, now);
            }
            Phase::SearchComplete { low, raise_at, .. } if size >= low => {
                self.probe_count = 0;
                let confirm_at = now + CONFIRMATION_TIMER;
                self.phase = Phase::SearchComplete { low, confirm_at, raise_at };
            }
            Phase::Base { .. }
            | Phase::Searching { .. }
            | Phase::SearchComplete { .. }
            | Phase::Error { .. } => {}
        }
    }

    /// A probe of that size was not acknowledged in time, while smaller probes were.
    pub fn probe_lost(&mut self, size: u16, now: Duration) {
        if self.in_flight != Some(size) {
            return;
        }
        self.in_flight = None;
        self.probe_count += 1;
        if self.probe_count < MAX_PROBES {
            return;
        }
        self.probe_count = 0;
        match self.phase {
            Phase::Base { .. } | Phase::Error { .. } => self.base_failed(now),
            Phase::Searching { low, publish_interim } => {
                self.upper.too_large = self.upper.too_large.min(u32::from(size));
                self.narrow(low, publish_interim, now);
            }
            // A black hole (RFC 8899, section 4.3).
            Phase::SearchComplete { .. } => self.restart(self.max_plpmtu),
        }
    }

    /// A probe of that size was not acknowledged, but no other probe was either: that tells nothing
    /// about the size.
    pub fn probe_abandoned(&mut self, size: u16) {
        if self.in_flight == Some(size) {
            self.in_flight = None;
        }
    }

    /// A router or the kernel reports that a packet of that size is too large (PTB), and perhaps
    /// the MTU that would pass.
    pub fn packet_too_big(&mut self, size: u16, mtu: Option<u16>, now: Duration) {
        let was_in_flight = self.in_flight == Some(size);
        if was_in_flight {
            self.in_flight = None;
        }
        let mtu = mtu.filter(|mtu| *mtu < size);
        if size <= self.base() {
            match self.phase {
                Phase::Base { .. } | Phase::Error { .. } => self.base_failed(now),
                Phase::Searching { .. } | Phase::SearchComplete { .. } if was_in_flight => {
                    self.restart(self.max_plpmtu);
                }
                Phase::Searching { .. } | Phase::SearchComplete { .. } => {}
            }
            return;
        }
        if self.low().is_some_and(|low| size <= low) {
            self.restart(size - 1);
            if let Some(mtu) = mtu.filter(|mtu| *mtu >= self.base()) {
                // Until the search has ended the reported MTU is the best that is known. A smaller
                // value would be sent on to senders behind the tunnel, who keep it for minutes.
                self.plpmtu = Some(u32::from(mtu));
                self.phase = Phase::Base { publish_interim: false };
            }
        } else if u32::from(size) < self.upper.too_large {
            self.upper.too_large = u32::from(size);
            self.probe_count = 0;
        }
        self.upper.ptb_size = mtu;
        if let Phase::Searching { low, publish_interim } = self.phase {
            self.narrow(low, publish_interim, now);
        }
    }

    /// The MTU of the first link has changed.
    pub fn set_max_plpmtu(&mut self, max: u16, now: Duration) {
        if max == self.max_plpmtu {
            return;
        }
        let open = self.upper.too_large > u32::from(self.max_plpmtu);
        self.max_plpmtu = max;
        let above = u32::from(max) + 1;
        self.upper.too_large = if open { above } else { self.upper.too_large.min(above) };
        if self.in_flight.is_some_and(|size| size > max) {
            self.in_flight = None;
            self.probe_count = 0;
        }
        self.plpmtu = self.plpmtu.map(|plpmtu| plpmtu.min(u32::from(max)));
        match &mut self.phase {
            Phase::Base { .. } | Phase::Error { .. } => {}
            // A path that carried more carries `max`.
            Phase::Searching { low, publish_interim } => {
                let (low, publish_interim) = ((*low).min(max), *publish_interim);
                self.narrow(low, publish_interim, now);
            }
            Phase::SearchComplete { low, .. } => {
                *low = (*low).min(max);
                let low = *low;
                if self.upper.too_large > u32::from(low) + 1 {
                    self.phase = Phase::Searching { low, publish_interim: false };
                }
            }
        }
    }

    fn base(&self) -> u16 {
        self.base_plpmtu.min(self.max_plpmtu)
    }

    /// Returns the largest size that passed.
    const fn low(&self) -> Option<u16> {
        match self.phase {
            Phase::Base { .. } | Phase::Error { .. } => None,
            Phase::Searching { low, .. } | Phase::SearchComplete { low, .. } => Some(low),
        }
    }

    /// Goes on after a bound has changed: the search has ended if there is no size between them.
    fn narrow(&mut self, low: u16, publish_interim: bool, now: Duration) {
        let ended = u32::from(low) + 1 >= self.upper.too_large;
        self.phase = if ended {
            let (confirm_at, raise_at) = (now + CONFIRMATION_TIMER, now + PMTU_RAISE_TIMER);
            Phase::SearchComplete { low, confirm_at, raise_at }
        } else {
            Phase::Searching { low, publish_interim }
        };
        if ended || publish_interim {
            self.plpmtu = Some(u32::from(low));
        }
    }

    /// Starts again from the base: the PLPMTU passes no more, and neither does any size above
    /// `limit`.
    fn restart(&mut self, limit: u16) {
        let base = self.base();
        self.phase = Phase::Base { publish_interim: true };
        self.upper = UpperBound::open(limit.max(base));
        self.probe_count = 0;
        self.in_flight = None;
        self.plpmtu = Some(u32::from(base));
    }

    fn base_failed(&mut self, now: Duration) {
        self.phase = Phase::Error { retry_at: now + CONFIRMATION_TIMER };
        self.upper.too_large = u32::from(self.max_plpmtu) + 1;
        self.probe_count = 0;
        // The previous PLPMTU is too large. The base is closer to what passes than the MTU of the
        // link.
        let base = u32::from(self.base());
        self.plpmtu = self.plpmtu.map(|plpmtu| plpmtu.min(base));
    }
}
