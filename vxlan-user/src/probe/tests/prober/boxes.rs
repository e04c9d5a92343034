//! NAT boxes, and the packets that pass them.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use vxlan_common::{
    addr::{Address, IPV4, IPV6},
    probe::{FRAME_LEN, ReceivedProbe},
};

use crate::probe::Transmit;

/// What a box in front of hosts does.
#[derive(Clone, Debug)]
pub(super) struct NatBox {
    pub(super) public: IpAddr,
    /// The port stays; else it is another one.
    keeps_port: bool,
    /// Another mapping for each destination.
    per_destination: bool,
    /// Lets in only what comes from where something was sent to.
    filters: bool,
    /// One host has the whole address.
    pub(super) one_to_one: Option<IpAddr>,
    mappings: HashMap<(SocketAddr, Option<SocketAddr>), u16>,
    sent: Vec<(u16, SocketAddr)>,
    next_port: u16,
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

    /// Ports stay.
    pub(super) fn keeping_ports(self) -> Self {
        Self { keeps_port: true, ..self }
    }

    /// Another mapping for each destination.
    pub(super) fn symmetric(self) -> Self {
        Self { per_destination: true, ..self }
    }

    /// Forgets every mapping, and gives other ports from now on.
    /// Returns the port above which the new mappings are.
    pub(super) fn rebind(&mut self) -> u16 {
        self.mappings.clear();
        self.sent.clear();
        self.next_port += 100;
        self.next_port
    }

    pub(super) fn outward(&mut self, packet: &mut Packet) {
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

    pub(super) fn inward(&self, packet: &mut Packet) -> bool {
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
    pub(super) fn arrived(&self, at: Duration) -> ReceivedProbe {
        let address = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => Address::ipv4(ip.octets()),
            IpAddr::V6(ip) => Address::ipv6(ip.octets()),
        };
        let payload = &self.transmit.payload;
        ReceivedProbe {
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
