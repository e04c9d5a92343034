//! Counts what became of the requests of both sides, and keeps what the latest probes say.

use std::{collections::VecDeque, time::Duration};

use crate::{
    nat::PeerReport,
    observation::{OuterHeader, Rewrite},
    probe::{
        association::{OutgoingRequest, ReceivedRequests},
        loss_window::LossWindow,
        message::{Probe, ProbeRefusal},
        requests::{PendingRequest, Purpose},
        rtt::RttEstimator,
    },
};

/// Number of the latest requests that the loss is computed over.
const LOSS_WINDOW: u64 = 32;
/// Number of the latest unsolicited requests that show whether such requests pass.
const UNSOLICITED_WINDOW: usize = 8;
/// Number of the most recent requests of the peer whose class of arrival is remembered.
const MAX_RECENT: usize = 256;

/// The classes in which a received probe counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::probe::prober) enum ReceivedAs {
    /// An accepted request.
    Proven,
    Unproven,
    Reply,
}

/// A request in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) sequence: u64,
    /// *Requests sent*, with this one.
    pub(super) number: u64,
    pub(super) as_sent: OuterHeader,
    pub(super) at: Duration,
}

/// Statistics of the probes of one peer.
#[derive(Clone, Debug)]
pub(in crate::probe::prober) struct ProbeStats {
    pub(super) in_flight: VecDeque<Sent>,
    pub(super) requests_sent: u64,
    /// In earlier sessions of this host.
    pub(super) sent_before: u64,
    pub(super) first_sent: Option<Duration>,
    pub(super) answered: u64,
    pub(super) lost: u64,
    pub(super) received: u64,
    pub(super) refused: [u64; ProbeRefusal::ALL.len()],
    /// When the latest reply came; then time of sending and number of the latest request that was
    /// answered.
    pub(super) last_reply: Option<Duration>,
    pub(super) answered_sent_at: Duration,
    pub(super) answered_number: u64,
    /// Our latest request that was described, and the latest one of the peer, with the times of
    /// arrival.
    pub(super) ours: Option<(Rewrite, Duration)>,
    pub(super) theirs: Option<(Rewrite, Duration)>,
    pub(super) rtt: RttEstimator,
    /// Loss of our requests, and of those of the peer.
    pub(super) tx: LossWindow,
    pub(super) rx: LossWindow,
    /// Requests of the peer, and the unsolicited ones among them.
    pub(super) near: LossWindow,
    /// For each of our latest unsolicited requests, sent while others were answered: was it
    /// answered?
    pub(super) far: VecDeque<bool>,
    pub(super) last_seen: Option<Duration>,
    /// When the latest probe came that is proven to be fresh.
    pub(super) last_fresh: Option<Duration>,
    pub(super) recent: VecDeque<(Duration, ReceivedAs)>,
    /// What the latest accepted probe says of its sender.
    pub(super) peer_session: u64,
    pub(super) peer_sent: u64,
    pub(super) peer_varies: bool,
    pub(super) peer_path_mtu: u32,
    pub(super) reported: Option<PeerReport>,
    /// Number of our requests that arrived, by the latest unproven request.
    pub(super) unproven_report: Option<u64>,
    pub(super) accepted: ReceivedRequests,
}

impl ProbeStats {
    pub(in crate::probe::prober) fn new() -> Self {
        let mut tx = LossWindow::new(LOSS_WINDOW);
        tx.record(0, 0);
        Self {
            in_flight: VecDeque::new(),
            requests_sent: 0,
            sent_before: 0,
            first_sent: None,
            answered: 0,
            lost: 0,
            received: 0,
            refused: [0; ProbeRefusal::ALL.len()],
            last_reply: None,
            answered_sent_at: Duration::ZERO,
            answered_number: 0,
            ours: None,
            theirs: None,
            rtt: RttEstimator::default(),
            tx,
            rx: LossWindow::new(LOSS_WINDOW),
            near: LossWindow::new(LOSS_WINDOW),
            far: VecDeque::new(),
            last_seen: None,
            last_fresh: None,
            recent: VecDeque::new(),
            peer_session: 0,
            peer_sent: 0,
            peer_varies: false,
            peer_path_mtu: 0,
            reported: None,
            unproven_report: None,
            accepted: ReceivedRequests::default(),
        }
    }

    /// Records a request that is sent.
    pub(in crate::probe::prober) fn request_sent(
        &mut self,
        outgoing: &OutgoingRequest,
        purpose: Purpose,
        as_sent: OuterHeader,
        now: Duration,
    ) {
        if purpose == Purpose::Counted {
            self.requests_sent = outgoing.requests_sent;
            self.first_sent.get_or_insert(now);
        }
        let (sequence, number) = (outgoing.sequence, outgoing.requests_sent);
        self.in_flight.push_back(Sent { sequence, number, as_sent, at: now });
    }

    /// Records that this host has begun another session: counts of requests begin anew.
    pub(in crate::probe::prober) fn session_begun(&mut self) {
        self.in_flight.clear();
        self.sent_before += self.requests_sent;
        (self.requests_sent, self.answered_number) = (0, 0);
        self.reported = None;
        self.unproven_report = None;
        self.accepted = ReceivedRequests::default();
    }

