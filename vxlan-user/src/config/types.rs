//! The validated configuration: what the rest of the program reads. Every rule of the file format
//! holds for a value of these types; only what the running host alone can tell is still open.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::{Deref, RangeInclusive};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::choice::{
    NestedTunnels, PeerSourcePort, PeerUdpChecksum, RedirectMode, ReservedBits, RouteTable,
    SourcePort, TagMode, TcMode, UdpChecksumPolicy, UnknownUnicast, UnknownVni, UnspecifiedSource,
    XdpSetting,
};
use super::error::ConfigError;
use super::vni::Vni;

/// A value and its line, for checks that come after the configuration was read.
#[derive(Clone, Copy, Debug)]
pub struct Located<T> {
    pub value: T,
    /// Absent for a default.
    pub line: Option<u32>,
}

impl<T> Located<T> {
    pub fn from_default(value: T) -> Self {
        Self { value, line: None }
    }
}

impl<T> Deref for Located<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// Compares the value alone: for a reload, a line that moved is no change of the configuration.
impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Located<T> {}

impl<T: fmt::Display> fmt::Display for Located<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// At most one address of each family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PerFamily {
    pub v4: Option<Located<Ipv4Addr>>,
    pub v6: Option<Located<Ipv6Addr>>,
}

impl PerFamily {
    /// Returns whether neither family is given.
    pub fn is_empty(&self) -> bool {
        self.v4.is_none() && self.v6.is_none()
    }

    /// Returns the address that is of the same family as `like`.
    pub fn same_family(&self, like: IpAddr) -> Option<Located<IpAddr>> {
        self.iter().find(|at| at.value.is_ipv4() == like.is_ipv4())
    }

    /// Returns the addresses without their lines.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.iter().map(|at| at.value)
    }

    pub fn iter(&self) -> impl Iterator<Item = Located<IpAddr>> {
        let v4 = self.v4.map(|at| Located { value: IpAddr::V4(at.value), line: at.line });
        let v6 = self.v6.map(|at| Located { value: IpAddr::V6(at.value), line: at.line });
        v4.into_iter().chain(v6)
    }
}

/// A field of the outer IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OuterField {
    /// The same in every packet.
    Fixed(u8),
    /// Copied from the inner packet.
    Inherit,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file that the configuration was read from, for errors.
    pub file: PathBuf,
    pub node: Node,
    pub underlay: Underlay,
    pub metrics: Metrics,
    pub probe: Probe,
    pub peers: Vec<Peer>,
    pub networks: Vec<Network>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Underlay {
    pub interface: Located<String>,
    /// Empty: the interface's primary address of each family.
    pub address: PerFamily,
    /// Empty: no 1:1 NAT is in front.
    pub public_address: PerFamily,
    pub port: Located<u16>,
    pub xdp: Located<XdpSetting>,
    pub redirect: RedirectMode,
    pub tc: TcMode,
    pub source_port: Located<SourcePort>,
    pub unknown_vni: UnknownVni,
    /// What other VXLAN implementations may set in the header.
    pub reserved_bits: ReservedBits,
    /// How checksums of other senders are treated.
    pub udp_checksum: UdpChecksumPolicy,
    /// Time to live, or hop limit: at least 1.
    pub ttl: OuterField,
    /// At most 63.
    pub dscp: OuterField,
    pub tag: Located<TagMode>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    pub listen: Located<SocketAddr>,
}

