//! What is asked of one peer and when, what is answered to it, and what follows: the protocol's state
//! machine. It sends and receives nothing by itself, and reads no clock: points in time are those of
//! the kernel's monotonic clock, in which the arrival of probes is told, too.
//!
//! Here: what a prober holds, and what it is told. `send` makes probes, `receive` reads them, `sizing`
//! feeds the path MTU search, `account` keeps what verdict and report are made of, `reporting` makes
//! them.

mod account;
mod receive;
mod reporting;
mod send;
mod sizing;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;

use self::{account::Account, sizing::Sizing};
use super::{
    Association, DataMapping, Key, NameId, PathSearch, Rewrite,
    endpoint::Endpoint,
    path_search::{BASE_IPV4, BASE_IPV6},
};
use crate::nat::{DataCounts, DataWindow, Ports, Standing, WINDOW};

/// Where random numbers come from.
pub type Random<'a> = &'a mut dyn FnMut() -> u64;

/// What holds as long as the configuration does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The peer's name, for reports.
    pub peer: String,
    /// This host.
    pub local: NameId,
    pub remote: NameId,
    pub key: Key,
    /// Drawn at random at the start, and not zero.
    pub session: u64,
    /// Between two requests.
    pub interval: Duration,
    /// At most between two requests, where a NAT has a mapping to keep.
    pub keepalive: Duration,
    /// VNI of probes, network order.
    pub vni: [u8; 3],
    /// The UDP port of VXLAN.
    pub port: u16,
    /// Data leaves from that port, not from one that is made from the flow hash.
    pub fixed_source_port: bool,
    /// At least one address of each family that is used; each is the underlay interface's.
    pub addresses: Vec<IpAddr>,
    /// Where peers send to instead; at most one of each family.
    pub public_addresses: Vec<IpAddr>,
    /// What the peer's interface carries; at most one of each family.
    pub private_addresses: Vec<IpAddr>,
    /// The ports that the peer sends data from.
    pub ports: Ports,
    /// TTL or hop limit of probes.
    pub ttl: u8,
    /// TOS or traffic class of probes.
    pub tos: u8,
    /// The endpoint is learned from probes, whatever was declared.
    pub learned: bool,
    /// Absent: not known yet, if it is learned; else there is no way to the peer.
    pub endpoint: Option<SocketAddr>,
    /// MTU of the route to the peer, in bytes.
    pub mtu: u16,
}

/// A packet that is to be sent: IP with DF, and UDP with checksum zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// TOS or traffic class.
    pub tos: u8,
    /// Of the IP packet. If it is refused as too long, [`Prober::refused`] wants to know.
    pub length: u16,
    /// From the VXLAN header on.
    pub payload: Bytes,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Transmit(Transmit),
    /// Data goes somewhere else from now on.
    MoveEndpoint {
        to: SocketAddr,
        /// The address that the peer says it sent from.
        sent_from: IpAddr,
    },
    /// The largest packet that passes to the peer; `None`: that is not known any more.
    PathMtu(Option<u32>),
    /// A round trip took so long.
    RoundTrip(Duration),
}

/// One peer with a key.
#[derive(Clone, Debug)]
pub struct Prober {
    settings: Settings,
    association: Association,
    endpoint: Endpoint,
    account: Account,
    sizing: Sizing,
    data: DataWindow,
    /// Since when the peer is asked.
    started: Duration,
    /// The address that the path MTU search is about.
    searched: Option<IpAddr>,
    /// When the next request is due.
    next: Duration,
    /// When the latest that counts was sent.
    last: Option<Duration>,
    /// Requests since the latest unsolicited one.
    since_unsolicited: u32,
    /// Our address or port differs from peer to peer.
    varies: bool,
    /// Since when that is seen.
    varies_since: Option<Duration>,
    standing: Standing,
}

impl Prober {
    /// Would a prober with these settings do the same? What is told later, and the session, do not count.
    pub fn continues(&self, settings: &Settings) -> bool {
        let own = &self.settings;
        let Settings { session, endpoint, mtu, .. } = *own;
        *own == Settings { session, endpoint, mtu, ..settings.clone() }
    }

    pub fn new(settings: Settings, now: Duration) -> Self {
        let endpoint = Endpoint::new(settings.endpoint, settings.learned);
        let base = base_of(settings.endpoint.or_else(|| first(&settings)));
        Self {
            association: Association::new(settings.local, settings.remote, settings.session),
            endpoint,
            account: Account::new(),
            sizing: Sizing::new(PathSearch::new(base, settings.mtu)),
            data: DataWindow::default(),
            started: now,
            searched: settings.endpoint.map(|at| at.ip()),
            next: now,
            last: None,
            since_unsolicited: 0,
            varies: false,
            varies_since: None,
            standing: Standing::default(),
            settings,
        }
    }

    /// What is to be done at `now`. To be called when [`Self::next_poll`] says, or earlier.
    pub fn poll(&mut self, now: Duration, random: Random<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some((from, to)) = self.endpoint.due(now) {
            self.moved(from, to, now, &mut actions);
        }
        for request in self.association.expire(now) {
            self.account.expired(&request);
        }
        if now >= self.next.min(self.keepalive_due()) {
            self.regular(now, random, &mut actions);
        }
        self.search(now, random, &mut actions);
        actions
    }

