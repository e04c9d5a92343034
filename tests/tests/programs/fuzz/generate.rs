//! Frames for the programs: what a peer or a host would send, wrong here and there. How much is wrong
//! is drawn for each frame, so that most come far, and some are hopeless.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rand::{Rng as _, SeedableRng as _, rngs::SmallRng, seq::IndexedRandom as _};
use vxlan_tests::{
    model::Config,
    packet::{Checksum, Eth, Ipv4, Ipv6, Packet, Udp, Vlan, Vxlan, flags},
};

use super::{
    inner::Direction,
    mutate,
    setups::{PRIVATE6, PUBLIC6, Setup},
};
use crate::{
    bench::Program,
    world::{GCP_PRIVATE, GCP_PUBLIC, STRANGER, UNKNOWN_VNI},
};

/// What the kernel takes as a frame, and what one page of it holds.
const SHORTEST: usize = 15;
pub(super) const LONGEST: usize = 3_400;

pub(super) struct Generator<'a> {
    pub(super) config: &'a Config,
    pub(super) rng: SmallRng,
    /// How likely each detail is wrong.
    chaos: f64,
}

impl<'a> Generator<'a> {
    pub(super) fn new(setup: &'a Setup, seed: u64) -> Self {
        Self { config: &setup.config, rng: SmallRng::seed_from_u64(seed), chaos: 0.0 }
    }

    pub(super) fn frame(&mut self) -> (Program, Vec<u8>) {
        let program = if self.rng.random_bool(0.5) { Program::Decap } else { Program::Encap };
        let frame = match self.rng.random_range(0..100) {
            0..3 => self.noise(),
            3..40 => self.mutant(program),
            _ => self.built(program),
        };
        (program, self.fitted(frame))
    }

    fn fitted(&mut self, mut frame: Vec<u8>) -> Vec<u8> {
        frame.truncate(LONGEST);
        while frame.len() < SHORTEST {
            frame.push(self.rng.random());
        }
        frame
    }

    fn noise(&mut self) -> Vec<u8> {
        let length = self.rng.random_range(SHORTEST..200);
        let mut frame: Vec<u8> = (0..length).map(|_| self.rng.random()).collect();
        if self.rng.random_bool(0.7) {
            let kind = self.pick(&[[8, 0], [0x86, 0xdd], [8, 6], [0x81, 0]]);
            frame[12..14].copy_from_slice(&kind);
        }
        frame
    }

    fn built(&mut self, program: Program) -> Vec<u8> {
        self.chaos = self.pick(&[0.0, 0.0, 0.01, 0.03, 0.03, 0.08, 0.25]);
        match program {
            Program::Decap | Program::Deliver => {
                let (network, member) = self.member();
                let inner = self.inner(Direction::In, network, member);
                self.wrapped(network, member, inner)
            }
            Program::Encap => {
                let member = self.rng.random_range(0..self.config.networks[0].members.len());
                self.inner(Direction::Out, 0, member)
            }
        }
    }

    fn mutant(&mut self, program: Program) -> Vec<u8> {
        self.chaos = self.pick(&[0.0, 0.02]);
        let other = self.built(program);
        let (network, member) = self.member();
        if program == Program::Encap {
            let member = self.rng.random_range(0..self.config.networks[0].members.len());
            let mut frame = self.inner(Direction::Out, 0, member);
            mutate::mutate(&mut self.rng, &mut frame, &other);
            return frame;
        }
        let mut inner = self.inner(Direction::In, network, member);
        if self.rng.random_bool(0.6) {
            mutate::mutate(&mut self.rng, &mut inner, &other);
            return self.wrapped(network, member, inner);
        }
        let mut frame = self.wrapped(network, member, inner);
        mutate::mutate(&mut self.rng, &mut frame, &other);
        if self.rng.random_bool(0.7) {
            mutate::repair(&mut frame);
        }
        frame
    }

    fn member(&mut self) -> (usize, usize) {
        // The second network is the same over again, with other names.
        let network = usize::from(self.rng.random_bool(0.1));
        (network, self.rng.random_range(0..self.config.networks[network].members.len()))
    }

    pub(super) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        *all.choose(&mut self.rng).expect("there is one")
    }

    /// Shall a detail be wrong?
    pub(super) fn odd(&mut self) -> bool {
        self.rng.random_bool(self.chaos)
    }

    /// One in so many, however much is wrong elsewhere.
    pub(super) fn one_in(&mut self, n: u32) -> bool {
        self.rng.random_ratio(1, n)
    }

    /// The frame as a peer sends it to this host.
    fn wrapped(&mut self, network: usize, member: usize, inner: Vec<u8>) -> Vec<u8> {
        let (src, dst) = self.ends(network, member);
        let udp = self.outer_udp();
        let mut packet = Packet::new().with(self.outer_eth());
        if self.odd() && self.one_in(4) {
            packet = packet.with(Vlan::new(self.rng.random()));
        }
        let carried = udp.with(self.vxlan(network)).payload(&inner);
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
        let peer = &self.config.peers[self.config.networks[network].members[member].peer];
        let mut sources = peer.private_addresses.clone();
        sources.extend(&peer.endpoints);
        let mut src = self.pick(&sources);
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

    /// A length that lies: a little, or without bounds.
    pub(super) fn lie(&mut self, truth: usize) -> u16 {
        match self.rng.random_range(0..4) {
            0 => (truth as u16).wrapping_add(1),
            1 => (truth as u16).wrapping_sub(1),
            2 => self.pick(&[0, 1, 7, 8, 15, 16, 19, 20, 27, 28, 39, 40, 255, 256, 0x7fff, 0xffff]),
            _ => self.rng.random_range(0..=(truth as u16).saturating_add(4)),
        }
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

    pub(super) fn extension(&mut self, all: &[u8]) -> (u8, Vec<u8>) {
        let kind = self.pick(all);
        let units = self.pick(&[0, 0, 0, 1, 3]);
        let mut header = vec![0; 8 + units * 8];
        header[1] = units as u8;
        if kind == 44 {
            header.truncate(8);
            header[1] = 0;
            let random = self.rng.random();
            let offset = self.pick(&[0, 1, 1, 8, 0xfff8, 6, random]);
            header[2..4].copy_from_slice(&u16::to_be_bytes(offset));
        } else if self.one_in(10) {
            header[1] = self.rng.random();
        }
        (kind, header)
    }

    fn outer_udp(&mut self) -> Packet {
        let port =
            if self.odd() { self.pick(&[4789, 8472, 4790, 0xb512]) } else { self.config.port };
        let mut udp = Udp::new(self.rng.random(), port);
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

    fn vxlan(&mut self, network: usize) -> Vxlan {
        let mut vxlan = Vxlan::new(self.config.networks[network].vni);
        if self.odd() {
            let random = self.rng.random_range(0..1 << 24);
            let other = self.config.networks[1 - network].vni;
            vxlan = vxlan.vni(self.pick(&[UNKNOWN_VNI, other, other, 0, 0xff_ffff, random]));
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
