//! A network in virtual time: hosts with probers, and a wire with faults.

use std::{net::SocketAddr, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::boxes::{NatBox, Packet};
use crate::{
    nat::{DataCounts, SourcePorts},
    probe::{Action, Key, Prober, ProberConfig, Report, Transmit, name_id},
};

pub(super) const PORT: u16 = 4789;
pub(super) const INTERVAL: Duration = Duration::from_secs(5);

/// One end: this host's prober of one peer.
pub(super) struct End {
    pub(super) prober: Prober,
    pub(super) config: ProberConfig,
    /// What its clock is ahead of the network's.
    ahead: Duration,
    /// When a request or a reply was sent, by the network's clock.
    pub(super) sent: Vec<Duration>,
    pub(super) moves: Vec<(Duration, SocketAddr)>,
    pub(super) path_mtu: Option<u32>,
    pub(super) round_trips: u32,
    /// Data packets that come with each second, if any.
    pub(super) counts: DataCounts,
}

impl End {
    pub(super) fn report(&mut self, now: Duration) -> Report {
        self.prober.report(now + self.ahead).full()
    }
}

type Fault = Box<dyn FnMut(&mut Packet) -> bool>;

/// See the top of this file.
pub(super) struct Network {
    pub(super) now: Duration,
    pub(super) ends: Vec<End>,
    pub(super) boxes: Vec<NatBox>,
    pub(super) random: StdRng,
    /// Returns whether a packet passes; may change it. Outside of all boxes.
    pub(super) fault: Fault,
    pub(super) mtu: u16,
    pub(super) delay: Duration,
    /// At most so much more.
    pub(super) jitter: Duration,
    /// Share of packets that come twice.
    pub(super) twice: f64,
    /// From the arrival of a probe until the prober is told.
    pub(super) hold: Duration,
    in_flight: Vec<(Duration, Packet)>,
}

impl Network {
    pub(super) fn new() -> Self {
        Self {
            now: Duration::ZERO,
            ends: Vec::new(),
            boxes: Vec::new(),
            random: StdRng::seed_from_u64(4789),
            fault: Box::new(|_| true),
            mtu: 1500,
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            twice: 0.0,
            hold: Duration::from_micros(50),
            in_flight: Vec::new(),
        }
    }

    /// Two hosts that know each other: name, own address, where it sends to (absent: learned).
    pub(super) fn pair(
        &mut self,
        hosts: [(&str, &str, Option<&str>); 2],
        fixed: bool,
    ) -> [usize; 2] {
        let number = u8::try_from(self.ends.len()).unwrap() + 1;
        let key = Key::parse(&format!("{number:02x}").repeat(32)).unwrap();
        let ahead = [Duration::from_secs(1_000_000), Duration::from_secs(7_000_000)];
        [0, 1].map(|which| {
            let (name, address, endpoint) = hosts[which];
            let peer = hosts[1 - which].0;
            let config = ProberConfig {
                peer: peer.into(),
                local: name_id(name),
                remote: name_id(peer),
                key: key.clone(),
                session: self.random.random_range(1..u64::MAX),
                interval: INTERVAL,
                keepalive: Duration::from_secs(20),
                vni: [0xff; 3],
                port: PORT,
                fixed_source_port: fixed,
                addresses: vec![address.parse().unwrap()],
                public_addresses: Vec::new(),
                private_addresses: Vec::new(),
                ports: if fixed { SourcePorts::Fixed(PORT) } else { SourcePorts::Flow },
                ttl: 64,
                tos: 0,
                learned: endpoint.is_none(),
                endpoint: endpoint.map(|at| SocketAddr::new(at.parse().unwrap(), PORT)),
                mtu: 1500,
            };
            self.add(config, ahead[which])
        })
    }

    fn add(&mut self, config: ProberConfig, ahead: Duration) -> usize {
        self.ends.push(End {
            prober: Prober::new(config.clone(), self.now + ahead),
            config,
            ahead,
            sent: Vec::new(),
            moves: Vec::new(),
            path_mtu: None,
            round_trips: 0,
            counts: DataCounts::default(),
        });
        self.ends.len() - 1
    }

    /// It starts anew, with another session.
    pub(super) fn restart(&mut self, end: usize) {
        let now = self.now;
        let session = self.random.random_range(1..u64::MAX);
        let end = &mut self.ends[end];
        end.config.session = session;
        end.ahead += Duration::from_secs(1);
        end.prober = Prober::new(end.config.clone(), now + end.ahead);
    }

    pub(super) fn snapshot(&self, end: usize) -> (Prober, Duration) {
        (self.ends[end].prober.clone(), self.now)
    }

    /// It goes on as it was, and so does its clock.
    pub(super) fn restore(&mut self, end: usize, (prober, at): &(Prober, Duration)) {
        let lost = self.now - *at;
        let end = &mut self.ends[end];
        end.prober = prober.clone();
        end.ahead = end.ahead.checked_sub(lost).expect("its clock is further ahead");
    }

    pub(super) fn report(&mut self, end: usize) -> Report {
        let now = self.now;
        self.ends[end].report(now)
    }

    pub(super) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let arrives = self.in_flight.iter().map(|packet| packet.0).min();
            let polls = self.ends.iter().map(|end| {
                let due = end.prober.next_poll(self.now + end.ahead);
                due - end.ahead
            });
            let next = polls.chain(arrives).min().unwrap();
            if next > until {
                self.now = until;
                return;
            }
            self.now = next.max(self.now);
            self.deliver();
            for end in 0..self.ends.len() {
                self.poll(end);
            }
        }
    }

    fn poll(&mut self, end: usize) {
        let this = &mut self.ends[end];
        let now = self.now + this.ahead;
        this.prober.record_data(this.counts, None, None, now);
        let due = this.prober.next_poll(now) <= now;
        let actions = this.prober.poll(now, &mut || self.random.random());
        this.prober.take_due_echo(now);
        assert!(!due || this.prober.next_poll(now) > now, "a poll must be of use");
        self.act(end, actions);
    }

    pub(super) fn act(&mut self, end: usize, actions: Vec<Action>) {
        for action in actions {
            let this = &mut self.ends[end];
            match action {
                Action::MoveEndpoint { to, .. } => this.moves.push((self.now, to)),
                Action::PathMtu(found) => this.path_mtu = found,
                Action::RoundTrip(_) => this.round_trips += 1,
                Action::Transmit(transmit) => {
                    this.sent.push(self.now);
                    self.transmit(transmit);
                }
            }
        }
    }

    fn transmit(&mut self, transmit: Transmit) {
        let headers = if transmit.destination.is_ipv6() { 48 } else { 28 };
        assert_eq!(usize::from(transmit.length), headers + transmit.payload.len());
        let port = transmit.source.port();
        assert!(port == PORT || port >= 32_768, "neither a port of data nor an unsolicited one");
        let mut packet = Packet {
            source: transmit.source,
            destination: transmit.destination,
            ttl: transmit.ttl - 3,
            checksum: 0,
            transmit,
        };
        let from = packet.source.ip();
        let inside = |nat: &&mut NatBox| {
            nat.one_to_one.map_or(from.to_string().starts_with("10."), |private| private == from)
        };
        if let Some(nat) = self.boxes.iter_mut().find(inside) {
            nat.outward(&mut packet);
        }
        if packet.transmit.length > self.mtu || !(self.fault)(&mut packet) {
            return;
        }
        let copies = if self.random.random_bool(self.twice) { 2 } else { 1 };
        for _ in 0..copies {
            let more = self.random.random_range(Duration::ZERO..=self.jitter);
            self.in_flight.push((self.now + self.delay + more, packet.clone()));
        }
    }

    fn deliver(&mut self) {
        while let Some(index) = self.in_flight.iter().position(|packet| packet.0 <= self.now) {
            let (_, mut packet) = self.in_flight.remove(index);
            let to = packet.destination.ip();
            if let Some(nat) = self.boxes.iter_mut().find(|nat| nat.public == to)
                && !nat.inward(&mut packet)
            {
                continue;
            }
            let to = packet.destination;
            let tag = packet.transmit.payload[8 + 18..][..8].to_vec();
            let Some(end) = self.ends.iter().position(|end| {
                end.config.addresses.contains(&to.ip()) && end.config.key.tag()[..] == tag
            }) else {
                continue;
            };
            if to.port() == PORT {
                self.arrive(end, &packet);
            }
        }
    }

    pub(super) fn arrive(&mut self, end: usize, packet: &Packet) {
        let this = &mut self.ends[end];
        let arrived = packet.arrived(self.now + this.ahead);
        self.now += self.hold;
        let now = self.now + this.ahead;
        let actions = this.prober.arrived(&arrived, now, &mut || self.random.random());
        for action in actions.iter().flatten() {
            // No answer is longer than what was asked; what is asked besides is as long as any
            // probe.
            if let Action::Transmit(transmit) = action {
                assert!(transmit.length <= packet.transmit.length);
            }
        }
        self.act(end, actions.unwrap_or_default());
    }
}
