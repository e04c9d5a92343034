//! Keeps track of the path MTU probes of one peer, and reports their fate to the search.

use std::{collections::VecDeque, time::Duration};

use crate::probe::dplpmtud::Dplpmtud;

/// Most sizes that a late reply is still matched to.
const MAX_REMEMBERED: usize = 16;

/// The size that is being probed.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProbedSize {
    pub(super) size: u16,
    pub(super) deadline: Duration,
    /// Sequence of the probe without padding that was sent after the size was not acknowledged in
    /// time: a reply to it means that the size was lost; none tells nothing about sizes.
    pub(super) check: Option<u64>,
}

/// The path MTU probes of one peer.
#[derive(Clone, Debug)]
pub(super) struct PmtuProbes {
    pub(super) search: Dplpmtud,
    pub(super) in_flight: Option<ProbedSize>,
    /// Sequence and size of the latest probes.
    sent: VecDeque<(u64, u16)>,
    /// The path MTU that was reported last.
    reported: Option<u32>,
}

impl PmtuProbes {
    pub(super) fn new(search: Dplpmtud) -> Self {
        Self { search, in_flight: None, sent: VecDeque::new(), reported: None }
    }

    /// Starts the search of another path.
    pub(super) fn begin(&mut self, search: Dplpmtud) {
        self.search = search;
        self.in_flight = None;
        self.sent.clear();
    }

    /// Forgets the probes of this host's previous session, whose sequence numbers come again.
    pub(super) fn session_begun(&mut self) {
        self.sent.clear();
        if let Some(probed) = self.in_flight.take() {
            self.search.probe_abandoned(probed.size);
        }
    }

    /// Returns when there is something to do. A search needs a peer that replies.
    pub(super) fn next_timeout(&self, now: Duration, peer_replies: bool) -> Option<Duration> {
        match self.in_flight {
            Some(ProbedSize { deadline, .. }) => Some(deadline),
            None if peer_replies => self.search.next_timeout(now),
            None => None,
        }
    }

    /// Records the probe of a size.
    pub(super) fn probe_sent(&mut self, sequence: u64, size: u16, deadline: Duration) {
        self.sent.truncate(MAX_REMEMBERED - 1);
        self.sent.push_front((sequence, size));
        self.in_flight = Some(ProbedSize { size, deadline, check: None });
    }

    /// Records a reply to the request with that sequence.
    pub(super) fn reply_received(&mut self, sequence: u64, now: Duration) {
        if let Some(size) = self.sent.iter().find(|sent| sent.0 == sequence).map(|sent| sent.1) {
            self.search.probe_acked(size, now);
            self.in_flight = self.in_flight.filter(|probed| probed.size != size);
        }
        if let Some(ProbedSize { size, check: Some(check), .. }) = self.in_flight
            && check == sequence
        {
            self.search.probe_lost(size, now);
            self.in_flight = None;
        }
    }

    /// Records that the kernel refused a packet of that size as too large.
    pub(super) fn packet_too_big(&mut self, size: u16, now: Duration) {
        self.search.packet_too_big(size, now);
        let in_flight = self.search.in_flight();
        self.in_flight = self.in_flight.filter(|probed| in_flight == Some(probed.size));
    }

    /// Returns the path MTU if it has changed since the last call.
    pub(super) fn take_change(&mut self) -> Option<Option<u32>> {
        let plpmtu = self.search.plpmtu();
        let changed = plpmtu != self.reported;
        self.reported = plpmtu;
        changed.then_some(plpmtu)
    }
}
