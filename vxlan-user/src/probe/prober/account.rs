//! What came of the requests of both sides: the numbers that verdict and report are made of. They are
//! read in `figures`.

mod figures;

use std::{collections::VecDeque, net::IpAddr, time::Duration};

use crate::{
    nat::Reported,
    probe::{
        Header, Outgoing, PATIENCE, Probe, Purpose, Refused, Rewrite, Seen, Waiting,
        loss::Crossing, rtt::RoundTrips,
    },
};

/// Loss is told of so many of the latest requests.
const LOSS_WINDOW: u64 = 32;
/// So many of the latest unsolicited requests say whether such ones pass.
const UNSOLICITED_WINDOW: usize = 8;
/// Of so many of the latest arrivals the time is kept.
const HEARD: usize = 256;

/// What kind of probe was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// An accepted request.
    Proven,
    Unproven,
    Reply,
}

/// A request that is under way.
#[derive(Clone, Copy, Debug)]
struct Sent {
    sequence: u64,
    /// *Requests sent*, with this one.
    number: u64,
    as_sent: Header,
    at: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct Account {
    under_way: VecDeque<Sent>,
    requests_sent: u64,
    first_sent: Option<Duration>,
    answered: u64,
    lost: u64,
    received: u64,
    refused: [u64; Refused::ALL.len()],
    /// When the latest answer came, to a request that was sent when, with which number.
    answered_at: Option<Duration>,
    answered_sent_at: Duration,
    answered_number: u64,
    ours: Option<Rewrite>,
    theirs: Option<Rewrite>,
    trips: RoundTrips,
    tx: Crossing,
    rx: Crossing,
    /// Requests of the peer's, and unsolicited ones among what came.
    near: Crossing,
    /// Were our latest unsolicited requests answered, while others were?
    far: VecDeque<bool>,
    heard_at: Option<Duration>,
    /// The same, of what is proved to be fresh.
    alive_at: Option<Duration>,
    heard: VecDeque<(Duration, Whose)>,
    /// Of the latest accepted probe.
    peer_session: u64,
    peer_sent: u64,
    peer_varies: bool,
    peer_path_mtu: u32,
    reported: Option<Reported>,
    /// Of our requests, by the latest unproven request.
    hearsay: Option<u64>,
    seen: Seen,
}

impl Account {
    pub(super) fn new() -> Self {
        let mut tx = Crossing::new(LOSS_WINDOW);
        tx.note(0, 0);
        Self {
            under_way: VecDeque::new(),
            requests_sent: 0,
            first_sent: None,
            answered: 0,
            lost: 0,
            received: 0,
            refused: [0; Refused::ALL.len()],
            answered_at: None,
            answered_sent_at: Duration::ZERO,
            answered_number: 0,
            ours: None,
            theirs: None,
            trips: RoundTrips::default(),
            tx,
            rx: Crossing::new(LOSS_WINDOW),
            near: Crossing::new(LOSS_WINDOW),
            far: VecDeque::new(),
            heard_at: None,
            alive_at: None,
            heard: VecDeque::new(),
            peer_session: 0,
            peer_sent: 0,
            peer_varies: false,
            peer_path_mtu: 0,
            reported: None,
            hearsay: None,
            seen: Seen::default(),
        }
    }

    /// A request leaves.
    pub(super) fn sent(
        &mut self,
        outgoing: &Outgoing,
        purpose: Purpose,
        as_sent: Header,
        now: Duration,
    ) {
        if purpose == Purpose::Counted {
            self.requests_sent = outgoing.requests_sent;
            self.first_sent.get_or_insert(now);
        }
        let (sequence, number) = (outgoing.sequence, outgoing.requests_sent);
        self.under_way.push_back(Sent { sequence, number, as_sent, at: now });
    }

    /// It was not answered in time.
    pub(super) fn expired(&mut self, request: &Waiting) {
        let sent = self.take(request.sequence);
        match request.purpose {
            Purpose::Size => {}
            Purpose::Counted => {
                self.lost += 1;
                let number = sent.map_or(0, |sent| sent.number);
                let arrived = self.reported.map_or(0, |reported| reported.received);
                self.tx.note(number, arrived);
            }
            // Its fellow, sent in the same moment, got through.
            Purpose::Unsolicited if self.answered_sent_at >= request.at => self.unsolicited(false),
            Purpose::Unsolicited => {}
        }
    }

    /// It was answered, after `took`.
    pub(super) fn answered(
        &mut self,
        request: &Waiting,
        reply: &Probe,
        at: Duration,
        took: Duration,
    ) {
        let sent = self.take(request.sequence);
        self.answered_at = self.answered_at.max(Some(at));
        if request.purpose == Purpose::Unsolicited {
            self.unsolicited(true);
            return;
        }
        let newest = request.at >= self.answered_sent_at;
        self.answered_sent_at = self.answered_sent_at.max(request.at);
        if let Some(sent) = sent {
            self.answered_number = self.answered_number.max(sent.number);
            if let Some(seen) = reply.as_seen.filter(|_| newest) {
                self.ours = Some(Rewrite { sent: sent.as_sent, seen });
            }
        }
        if request.purpose == Purpose::Counted {
            self.answered += 1;
            self.trips.add(took);
        }
    }

