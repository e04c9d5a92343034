//! The search itself. Sizes are those of IP packets, in bytes; points in time are those of a clock
//! that never steps, as the time since some fixed moment.
//!
//! ```text
//!            base lost                base acked
//!   Error <------------- Base ----------------------> Searching
//!     |                   ^                            |     ^
//!     | base acked        | black hole, refused here   |     | PMTU_RAISE_TIMER
//!     v                   |                            v     |
//!   Searching             +--------------------- SearchComplete
//! ```
//!
//! A search ends. On a path that loses only packets that are too large it ends at exactly the path
//! MTU, after at most [`MAX_SIZES`](super::MAX_SIZES) sizes. On a path with random loss it never
//! ends above the path MTU, and below only if one size was lost [`MAX_PROBES`] times in a row; the
//! next search upwards, after [`PMTU_RAISE_TIMER`], corrects that. At most one probe is in flight.
//!
//! A router's report that a packet was too big is a reason to probe, and proves nothing: anyone can
//! send one. It has the size in use confirmed at once, and gives the search a size to try.

use std::time::Duration;

use super::{
    candidate::UpperBound,
    phase::{CONFIRMATION_TIMER, MAX_PROBES, PMTU_RAISE_TIMER, Phase},
};

/// The path MTU discovery of one path.
#[derive(Clone, Debug)]
pub struct Dplpmtud {
    /// Effective only up to `max_plpmtu`, see [`Self::base`].
    pub(super) base_plpmtu: u16,
    pub(super) max_plpmtu: u16,
    pub(super) phase: Phase,
    pub(super) upper: UpperBound,
    /// PROBE_COUNT: how often in a row the present size was lost.
    pub(super) probe_count: u8,
    /// PROBED_SIZE of the probe in flight.
    pub(super) in_flight: Option<u16>,
    pub(super) plpmtu: Option<u32>,
    /// The MTU that a router reports, while the size in use is being confirmed because of it.
    pub(super) suspicion: Option<u16>,
    /// No report has the size in use confirmed before.
    pub(super) next_suspicion: Duration,
}

impl Dplpmtud {
    /// Starts at `base`, which nearly every path carries. `max`: the MTU of the first link.
    pub fn new(base: u16, max: u16) -> Self {
        Self {
            base_plpmtu: base,
            max_plpmtu: max,
            phase: Phase::Base { publish_interim: false, reported: None },
            upper: UpperBound::open(max),
            probe_count: 0,
            in_flight: None,
            plpmtu: None,
            suspicion: None,
            next_suspicion: Duration::ZERO,
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

    /// Returns whether a router's report is being followed, so that haste is due: packets may be
    /// lost until its truth is known.
    pub const fn follows_report(&self) -> bool {
        let searching = self.is_searching() && self.upper.ptb_size.is_some();
        self.suspicion.is_some() || searching
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
            Phase::Base { reported, .. } => self.first_size(reported),
            Phase::Error { retry_at } => (now >= retry_at).then_some(self.base())?,
            Phase::Searching { low, .. } => self.upper.candidate(low, self.max_plpmtu),
            Phase::SearchComplete { low, raise_at, .. }
                if now >= raise_at && low < self.max_plpmtu && self.suspicion.is_none() =>
            {
                self.phase = Phase::Searching { low, publish_interim: false };
                self.upper = UpperBound::open(self.max_plpmtu);
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
            Phase::Base { publish_interim, .. } if size >= self.base() => {
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
                self.suspicion = None;
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
        if let Phase::Base { reported: Some(reported), .. } = self.phase
            && size == self.first_size(Some(reported))
            && size > self.base()
        {
            // The router's word was not true, or not enough: from the base, then.
            self.restart(self.max_plpmtu);
            return;
        }
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
            Phase::SearchComplete { .. } => {
                let (reported, plpmtu) = (self.suspicion, self.plpmtu);
                self.restart(self.max_plpmtu);
                if let Some(reported) = reported.filter(|mtu| *mtu > self.base() && *mtu < size) {
                    // It is likely to pass. What is published is sent on to senders behind the
                    // tunnel, who keep it for minutes: so the base is, only if that must be.
                    self.plpmtu = plpmtu;
                    self.upper.ptb_size = Some(reported);
                    self.phase = Phase::Base { publish_interim: true, reported: Some(reported) };
                }
            }
        }
    }

    /// A probe of that size was not acknowledged, but no other probe was either: that tells nothing
    /// about the size.
    pub fn probe_abandoned(&mut self, size: u16) {
        if self.in_flight == Some(size) {
            self.in_flight = None;
        }
    }

    pub(super) fn base(&self) -> u16 {
        self.base_plpmtu.min(self.max_plpmtu)
    }

    /// Returns the size that a search begins with: the reported one if it can be, or the base.
    fn first_size(&self, reported: Option<u16>) -> u16 {
        let possible =
            |size: u16| size <= self.max_plpmtu && u32::from(size) < self.upper.too_large;
        reported.filter(|size| possible(*size)).unwrap_or(self.base()).max(self.base())
    }

    /// Returns the largest size that passed.
    pub(super) const fn low(&self) -> Option<u16> {
        match self.phase {
            Phase::Base { .. } | Phase::Error { .. } => None,
            Phase::Searching { low, .. } | Phase::SearchComplete { low, .. } => Some(low),
        }
    }

    /// Goes on after a bound has changed: the search has ended if there is no size between them.
    pub(super) fn narrow(&mut self, low: u16, publish_interim: bool, now: Duration) {
        let ended = u32::from(low) + 1 >= self.upper.too_large;
        self.phase = if ended {
            let confirm_after =
                if self.suspicion.is_some() { Duration::ZERO } else { CONFIRMATION_TIMER };
            let (confirm_at, raise_at) = (now + confirm_after, now + PMTU_RAISE_TIMER);
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
    pub(super) fn restart(&mut self, limit: u16) {
        let base = self.base();
        self.phase = Phase::Base { publish_interim: true, reported: None };
        self.upper = UpperBound::open(limit.max(base));
        self.probe_count = 0;
        self.in_flight = None;
        self.suspicion = None;
        self.plpmtu = Some(u32::from(base));
    }

    pub(super) fn base_failed(&mut self, now: Duration) {
        self.phase = Phase::Error { retry_at: now + CONFIRMATION_TIMER };
        self.upper.too_large = u32::from(self.max_plpmtu) + 1;
        self.probe_count = 0;
        // The previous PLPMTU is too large. The base is closer to what passes than the MTU of the
        // link.
        let base = u32::from(self.base());
        self.plpmtu = self.plpmtu.map(|plpmtu| plpmtu.min(base));
    }
}
