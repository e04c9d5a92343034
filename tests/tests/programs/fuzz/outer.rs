//! The outer headers that a peer puts around a frame, and what a NAT and others make of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rand::{Rng as _, seq::IndexedRandom as _};
use vxlan_tests::packet::{Checksum, Eth, Ipv4, Ipv6, Packet, Udp, Vlan, Vxlan, flags};

use super::{
    generate::Generator,
    setups::{PRIVATE6, PUBLIC6},
};
use crate::world::{GCP_PRIVATE, GCP_PUBLIC, STRANGER, UNKNOWN_VNI};

impl Generator<'_> {
    /// The frame as a peer sends it to this host.
    pub(super) fn wrapped(&mut self, network: usize, member: usize, inner: Vec<u8>) -> Vec<u8> {
        let (src, dst) = self.ends(network, member);
        let port = self.source_port(network, member, &inner);
        let vni = self.config.networks[network].vni;
        let mut frame = self.around((src, dst), port, vni, &inner);
        if self.one_in(6) {
            self.stale_checksum(network, member, &mut frame, &inner);
        }
        frame
    }

    /// A probe of some peer, from anywhere.
    pub(super) fn wrapped_probe(&mut self) -> Vec<u8> {
        let network = self.rng.random_range(0..2);
        let member = self.rng.random_range(0..self.config.networks[network].members.len());
        let ends = self.ends(network, member);
        let inner = self.probe();
        let port = self.rng.random();
        self.around(ends, port, self.config.probe_vni, &inner)
    }

    fn around(
        &mut self,
        (src, dst): (IpAddr, IpAddr),
        port: u16,
        vni: u32,
        inner: &[u8],
    ) -> Vec<u8> {
        let udp = self.outer_udp(port);
        let mut packet = Packet::new().with(self.outer_eth());
        if self.odd() && self.one_in(4) {
            packet = packet.with(Vlan::new(self.rng.random()));
        }
        let carried = udp.with(self.vxlan(vni)).payload(inner);
        let packet = match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                packet.with(self.outer_v4(src, dst, inner.len())).carrying(carried)
            }
            (src, dst) => {
                let v6 = |address| match address {
                    IpAddr::V6(v6) => v6,
                    IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                };
                self.outer_v6(packet, v6(src), v6(dst), carried, inner.len())
            }
        };
        let mut frame = packet.build().to_vec();
        if self.one_in(6) {
            let padding = self.rng.random_range(1..20);
            frame.resize(frame.len() + padding, 0xee);
        }
        frame
    }

    fn outer_eth(&mut self) -> Eth {
        let mut eth = Eth::new([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]);
        if self.odd() && self.one_in(3) {
            eth = eth.ethertype(Some(self.pick(&[0x0800, 0x86dd, 0x0806, 0x8100, 0x88a8, 46])));
        }
        eth
    }

    /// Source and destination.
    fn ends(&mut self, network: usize, member: usize) -> (IpAddr, IpAddr) {
        let peer = self.peer(network, member);
        let mut sources = peer.private_addresses.clone();
        sources.extend(&peer.endpoints);
        // Where a peer is that was not learned nobody knows.
        let mut src = if sources.is_empty() { STRANGER.into() } else { self.pick(&sources) };
        if self.odd() {
            let mut all: Vec<IpAddr> = vec![STRANGER.into(), [0; 4].into(), [0; 16].into()];
            for peer in &self.config.peers {
                all.extend(&peer.endpoints);
                all.extend(&peer.private_addresses);
            }
            all.extend(&self.config.addresses);
            src = self.pick(&all);
        }
        let ours = [&self.config.addresses[..], &self.config.public_addresses].concat();
        let family: Vec<_> =
            ours.iter().copied().filter(|address| address.is_ipv4() == src.is_ipv4()).collect();
        let dst = family.choose(&mut self.rng).or_else(|| ours.first()).copied();
        let mut dst = dst.unwrap_or(src);
        if self.odd() {
            dst = self.pick(&[
                GCP_PRIVATE.into(),
                GCP_PUBLIC.into(),
                PRIVATE6.into(),
                PUBLIC6.into(),
                Ipv4Addr::UNSPECIFIED.into(),
                Ipv6Addr::UNSPECIFIED.into(),
                Ipv4Addr::BROADCAST.into(),
                STRANGER.into(),
            ]);
        }
        (src, dst)
    }

    fn outer_tos(&mut self) -> u8 {
        if self.rng.random_bool(0.6) { 0 } else { self.rng.random() }
    }

    fn outer_v4(&mut self, src: Ipv4Addr, dst: Ipv4Addr, inner: usize) -> Ipv4 {
        let mut ip = Ipv4::new(src, dst).tos(self.outer_tos()).id(self.rng.random());
        ip = ip.ttl(self.rng.random());
        if self.odd() {
            ip = ip.options(vec![1; self.pick(&[4, 8, 40])]);
        }
        if self.odd() {
            ip = ip.version_ihl(Some(self.pick(&[0x44, 0x40, 0x46, 0x4f, 0x55, 0x65, 0x05, 0xff])));
        }
        if self.odd() {
            let fragment = self.rng.random_range(0..4);
            let random = self.rng.random();
            ip = ip.fragment([flags::MF, flags::MF | flags::DF, 1, random][fragment]);
        }
        if self.odd() {
            ip = ip.total_length(Some(self.lie(36 + inner)));
        }
        if self.odd() {
            ip = ip.protocol(Some(self.pick(&[0, 1, 4, 6, 47, 50, 136])));
        }
        if self.odd() {
            ip =
                ip.checksum(self.pick(&[Checksum::Wrong, Checksum::Zero, Checksum::Value(0xffff)]));
        }
        ip
    }

    fn outer_v6(
        &mut self,
        packet: Packet,
        src: Ipv6Addr,
        dst: Ipv6Addr,
        carried: Packet,
        inner: usize,
    ) -> Packet {
        let mut ip = Ipv6::new(src, dst).traffic_class(self.outer_tos());
        ip = ip.flow_label(self.rng.random()).hop_limit(self.rng.random());
        let chain = self.extensions();
        if chain.is_empty() {
            if self.odd() {
                ip = ip.next_header(Some(self.pick(&[0, 6, 41, 43, 44, 50, 51, 58, 59, 60, 135])));
            }
            if self.odd() {
                ip = ip.payload_length(Some(self.lie(16 + inner)));
            }
            return packet.with(ip).carrying(carried);
        }
        // The UDP checksum is over the packet as if there were no extension headers.
        let whole = Packet::new().with(Ipv6::new(src, dst)).carrying(carried).build();
        let (first, mut bytes) = chained(&chain);
        bytes.extend(&whole[40..]);
        packet.with(ip.next_header(Some(first))).payload(&bytes)
    }

    /// Rarely any: number and content of each.
    fn extensions(&mut self) -> Vec<(u8, Vec<u8>)> {
        if !self.odd() {
            return Vec::new();
        }
        let count = self.pick(&[1, 1, 1, 2, 3, 5, 6, 7, 8]);
        let all: &[u8] = if self.one_in(4) { &[0, 43, 44, 60, 51, 50] } else { &[0, 43, 60, 44] };
        (0..count).map(|_| self.extension(all)).collect()
    }

    fn outer_udp(&mut self, source: u16) -> Packet {
        let port =
            if self.odd() { self.pick(&[4789, 8472, 4790, 0xb512]) } else { self.config.port };
        let mut udp = Udp::new(source, port);
        let checksums = [Checksum::Zero, Checksum::Right];
        udp = udp.checksum(self.pick(&checksums));
        if self.odd() {
            udp = udp.checksum(Checksum::Wrong);
        }
        if self.odd() {
            udp = udp.length(Some(self.lie(100)));
        }
        Packet::new().with(udp)
    }

    fn vxlan(&mut self, vni: u32) -> Vxlan {
        let mut vxlan = Vxlan::new(vni);
        if self.odd() {
            let random = self.rng.random_range(0..1 << 24);
            let [one, two] = [0, 1].map(|network| self.config.networks[network].vni);
            let probes = self.config.probe_vni;
            vxlan = vxlan.vni(self.pick(&[UNKNOWN_VNI, one, two, 0, 0xff_ffff, probes, random]));
        }
        if self.odd() {
            vxlan = vxlan.flags(self.pick(&[0, 0x09, 0x88, 0xff, 0xf7]));
        }
        if self.odd() {
            vxlan = vxlan.reserved(self.rng.random());
        }
        if self.odd() {
            vxlan = vxlan.last(self.rng.random());
        }
        vxlan
    }
}

/// Headers one behind the other, UDP behind the last; the number of the first.
fn chained(chain: &[(u8, Vec<u8>)]) -> (u8, Vec<u8>) {
    let mut bytes = Vec::new();
    let followers = chain.iter().skip(1).map(|(kind, _)| *kind).chain([17]);
    for ((_, header), next) in chain.iter().zip(followers) {
        let start = bytes.len();
        bytes.extend(header);
        bytes[start] = next;
    }
    (chain.first().map_or(17, |(kind, _)| *kind), bytes)
}
