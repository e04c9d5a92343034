//! Inner frames: from a member to this host, or from this host to a member, with every kind of
//! packet that a rule is about.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rand::Rng as _;
use vxlan_tests::packet::{
    Arp, BROADCAST, Checksum, Eth, Icmp, Ipv4, Ipv6, Mac, Packet, Tcp, Udp, Vlan, flags,
};

use super::generate::Generator;
use crate::world::{GCP_HOST, SOLICITED, SOLICITED_MAC};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From a member to this host.
    In,
    Out,
}

/// Of the members' stations: few, so that they move, and are asked for again.
const STATIONS: u8 = 8;

#[derive(Clone, Copy)]
pub(super) struct Ends<T> {
    pub(super) src: T,
    pub(super) dst: T,
}

impl Generator<'_> {
    pub(super) fn inner(&mut self, direction: Direction, network: usize, member: usize) -> Vec<u8> {
        let place = Place { direction, network, member };
        let eth = self.ethernet(place);
        let frame = match self.rng.random_range(0..100) {
            0..38 => self.inner_v4(place, eth),
            38..70 => self.inner_v6(place, eth),
            70..82 => self.inner_arp(place, eth),
            82..98 => self.discovery(place, eth),
            _ => {
                let kind = self.pick(&[0x88cc, 0x8100, 0x88a8, 46, 0x0600, 0x8847, 0x6558]);
                Packet::new().with(eth.ethertype(Some(kind))).payload(&[2; 46])
            }
        };
        let mut bytes = frame.build().to_vec();
        if self.one_in(12) {
            bytes.resize(bytes.len() + self.rng.random_range(1..19), 0);
        }
        bytes
    }

    fn ethernet(&mut self, place: Place) -> Eth {
        let own = self.config.networks[place.network].mac;
        let station = self.station(place);
        let group = self.pick(&[BROADCAST, BROADCAST, SOLICITED_MAC, [1, 0, 0x5e, 0, 0, 1]]);
        let mut eth = match place.direction {
            Direction::In => Eth::new(own, station),
            Direction::Out => Eth::new(station, own),
        };
        if self.one_in(6) {
            eth = eth.dst(group);
        }
        if self.one_in(8) {
            // Of a host behind this one, if it goes in.
            eth = eth.dst([2, 0, 0, 0x43, 0, self.rng.random_range(0..STATIONS)]);
        }
        if self.odd() {
            eth = eth.dst(self.pick(&[own, station, [0; 6], [2; 6], group]));
        }
        let guest = [2, 0, 0, 0, 0x55, 1];
        if self.odd() {
            eth = eth.src(self.pick(&[own, station, [0; 6], guest, group]));
        }
        eth
    }

    fn station(&mut self, place: Place) -> Mac {
        let members = &self.config.networks[place.network].members;
        let member = if self.one_in(20) { 0 } else { place.member };
        let declared = members[member].mac;
        let last = self.rng.random_range(0..STATIONS);
        match declared {
            Some(mac) if self.rng.random_bool(0.5) => mac,
            _ => [2, 0, 0, 0x77, member as u8, last],
        }
    }

    fn inner_v4(&mut self, place: Place, eth: Eth) -> Packet {
        let ends = self.addresses(place, false);
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (ends.src, ends.dst) else {
            return Packet::new().with(eth);
        };
        if self.one_in(40) {
            return self.dhcp(eth);
        }
        let eth = self.toward(eth, dst.is_multicast() || dst == Ipv4Addr::BROADCAST);
        let mut ip = Ipv4::new(src, dst).id(self.rng.random()).ttl(self.rng.random());
        ip = ip.tos(if self.one_in(2) { self.rng.random() } else { 0 });
        if self.one_in(2) {
            ip = ip.fragment(0);
        }
        if self.one_in(12) {
            let random = self.rng.random();
            let all = [flags::MF, flags::MF | 1, 9, flags::MF | flags::DF, 0x8000, 0x1fff, random];
            ip = ip.fragment(self.pick(&all));
        }
        if self.one_in(10) {
            ip = ip.options(vec![1; self.pick(&[4, 8, 40])]);
        }
        if self.odd() {
            ip = ip.version_ihl(Some(self.pick(&[0x44, 0x40, 0x46, 0x4f, 0x55, 0x65, 0x05])));
        }
        if self.odd() {
            let truth = self.rng.random_range(20..80);
            ip = ip.total_length(Some(self.lie(truth)));
        }
        if self.odd() {
            ip =
                ip.checksum(self.pick(&[Checksum::Wrong, Checksum::Zero, Checksum::Value(0xffff)]));
        }
        let (protocol, carried) = self.transport(false);
        if protocol.is_some() {
            ip = ip.protocol(protocol);
        }
        self.tagged(eth).with(ip).carrying(carried)
    }

    /// A client without an address, and what resembles it.
    fn dhcp(&mut self, eth: Eth) -> Packet {
        let mut eth = eth;
        if !self.one_in(4) {
            eth = eth.dst(BROADCAST);
        }
        let mut ip = Ipv4::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);
        if self.one_in(6) {
            ip = ip.fragment(self.pick(&[flags::MF, 1]));
        }
        if self.one_in(6) {
            ip = ip.dst(self.pick(&[Ipv4Addr::new(192, 168, 43, 255), GCP_HOST]));
        }
        let (from, to) = self.pick(&[(68, 67), (68, 67), (68, 67), (67, 68), (68, 68), (1, 67)]);
        let packet = Packet::new().with(eth).with(ip);
        if self.one_in(8) {
            return packet.with(Tcp::new(from, to));
        }
        packet.with(Udp::new(from, to)).payload(&[1; 30])
    }

    fn inner_v6(&mut self, place: Place, eth: Eth) -> Packet {
        let ends = self.addresses(place, true);
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (ends.src, ends.dst) else {
            return Packet::new().with(eth);
        };
        let eth = self.toward(eth, dst.is_multicast());
        let mut ip = Ipv6::new(src, dst).flow_label(self.rng.random()).hop_limit(self.rng.random());
        ip = ip.traffic_class(if self.one_in(2) { self.rng.random() } else { 0 });
        if self.odd() {
            let truth = self.rng.random_range(0..60);
            ip = ip.payload_length(Some(self.lie(truth)));
        }
        let (protocol, carried) = self.transport(true);
        if protocol.is_some() {
            ip = ip.next_header(protocol);
        }
        if self.one_in(12) {
            let whole = Packet::new().with(ip.clone()).carrying(carried).build();
            let all = [44, 44, 44, 44, 44, 50, 0, 43, 51, 60, 135, 139, 140, 59];
            let (kind, mut header) = self.extension(&all);
            header[0] = if self.one_in(8) { 44 } else { whole[6] };
            header.extend(&whole[40..]);
            return self.tagged(eth).with(ip.next_header(Some(kind))).payload(&header);
        }
        self.tagged(eth).with(ip).carrying(carried)
    }

    /// A multicast packet goes to a group.
    fn toward(&mut self, eth: Eth, multicast: bool) -> Eth {
        if multicast && self.rng.random_bool(0.8) { eth.dst([0x33, 0x33, 0, 0, 0, 1]) } else { eth }
    }

    fn tagged(&mut self, eth: Eth) -> Packet {
        let packet = Packet::new().with(eth);
        if self.odd() && self.one_in(4) {
            packet.with(Vlan::new(self.rng.random()))
        } else {
            packet
        }
    }

    fn inner_arp(&mut self, place: Place, eth: Eth) -> Packet {
        let ends = self.addresses(place, false);
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (ends.src, ends.dst) else {
            return Packet::new().with(eth);
        };
        let mut eth = eth;
        if self.rng.random_bool(0.6) {
            eth = eth.dst(BROADCAST);
        }
        let none = Ipv4Addr::UNSPECIFIED;
        let (src, dst) = match self.rng.random_range(0..12) {
            // A host without an address asks for one of its own side, or of the other.
            0 => (none, src),
            1 => (none, dst),
            2 => (src, none),
            _ => (src, dst),
        };
        let mut arp = Arp::request(eth.src, src, dst);
        arp = arp.operation(self.pick(&[1, 1, 2])).target_mac(self.pick(&[[0; 6], eth.dst]));
        if self.one_in(8) {
            arp = arp.target(src);
        }
        if self.odd() {
            arp = arp.operation(self.pick(&[0, 3, 0x0100, 0xffff]));
        }
        if self.odd() {
            arp = arp.sender_mac(self.pick(&[[0; 6], eth.dst, [2; 6]]));
        }
        let mut packet = Packet::new().with(eth).with(arp);
        if self.odd() {
            let mut bytes = packet.build().to_vec();
            let at = 14 + self.rng.random_range(0..8);
            bytes[at] = self.rng.random_range(0..9);
            packet = Packet::new().payload(&bytes);
        }
        packet
    }

    fn discovery(&mut self, place: Place, eth: Eth) -> Packet {
        let ends = self.addresses(place, true);
        let (IpAddr::V6(mut src), IpAddr::V6(mut dst)) = (ends.src, ends.dst) else {
            return Packet::new().with(eth);
        };
        let link_local = |end| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, end);
        if self.one_in(5) {
            src = link_local(0x44);
        }
        let solicits = self.rng.random_bool(0.6);
        let own = src;
        if self.one_in(8) {
            src = Ipv6Addr::UNSPECIFIED;
        }
        let mut target = if solicits { dst } else { src };
        if self.one_in(8) {
            target = link_local(0x43);
        }
        if src.is_unspecified() && self.one_in(2) {
            target = own;
        }
        if self.odd()
            && let IpAddr::V6(any) = self.any_address(place, true)
        {
            target = any;
        }
        let mut eth = eth;
        match self.rng.random_range(0..5) {
            0 | 1 if solicits => (dst, eth) = (SOLICITED, eth.dst(SOLICITED_MAC)),
            2 => dst = link_local(0x43),
            3 if self.one_in(2) => eth = eth.dst(SOLICITED_MAC),
            _ => {}
        }
        let mut icmp = if solicits {
            Icmp::neighbour_solicitation(target, eth.src)
        } else {
            Icmp::neighbour_advertisement(target, eth.src)
        };
        if self.one_in(6) {
            let length = self.rng.random_range(0..icmp.body.len() + 12);
            icmp.body.resize(length, 1);
        }
        if self.odd() {
            icmp = icmp.kind(self.rng.random_range(128..144));
        }
        if self.odd() {
            icmp = icmp.code(1);
        }
        let mut ip = Ipv6::new(src, dst).hop_limit(255);
        if self.odd() {
            ip = ip.hop_limit(self.pick(&[254, 1, 0]));
        }
        if self.one_in(8) {
            ip = ip.traffic_class(self.rng.random());
        }
        self.tagged(eth).with(ip).with(icmp)
    }
}

#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) direction: Direction,
    pub(super) network: usize,
    pub(super) member: usize,
}