/// Settings of the probes between this host and every peer that has a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The VNI of no network. At most [`Vni::PROBES`].
    pub vni: Located<u32>,
    /// Time between two requests to the same peer.
    pub interval: Duration,
    /// Longest time between two packets that keep the mapping of a NAPT alive.
    pub keepalive: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub name: Located<String>,
    /// At most one of each family; the first that has a route is used. Empty if the peer `learns`.
    pub endpoints: Vec<Located<SocketAddr>>,
    /// The endpoint is learned from the peer's probes. The peer has a `key_file` then.
    pub learns: bool,
    /// Addresses of the peer's own interface, where they are not the endpoint's.
    pub private_addresses: PerFamily,
    /// Packets from a private address enter too, as over a private line. Not if the peer `learns`.
    pub accept_private: bool,
    /// Limit of accepted packets. Absent: no limit.
    pub packets_per_second: Option<u64>,
    /// Limit of accepted bytes of inner frames. Absent: no limit.
    pub bytes_per_second: Option<u64>,
    /// If it `learns`: [`PeerSourcePort::Fixed`].
    pub source_port: PeerSourcePort,
    /// The ports that the peer sends from, if `source_port` is [`PeerSourcePort::Any`]; else
    /// without meaning.
    pub source_ports: RangeInclusive<u16>,
    pub udp_checksum: PeerUdpChecksum,
    /// Different for each peer. The file is read by `daemon/preflight/keys.rs`, not here.
    pub key_file: Option<Located<PathBuf>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    pub vni: Located<Vni>,
    pub interface: Located<String>,
    /// Host address and prefix length, as on the overlay interface.
    pub addresses: Vec<Located<IpNet>>,
    /// Prefixes behind this host that peers may reach. They hold all of `addresses`.
    pub local_ips: Vec<IpNet>,
    /// `local_ips` is written, not the default: hosts in it may have MAC addresses of their own.
    pub stations: bool,
    /// Absent: the MTU that fits the underlay.
    pub mtu: Option<Located<u32>>,
    pub route_table: Located<RouteTable>,
    /// Each route has a blackhole beside it.
    pub blackhole: bool,
    /// Limit of broadcast, multicast and unknown unicast frames that are copied to every member,
    /// per second.
    pub broadcast_rate: u32,
    pub unknown_unicast: UnknownUnicast,
    pub unspecified_source: UnspecifiedSource,
    pub nested_tunnels: NestedTunnels,
    /// Seconds without a frame until a learned FDB entry is removed.
    pub ageing: u32,
    /// Limit of MAC addresses that are learned behind each member.
    pub max_stations: Located<u32>,
    pub members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Index into [`Config::peers`].
    pub peer: usize,
    /// No prefix overlaps one of another member, except that a default route may hold others.
    pub allowed_ips: Vec<Located<IpNet>>,
    /// Absent: learned.
    pub mac: Option<[u8; 6]>,
    /// Address of a host behind the member to send echo requests to. Absent: a learned address.
    pub probe_address: Option<Located<IpAddr>>,
}

impl Config {
    /// Makes an error about a value of this file: what was found, then what to write instead.
    pub fn error<T>(&self, at: &Located<T>, message: impl Into<String>) -> ConfigError {
        ConfigError::at(self.file.clone(), at.line, message)
    }

    /// Returns how many FDB entries, declared and learned, all networks can have.
    pub fn max_fdb_entries(&self) -> u64 {
        self.networks.iter().map(Network::max_fdb_entries).sum()
    }

    /// Returns whether probes are sent: to every peer that has a key.
    pub fn probes(&self) -> bool {
        self.peers.iter().any(|peer| peer.key_file.is_some())
    }

    pub fn peer(&self, name: &str) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.name.value == name)
    }
}

impl Peer {
    /// Returns the first endpoint. `None` if the peer `learns`.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        self.endpoints.first().map(|at| at.value)
    }

    /// Returns the port that a peer with [`PeerSourcePort::Fixed`] sends from: the port of its
    /// endpoint; if it `learns`, the VXLAN port, which is `own_port` here.
    pub fn fixed_source_port(&self, own_port: u16) -> u16 {
        self.endpoint().map_or(own_port, |endpoint| endpoint.port())
    }

    /// Returns the private address of an endpoint's family, where it differs from the endpoint's:
    /// then a NAT rewrites what the peer sends.
    pub fn private_behind(&self, endpoint: IpAddr) -> Option<IpAddr> {
        let private = self.private_addresses.same_family(endpoint)?.value;
        (private != endpoint).then_some(private)
    }

    /// Returns whether there is a limit on what is accepted from the peer.
    pub fn is_limited(&self) -> bool {
        self.packets_per_second.is_some() || self.bytes_per_second.is_some()
    }
}

impl Network {
    /// Returns whether the network of one of the interface's addresses holds this prefix.
    pub fn is_on_link(&self, prefix: &IpNet) -> bool {
        self.addresses.iter().any(|own| own.value.trunc().contains(prefix))
    }

    /// Returns the prefixes behind all members.
    pub fn prefixes(&self) -> impl Iterator<Item = &Located<IpNet>> {
        self.members.iter().flat_map(|member| &member.allowed_ips)
    }

    /// Returns whether the network carries IPv6: an own address, or an address behind a member, is
    /// IPv6.
    pub fn has_ipv6(&self) -> bool {
        let own = self.addresses.iter().map(|at| at.value);
        let behind_members = self.prefixes().map(|at| at.value);
        own.chain(behind_members).any(|prefix| prefix.addr().is_ipv6())
    }

    /// Returns how many FDB entries, declared and learned, the network can have.
    pub fn max_fdb_entries(&self) -> u64 {
        let of_each =
            |member: &Member| u64::from(self.max_stations.value) + u64::from(member.mac.is_some());
        self.members.iter().map(of_each).sum()
    }
}
