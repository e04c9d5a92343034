//! Sends requests and replies.

use std::{net::SocketAddr, time::Duration};

use bytes::{BufMut as _, BytesMut};
use vxlan_common::{
    addr::Mac,
    flow,
    wire::{VXLAN_LEN, vxlan},
};

use super::{
    action::{Action, Random, Transmit},
    state::Prober,
};
use crate::{
    observation::{OuterHeader, UdpChecksum},
    probe::{
        message::{Probe, ProbeKind},
        requests::Purpose,
        wire::{DESTINATION_MAC, LENGTH_V4, LENGTH_V6, SOURCE_MAC},
    },
};

/// After so many regular requests an unsolicited one is sent.
const REQUESTS_PER_UNSOLICITED: u32 = 4;
/// The first of the 16,384 ports that unsolicited requests are sent from: below the ports of flows,
/// above those of services.
const FIRST_UNSOLICITED_PORT: u16 = 32_768;

/// The reply to a request.
pub(super) struct Reply {
    pub(super) token: u64,
    pub(super) session: u64,
    pub(super) sequence: u64,
    pub(super) held: Duration,
    pub(super) seen: OuterHeader,
    /// The request was sent from a fixed source port.
    pub(super) fixed: bool,
}

impl Prober {
    /// Returns the source port of data, which is that of probes, too: the one for the flow of the
    /// inner frame of a probe, which is not IP.
    pub(super) fn data_port(&self) -> u16 {
        if self.config.fixed_source_port {
            return self.config.port;
        }
        let [source, destination] = [SOURCE_MAC, DESTINATION_MAC].map(|mac| Mac::new(mac).padded());
        flow::source_port(flow::hash(&source, &destination, 0, 0))
    }

    /// Sends a regular request, and an unsolicited one with each fourth.
    pub(super) fn send_regular(
        &mut self,
        now: Duration,
        random: Random<'_>,
        actions: &mut Vec<Action>,
    ) {
        // Between 0.8 and 1.2 intervals, in 2^16 steps.
        let fraction = f64::from(u16::try_from(random() >> 48).unwrap_or(0)) / 65_536.0;
        self.next_request = now + self.config.interval.mul_f64(0.8 + 0.4 * fraction);
        self.last_request = Some(now);
        self.send_request(Purpose::Counted, 0, now, random, actions);
        self.since_unsolicited += 1;
        if self.since_unsolicited >= REQUESTS_PER_UNSOLICITED {
            self.since_unsolicited = 0;
            self.send_request(Purpose::Unsolicited, 0, now, random, actions);
        }
    }

    /// Returns when the next request must be sent for a NAT to keep a mapping.
    pub(super) fn keepalive_due(&self) -> Duration {
        let needed =
            self.endpoint.is_learned() || self.stats.needs_keepalive(&self.config.public_addresses);
        match self.last_request {
            Some(last) if needed => last + self.config.keepalive,
            _ => Duration::MAX,
        }
    }

    /// Sends a request to the endpoint, if there is one, and returns its sequence. `length`: of the
    /// IP packet, in bytes; 0: without padding.
    pub(super) fn send_request(
        &mut self,
        purpose: Purpose,
        length: u16,
        now: Duration,
        random: Random<'_>,
        actions: &mut Vec<Action>,
    ) -> Option<u64> {
        let destination = self.endpoint.get()?;
        let source = self.config.address_for(destination.ip())?;
        let port = match purpose {
            Purpose::Counted | Purpose::Size => self.data_port(),
            Purpose::Unsolicited => self.unsolicited_port(random),
        };
        let outgoing = self.association.next_request(purpose, now, &mut *random)?;
        let as_sent = self.header(SocketAddr::new(source, port), destination, length);
        let mut probe = self.probe(ProbeKind::Request, now, as_sent);
        probe.unsolicited = purpose == Purpose::Unsolicited;
        probe.size = purpose == Purpose::Size;
        probe.fixed = self.config.fixed_source_port && purpose != Purpose::Unsolicited;
        probe.token = outgoing.token;
        probe.offered_token = outgoing.offered_token;
        probe.sequence = outgoing.sequence;
        probe.requests_sent = outgoing.requests_sent;
        probe.as_seen = self.stats.theirs().map(|theirs| theirs.seen);
        if purpose == Purpose::Counted {
            self.last_request = Some(now);
        }
        self.stats.request_sent(&outgoing, purpose, as_sent, now);
        actions.push(self.packet(&probe));
        Some(outgoing.sequence)
    }

