//! Decides whether an authenticated probe counts: it must be fresh, and come from the peer. One
//! association for each peer holds the sessions, tokens and sequence numbers of both directions;
//! the other fields are read by the prober. The rules are those of `docs/probe-protocol.md`.
//!
//! Points in time are those of the monotonic clock of the kernel, in which the arrival of probes is
//! given, too.

use std::{net::IpAddr, time::Duration};

use super::{
    answers::Answers,
    key::NameId,
    message::{Probe, ProbeRefusal},
    replay_window::ReplayWindow,
    requests::{AcceptedReply, PendingRequest, Purpose, Requests},
    sessions::{CurrentSession, OtherSessions, offset},
};

/// Time for which an offered token may be used for the first time.
pub(super) const OFFER_LIFE: Duration = Duration::from_secs(10);
/// Time after an accepted request for which a stale one is taken for a copy, and not answered.
pub(super) const LIVE_TIME: Duration = Duration::from_secs(1);

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
    /// Counted as [`ProbeRefusal::Replayed`]: authentic, and its sequence is not new. A peer that
    /// was restored from a snapshot sends such requests, as do the network and a recording.
    Stale {
        /// As in `Unproven`.
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
    /// The sessions of unproven requests, and those that were current before.
    others: OtherSessions,
    /// Answers to unproven requests, and to stale ones.
    unproven_answers: Answers,
    stale_answers: Answers,
    received: ReceivedRequests,
    requests: Requests,
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
            others: OtherSessions::default(),
            unproven_answers: Answers::default(),
            stale_answers: Answers::default(),
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

    /// Returns whether this host was restored from a snapshot: by an authentic probe, it has sent
    /// more requests in its session than it knows of.
    pub fn is_restored(&self, probe: &Probe) -> bool {
        self.check_addresses(probe).is_ok()
            && probe.peer_session == self.session
            && probe.highest_requests_sent > self.requests.counted()
    }

    /// Begins another session of this host, in which nothing was sent yet. The peer's requests are
    /// counted anew, as not all of them are known; the peer's session stays.
    pub fn begin_session(&mut self, session: u64) {
        self.session = session;
        self.received = ReceivedRequests::default();
        self.requests = Requests::default();
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

    /// Judges a decoded request that arrived from `source` at `now`.
    pub fn request(
        &mut self,
        probe: &Probe,
        source: IpAddr,
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
                return self.stale(source, now, random);
            }
            current.accepted_at = now;
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
            let fastest = (now, offset);
            let begun = CurrentSession { session, token, window, fastest, accepted_at: now };
            if let Some(ended) = self.current.replace(begun) {
                self.others.record(ended.session, ended.window.highest());
            }
            self.pending = None;
            return self.accepted(probe, true);
        }
        if probe.sequence <= self.highest_sequence(probe.session) {
            return self.stale(source, now, random);
        }
        self.others.record(probe.session, probe.sequence);
        let may = self.unproven_answers.charge(source, now);
        let offered_token = may.then(|| self.offer(now, random));
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
        accepted.max(self.others.highest(session))
    }

    /// Judges a request whose sequence is not new. While the peer proves that it is there, that is
    /// a copy of an earlier request. Else it may be the peer, with the state that it had before:
    /// the answer's token lets it prove that.
    fn stale(
        &mut self,
        source: IpAddr,
        now: Duration,
        random: impl FnMut() -> u64,
    ) -> RequestVerdict {
        let live = self
            .current
            .as_ref()
            .is_some_and(|current| now.saturating_sub(current.accepted_at) < LIVE_TIME);
        let may = !live && self.stale_answers.charge(source, now);
        RequestVerdict::Stale { offered_token: may.then(|| self.offer(now, random)) }
    }
}
