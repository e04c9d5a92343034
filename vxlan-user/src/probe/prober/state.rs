//! The state of a prober: what it holds, and what it is informed of.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{action::Action, config::ProberConfig, pmtu_probe::PmtuProbes, stats::ProbeStats};
use crate::{
    nat::{self, DataCounts, DataWindow, VerdictAge},
    observation::{DataMapping, DropCounts, DropWindow, Rewrite},
    probe::{
        association::Association, delivery::DeliveryTracker, dplpmtud::Dplpmtud,
        endpoint::Endpoint, inner_echo::InnerEcho, network_delivery::NetworkDeliveries,
    },
};

/// The prober of one peer with a key.
#[derive(Clone, Debug)]
pub struct Prober {
    pub(super) config: ProberConfig,
    pub(super) association: Association,
    pub(super) endpoint: Endpoint,
    pub(super) stats: ProbeStats,
    pub(super) pmtu: PmtuProbes,
    pub(super) data: DataWindow,
    /// Time since the latest data packet of the peer.
    pub(super) last_data: Option<Duration>,
    pub(super) delivery: DeliveryTracker,
    pub(super) networks: NetworkDeliveries,
    pub(super) drops: DropWindow,
    pub(super) echo: InnerEcho,
    /// When the next echo request through the tunnel is due.
    pub(super) next_echo: Duration,
    /// When the first request was due.
    started: Duration,
    /// The address that the path MTU is searched to.
    pmtu_destination: Option<IpAddr>,
    /// When the next regular request is due.
    pub(super) next_request: Duration,
    /// When the latest regular request was sent.
    pub(super) last_request: Option<Duration>,
    /// Regular requests since the latest unsolicited one.
    pub(super) since_unsolicited: u32,
    /// Our mapped address or port differs from peer to peer.
    pub(super) varies: bool,
    /// Since when that is observed.
    varies_since: Option<Duration>,
    pub(super) verdict_age: VerdictAge,
}

impl Prober {
    pub fn new(config: ProberConfig, now: Duration) -> Self {
        let endpoint = Endpoint::new(config.endpoint, config.learned);
        let base = config.base_plpmtu(config.endpoint);
        Self {
            association: Association::new(config.local, config.remote, config.session),
            endpoint,
            stats: ProbeStats::new(),
            pmtu: PmtuProbes::new(Dplpmtud::new(base, config.mtu)),
            data: DataWindow::default(),
            last_data: None,
            delivery: DeliveryTracker::default(),
            networks: NetworkDeliveries::default(),
            drops: DropWindow::default(),
            echo: InnerEcho::default(),
            next_echo: now + config.interval,
            started: now,
            pmtu_destination: config.endpoint.map(|at| at.ip()),
            next_request: now,
            last_request: None,
            since_unsolicited: 0,
            varies: false,
            varies_since: None,
            verdict_age: VerdictAge::default(),
            config,
        }
    }

    /// Returns whether this prober can go on under another configuration.
    pub fn continues(&self, config: &ProberConfig) -> bool {
        self.config.continues(config)
    }

    /// Records the counters of data packets as they are at `now`, where the packets came from, and
    /// the time since the latest one. To be called once in a second.
    pub fn record_data(
        &mut self,
        total: DataCounts,
        mapping: Option<DataMapping>,
        last_data: Option<Duration>,
        now: Duration,
    ) {
        self.data.sample(now, total, mapping, self.config.interval);
        self.last_data = last_data;
        self.delivery.sample(now, total.sent, total.received);
    }

    /// Records the packets of the peer that were dropped here.
    pub fn record_drops(&mut self, drops: &DropCounts, now: Duration) {
        self.drops.sample(now, drops, self.window());
    }

    /// Sets a declared endpoint, which changes with the route to the peer.
    pub fn set_endpoint(&mut self, endpoint: Option<SocketAddr>, now: Duration) {
        let before = self.endpoint.get();
        self.endpoint.declare(endpoint);
        let after = self.endpoint.get();
        if before != after {
            self.rerouted(before, after, now);
        }
    }

    /// Sets the MTU of the route to the peer, in bytes.
    pub fn set_mtu(&mut self, mtu: u16, now: Duration) {
        self.config.mtu = mtu;
        self.pmtu.search.set_max_plpmtu(mtu, now);
    }

