//! This host's requests to one peer: their numbers, the token they bring, and which of them still wait
//! for an answer. Who the peer is, and what it asks, is the matter of `association`.

use std::collections::VecDeque;
use std::time::Duration;

use super::Probe;

/// How long a request waits for its answer.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Requests that may wait at a time.
pub(super) const WAITING: usize = 1024;

/// What a request is sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// To be answered; counted in *requests sent*.
    Counted,
    /// Flag `size`.
    Size,
    /// Flag `unsolicited`.
    Unsolicited,
}

/// A request of this host's that has no answer yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub sequence: u64,
    pub purpose: Purpose,
    /// When it was sent.
    pub at: Duration,
}

/// An accepted reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    pub request: Waiting,
    /// It has offered a token that this host did not have: send a request at once.
    pub hurry: bool,
}

/// The requests of one session.
#[derive(Clone, Debug, Default)]
pub(super) struct Asking {
    /// What the peer wants brought.
    token: u64,
    sequence: u64,
    counted: u64,
    /// The highest sequence that has its answer.
    answered: u64,
    waiting: VecDeque<Waiting>,
}

impl Asking {
    /// What the peer wants brought; zero: nothing yet.
    pub(super) fn token(&self) -> u64 {
        self.token
    }

    /// Sequence and *requests sent* of a request that is sent now. `None`: too many wait.
    pub(super) fn next(&mut self, purpose: Purpose, now: Duration) -> Option<(u64, u64)> {
        if self.waiting.len() >= WAITING {
            return None;
        }
        self.sequence += 1;
        self.counted += u64::from(purpose == Purpose::Counted);
        self.waiting.push_back(Waiting { sequence: self.sequence, purpose, at: now });
        Some((self.sequence, self.counted))
    }

    /// Takes out what nobody answered in time, the oldest first.
    pub(super) fn expire(&mut self, now: Duration) -> Vec<Waiting> {
        let late = |request: &&Waiting| now.saturating_sub(request.at) > PATIENCE;
        let count = self.waiting.iter().take_while(late).count();
        self.waiting.drain(..count).collect()
    }

    /// A reply to this session. `None`: nothing waits for it.
    pub(super) fn answer(&mut self, reply: &Probe, now: Duration) -> Option<Answered> {
        let waits = |request: &Waiting| {
            request.sequence == reply.echoed_sequence && now.saturating_sub(request.at) <= PATIENCE
        };
        let place = self.waiting.iter().position(waits)?;
        let request = self.waiting.remove(place)?;
        // An answer that was overtaken may offer what has been brought since.
        let newest = request.sequence > self.answered;
        self.answered = self.answered.max(request.sequence);
        Some(Answered { request, hurry: newest && self.learn(reply.offered_token) })
    }

    /// Takes an offer; whether it is new.
    pub(super) fn learn(&mut self, token: u64) -> bool {
        let new = token != 0 && token != self.token;
        if new {
            self.token = token;
        }
        new
    }
}
