//! ICMP echo through the tunnel to the overlay address of a peer: what was sent, and what was
//! answered. It shows whether the overlay of the other end is there, which probes go round.

use std::{net::IpAddr, time::Duration};

use super::{
    loss_window::LossWindow,
    report::{OverlayEcho, Rtt},
    rtt::RttEstimator,
};
use crate::nat::RECENT_INTERVALS;

/// Number of the latest echo requests that the loss is computed over.
const LOSS_WINDOW: u64 = 32;

/// Echo requests to the addresses behind one peer.
#[derive(Clone, Debug, Default)]
pub(super) struct InnerEcho {
    /// Of few peers an address is known: those without stay small.
    stats: Option<Box<EchoStats>>,
    /// When any address was last found to answer.
    answered_at: Option<Duration>,
    /// Requests since the latest answer, to whatever address.
    unanswered: u64,
}

/// Statistics of echo requests to one address.
#[derive(Clone, Debug)]
struct EchoStats {
    address: IpAddr,
    /// Sequence and time of the request in flight.
    in_flight: Option<(u16, Duration)>,
    rtt: RttEstimator,
    loss: LossWindow,
    sent: u64,
    answered: u64,
    /// Requests since the latest that was answered.
    unanswered: u64,
}

impl InnerEcho {
    /// Chooses the address that the next request goes to: the same one while it answers, else the
    /// next one in turn.
    pub(super) fn choose(&self, candidates: &[IpAddr]) -> Option<IpAddr> {
        let current = self.stats.as_ref().map(|stats| (stats.address, stats.unanswered));
        let first = candidates.first().copied();
        let Some((address, unanswered)) = current else { return first };
        let Some(at) = candidates.iter().position(|other| *other == address) else { return first };
        if unanswered < u64::from(RECENT_INTERVALS) {
            return Some(address);
        }
        candidates.get((at + 1) % candidates.len()).copied()
    }

    /// Records an echo request.
    pub(super) fn request_sent(&mut self, address: IpAddr, sequence: u16, now: Duration) {
        let stats = match &mut self.stats {
            Some(stats) if stats.address == address => stats,
            other => other.insert(Box::new(EchoStats::new(address))),
        };
        // Whether the previous request was answered is known by now.
        stats.loss.record(stats.sent, stats.answered);
        stats.sent += 1;
        stats.unanswered += 1;
        stats.in_flight = Some((sequence, now));
        self.unanswered += 1;
    }

    /// Records an echo reply, and returns the round-trip time. A reply to any request but the
    /// latest is too late.
    pub(super) fn reply_received(
        &mut self,
        from: IpAddr,
        sequence: u16,
        now: Duration,
    ) -> Option<Duration> {
        let stats = self.stats.as_mut().filter(|stats| stats.address == from)?;
        let (_, sent) = stats.in_flight.take_if(|(in_flight, _)| *in_flight == sequence)?;
        let took = now.saturating_sub(sent);
        stats.answered += 1;
        stats.unanswered = 0;
        stats.rtt.add(took);
        self.answered_at = Some(now);
        self.unanswered = 0;
        Some(took)
    }

    /// Returns whether the latest request was not answered, so far.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.unanswered > 0
    }

    /// Returns the address that requests go to.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.stats.as_ref().map(|stats| stats.address)
    }

    /// Returns whether enough requests in a row were not answered to be more than chance.
    pub(super) fn is_unanswered(&self) -> bool {
        self.unanswered > u64::from(RECENT_INTERVALS)
    }

    /// Returns when an address was last found to answer.
    pub(super) fn answered_at(&self) -> Option<Duration> {
        self.answered_at
    }

    /// Returns the round-trip time of the address that requests go to, unless it has ceased to
    /// answer.
    pub(super) fn rtt(&self) -> Option<Rtt> {
        self.stats.as_ref()?.rtt.rtt().filter(|_| !self.is_unanswered())
    }

    /// Returns whether the overlay of the peer answers, at `now`. `None`: no request was sent.
    pub(super) fn overlay(&self, now: Duration) -> Option<OverlayEcho> {
        let address = self.address()?;
        let since = self.answered_at.map(|at| now.saturating_sub(at).as_secs_f64());
        let answers = match self.answered_at {
            _ if self.is_unanswered() => Some(false),
            Some(_) => Some(true),
            None => None,
        };
        Some(OverlayEcho { address, answers, last_reply: since, unanswered: self.unanswered })
    }

    /// Describes how many requests were answered.
    pub(super) fn sentence(&self) -> Option<String> {
        let EchoStats { address, sent, answered, loss, .. } = self.stats.as_deref()?;
        let (of, came) = loss.counts();
        Some(format!(
            "it has no key, so it is asked by echo through the tunnel: {address} answered \
             {answered} of {sent} requests, {came} of the latest {of}"
        ))
    }
}

impl EchoStats {
    fn new(address: IpAddr) -> Self {
        Self {
            address,
            in_flight: None,
            rtt: RttEstimator::default(),
            loss: LossWindow::new(LOSS_WINDOW),
            sent: 0,
            answered: 0,
            unanswered: 0,
        }
    }
}