    /// Records that a request was not answered in time.
    pub(in crate::probe::prober) fn request_lost(&mut self, request: &PendingRequest) {
        let sent = self.take(request.sequence);
        match request.purpose {
            Purpose::Size => {}
            Purpose::Counted => {
                self.lost += 1;
                let number = sent.map_or(0, |sent| sent.number);
                let arrived = self.reported.map_or(0, |reported| reported.received);
                self.tx.record(number, arrived);
            }
            // The regular request that was sent in the same moment got through.
            Purpose::Unsolicited if self.answered_sent_at >= request.sent_at => {
                self.unsolicited(false)
            }
            Purpose::Unsolicited => {}
        }
    }

    /// Records that a request was answered, after a round trip of `took`.
    pub(in crate::probe::prober) fn reply_received(
        &mut self,
        request: &PendingRequest,
        reply: &Probe,
        at: Duration,
        took: Duration,
    ) {
        let sent = self.take(request.sequence);
        self.last_reply = self.last_reply.max(Some(at));
        if request.purpose == Purpose::Unsolicited {
            self.unsolicited(true);
            return;
        }
        let newest = request.sent_at >= self.answered_sent_at;
        self.answered_sent_at = self.answered_sent_at.max(request.sent_at);
        if let Some(sent) = sent {
            self.answered_number = self.answered_number.max(sent.number);
            if let Some(seen) = reply.as_seen.filter(|_| newest) {
                self.ours = Some((Rewrite { sent: sent.as_sent, seen }, at));
            }
        }
        if request.purpose == Purpose::Counted {
            self.answered += 1;
            self.rtt.add(took);
        }
    }

    /// Records an accepted request of the peer, with the time of its arrival. `received`: all
    /// accepted ones, this one included.
    pub(in crate::probe::prober) fn request_received(
        &mut self,
        probe: &Probe,
        (rewrite, at): (Rewrite, Duration),
        newest: bool,
        received: ReceivedRequests,
    ) {
        self.received += 1;
        if received.session != self.accepted.session {
            self.rx.clear();
            self.near.clear();
        }
        self.accepted = received;
        self.rx.record(received.highest_requests_sent, received.requests);
        self.near.record(received.requests, received.unsolicited);
        if newest && !probe.unsolicited {
            self.theirs = Some((rewrite, at));
        }
    }

    /// Records what an accepted probe says of its sender, and of what the sender has received.
    pub(in crate::probe::prober) fn peer_report(&mut self, probe: &Probe, our_session: u64) {
        if probe.session != self.peer_session {
            self.peer_session = probe.session;
            self.peer_sent = 0;
            self.reported = None;
        }
        self.peer_sent = self.peer_sent.max(probe.requests_sent);
        self.peer_varies = probe.varies;
        self.peer_path_mtu = probe.path_mtu;
        if self.missed() >= 3 {
            self.rx.record(self.peer_sent, self.accepted.requests);
        }
        if probe.peer_session != our_session {
            return;
        }
        let reported = self.reported.get_or_insert_with(|| {
            // The peer counts our requests from now on. That it did not count earlier ones is no
            // loss.
            self.tx.clear();
            PeerReport::default()
        });
        reported.received = reported.received.max(probe.requests_received);
        reported.highest = reported.highest.max(probe.highest_requests_sent);
        self.tx.record(reported.highest, reported.received);
    }

    /// Records what an unproven request says that its sender has received.
    pub(in crate::probe::prober) fn unproven_report(&mut self, probe: &Probe, our_session: u64) {
        let ours = probe.peer_session == our_session;
        self.unproven_report = Some(if ours { probe.requests_received } else { 0 });
    }

    /// Records the arrival of a probe.
    pub(in crate::probe::prober) fn probe_received(
        &mut self,
        at: Duration,
        class: ReceivedAs,
        window: Duration,
    ) {
        self.last_seen = self.last_seen.max(Some(at));
        if class != ReceivedAs::Unproven {
            self.last_fresh = self.last_fresh.max(Some(at));
        }
        if class == ReceivedAs::Reply {
            return;
        }
        self.recent.retain(|recent| at.saturating_sub(recent.0) < window);
        self.recent.truncate(MAX_RECENT - 1);
        self.recent.push_front((at, class));
    }

    pub(in crate::probe::prober) fn probe_refused(&mut self, why: ProbeRefusal) {
        for (count, reason) in self.refused.iter_mut().zip(ProbeRefusal::ALL) {
            *count += u64::from(*reason == why);
        }
    }

    fn take(&mut self, sequence: u64) -> Option<Sent> {
        let index = self.in_flight.iter().position(|sent| sent.sequence == sequence)?;
        self.in_flight.remove(index)
    }

    fn unsolicited(&mut self, answered: bool) {
        self.far.truncate(UNSOLICITED_WINDOW - 1);
        self.far.push_front(answered);
    }

    /// Returns how many requests the peer has sent since the last one that arrived.
    pub(super) fn missed(&self) -> u64 {
        let same = self.accepted.session == self.peer_session;
        self.peer_sent.saturating_sub(if same { self.accepted.highest_requests_sent } else { 0 })
    }
}
