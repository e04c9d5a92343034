//! The input of a model: the configuration and the facts of the host, as far as packets depend on
//! them. Plain values; nothing here is checked.

use std::net::IpAddr;

use crate::packet::Mac;

#[derive(Clone, Debug)]
pub struct Config {
    /// `address`: at most one of each family.
    pub addresses: Vec<IpAddr>,
    /// `public_address`: at most one of each family.
    pub public_addresses: Vec<IpAddr>,
    pub port: u16,
    /// `unknown_vni = "pass"`
    pub pass_unknown_vni: bool,
    /// `reserved_bits = "ignore"`
    pub ignore_reserved_bits: bool,
    /// `udp_checksum = "ignore"`
    pub ignore_udp_checksum: bool,
    /// `[probe] vni`
    pub probe_vni: u32,
    pub ttl: FieldSource,
    pub dscp: FieldSource,
    /// `source_port = "fixed"`
    pub fixed_source_port: bool,
    pub peers: Vec<Peer>,
    pub networks: Vec<Network>,
}

/// Where a field of an outer header comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldSource {
    Settings(u8),
    /// `"inherit"`
    Inner,
}

#[derive(Clone, Debug)]
pub struct Peer {
    pub name: String,
    /// At most one of each family; the first is where packets go. Of a learned one, what is known
    /// now: one or none.
    pub endpoints: Vec<IpAddr>,
    /// Of the endpoint.
    pub port: u16,
    /// `endpoint = "learn"`
    pub learn: bool,
    /// Where the probes of such a peer say that they are sent from: one or none.
    pub sent_from: Vec<IpAddr>,
    pub source_port: SourcePort,
    /// `udp_checksum = "zero"`
    pub sends_no_checksum: bool,
    /// Of its `key_file`, if it has one.
    pub tag: Option<[u8; 8]>,
    /// `private_address`: at most one of each family.
    pub private_addresses: Vec<IpAddr>,
    /// `accept_private`
    pub accept_private: bool,
    pub path_mtu: usize,
    /// There is a route, and its next hop answers.
    pub reachable: bool,
}

/// What a peer sends from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourcePort {
    Flow,
    Fixed,
    /// With `source_ports`.
    Any {
        first: u16,
        last: u16,
    },
}

impl Config {
    /// Of probes, if there are any.
    pub(super) fn probes(&self) -> Option<u32> {
        self.peers.iter().any(|peer| peer.tag.is_some()).then_some(self.probe_vni)
    }
}

impl Peer {
    /// May it send from that address?
    pub(super) fn has(&self, address: IpAddr) -> bool {
        let private = self.private_addresses.contains(&address) && !self.learn;
        private && self.accept_private || self.endpoints.contains(&address)
    }

    /// The address alone tells that a packet is this peer's.
    pub(super) fn is_declared_at(&self, address: IpAddr) -> bool {
        self.has(address) && !self.learn
    }

    /// A learned peer is identified by address and port.
    pub(super) fn is_learned_at(&self, address: IpAddr, port: u16) -> bool {
        self.has(address) && self.learn && self.port == port
    }

    /// Where packets go.
    pub(super) fn endpoint(&self) -> IpAddr {
        self.endpoints.first().copied().unwrap_or(IpAddr::from([0; 4]))
    }

    /// Bytes from the outer IP header to the inner frame.
    pub(super) fn outer_headers(&self) -> usize {
        let ip = if self.endpoint().is_ipv4() { 20 } else { 40 };
        ip + 8 + 8
    }

    /// What the tunnel leaves to an inner IP packet.
    pub(super) fn inner_mtu(&self) -> usize {
        self.path_mtu.saturating_sub(self.outer_headers() + 14)
    }
}

#[derive(Clone, Debug)]
pub struct Network {
    pub vni: u32,
    /// Of the overlay interface.
    pub mac: Mac,
    /// The overlay interface's own, with the prefix each is in.
    pub addresses: Vec<(IpAddr, Prefix)>,
    /// `local_ips`, also where it is left to its default.
    pub local: Vec<Prefix>,
    /// `local_ips` is written: hosts in them may be reached by MAC addresses of their own.
    pub stations: bool,
    pub members: Vec<Member>,
    /// `unknown_unicast = "flood"`
    pub flood: bool,
    /// `unspecified_source = "pass"`
    pub pass_unspecified: bool,
    /// `nested_tunnels = "pass"`
    pub pass_nested: bool,
    pub max_stations: usize,
}

#[derive(Clone, Debug)]
pub struct Member {
    /// Which of the peers.
    pub peer: usize,
    pub allowed: Vec<Prefix>,
    /// Declared.
    pub mac: Option<Mac>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    pub address: IpAddr,
    pub length: u8,
}

impl Prefix {
    pub fn new(address: impl Into<IpAddr>, length: u8) -> Self {
        Self { address: address.into(), length }
    }

    pub fn holds(&self, address: IpAddr) -> bool {
        let (ours, theirs, bits) = match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (u32::from(a).into(), u32::from(b).into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a), u128::from(b), 128),
            _ => return false,
        };
        let host_bits = bits - u32::from(self.length);
        // Shifted in two steps, as a shift by the whole width is not one.
        (ours ^ theirs) >> (host_bits / 2) >> (host_bits - host_bits / 2) == 0
    }
}
