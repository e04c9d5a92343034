//! Decides whether an authenticated probe counts: it must be fresh, and come from the peer. One
//! association for each peer holds the sessions, tokens and sequence numbers of both directions;
//! the other fields are read by the prober. The rules are those of `docs/probe-protocol.md`.
//!
//! Points in time are those of the monotonic clock of the kernel, in which the arrival of probes is
//! given, too.

use std::collections::VecDeque;
use std::time::Duration;

use super::{
    key::NameId,
    message::{Probe, ProbeRefusal},
    replay_window::ReplayWindow,
    requests::{AcceptedReply, PendingRequest, Purpose, Requests},
};

/// Time for which an offered token may be used for the first time.
pub(super) const OFFER_LIFE: Duration = Duration::from_secs(10);
/// How much longer than the fastest request of its session a request may take.
pub(super) const LATENESS: Duration = Duration::from_secs(60);
/// Two clocks may drift apart by this fraction of the elapsed time (1/1024).
pub(super) const DRIFT: i128 = 1024;
/// Most replies to unproven requests within [`REPLY_LIMIT_TIME`].
const REPLY_LIMIT: usize = 5;
const REPLY_LIMIT_TIME: Duration = Duration::from_secs(1);

/// The numbers and tokens that a new request must carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutgoingRequest {
    pub sequence: u64,
    pub token: u64,
    pub offered_token: u64,
    /// This request included, if it counts.
    pub requests_sent: u64,
}

/// How a received request is to be treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestVerdict {
    /// The request counts. Reply to it.
    Accepted {
        /// The sequence is the highest so far.
        newest: bool,
        /// The token that the reply offers.
        offered_token: u64,
        /// The request offers a token that this host did not have, or was sent without knowledge of
        /// this host's session: send a request at once.
        request_now: bool,
    },
    /// Counted as [`ProbeRefusal::Unproven`].
    Unproven {
        /// The token that the reply offers. Absent: do not reply.
        offered_token: Option<u64>,
    },
    Refused(ProbeRefusal),
}

/// The accepted requests of the latest session of the peer, which our probes report to it. All
/// zero: none yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceivedRequests {
    pub session: u64,
    /// Number of requests without the flags `size` and `unsolicited`.
    pub requests: u64,
    /// The highest *requests sent* among them.
    pub highest_requests_sent: u64,
    pub unsolicited: u64,
}

/// The association of this host with one peer.
#[derive(Clone, Debug)]
pub struct Association {
    local: NameId,
    peer: NameId,
    session: u64,
    /// The session that accepted requests of the peer are in.
    current: Option<CurrentSession>,
    pending: Option<TokenOffer>,
    /// Session and highest sequence of the latest unproven request.
    unproven: (u64, u64),
    /// When replies to unproven requests were sent, the latest [`REPLY_LIMIT`] at most.
    unproven_replies: VecDeque<Duration>,
    received: ReceivedRequests,
    requests: Requests,
}

/// The session of the peer that its requests are accepted in.
#[derive(Clone, Debug)]
struct CurrentSession {
    session: u64,
    token: u64,
    window: ReplayWindow,
    /// The fastest request: its arrival, and how far the two clocks are apart by it.
    fastest: (Duration, i128),
}

/// An offered token that was not used yet.
#[derive(Clone, Copy, Debug)]
struct TokenOffer {
    token: u64,
    since: Duration,
}

impl Association {
    /// `local`, `peer`: the names of the two hosts. `session`: random, and not zero.
    pub fn new(local: NameId, peer: NameId, session: u64) -> Self {
        Self {
            local,
            peer,
            session,
            current: None,
            pending: None,
            unproven: (0, 0),
            unproven_replies: VecDeque::with_capacity(REPLY_LIMIT),
            received: ReceivedRequests::default(),
            requests: Requests::default(),
        }
    }

    /// Returns the session of this host.
    pub fn session(&self) -> u64 {
        self.session
    }

    /// Returns the token that the peer expects in requests; zero: none yet.
    pub fn token(&self) -> u64 {
        self.requests.token()
    }

    /// Returns the accepted requests of the peer.
    pub fn received(&self) -> ReceivedRequests {
        self.received
    }

    /// Returns the numbers of a request that is sent now. `None`: too many are in flight.
    pub fn next_request(
        &mut self,
        purpose: Purpose,
        now: Duration,
        random: impl FnMut() -> u64,
    ) -> Option<OutgoingRequest> {
        let (sequence, requests_sent) = self.requests.next(purpose, now)?;
        let offered_token = match &self.current {
            Some(current) => current.token,
            None => self.offer(now, random),
        };
        Some(OutgoingRequest { sequence, token: self.token(), offered_token, requests_sent })
    }

    /// Removes the requests that were not answered in time, the oldest first.
    pub fn expire(&mut self, now: Duration) -> Vec<PendingRequest> {
        self.requests.expire(now)
    }