    /// An accepted request of the peer's. `seen`: with this one.
    pub(super) fn requested(&mut self, probe: &Probe, rewrite: Rewrite, newest: bool, seen: Seen) {
        self.received += 1;
        if seen.session != self.seen.session {
            self.rx.clear();
            self.near.clear();
        }
        self.seen = seen;
        self.rx.note(seen.highest_requests_sent, seen.requests);
        self.near.note(seen.requests, seen.unsolicited);
        if newest && !probe.unsolicited {
            self.theirs = Some(rewrite);
        }
    }

    /// What an accepted probe says of its sender, and of what that has received.
    pub(super) fn told(&mut self, probe: &Probe, our_session: u64) {
        if probe.session != self.peer_session {
            self.peer_session = probe.session;
            self.peer_sent = 0;
            self.reported = None;
        }
        self.peer_sent = self.peer_sent.max(probe.requests_sent);
        self.peer_varies = probe.varies;
        self.peer_path_mtu = probe.path_mtu;
        if self.missed() >= 3 {
            self.rx.note(self.peer_sent, self.seen.requests);
        }
        if probe.peer_session != our_session {
            return;
        }
        let reported = self.reported.get_or_insert_with(|| {
            // The peer counts from now on: what came before it knew us does not tell of loss.
            self.tx.clear();
            Reported::default()
        });
        reported.received = reported.received.max(probe.requests_received);
        reported.highest = reported.highest.max(probe.highest_requests_sent);
        self.tx.note(reported.highest, reported.received);
    }

    /// What an unproven request says that its sender has received.
    pub(super) fn hearsay(&mut self, probe: &Probe, our_session: u64) {
        let ours = probe.peer_session == our_session;
        self.hearsay = Some(if ours { probe.requests_received } else { 0 });
    }

    pub(super) fn heard(&mut self, at: Duration, whose: Whose, window: Duration) {
        self.heard_at = self.heard_at.max(Some(at));
        if whose != Whose::Unproven {
            self.alive_at = self.alive_at.max(Some(at));
        }
        if whose == Whose::Reply {
            return;
        }
        self.heard.retain(|heard| at.saturating_sub(heard.0) < window);
        self.heard.truncate(HEARD - 1);
        self.heard.push_front((at, whose));
    }

    pub(super) fn refused(&mut self, why: Refused) {
        for (count, reason) in self.refused.iter_mut().zip(Refused::ALL) {
            *count += u64::from(*reason == why);
        }
    }

    fn take(&mut self, sequence: u64) -> Option<Sent> {
        let place = self.under_way.iter().position(|sent| sent.sequence == sequence)?;
        self.under_way.remove(place)
    }

    fn unsolicited(&mut self, answered: bool) {
        self.far.truncate(UNSOLICITED_WINDOW - 1);
        self.far.push_front(answered);
    }

    /// Requests that the peer has sent since the last one that came.
    fn missed(&self) -> u64 {
        let same = self.seen.session == self.peer_session;
        self.peer_sent.saturating_sub(if same { self.seen.highest_requests_sent } else { 0 })
    }

    /// Is there a NAT with a mapping that it may forget? Not one that lets in what nobody asked for.
    /// `declared`: addresses that stand for this host alone.
    pub(super) fn needs_keepalive(&self, declared: &[IpAddr]) -> bool {
        let ours = self.ours.is_some_and(|Rewrite { sent, seen }| {
            let port = sent.source.port() != seen.source.port();
            let own = declared.contains(&seen.source.ip()) && self.near.counts().1 > 0;
            port || (sent.source.ip() != seen.source.ip() && !own)
        });
        let theirs = |theirs: Rewrite| theirs.sent.source.port() != theirs.seen.source.port();
        ours || self.theirs.is_some_and(theirs)
    }

    pub(super) fn ours(&self) -> Option<Rewrite> {
        self.ours
    }

    pub(super) fn theirs(&self) -> Option<Rewrite> {
        self.theirs
    }

    pub(super) fn requests_sent(&self) -> u64 {
        self.requests_sent
    }

    /// When the latest probe came that is proved to be fresh.
    pub(super) fn alive_at(&self) -> Option<Duration> {
        self.alive_at
    }

    /// When the latest answer came, to any request.
    pub(super) fn answered_at(&self) -> Option<Duration> {
        self.answered_at
    }

    pub(super) fn timeout(&self) -> Duration {
        self.trips.timeout().min(PATIENCE)
    }

    /// When a request will have waited for too long.
    pub(super) fn first_expiry(&self) -> Option<Duration> {
        self.under_way.front().map(|sent| sent.at + PATIENCE + Duration::from_millis(1))
    }
}
