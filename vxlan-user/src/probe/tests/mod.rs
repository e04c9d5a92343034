//! The tests of probing, and what they share: two hosts, a probe with everything in it, and
//! numbers that are random but the same every time.

mod association;
mod delivery;
mod dplpmtud;
mod fuzz;
mod key;
mod network_delivery;
mod prober;
mod recording;
mod rollback;
mod wire;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::{
    observation::{OuterHeader, UdpChecksum},
    probe::{
        Association, Key, LENGTH_V4, NetworkCounts, Probe, ProbeKind, Purpose, RequestVerdict,
        name_id,
    },
};

fn key() -> Key {
    Key::parse(&"5a".repeat(32)).expect("64 digits")
}

/// xorshift64: a fixed seed, so that a failure happens again.
#[derive(Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(in super::super) fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(in super::super) fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(in super::super) fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    pub(in super::super) fn flip(&mut self) -> bool {
        self.number() & 0x10 != 0
    }
}

fn socket(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

/// A request with something else in every field.
fn sample() -> Probe {
    let as_sent = OuterHeader {
        source: socket("192.0.2.1:49999"),
        destination: socket("198.51.100.2:4789"),
        ttl: 64,
        tos: 0xb8,
        length: LENGTH_V4,
        checksum: UdpChecksum::Zero,
        dont_fragment: true,
    };
    Probe {
        kind: ProbeKind::Request,
        unsolicited: true,
        fixed: true,
        varies: false,
        size: true,
        sender: name_id("a"),
        receiver: name_id("b"),
        session: 0x1111_1111_1111_1111,
        token: 0x2222_2222_2222_2222,
        offered_token: 0x3333_3333_3333_3333,
        sequence: 0x4444_4444_4444_4444,
        sent_at: 0x5555_5555_5555_5555,
        as_sent,
        requests_sent: 0x6666_6666_6666_6666,
        peer_session: 0x7777_7777_7777_7777,
        requests_received: 0x8888_8888_8888_8888,
        highest_requests_sent: 0x9999_9999_9999_9999,
        unsolicited_received: 0xaaaa_aaaa_aaaa_aaaa,
        data_received: 0xbbbb_bbbb_bbbb_bbbb,
        data_sent: 0xcccc_cccc_cccc_cccc,
        path_mtu: 0xdddd_dddd,
        network: Some(NetworkCounts { vni: 0x12_3456, received: 0x7878_7878, sent: 0x9a9a_9a9a }),
        networks: 0xef,
        echoed_session: 0xeeee_eeee_eeee_eeee,
        echoed_sequence: 0xabab_abab_abab_abab,
        held: 0xcdcd_cdcd_cdcd_cdcd,
        as_seen: Some(OuterHeader {
            source: socket("[2001:db8::1]:1025"),
            destination: socket("[2001:db8::2]:8472"),
            ttl: 61,
            tos: 3,
            length: 1500,
            checksum: UdpChecksum::Wrong,
            dont_fragment: false,
        }),
    }
}

/// Where probes come from that nobody else has sent.
const HONEST: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A host that does what a prober must, and nothing else. Its clock is its own.
#[derive(Clone)]
struct Host {
    name: &'static str,
    association: Association,
    /// What its clock is ahead of the world's.
    clock: Duration,
    random: Random,
}

impl Host {
    fn new(name: &'static str, peer: &str, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let association = Association::new(name_id(name), name_id(peer), random.number());
        let clock = Duration::from_nanos(random.number() >> 8);
        Self { name, association, clock, random }
    }

    fn probe(&self, kind: ProbeKind, at: Duration, peer: &str) -> Probe {
        let seen = self.association.received();
        Probe {
            kind,
            unsolicited: false,
            size: false,
            sender: name_id(self.name),
            receiver: name_id(peer),
            session: self.association.session(),
            token: self.association.token(),
            sent_at: (at + self.clock).as_nanos() as u64,
            peer_session: seen.session,
            highest_requests_sent: seen.highest_requests_sent,
            ..sample()
        }
    }

    fn ask(&mut self, purpose: Purpose, at: Duration) -> Probe {
        let random = || self.random.number();
        let outgoing = self.association.next_request(purpose, at + self.clock, random);
        let outgoing = outgoing.expect("few requests wait");
        Probe {
            unsolicited: purpose == Purpose::Unsolicited,
            size: purpose == Purpose::Size,
            token: outgoing.token,
            offered_token: outgoing.offered_token,
            sequence: outgoing.sequence,
            requests_sent: outgoing.requests_sent,
            ..self.probe(ProbeKind::Request, at, other(self.name))
        }
    }

    fn judge(&mut self, request: &Probe, at: Duration) -> RequestVerdict {
        self.judge_from(request, HONEST, at)
    }

    fn judge_from(&mut self, request: &Probe, source: IpAddr, at: Duration) -> RequestVerdict {
        self.association.request(request, source, at + self.clock, || self.random.number())
    }

    fn answer(&self, request: &Probe, offered_token: u64, at: Duration) -> Probe {
        Probe {
            offered_token,
            sequence: 0,
            echoed_session: request.session,
            echoed_sequence: request.sequence,
            ..self.probe(ProbeKind::Reply, at, other(self.name))
        }
    }

    /// What it sends, now that the probe has arrived, and whether the probe counts.
    fn receive(&mut self, probe: &Probe, at: Duration) -> (bool, Vec<Probe>) {
        self.receive_from(probe, HONEST, at)
    }

    fn receive_from(&mut self, probe: &Probe, source: IpAddr, at: Duration) -> (bool, Vec<Probe>) {
        let (counts, reply, request_now) = match probe.kind {
            ProbeKind::Reply => match self.association.reply(probe, at + self.clock) {
                Ok(answered) => (true, None, answered.request_now),
                Err(_) => (false, None, false),
            },
            ProbeKind::Request => match self.judge_from(probe, source, at) {
                RequestVerdict::Accepted { offered_token, request_now, .. } => {
                    (true, Some(offered_token), request_now)
                }
                RequestVerdict::Unproven { offered_token }
                | RequestVerdict::Stale { offered_token } => (false, offered_token, false),
                RequestVerdict::Refused(_) => (false, None, false),
            },
        };
        let mut sent: Vec<_> =
            reply.map(|offer| self.answer(probe, offer, at)).into_iter().collect();
        let restored = counts && self.association.is_restored(probe);
        if restored {
            self.association.begin_session(self.random.number());
        }
        sent.extend((request_now || restored).then(|| self.ask(Purpose::Counted, at)));
        (counts, sent)
    }
}

fn other(name: &str) -> &'static str {
    if name == "a" { "b" } else { "a" }
}

/// Carries a request and all that follows from it; how many probes that were. Nothing is lost.
fn carry(hosts: &mut [Host; 2], from: usize, at: Duration) -> usize {
    let mut way = VecDeque::from([(1 - from, hosts[from].ask(Purpose::Counted, at))]);
    let mut count = 0;
    while let Some((to, probe)) = way.pop_front() {
        count += 1;
        assert!(count < 20, "they never come to rest");
        way.extend(hosts[to].receive(&probe, at).1.into_iter().map(|probe| (1 - to, probe)));
    }
    count
}
