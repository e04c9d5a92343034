//! The validated configuration: what the rest of the program reads. Every rule of the file format
//! holds for a value of these types; only what the running host alone can tell is still open.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Deref;
use std::path::PathBuf;

use ipnet::IpNet;

use super::choice::{PeerSourcePort, RouteTable, SourcePort, Tag, TcMode, UnknownVni, XdpMode};
use super::error::ConfigError;

/// A value and the line it stands on, for checks that come after the configuration was read.
#[derive(Clone, Copy, Debug)]
pub struct Located<T> {
    pub value: T,
    /// Absent for a default.
    pub line: Option<u32>,
}

impl<T> Located<T> {
    pub fn default_of(value: T) -> Self {
        Self { value, line: None }
    }
}

impl<T> Deref for Located<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// Only the value counts: a line that moved is no change of configuration for a reload.
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
    /// Neither family is given.
    pub fn is_empty(&self) -> bool {
        self.v4.is_none() && self.v6.is_none()
    }

    pub fn iter(&self) -> impl Iterator<Item = Located<IpAddr>> {
        let v4 = self.v4.map(|at| Located { value: IpAddr::V4(at.value), line: at.line });
        let v6 = self.v6.map(|at| Located { value: IpAddr::V6(at.value), line: at.line });
        v4.into_iter().chain(v6)
    }
}

/// A VXLAN network identifier that a network may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vni(u32);

impl Vni {
    /// The highest of the 24-bit numbers belongs to this program's own probes.
    pub const PROBES: u32 = 0xff_ffff;
    pub const MAX: u32 = Self::PROBES - 1;

    pub fn new(number: u32) -> Option<Self> {
        (number <= Self::MAX).then_some(Self(number))
    }

    pub fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file it was read from, for errors.
    pub file: PathBuf,
    pub node: Node,
    pub underlay: Underlay,
    pub metrics: Metrics,
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
    pub xdp: Located<XdpMode>,
    pub tc: TcMode,
    pub source_port: SourcePort,
    pub unknown_vni: UnknownVni,
    pub tag: Located<Tag>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    pub listen: Located<SocketAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub name: Located<String>,
    pub endpoint: Located<SocketAddr>,
    pub private_address: Option<Located<IpAddr>>,
    pub source_port: PeerSourcePort,
    /// Not looked at here: it may come later, and only probes need it.
    pub key_file: Option<Located<PathBuf>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    pub vni: Located<Vni>,
    pub interface: Located<String>,
    /// Host address and prefix length, as on the overlay interface.
    pub addresses: Vec<Located<IpNet>>,
    /// Prefixes behind this host that peers may reach. Holds every one of `addresses`.
    pub local_ips: Vec<IpNet>,
    /// Absent: what fits the underlay.
    pub mtu: Option<Located<u32>>,
    pub route_table: Located<RouteTable>,
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
}

impl Config {
    /// A problem with a value of this file that only the host could see. `message` says what was
    /// found, then what to write instead.
    pub fn error<T>(&self, at: &Located<T>, message: impl Into<String>) -> ConfigError {
        ConfigError::at(self.file.clone(), at.line, message)
    }

    /// The first address that can only be used with an IPv6 underlay.
    pub fn first_ipv6_underlay(&self) -> Option<Located<IpAddr>> {
        let own = self.underlay.address.iter().chain(self.underlay.public_address.iter());
        let peers = self.peers.iter().flat_map(|peer| {
            let endpoint = Located { value: peer.endpoint.ip(), line: peer.endpoint.line };
            std::iter::once(endpoint).chain(peer.private_address)
        });
        own.chain(peers).find(|at| at.value.is_ipv6())
    }

    pub fn needs_ipv6_underlay(&self) -> bool {
        self.first_ipv6_underlay().is_some()
    }

    pub fn peer(&self, name: &str) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.name.value == name)
    }
}
