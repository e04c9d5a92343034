//! A network in virtual time: hosts with probers, NAT boxes in front of them, and a wire with faults.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use vxlan_common::{
    addr::{Address, IPV4, IPV6},
    probe::{Arrived, FRAME_LEN},
};

use crate::{
    nat::{DataCounts, Ports},
    probe::{Action, Key, Prober, Report, Settings, Transmit, name_id},
};

pub(super) const PORT: u16 = 4789;
pub(super) const INTERVAL: Duration = Duration::from_secs(5);

/// What a box in front of hosts does.
#[derive(Clone, Debug)]
pub(super) struct NatBox {
    pub(super) public: IpAddr,
    /// The port stays; else it is another one.
    pub(super) keeps_port: bool,
    /// Another mapping for each destination.
    pub(super) per_destination: bool,
    /// Lets in only what comes from where something was sent to.
    pub(super) filters: bool,
    /// One host has the whole address.
    pub(super) one_to_one: Option<IpAddr>,
    pub(super) mappings: HashMap<(SocketAddr, Option<SocketAddr>), u16>,
    pub(super) sent: Vec<(u16, SocketAddr)>,
    pub(super) next_port: u16,
}

impl NatBox {
    pub(super) fn one_to_one(public: &str, private: &str) -> Self {
        Self {
            keeps_port: true,
            filters: false,
            one_to_one: Some(private.parse().unwrap()),
            ..Self::napt(public)
        }
    }

    pub(super) fn napt(public: &str) -> Self {
        Self {
            public: public.parse().unwrap(),
            keeps_port: false,
            per_destination: false,
            filters: true,
            one_to_one: None,
            mappings: HashMap::new(),
            sent: Vec::new(),
            next_port: 1024,
        }
    }

    /// Forgets every mapping, and gives other ports from now on.
    pub(super) fn rebind(&mut self) {
        self.mappings.clear();
        self.sent.clear();
        self.next_port += 100;
    }

    fn outward(&mut self, packet: &mut Packet) {
        let key = (packet.source, self.per_destination.then_some(packet.destination));
        let port = *self.mappings.entry(key).or_insert_with(|| {
            self.next_port += 1;
            if self.keeps_port { packet.source.port() } else { self.next_port }
        });
        packet.source = SocketAddr::new(self.public, port);
        if self.filters {
            self.sent.push((port, packet.destination));
        }
    }

    fn inward(&self, packet: &mut Packet) -> bool {
        let port = packet.destination.port();
        if self.filters && !self.sent.contains(&(port, packet.source)) {
            return false;
        }
        if let Some(private) = self.one_to_one {
            packet.destination = SocketAddr::new(private, port);
            return true;
        }
        let inside = self.mappings.iter().find(|mapping| *mapping.1 == port);
        if let Some(((inside, _), _)) = inside {
            packet.destination = *inside;
        }
        inside.is_some()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) ttl: u8,
    pub(super) checksum: u16,
    pub(super) transmit: Transmit,
}

impl Packet {
    /// As the data plane hands it over, at `at` of the receiver's clock.
    fn arrived(&self, at: Duration) -> Arrived {
        let address = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => Address::ipv4(ip.octets()),
            IpAddr::V6(ip) => Address::ipv6(ip.octets()),
        };
        let payload = &self.transmit.payload;
        Arrived {
            at: u64::try_from(at.as_nanos()).unwrap(),
            peer: 0,
            length: u32::from(self.transmit.length),
            source: address(self.source.ip()),
            destination: address(self.destination.ip()),
            source_port: self.source.port(),
            destination_port: self.destination.port(),
            checksum: self.checksum.to_be_bytes(),
            family: if self.source.is_ipv6() { IPV6 } else { IPV4 },
            ttl: self.ttl,
            tos: self.transmit.tos,
            dont_fragment: 1,
            pad: [0; 2],
            bytes: payload[..8 + FRAME_LEN].try_into().unwrap(),
            pad_end: [0; 6],
        }
    }

    /// The checksum that is right for it, over all of its bytes (RFC 768).
    pub(super) fn right_checksum(&self) -> u16 {
        let mut bytes = Vec::new();
        for ip in [self.source.ip(), self.destination.ip()] {
            match ip {
                IpAddr::V4(ip) => bytes.extend(ip.octets()),
                IpAddr::V6(ip) => bytes.extend(ip.octets()),
            }
        }
        let length = u16::try_from(8 + self.transmit.payload.len()).unwrap();
        let ports = [self.source.port(), self.destination.port()];
        for word in [17, length, ports[0], ports[1], length] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(&self.transmit.payload);
        if bytes.len() % 2 == 1 {
            bytes.push(0);
        }
        let mut sum = 0_u32;
        for word in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([word[0], word[1]]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !u16::try_from(sum).unwrap()
    }
}

/// One end: this host's prober of one peer.
pub(super) struct End {
    pub(super) prober: Prober,
    pub(super) settings: Settings,
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
        self.prober.report(now + self.ahead)
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
    under_way: Vec<(Duration, Packet)>,
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
            under_way: Vec::new(),
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
        let ahead = [Duration::from_secs(1000), Duration::from_secs(7_000_000)];
        [0, 1].map(|which| {
            let (name, address, endpoint) = hosts[which];
            let peer = hosts[1 - which].0;
            let settings = Settings {
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
                ports: if fixed { Ports::Fixed(PORT) } else { Ports::Flow },
                ttl: 64,
                tos: 0,
                learned: endpoint.is_none(),
                endpoint: endpoint.map(|at| SocketAddr::new(at.parse().unwrap(), PORT)),
                mtu: 1500,
            };
            self.add(settings, ahead[which])
        })
    }

    fn add(&mut self, settings: Settings, ahead: Duration) -> usize {
        self.ends.push(End {
            prober: Prober::new(settings.clone(), self.now + ahead),
            settings,
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
        end.settings.session = session;
        end.ahead += Duration::from_secs(1);
        end.prober = Prober::new(end.settings.clone(), now + end.ahead);
    }

    pub(super) fn report(&mut self, end: usize) -> Report {
        let now = self.now;
        self.ends[end].report(now)
    }

    pub(super) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let arrives = self.under_way.iter().map(|packet| packet.0).min();
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
        this.prober.data(this.counts, None, now);
        let due = this.prober.next_poll(now) <= now;
        let actions = this.prober.poll(now, &mut || self.random.random());
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
            self.under_way.push((self.now + self.delay + more, packet.clone()));
        }
    }

    fn deliver(&mut self) {
        while let Some(place) = self.under_way.iter().position(|packet| packet.0 <= self.now) {
            let (_, mut packet) = self.under_way.remove(place);
            let to = packet.destination.ip();
            if let Some(nat) = self.boxes.iter_mut().find(|nat| nat.public == to)
                && !nat.inward(&mut packet)
            {
                continue;
            }
            let to = packet.destination;
            let tag = packet.transmit.payload[8 + 18..][..8].to_vec();
            let Some(end) = self.ends.iter().position(|end| {
                end.settings.addresses.contains(&to.ip()) && end.settings.key.tag()[..] == tag
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
        // It is told a little later.
        self.now += Duration::from_micros(50);
        let now = self.now + this.ahead;
        let actions = this.prober.arrived(&arrived, now, &mut || self.random.random());
        for action in actions.iter().flatten() {
            // No answer is longer than what was asked; what is asked besides is as long as any probe.
            if let Action::Transmit(transmit) = action {
                assert!(transmit.length <= packet.transmit.length);
            }
        }
        self.act(end, actions.unwrap_or_default());
    }
}
