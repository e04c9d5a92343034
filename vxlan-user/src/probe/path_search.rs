//! The search for the largest IP packet that a path carries, after RFC 8899 (DPLPMTUD): which size to
//! try next, and what follows from its fate. Knows no packets; sizes are those of IP packets, in bytes.
//!
//! A search ends. On a path that loses nothing but what is too long it ends at exactly the path MTU,
//! after at most [`MAX_SIZES`] sizes. Where probes also get lost at random, it never ends above the path
//! MTU, and below it only if one size got lost [`MAX_PROBES`] times in a row; then the next search
//! upwards, after [`RAISE`], corrects it. One probe is under way at a time.
//!
//! Points in time are those of a clock that never steps, as the time since any one moment.

use std::time::Duration;

/// The size to start from over IPv4 (RFC 8899, section 5.1.2).
pub const BASE_IPV4: u16 = 1200;
/// The same over IPv6: what every link carries (RFC 8200, section 5).
pub const BASE_IPV6: u16 = 1280;
/// A size lost so often in a row is too long (RFC 8899, section 5.1.2).
pub const MAX_PROBES: u8 = 3;
/// After this a found size may have become too small (PMTU_RAISE_TIMER of RFC 8899).
pub const RAISE: Duration = Duration::from_secs(600);
/// A found size is tried anew so often (CONFIRMATION_TIMER).
pub const CONFIRM: Duration = Duration::from_secs(60);
/// Sizes that one search tries at most, up to 9001: base and maximum, 4 of the usual ones, one more than
/// such a one, and 13 in the widest gap between them. Each takes at most [`MAX_PROBES`] probes. A size that a router
/// names adds two.
pub const MAX_SIZES: u32 = 20;

/// MTUs that paths really have, tried before others.
const USUAL: [u16; 15] =
    [1280, 1300, 1340, 1360, 1380, 1400, 1420, 1450, 1460, 1480, 1492, 1500, 8500, 8896, 9000];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Does the base pass?
    Base,
    /// It does; what else?
    Searching,
    /// The search has ended; it is confirmed, and after a while begun again upwards.
    Complete { confirm: Duration, raise: Duration },
    /// Not even the base passes. It is tried again.
    Error { again: Duration },
}

/// See the top of this file.
#[derive(Clone, Debug)]
pub struct PathSearch {
    wanted_base: u16,
    max: u16,
    state: State,
    /// The largest size that passed in this search; the base, before it has.
    low: u16,
    /// The smallest that did not; one more than `max`, if none.
    high: u32,
    /// Somebody on the way has named this size.
    hint: Option<u16>,
    /// How often in a row the present size got lost.
    losses: u8,
    outstanding: Option<u16>,
    found: Option<u32>,
    /// The former size passes no more: what has passed since is better than nothing.
    narrower: bool,
}

impl PathSearch {
    /// From `base`, which nearly every path carries, up to `max`, the MTU of the first link.
    pub fn new(base: u16, max: u16) -> Self {
        Self {
            wanted_base: base,
            max,
            state: State::Base,
            low: base.min(max),
            high: u32::from(max) + 1,
            hint: None,
            losses: 0,
            outstanding: None,
            found: None,
            narrower: false,
        }
    }

    /// The largest packet that is known to pass; `None` until the first search has ended, and where not
    /// even the base passes.
    pub const fn found(&self) -> Option<u32> {
        self.found
    }

    /// A search is going on.
    pub const fn is_searching(&self) -> bool {
        matches!(self.state, State::Base | State::Searching)
    }

    /// The size whose fate has not been told yet.
    pub const fn outstanding(&self) -> Option<u16> {
        self.outstanding
    }

    /// The size that is to be sent now. Its fate must be told by one of [`Self::answered`],
    /// [`Self::lost`], [`Self::unknown`] and [`Self::refused`]; until then there is no other.
    pub fn next(&mut self, now: Duration) -> Option<u16> {
        if self.outstanding.is_some() {
            return None;
        }
        let size = match self.state {
            State::Base => self.low,
            State::Error { again } => (now >= again).then_some(self.low)?,
            State::Searching => self.candidate(),
            State::Complete { raise, .. } if now >= raise && self.low < self.max => {
                self.state = State::Searching;
                self.high = u32::from(self.max) + 1;
                self.losses = 0;
                self.candidate()
            }
            State::Complete { confirm, .. } => {
                (now >= confirm || self.losses > 0).then_some(self.low)?
            }
        };
        self.outstanding = Some(size);
        Some(size)
    }

    /// When [`Self::next`] has something; `None`: when the fate of the last one is told.
    pub fn due(&self, now: Duration) -> Option<Duration> {
        if self.outstanding.is_some() {
            return None;
        }
        Some(match self.state {
            State::Base | State::Searching => now,
            State::Complete { .. } if self.losses > 0 => now,
            State::Complete { confirm, raise } if self.low < self.max => confirm.min(raise),
            State::Complete { confirm, .. } => confirm,
            State::Error { again } => again,
        })
    }

    /// The other end has it.
    pub fn answered(&mut self, size: u16, now: Duration) {
        if self.outstanding == Some(size) {
            self.outstanding = None;
        }
        // An answer that comes late is one all the same; but what was refused since stays refused.
        if u32::from(size) >= self.high || size > self.max {
            return;
        }
        match self.state {
            State::Base | State::Error { .. } if size >= self.low => {
                self.low = size;
                self.losses = 0;
                self.search(now);
            }
            State::Searching if size > self.low => {
                self.low = size;
                self.losses = 0;
                self.search(now);
            }
            State::Complete { raise, .. } if size >= self.low => {
                self.losses = 0;
                self.state = State::Complete { confirm: now + CONFIRM, raise };
            }
            State::Base | State::Searching | State::Complete { .. } | State::Error { .. } => {}
        }
    }

