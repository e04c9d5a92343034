//! What a NAT on the path rewrote: "What a NAT rewrote" of the page. What the sender wrote is known
//! from the configuration, its probes and the inner frame; what arrived is compared with it.

use std::{collections::HashSet, net::IpAddr};

use super::{Config, Counter, Model, SourcePort, Who, flow_port, outer::Outer};

/// Where a member's packets came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Of the latest packet.
    pub address: IpAddr,
    /// The same; 0: as it was sent.
    pub port: u16,
    /// The same.
    pub ttl: u8,
    /// How often address or port changed.
    pub changes: u32,
    /// Every address with its port.
    pub seen: HashSet<(IpAddr, u16)>,
}

/// What the sender wrote, as far as that is known.
#[derive(Clone, Copy, Debug)]
struct Original {
    src: Option<IpAddr>,
    dst: Option<IpAddr>,
    /// Nothing where it may be any of several, or the inner frame cannot be read.
    port: Option<u16>,
}

/// A packet whose sender is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent<'a> {
    pub(super) outer: &'a Outer<'a>,
    pub(super) udp: &'a [u8],
    pub(super) inner: &'a [u8],
    pub(super) network: usize,
    pub(super) member: usize,
}

impl Sent<'_> {
    fn who(&self) -> Who {
        Who::Member { network: self.network, member: self.member }
    }

    fn peer<'c>(&self, config: &'c Config) -> &'c super::Peer {
        &config.peers[config.networks[self.network].members[self.member].peer]
    }

    fn original(&self, config: &Config) -> Original {
        let family = |address: &&IpAddr| address.is_ipv4() == self.outer.src.is_ipv4();
        let peer = self.peer(config);
        // A declared address goes before one that probes report.
        let carried = peer.private_addresses.iter().chain(&peer.sent_from);
        Original {
            src: carried.filter(family).find(|carried| **carried != self.outer.src).copied(),
            dst: config.public_addresses.iter().find(family).copied(),
            port: match peer.source_port {
                SourcePort::Flow => flow_port(self.inner),
                SourcePort::Fixed if peer.learn => Some(config.port),
                SourcePort::Fixed => Some(peer.port),
                SourcePort::Any { .. } => None,
            },
        }
    }

    fn port_is_as_sent(&self, config: &Config) -> bool {
        let port = self.outer.source_port();
        match self.peer(config).source_port {
            SourcePort::Any { first, last } => (first..=last).contains(&port),
            SourcePort::Flow | SourcePort::Fixed => self.original(config).port == Some(port),
        }
    }

    fn has_checksum(&self) -> bool {
        self.udp[6..8] != [0, 0]
    }

    /// Is the sum right with one or more of the originals in place?
    fn is_explained(&self, config: &Config) -> bool {
        let (original, outer) = (self.original(config), self.outer);
        let src = original.src.filter(|src| *src != outer.src);
        let dst = original.dst.filter(|dst| *dst != outer.dst);
        let port = original.port.filter(|port| *port != outer.source_port());
        // With what arrived in place of all three it is wrong, or nobody would ask.
        [src, None].iter().any(|src| {
            [dst, None].iter().any(|dst| {
                [port, None].iter().any(|port| {
                    let src = src.unwrap_or(outer.src);
                    let dst = dst.unwrap_or(outer.dst);
                    let port = port.unwrap_or(outer.source_port());
                    outer.udp_checksum_would_be_right(self.udp, src, dst, port)
                })
            })
        })
    }

    fn rewritten(&self, config: &Config) -> Vec<&'static str> {
        let (original, outer) = (self.original(config), self.outer);
        let mut fields = Vec::new();
        if original.src.is_some_and(|src| src != outer.src) {
            fields.push("src_address");
        }
        if original.dst.is_some_and(|dst| dst != outer.dst) {
            fields.push("dst_address");
        }
        if !self.port_is_as_sent(config) {
            fields.push("src_port");
        }
        if self.peer(config).sends_no_checksum && self.has_checksum() {
            fields.push("checksum");
        }
        fields
    }
}

impl Model {
    /// Of a packet that rule 12 drops.
    pub(super) fn count_bad_checksum(&mut self, sent: &Sent<'_>) {
        let config = &self.config;
        if sent.peer(config).sends_no_checksum || sent.is_explained(config) {
            self.counters.add(sent.who(), Counter::Nat("checksum"), 1);
        }
    }

    /// Of a packet that passed every rule.
    pub(super) fn record_mapping(&mut self, sent: &Sent<'_>) {
        for field in sent.rewritten(&self.config) {
            self.counters.add(sent.who(), Counter::Nat(field), 1);
        }
        let as_sent = sent.port_is_as_sent(&self.config);
        let port = if as_sent { 0 } else { sent.outer.source_port() };
        let address = sent.outer.src;
        let mapping = self.mappings.entry((sent.network, sent.member)).or_insert(Mapping {
            address,
            port,
            ttl: 0,
            changes: 0,
            seen: HashSet::new(),
        });
        if (mapping.address, mapping.port) != (address, port) {
            (mapping.address, mapping.port) = (address, port);
            mapping.changes += 1;
        }
        mapping.ttl = sent.outer.ttl;
        mapping.seen.insert((address, port));
    }
}