    /// Records that the kernel refused a packet of that length to the peer as too large.
    pub fn packet_too_big(&mut self, length: u16, now: Duration) {
        self.pmtu.packet_too_big(length, now);
    }

    /// Has probes find out whether the path has the MTU that a router reports. Returns `false`
    /// where they cannot, as the peer does not reply at present.
    pub fn suspect_mtu(&mut self, mtu: u16, now: Duration) -> bool {
        let is_replying = self.is_replying(now);
        if is_replying {
            self.pmtu.search.suspect(mtu, now);
        }
        is_replying
    }

    /// Sets whether our mapped address or port differs from peer to peer, by
    /// [`crate::nat::mapping_varies`]. It counts after two intervals: after a change of the mapping
    /// the reports of two peers differ until both have seen the new one.
    pub fn set_varies(&mut self, varies: bool, now: Duration) {
        let since = *self.varies_since.get_or_insert(now);
        if !varies {
            self.varies_since = None;
        }
        self.varies = varies && now.saturating_sub(since) >= self.config.interval * 2;
    }

    /// Sets the endpoint in use of a learned peer: it was assigned another one, or refused the one
    /// that its probes claim.
    pub fn settle_endpoint(&mut self, endpoint: Option<SocketAddr>, now: Duration) {
        let before = self.endpoint.get();
        self.endpoint.settle(endpoint);
        if before != endpoint {
            self.rerouted(before, endpoint, now);
        }
    }

    /// Returns whether the peer has been silent for longer than a NAT keeps its mapping.
    pub fn is_silent(&self, now: Duration) -> bool {
        let limit = self.window().max(self.config.keepalive * 2);
        let at = self.stats.last_fresh().unwrap_or(self.started);
        now.saturating_sub(at) >= limit
    }

    /// Returns the source of the latest request of the peer.
    pub fn latest_source(&self) -> Option<SocketAddr> {
        self.stats.theirs().map(|theirs| theirs.seen.source)
    }

    /// Returns whether a search for the path MTU is going on, so that the reported one is not
    /// proven.
    pub fn is_searching(&self) -> bool {
        self.pmtu.search.is_searching()
    }

    /// Returns our latest request that the peer has described, if the peer replies at present: for
    /// [`crate::nat::mapping_varies`].
    pub fn recent_ours(&self, now: Duration) -> Option<Rewrite> {
        self.stats.ours().filter(|_| self.is_replying(now))
    }

    /// Returns the destination of packets to the peer.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        self.endpoint.get()
    }

    /// Returns the length of what counts as recent.
    pub(super) fn window(&self) -> Duration {
        nat::recent_window(self.config.interval)
    }

    /// Returns whether a request was answered recently.
    pub(super) fn is_replying(&self, now: Duration) -> bool {
        let window = self.window();
        self.stats.last_reply().is_some_and(|at| now.saturating_sub(at) < window)
    }

    /// Goes on after a learned endpoint has moved.
    pub(super) fn endpoint_moved(
        &mut self,
        from: Option<SocketAddr>,
        to: SocketAddr,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        self.rerouted(from, Some(to), now);
        let reported = self.stats.theirs().map(|theirs| theirs.sent.source.ip());
        let sent_from = reported.unwrap_or(to.ip());
        actions.push(Action::MoveEndpoint { to, sent_from });
    }

    /// Starts the path MTU search again if the address has changed, since that is another path.
    fn rerouted(&mut self, from: Option<SocketAddr>, to: Option<SocketAddr>, now: Duration) {
        if let Some(to) = to
            && self.pmtu_destination != Some(to.ip())
        {
            self.pmtu_destination = Some(to.ip());
            let base = self.config.base_plpmtu(Some(to));
            self.pmtu.begin(Dplpmtud::new(base, self.config.mtu));
        }
        if from != to {
            self.next_request = self.next_request.min(now);
        }
    }

    /// Reports the path MTU, if it has changed.
    pub(super) fn report_path_mtu(&mut self, actions: &mut Vec<Action>) {
        actions.extend(self.pmtu.take_change().map(Action::PathMtu));
    }
}
