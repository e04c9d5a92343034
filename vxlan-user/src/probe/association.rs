//! What makes an authenticated probe count: that it is new, and from whom it says. One for each peer.
//! Holds the sessions, tokens and sequence numbers of both directions; what the other fields mean is
//! the matter of the prober. The rules are those of `docs/probe-protocol.md`.
//!
//! Points in time are those of a clock that never steps, as the time since any one moment: the
//! kernel's monotonic clock, for the arrival of probes is in it.

use std::collections::VecDeque;
use std::time::Duration;

use super::asking::{Answered, Asking, Purpose, Waiting};
use super::key::NameId;
use super::window::Window;
use super::{Probe, Refused};

/// How long a token may be brought for the first time.
pub(super) const OFFER_LIFE: Duration = Duration::from_secs(10);
/// How much longer than the fastest request of its association one may take.
pub(super) const LATENESS: Duration = Duration::from_secs(60);
/// What two clocks may differ in on top of that: this part of the time gone by.
pub(super) const DRIFT: i128 = 1024;
/// How many unproven requests are answered in [`ANSWER_TIME`].
const ANSWERS: usize = 5;
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// What a new request must carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub sequence: u64,
    pub token: u64,
    pub offered_token: u64,
    /// With this one, if it counts.
    pub requests_sent: u64,
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts. Answer it.
    Accepted {
        /// Its sequence is the highest so far.
        newest: bool,
        /// What the reply offers.
        offered_token: u64,
        /// It has offered a token that this host did not have, or it does not know this host's session:
        /// send a request at once.
        hurry: bool,
    },
    /// Counts as [`Refused::Unproven`].
    Unproven {
        /// What the reply offers; absent: do not answer.
        answer: Option<u64>,
    },
    Refused(Refused),
}

/// What has been accepted of the peer's latest session; probes tell the peer. All zero: nothing yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub session: u64,
    /// Without those with `size` or `unsolicited`.
    pub requests: u64,
    /// The highest of *requests sent*.
    pub highest_requests_sent: u64,
    pub unsolicited: u64,
}

/// Two hosts, as one of them sees it.
#[derive(Clone, Debug)]
pub struct Association {
    local: NameId,
    peer: NameId,
    session: u64,
    /// Of the peer's requests.
    current: Option<Current>,
    pending: Option<Offer>,
    /// Session and highest sequence of the latest unproven request.
    unproven: (u64, u64),
    /// When the latest unproven requests were answered, [`ANSWERS`] at most.
    answers: VecDeque<Duration>,
    seen: Seen,
    asking: Asking,
}

/// The association that the peer's requests are in.
#[derive(Clone, Debug)]
struct Current {
    session: u64,
    token: u64,
    window: Window,
    /// Of the request that came the fastest: when it arrived, and how far the two clocks are apart.
    anchor: (Duration, i128),
}

/// A token that nobody has brought yet.
#[derive(Clone, Copy, Debug)]
struct Offer {
    token: u64,
    drawn: Duration,
}

impl Association {
    /// `local` and `peer` are the two hosts' names; `session` is random, and not zero.
    pub fn new(local: NameId, peer: NameId, session: u64) -> Self {
        Self {
            local,
            peer,
            session,
            current: None,
            pending: None,
            unproven: (0, 0),
            answers: VecDeque::with_capacity(ANSWERS),
            seen: Seen::default(),
            asking: Asking::default(),
        }
    }

    /// This host's session.
    pub fn session(&self) -> u64 {
        self.session
    }

    /// What the peer wants brought; zero: nothing yet.
    pub fn token(&self) -> u64 {
        self.asking.token()
    }

    /// What has been accepted of the peer's requests.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// A request that is sent now. `None`: too many wait for an answer.
    pub fn next_request(
        &mut self,
        purpose: Purpose,
        now: Duration,
        random: impl FnMut() -> u64,
    ) -> Option<Outgoing> {
        let (sequence, requests_sent) = self.asking.next(purpose, now)?;
        let offered_token = match &self.current {
            Some(current) => current.token,
            None => self.offer(now, random),
        };
        Some(Outgoing { sequence, token: self.token(), offered_token, requests_sent })
    }

    /// Takes out the requests that nobody answered in time, the oldest first.
    pub fn expire(&mut self, now: Duration) -> Vec<Waiting> {
        self.asking.expire(now)
    }