    /// Judges a decoded request that arrived at `now`.
    pub fn request(
        &mut self,
        probe: &Probe,
        now: Duration,
        random: impl FnMut() -> u64,
    ) -> RequestVerdict {
        if let Err(refused) = self.check_addresses(probe) {
            return RequestVerdict::Refused(refused);
        }
        let offset = offset(probe, now);
        if let Some(current) = &mut self.current
            && (current.session, current.token) == (probe.session, probe.token)
            && !current.is_late(now, offset)
        {
            let newest = probe.sequence > current.window.highest();
            if !current.window.accept(probe.sequence) {
                return RequestVerdict::Refused(ProbeRefusal::Replayed);
            }
            if offset < current.fastest.1 {
                current.fastest = (now, offset);
            }
            return self.accepted(probe, newest);
        }
        if let Some(offer) = self.valid_offer(now)
            && offer.token == probe.token
        {
            let mut window = ReplayWindow::default();
            if !window.accept(probe.sequence) {
                return RequestVerdict::Refused(ProbeRefusal::Replayed);
            }
            let (session, token) = (probe.session, probe.token);
            self.current = Some(CurrentSession { session, token, window, fastest: (now, offset) });
            self.pending = None;
            return self.accepted(probe, true);
        }
        if probe.sequence <= self.highest_sequence(probe.session) {
            return RequestVerdict::Refused(ProbeRefusal::Replayed);
        }
        self.unproven = (probe.session, probe.sequence);
        let offered_token = self.may_reply(now).then(|| self.offer(now, random));
        RequestVerdict::Unproven { offered_token }
    }

    /// Judges a decoded reply that arrived at `now`.
    ///
    /// # Errors
    ///
    /// [`ProbeRefusal::Reflected`], [`ProbeRefusal::Misaddressed`]; [`ProbeRefusal::Replayed`]: its
    /// request is not in flight.
    pub fn reply(&mut self, probe: &Probe, now: Duration) -> Result<AcceptedReply, ProbeRefusal> {
        self.check_addresses(probe)?;
        if probe.echoed_session != self.session {
            return Err(ProbeRefusal::Replayed);
        }
        self.requests.accept_reply(probe, now).ok_or(ProbeRefusal::Replayed)
    }

    /// Checks sender and receiver: rule 2 of the protocol.
    fn check_addresses(&self, probe: &Probe) -> Result<(), ProbeRefusal> {
        let names = (probe.sender, probe.receiver);
        if probe.session == self.session
            || (names == (self.local, self.peer) && self.local != self.peer)
        {
            return Err(ProbeRefusal::Reflected);
        }
        if names != (self.peer, self.local) {
            return Err(ProbeRefusal::Misaddressed);
        }
        Ok(())
    }

    fn accepted(&mut self, probe: &Probe, newest: bool) -> RequestVerdict {
        if self.received.session != probe.session {
            self.received =
                ReceivedRequests { session: probe.session, ..ReceivedRequests::default() };
        }
        self.received.requests += u64::from(!probe.size && !probe.unsolicited);
        self.received.unsolicited += u64::from(probe.unsolicited);
        self.received.highest_requests_sent =
            self.received.highest_requests_sent.max(probe.requests_sent);
        // A peer that knows a previous session of this host makes its offer to that session, and
        // must learn of the new one.
        let previous = probe.peer_session != 0 && probe.peer_session != self.session;
        let request_now = newest && (previous || self.requests.take_offer(probe.offered_token));
        RequestVerdict::Accepted { newest, offered_token: probe.token, request_now }
    }

    fn valid_offer(&self, now: Duration) -> Option<TokenOffer> {
        self.pending.filter(|offer| now.saturating_sub(offer.since) <= OFFER_LIFE)
    }

    /// Returns the token that may be used for the first time.
    fn offer(&mut self, now: Duration, mut random: impl FnMut() -> u64) -> u64 {
        let offer = self
            .valid_offer(now)
            .unwrap_or_else(|| TokenOffer { token: random().max(1), since: now });
        self.pending = Some(offer);
        offer.token
    }

    /// Returns the highest sequence known of a session.
    fn highest_sequence(&self, session: u64) -> u64 {
        let current = self.current.as_ref().filter(|current| current.session == session);
        let accepted = current.map_or(0, |current| current.window.highest());
        if self.unproven.0 == session { accepted.max(self.unproven.1) } else { accepted }
    }

    fn may_reply(&mut self, now: Duration) -> bool {
        self.unproven_replies.retain(|at| now.saturating_sub(*at) < REPLY_LIMIT_TIME);
        let may = self.unproven_replies.len() < REPLY_LIMIT;
        if may {
            self.unproven_replies.push_back(now);
        }
        may
    }
}

impl CurrentSession {
    /// Returns whether the request was held back on the path.
    fn is_late(&self, now: Duration, offset: i128) -> bool {
        let (at, offset_of_fastest) = self.fastest;
        let drift = nanos(now.saturating_sub(at)) / DRIFT;
        offset - offset_of_fastest > nanos(LATENESS) + drift
    }
}

/// Returns how far the clock of the receiver is ahead of the clock of the sender, plus the transit
/// time, in ns.
fn offset(probe: &Probe, now: Duration) -> i128 {
    nanos(now) - i128::from(probe.sent_at)
}

fn nanos(time: Duration) -> i128 {
    // At most u64::MAX seconds, in ns: 94 bits.
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}