    /// Replies to a request that arrived as `reply.seen`.
    pub(super) fn send_reply(&mut self, reply: &Reply, now: Duration) -> Option<Action> {
        let from = reply.seen.source;
        let source = self.config.address_for(from.ip()).unwrap_or(reply.seen.destination.ip());
        // Where the peer sends all data from one port, the source port is what a NAT maps to the
        // peer. A port computed from the flow hash receives nothing.
        let port = if reply.fixed { from.port() } else { self.endpoint.get()?.port() };
        let source = SocketAddr::new(source, self.data_port());
        let header = self.header(source, SocketAddr::new(from.ip(), port), 0);
        let mut probe = self.probe(ProbeKind::Reply, now, header);
        probe.token = self.association.token();
        probe.offered_token = reply.token;
        probe.requests_sent = self.stats.requests_sent();
        probe.echoed_session = reply.session;
        probe.echoed_sequence = reply.sequence;
        probe.held = nanos(reply.held);
        probe.as_seen = Some(reply.seen);
        Some(self.packet(&probe))
    }

    /// Returns a probe with the fields that are common to requests and replies.
    fn probe(&mut self, kind: ProbeKind, now: Duration, as_sent: OuterHeader) -> Probe {
        let received = self.association.received();
        let data = self.data.evidence().total;
        let (network, networks) = self.networks.next_report().unzip();
        Probe {
            kind,
            unsolicited: false,
            varies: self.varies,
            size: false,
            fixed: false,
            sender: self.config.local,
            receiver: self.config.remote,
            session: self.association.session(),
            token: 0,
            offered_token: 0,
            sequence: 0,
            sent_at: nanos(now),
            as_sent,
            requests_sent: 0,
            peer_session: received.session,
            requests_received: received.requests,
            highest_requests_sent: received.highest_requests_sent,
            unsolicited_received: received.unsolicited,
            data_received: data.received,
            data_sent: data.sent,
            path_mtu: self.pmtu.search.plpmtu().unwrap_or(0),
            network,
            networks: networks.unwrap_or(0),
            echoed_session: 0,
            echoed_sequence: 0,
            held: 0,
            as_seen: None,
        }
    }

    /// Returns the outer header of a packet of `length` bytes, or of a probe without padding if
    /// that is longer.
    fn header(&self, source: SocketAddr, destination: SocketAddr, length: u16) -> OuterHeader {
        OuterHeader {
            source,
            destination,
            ttl: self.config.ttl,
            tos: self.config.tos,
            length: length.max(min_length(destination)),
            checksum: UdpChecksum::Zero,
            dont_fragment: true,
        }
    }

    fn packet(&self, probe: &Probe) -> Action {
        let OuterHeader { source, destination, ttl, tos, length, .. } = probe.as_sent;
        let padding = length - min_length(destination);
        let frame = probe.encode(&self.config.key, padding.into());
        let mut payload = BytesMut::with_capacity(VXLAN_LEN + frame.len());
        payload.put_slice(&[vxlan::FLAG_I, 0, 0, 0]);
        payload.put_slice(&self.config.vni);
        payload.put_u8(0);
        payload.put_slice(&frame);
        let payload = payload.freeze();
        Action::Transmit(Transmit { source, destination, ttl, tos, length, payload })
    }

    fn unsolicited_port(&self, random: Random<'_>) -> u16 {
        let offset = u16::try_from(random() >> 50).unwrap_or(0);
        let port = FIRST_UNSOLICITED_PORT + offset;
        if port == self.config.port { port ^ 1 } else { port }
    }
}

/// Returns the length of the IP packet that carries a probe without padding.
fn min_length(destination: SocketAddr) -> u16 {
    if destination.is_ipv6() { LENGTH_V6 } else { LENGTH_V4 }
}

/// Returns a time in ns, which fit into 64 bits for 585 years.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