    /// Judges a decoded request that arrived at `now`.
    pub fn request(
        &mut self,
        probe: &Probe,
        now: Duration,
        random: impl FnMut() -> u64,
    ) -> Verdict {
        if let Err(refused) = self.addressed(probe) {
            return Verdict::Refused(refused);
        }
        let offset = offset(probe, now);
        if let Some(current) = &mut self.current
            && (current.session, current.token) == (probe.session, probe.token)
            && !current.late(now, offset)
        {
            let newest = probe.sequence > current.window.highest();
            if !current.window.accept(probe.sequence) {
                return Verdict::Refused(Refused::Replayed);
            }
            if offset < current.anchor.1 {
                current.anchor = (now, offset);
            }
            return self.accepted(probe, newest);
        }
        if let Some(offer) = self.alive(now)
            && offer.token == probe.token
        {
            let mut window = Window::default();
            if !window.accept(probe.sequence) {
                return Verdict::Refused(Refused::Replayed);
            }
            let (session, token) = (probe.session, probe.token);
            self.current = Some(Current { session, token, window, anchor: (now, offset) });
            self.pending = None;
            return self.accepted(probe, true);
        }
        if probe.sequence <= self.highest(probe.session) {
            return Verdict::Refused(Refused::Replayed);
        }
        self.unproven = (probe.session, probe.sequence);
        let answer = self.may_answer(now).then(|| self.offer(now, random));
        Verdict::Unproven { answer }
    }

    /// Judges a decoded reply that arrived at `now`.
    ///
    /// # Errors
    ///
    /// [`Refused::Reflected`], [`Refused::Misaddressed`]; [`Refused::Replayed`]: nothing waits for it.
    pub fn reply(&mut self, probe: &Probe, now: Duration) -> Result<Answered, Refused> {
        self.addressed(probe)?;
        if probe.echoed_session != self.session {
            return Err(Refused::Replayed);
        }
        self.asking.answer(probe, now).ok_or(Refused::Replayed)
    }

    /// Rule 2.
    fn addressed(&self, probe: &Probe) -> Result<(), Refused> {
        let way = (probe.sender, probe.receiver);
        if probe.session == self.session
            || (way == (self.local, self.peer) && self.local != self.peer)
        {
            return Err(Refused::Reflected);
        }
        if way != (self.peer, self.local) {
            return Err(Refused::Misaddressed);
        }
        Ok(())
    }

    fn accepted(&mut self, probe: &Probe, newest: bool) -> Verdict {
        if self.seen.session != probe.session {
            self.seen = Seen { session: probe.session, ..Seen::default() };
        }
        self.seen.requests += u64::from(!probe.size && !probe.unsolicited);
        self.seen.unsolicited += u64::from(probe.unsolicited);
        self.seen.highest_requests_sent = self.seen.highest_requests_sent.max(probe.requests_sent);
        // Who knows a former session of this host offers to that one, and shall hear of the new one.
        let former = probe.peer_session != 0 && probe.peer_session != self.session;
        let hurry = newest && (former || self.asking.learn(probe.offered_token));
        Verdict::Accepted { newest, offered_token: probe.token, hurry }
    }

    fn alive(&self, now: Duration) -> Option<Offer> {
        self.pending.filter(|offer| now.saturating_sub(offer.drawn) <= OFFER_LIFE)
    }

    /// The token that may be brought for the first time.
    fn offer(&mut self, now: Duration, mut random: impl FnMut() -> u64) -> u64 {
        let offer = self.alive(now).unwrap_or_else(|| Offer { token: random().max(1), drawn: now });
        self.pending = Some(offer);
        offer.token
    }

    /// The highest sequence known of a session.
    fn highest(&self, session: u64) -> u64 {
        let current = self.current.as_ref().filter(|current| current.session == session);
        let accepted = current.map_or(0, |current| current.window.highest());
        if self.unproven.0 == session { accepted.max(self.unproven.1) } else { accepted }
    }

    fn may_answer(&mut self, now: Duration) -> bool {
        self.answers.retain(|at| now.saturating_sub(*at) < ANSWER_TIME);
        let may = self.answers.len() < ANSWERS;
        if may {
            self.answers.push_back(now);
        }
        may
    }
}

impl Current {
    /// Whether somebody has held the request back.
    fn late(&self, now: Duration, offset: i128) -> bool {
        let (at, fastest) = self.anchor;
        let drift = nanos(now.saturating_sub(at)) / DRIFT;
        offset - fastest > nanos(LATENESS) + drift
    }
}

/// How far the receiver's clock is ahead of the sender's, and the way of the probe, in ns.
fn offset(probe: &Probe, now: Duration) -> i128 {
    nanos(now) - i128::from(probe.sent_at)
}

fn nanos(time: Duration) -> i128 {
    // At most u64::MAX seconds, in ns: 94 bits.
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}
