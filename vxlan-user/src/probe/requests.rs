//! The requests of this host to one peer: their numbers, the token that they carry, and which of
//! them are in flight. Requests of the peer are judged in `association`.

use std::collections::VecDeque;
use std::time::Duration;

use super::message::Probe;

/// Time after which a request without a reply is lost.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// Most requests that may be in flight at a time.
pub(super) const MAX_IN_FLIGHT: usize = 1024;

/// The purpose of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A regular request; counted in *requests sent*.
    Counted,
    /// A path MTU probe; flag `size`.
    Size,
    /// A request from a port that no mapping expects; flag `unsolicited`.
    Unsolicited,
}

/// A request of this host that has no reply yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingRequest {
    pub sequence: u64,
    pub purpose: Purpose,
    pub sent_at: Duration,
}

/// An accepted reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedReply {
    pub request: PendingRequest,
    /// The reply offers a token that this host did not have: send a request at once.
    pub request_now: bool,
}

/// The requests of one session.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests {
    /// The token that the peer expects in requests; zero: none yet.
    token: u64,
    sequence: u64,
    counted: u64,
    /// The highest sequence that a reply came to.
    highest_answered: u64,
    in_flight: VecDeque<PendingRequest>,
}

impl Requests {
    /// Returns the token that the peer expects in requests; zero: none yet.
    pub(super) fn token(&self) -> u64 {
        self.token
    }

    /// Returns *requests sent*.
    pub(super) fn counted(&self) -> u64 {
        self.counted
    }

    /// Returns sequence and *requests sent* of a request that is sent now. `None`: too many are in
    /// flight.
    pub(super) fn next(&mut self, purpose: Purpose, now: Duration) -> Option<(u64, u64)> {
        if self.in_flight.len() >= MAX_IN_FLIGHT {
            return None;
        }
        self.sequence += 1;
        self.counted += u64::from(purpose == Purpose::Counted);
        self.in_flight.push_back(PendingRequest { sequence: self.sequence, purpose, sent_at: now });
        Some((self.sequence, self.counted))
    }

    /// Removes the requests that were not answered in time, the oldest first.
    pub(super) fn expire(&mut self, now: Duration) -> Vec<PendingRequest> {
        let late = |request: &&PendingRequest| now.saturating_sub(request.sent_at) > REPLY_TIMEOUT;
        let count = self.in_flight.iter().take_while(late).count();
        self.in_flight.drain(..count).collect()
    }

    /// Matches a reply to its request. `None`: no such request is in flight.
    pub(super) fn accept_reply(&mut self, reply: &Probe, now: Duration) -> Option<AcceptedReply> {
        let is_it = |request: &PendingRequest| {
            request.sequence == reply.echoed_sequence
                && now.saturating_sub(request.sent_at) <= REPLY_TIMEOUT
        };
        let index = self.in_flight.iter().position(is_it)?;
        let request = self.in_flight.remove(index)?;
        // A reply that was overtaken may offer a token that has been used since.
        let newest = request.sequence > self.highest_answered;
        self.highest_answered = self.highest_answered.max(request.sequence);
        Some(AcceptedReply { request, request_now: newest && self.take_offer(reply.offered_token) })
    }

    /// Takes an offered token, and returns whether it is new.
    pub(super) fn take_offer(&mut self, token: u64) -> bool {
        let new = token != 0 && token != self.token;
        if new {
            self.token = token;
        }
        new
    }
}
