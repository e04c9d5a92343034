//! What is sent: requests, each in its time, and replies.

use std::{net::SocketAddr, time::Duration};

use bytes::{BufMut as _, BytesMut};
use vxlan_common::{addr::Mac, flow, outer::VXLAN_LEN};

use super::{Action, Prober, Random, Transmit};
use crate::probe::{
    Checksum, Header, Kind, LENGTH_V4, LENGTH_V6, Probe, Purpose,
    wire::{DESTINATION_MAC, SOURCE_MAC},
};

/// First byte of a VXLAN header: the I flag (RFC 7348, section 5).
const I_FLAG: u8 = 0x08;
/// Each so many requests an unsolicited one goes with it.
const UNSOLICITED_EACH: u32 = 4;
/// The ports that unsolicited requests come from: below those of flows, above those of services.
const UNSOLICITED_FIRST: u16 = 32_768;

/// What answers a request.
pub(super) struct Answer {
    pub(super) token: u64,
    pub(super) session: u64,
    pub(super) sequence: u64,
    pub(super) held: Duration,
    pub(super) seen: Header,
    /// As the request says of its source port.
    pub(super) fixed: bool,
}

impl Prober {
    /// The source port of data, and so of probes: by the flow of a probe's inner frame, which is not IP.
    pub(super) fn data_port(&self) -> u16 {
        if self.settings.fixed_source_port {
            return self.settings.port;
        }
        let [source, destination] = [SOURCE_MAC, DESTINATION_MAC].map(|mac| Mac::new(mac).padded());
        flow::source_port(flow::hash(&source, &destination, 0, 0))
    }

    /// A request that is due; each fourth time two.
    pub(super) fn regular(&mut self, now: Duration, random: Random<'_>, actions: &mut Vec<Action>) {
        // Between 0.8 and 1.2 intervals, in 2^16 steps.
        let part = f64::from(u16::try_from(random() >> 48).unwrap_or(0)) / 65_536.0;
        self.next = now + self.settings.interval.mul_f64(0.8 + 0.4 * part);
        self.last = Some(now);
        self.ask(Purpose::Counted, 0, now, random, actions);
        self.since_unsolicited += 1;
        if self.since_unsolicited >= UNSOLICITED_EACH {
            self.since_unsolicited = 0;
            self.ask(Purpose::Unsolicited, 0, now, random, actions);
        }
    }

    /// When the next request must go, lest a NAT forgets a mapping.
    pub(super) fn keepalive_due(&self) -> Duration {
        let needed = self.endpoint.is_learned()
            || self.account.needs_keepalive(&self.settings.public_addresses);
        match self.last {
            Some(last) if needed => last + self.settings.keepalive,
            _ => Duration::MAX,
        }
    }

    /// One request to the endpoint, if there is one. `length`: of the IP packet, where it is padded.
    /// Returns its sequence.
    pub(super) fn ask(
        &mut self,
        purpose: Purpose,
        length: u16,
        now: Duration,
        random: Random<'_>,
        actions: &mut Vec<Action>,
    ) -> Option<u64> {
        let destination = self.endpoint.get()?;
        let source = self.address_for(destination.ip())?;
        let port = match purpose {
            Purpose::Counted | Purpose::Size => self.data_port(),
            Purpose::Unsolicited => self.strange_port(random),
        };
        let outgoing = self.association.next_request(purpose, now, &mut *random)?;
        let as_sent = self.header(SocketAddr::new(source, port), destination, length);
        let mut probe = self.probe(Kind::Request, now, as_sent);
        probe.unsolicited = purpose == Purpose::Unsolicited;
        probe.size = purpose == Purpose::Size;
        probe.fixed = self.settings.fixed_source_port && purpose != Purpose::Unsolicited;
        probe.token = outgoing.token;
        probe.offered_token = outgoing.offered_token;
        probe.sequence = outgoing.sequence;
        probe.requests_sent = outgoing.requests_sent;
        probe.as_seen = self.account.theirs().map(|theirs| theirs.seen);
        if purpose == Purpose::Counted {
            self.last = Some(now);
        }
        self.account.sent(&outgoing, purpose, as_sent, now);
        actions.push(self.packet(&probe));
        Some(outgoing.sequence)
    }

    /// Answers a request that arrived as `answer.seen`.
    pub(super) fn reply(&mut self, answer: &Answer, now: Duration) -> Option<Action> {
        let from = answer.seen.source;
        let source = self.address_for(from.ip()).unwrap_or(answer.seen.destination.ip());
        // Where all data comes from one port, a NAT has put that port there; a port that is made from the
        // flow is nobody's address.
        let port = if answer.fixed { from.port() } else { self.endpoint.get()?.port() };
        let source = SocketAddr::new(source, self.data_port());
        let header = self.header(source, SocketAddr::new(from.ip(), port), 0);
        let mut probe = self.probe(Kind::Reply, now, header);
        probe.token = self.association.token();
        probe.offered_token = answer.token;
        probe.requests_sent = self.account.requests_sent();
        probe.echoed_session = answer.session;
        probe.echoed_sequence = answer.sequence;
        probe.held = nanos(answer.held);
        probe.as_seen = Some(answer.seen);
        Some(self.packet(&probe))
    }

    /// What every probe says.
    fn probe(&self, kind: Kind, now: Duration, as_sent: Header) -> Probe {
        let seen = self.association.seen();
        let data = self.data.passive().total;
        Probe {
            kind,
            unsolicited: false,
            varies: self.varies,
            size: false,
            fixed: false,
            sender: self.settings.local,
            receiver: self.settings.remote,
            session: self.association.session(),
            token: 0,
            offered_token: 0,
            sequence: 0,
            sent_at: nanos(now),
            as_sent,
            requests_sent: 0,
            peer_session: seen.session,
            requests_received: seen.requests,
            highest_requests_sent: seen.highest_requests_sent,
            unsolicited_received: seen.unsolicited,
            data_received: data.received,
            data_sent: data.sent,
            path_mtu: self.sizing.search().found().unwrap_or(0),
            echoed_session: 0,
            echoed_sequence: 0,
            held: 0,
            as_seen: None,
        }
    }

    /// The outer header of a packet that is `length` long, or as short as a probe can be.
    fn header(&self, source: SocketAddr, destination: SocketAddr, length: u16) -> Header {
        Header {
            source,
            destination,
            ttl: self.settings.ttl,
            tos: self.settings.tos,
            length: length.max(least(destination)),
            checksum: Checksum::Zero,
            dont_fragment: true,
        }
    }

    fn packet(&self, probe: &Probe) -> Action {
        let Header { source, destination, ttl, tos, length, .. } = probe.as_sent;
        let padding = length - least(destination);
        let frame = probe.encode(&self.settings.key, padding.into());
        let mut payload = BytesMut::with_capacity(VXLAN_LEN + frame.len());
        payload.put_slice(&[I_FLAG, 0, 0, 0]);
        payload.put_slice(&self.settings.vni);
        payload.put_u8(0);
        payload.put_slice(&frame);
        let payload = payload.freeze();
        Action::Transmit(Transmit { source, destination, ttl, tos, length, payload })
    }

    fn strange_port(&self, random: Random<'_>) -> u16 {
        let any = u16::try_from(random() >> 50).unwrap_or(0);
        let port = UNSOLICITED_FIRST + any;
        if port == self.settings.port { port ^ 1 } else { port }
    }
}

/// Length of the IP packet with a probe that is not padded.
fn least(destination: SocketAddr) -> u16 {
    if destination.is_ipv6() { LENGTH_V6 } else { LENGTH_V4 }
}

/// In 585 years it is over.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