    /// When [`Self::poll`] will have something to do, if nothing arrives; not before `now`.
    pub fn next_poll(&self, now: Duration) -> Duration {
        let mut when = self.next.min(self.keepalive_due());
        if let Some(moves) = self.endpoint.when() {
            when = when.min(moves);
        }
        if let Some(late) = self.account.first_expiry() {
            when = when.min(late);
        }
        if self.endpoint.get().is_some()
            && let Some(size) = self.sizing.due(now, self.is_answered(now))
        {
            when = when.min(size);
        }
        when.max(now)
    }

    /// The counters of data packets as they are at `now`, and where those came from. To be told about
    /// once in an interval, or oftener.
    pub fn data(&mut self, total: DataCounts, mapping: Option<DataMapping>, now: Duration) {
        self.data.sample(now, total, mapping, self.settings.interval);
    }

    /// A declared endpoint changes with the route to the peer.
    pub fn set_endpoint(&mut self, endpoint: Option<SocketAddr>, now: Duration) {
        let before = self.endpoint.get();
        self.endpoint.declare(endpoint);
        let after = self.endpoint.get();
        if before != after {
            self.rerouted(before, after, now);
        }
    }

    /// MTU of the route to the peer, in bytes.
    pub fn set_mtu(&mut self, mtu: u16, now: Duration) {
        self.settings.mtu = mtu;
        self.sizing.search_mut().set_max(mtu, now);
    }

    /// A packet of that length to the peer was refused as too long, by the kernel or by a router, which
    /// may also have said what would pass.
    pub fn refused(&mut self, length: u16, mtu: Option<u16>, now: Duration) {
        self.sizing.refused(length, mtu, now);
    }

    /// Whether our address or port differs from peer to peer: [`crate::nat::vary`]. Of two peers one may
    /// not have heard yet that both see another mapping, so it counts when it has lasted.
    pub fn set_varies(&mut self, varies: bool, now: Duration) {
        let since = *self.varies_since.get_or_insert(now);
        if !varies {
            self.varies_since = None;
        }
        self.varies = varies && now.saturating_sub(since) >= self.settings.interval * 2;
    }

    /// Where a learned peer is by now: it was given another endpoint, or not given what its probes claim.
    pub fn settle_endpoint(&mut self, endpoint: Option<SocketAddr>, now: Duration) {
        let before = self.endpoint.get();
        self.endpoint.settle(endpoint);
        if before != endpoint {
            self.rerouted(before, endpoint, now);
        }
    }

    /// Has the peer not been heard of for longer than a NAT box needs to forget it?
    pub fn is_silent(&self, now: Duration) -> bool {
        let lately = self.window().max(self.settings.keepalive * 2);
        let at = self.account.alive_at().unwrap_or(self.started);
        now.saturating_sub(at) >= lately
    }

    /// Where the peer's latest request came from.
    pub fn heard_from(&self) -> Option<SocketAddr> {
        self.account.theirs().map(|theirs| theirs.seen.source)
    }

    /// Is a search for the path MTU going on, so that what is told is not proved?
    pub fn is_searching(&self) -> bool {
        self.sizing.search().is_searching()
    }

    /// Our latest request as the peer has described it, if that was lately: for [`crate::nat::vary`].
    pub fn lately_ours(&self, now: Duration) -> Option<Rewrite> {
        self.account.ours().filter(|_| self.is_answered(now))
    }

    /// Where packets to the peer go.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        self.endpoint.get()
    }

    /// "Lately".
    fn window(&self) -> Duration {
        self.settings.interval * WINDOW
    }

    /// Was a request that counts answered lately?
    fn is_answered(&self, now: Duration) -> bool {
        let window = self.window();
        self.account.answered_at().is_some_and(|at| now.saturating_sub(at) < window)
    }

    /// A learned endpoint is another one.
    fn moved(
        &mut self,
        from: Option<SocketAddr>,
        to: SocketAddr,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        self.rerouted(from, Some(to), now);
        let said = self.account.theirs().map(|theirs| theirs.sent.source.ip());
        let sent_from = said.unwrap_or(to.ip());
        actions.push(Action::MoveEndpoint { to, sent_from });
    }

    /// Another address is another path.
    fn rerouted(&mut self, from: Option<SocketAddr>, to: Option<SocketAddr>, now: Duration) {
        if let Some(to) = to
            && self.searched != Some(to.ip())
        {
            self.searched = Some(to.ip());
            self.sizing.begin(PathSearch::new(base_of(Some(to)), self.settings.mtu));
        }
        if from != to {
            self.next = self.next.min(now);
        }
    }

    /// The address of ours that goes with another host's.
    fn address_for(&self, other: IpAddr) -> Option<IpAddr> {
        of_family(&self.settings.addresses, other)
    }
}

fn of_family(addresses: &[IpAddr], other: IpAddr) -> Option<IpAddr> {
    addresses.iter().copied().find(|address| address.is_ipv4() == other.is_ipv4())
}

fn first(settings: &Settings) -> Option<SocketAddr> {
    settings.addresses.first().map(|address| SocketAddr::new(*address, settings.port))
}

fn base_of(endpoint: Option<SocketAddr>) -> u16 {
    match endpoint {
        Some(SocketAddr::V6(_)) => BASE_IPV6,
        Some(SocketAddr::V4(_)) | None => BASE_IPV4,
    }
}