    /// It was not answered in time, while shorter probes were.
    pub fn lost(&mut self, size: u16, now: Duration) {
        if self.outstanding != Some(size) {
            return;
        }
        self.outstanding = None;
        self.losses += 1;
        if self.losses < MAX_PROBES {
            return;
        }
        self.losses = 0;
        match self.state {
            State::Base | State::Error { .. } => self.fail(now),
            State::Searching => {
                self.high = self.high.min(u32::from(size));
                self.search(now);
            }
            // A black hole (RFC 8899, section 4.3).
            State::Complete { .. } => self.restart(self.max),
        }
    }

    /// It was not answered, but nothing else was either, which says nothing about its size.
    pub fn unknown(&mut self, size: u16) {
        if self.outstanding == Some(size) {
            self.outstanding = None;
        }
    }

    /// A router or the kernel says that a packet of that size is too long; perhaps also what would do.
    pub fn refused(&mut self, size: u16, mtu: Option<u16>, now: Duration) {
        let was_sent = self.outstanding == Some(size);
        if was_sent {
            self.outstanding = None;
        }
        let mtu = mtu.filter(|mtu| *mtu < size);
        if size <= self.base() {
            match self.state {
                State::Base | State::Error { .. } => self.fail(now),
                State::Searching | State::Complete { .. } if was_sent => self.restart(self.max),
                State::Searching | State::Complete { .. } => {}
            }
            return;
        }
        let passed = !matches!(self.state, State::Base | State::Error { .. }) && size <= self.low;
        if passed {
            self.restart(size - 1);
            if let Some(mtu) = mtu.filter(|mtu| *mtu >= self.low) {
                // Until the search has ended there is nothing better than the router's word. Less would
                // be told to senders behind the tunnel, who keep it for minutes.
                self.found = Some(u32::from(mtu));
                self.narrower = false;
            }
        } else if u32::from(size) < self.high {
            self.high = u32::from(size);
            self.losses = 0;
        }
        self.hint = mtu;
        if matches!(self.state, State::Searching) {
            self.search(now);
        }
    }

    /// The first link carries more or less from now on.
    pub fn set_max(&mut self, max: u16, now: Duration) {
        if max == self.max {
            return;
        }
        let open = self.high > u32::from(self.max);
        self.max = max;
        let above = u32::from(max) + 1;
        self.high = if open { above } else { self.high.min(above) };
        if self.outstanding.is_some_and(|size| size > max) {
            self.outstanding = None;
            self.losses = 0;
        }
        if self.low > max {
            // What carried more carries this.
            self.low = max;
        }
        self.found = self.found.map(|found| found.min(u32::from(max)));
        match self.state {
            State::Base | State::Error { .. } => self.low = self.base(),
            State::Searching => self.search(now),
            State::Complete { .. } if self.high > u32::from(self.low) + 1 => {
                self.state = State::Searching;
            }
            State::Complete { .. } => {}
        }
    }

    fn base(&self) -> u16 {
        self.wanted_base.min(self.max)
    }

    /// `low` or `high` has changed: is there anything between them?
    fn search(&mut self, now: Duration) {
        let ended = u32::from(self.low) + 1 >= self.high;
        if ended {
            self.state = State::Complete { confirm: now + CONFIRM, raise: now + RAISE };
            self.narrower = false;
        } else {
            self.state = State::Searching;
        }
        if ended || self.narrower {
            self.found = Some(u32::from(self.low));
        }
    }

    /// From the base again: what was found passes no more, nor does anything above `at_most`.
    fn restart(&mut self, at_most: u16) {
        self.state = State::Base;
        self.low = self.base();
        self.high = u32::from(at_most.max(self.low)) + 1;
        self.hint = None;
        self.losses = 0;
        self.outstanding = None;
        self.found = Some(u32::from(self.low));
        self.narrower = true;
    }

    fn fail(&mut self, now: Duration) {
        self.state = State::Error { again: now + CONFIRM };
        self.low = self.base();
        self.high = u32::from(self.max) + 1;
        self.losses = 0;
        // What was found before is too much, and the base still nearer to what passes than the link's MTU.
        self.found = self.found.map(|found| found.min(u32::from(self.low)));
        self.narrower = false;
    }

    /// The next size between `low` and `high`, where there is one.
    fn candidate(&self) -> u16 {
        let inside = |size: u16| size > self.low && u32::from(size) < self.high;
        if self.high > u32::from(self.max) {
            return self.max;
        }
        if let Some(hint) = self.hint.filter(|hint| inside(*hint)) {
            return hint;
        }
        // What a router named, and what paths usually have, is likely to be the very size.
        if self.hint == Some(self.low) {
            return self.low + 1;
        }
        let usual: Vec<u16> = USUAL.into_iter().filter(|size| inside(*size)).collect();
        if let Some(size) = usual.get(usual.len() / 2) {
            return *size;
        }
        if USUAL.contains(&self.low) {
            return self.low + 1;
        }
        // Below `high`, which is at most 65,536.
        let middle = u32::midpoint(u32::from(self.low), self.high);
        u16::try_from(middle).unwrap_or(u16::MAX)
    }
}
