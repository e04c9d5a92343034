//! What a NAT makes of a packet, source port and checksum, and what passes by: probes.

use std::net::IpAddr;

use rand::Rng as _;
use vxlan_tests::{
    model::{Peer, SourcePort},
    packet::{internet_checksum, ones_complement_sum},
};

use super::generate::Generator;
use crate::flow::port_of;

/// What a hash can be made of without a look at what is wrong with it.
const READABLE: usize = 62;

impl Generator<'_> {
    pub(super) fn peer(&self, network: usize, member: usize) -> &Peer {
        &self.config.peers[self.config.networks[network].members[member].peer]
    }

    /// The one that the peer writes, as far as there is one.
    fn written_port(&self, network: usize, member: usize, inner: &[u8]) -> Option<u16> {
        let peer = self.peer(network, member);
        match peer.source_port {
            SourcePort::Flow => (inner.len() >= READABLE).then(|| port_of(inner)),
            SourcePort::Fixed if peer.learn => Some(self.config.port),
            SourcePort::Fixed => Some(peer.port),
            SourcePort::Any { .. } => None,
        }
    }

    pub(super) fn source_port(&mut self, network: usize, member: usize, inner: &[u8]) -> u16 {
        let written = self.written_port(network, member, inner);
        let peer = self.peer(network, member).clone();
        if peer.learn && !self.one_in(6) {
            return peer.port;
        }
        if let Some(written) = written.filter(|_| self.rng.random_bool(0.6)) {
            return written;
        }
        let learned = self.config.peers.iter().filter(|peer| peer.learn).map(|peer| peer.port);
        let mut all: Vec<_> = learned.collect();
        if let SourcePort::Any { first, last } = peer.source_port {
            all.extend([first, last, first.wrapping_sub(1), last.wrapping_add(1)]);
        }
        // Few, so that the same comes again.
        all.extend([0, 1, 0xffff, 4_789, 4_790, 40_000, peer.port, self.rng.random()]);
        all.extend(written.map(|port| port ^ 1));
        self.pick(&all)
    }

    /// Writes the checksum that the packet had before this or that was rewritten.
    pub(super) fn stale_checksum(
        &mut self,
        network: usize,
        member: usize,
        frame: &mut [u8],
        inner: &[u8],
    ) {
        let v6 = frame.get(12..14) == Some(&[0x86, 0xdd]);
        let (src, udp) = if v6 { (22, 54) } else { (26, 34) };
        let length = if v6 { 16 } else { 4 };
        let plain = if v6 { frame.get(20) == Some(&17) } else { frame.get(14) == Some(&0x45) };
        if !plain || frame.len() < udp + 8 {
            return;
        }
        let end = udp + usize::from(u16::from_be_bytes([frame[udp + 4], frame[udp + 5]]));
        if end < udp + 8 || end > frame.len() {
            return;
        }
        let mut ends = frame[src..src + 2 * length].to_vec();
        let mut datagram = frame[udp..end].to_vec();
        let octets = |address: IpAddr| match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let peer = self.peer(network, member);
        let mut sources: Vec<_> = peer.private_addresses.iter().chain(&peer.sent_from).collect();
        sources.extend(&peer.endpoints);
        let sources: Vec<_> = sources.into_iter().map(|source| octets(*source)).collect();
        let mut destinations = self.config.public_addresses.clone();
        destinations.extend(&self.config.addresses);
        let destinations: Vec<_> = destinations.into_iter().map(octets).collect();
        for (at, all) in [(0, sources), (length, destinations)] {
            let all: Vec<&[u8]> =
                all.iter().map(Vec::as_slice).filter(|octets| octets.len() == length).collect();
            if !all.is_empty() && self.one_in(2) {
                ends[at..at + length].copy_from_slice(self.pick(&all));
            }
        }
        let written = self.written_port(network, member, inner);
        if let Some(port) = written.filter(|_| self.one_in(2)) {
            datagram[..2].copy_from_slice(&port.to_be_bytes());
        }
        if self.odd() {
            // The inner frame is not what it was either.
            let last = datagram.len() - 1;
            datagram[last] ^= 1;
        }
        datagram[6..8].fill(0);
        let pseudo = [&[0, 17][..], &(datagram.len() as u16).to_be_bytes()].concat();
        let sum = ones_complement_sum(&[&ends, &pseudo, &datagram]);
        let checksum = internet_checksum(&[&sum.to_be_bytes()]);
        let checksum = if checksum == 0 { 0xffff } else { checksum };
        frame[udp + 6..udp + 8].copy_from_slice(&checksum.to_be_bytes());
    }

    /// An inner frame that is read as a probe, more or less.
    pub(super) fn probe(&mut self) -> Vec<u8> {
        let padding = if self.one_in(3) { self.rng.random_range(0..600) } else { 0 };
        let mut frame = vec![self.rng.random(); 302 + padding];
        frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
        let tags: Vec<_> = self.config.peers.iter().filter_map(|peer| peer.tag).collect();
        let mut tag = if tags.is_empty() { [7; 8] } else { self.pick(&tags) };
        if self.odd() {
            tag[self.rng.random_range(0..8)] ^= 1 << self.rng.random_range(0..8);
        }
        frame[18..26].copy_from_slice(&tag);
        if self.odd() {
            frame.truncate(self.rng.random_range(0..310));
        }
        frame
    }
}
