//! The types of the record of what a daemon made on this host. Their fields are the JSON of
//! `state.json`.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    dataplane::{Attachment, Generation, TcHook},
    host::Made,
    plan::LearnedEndpoint,
    shared::Shared,
};

/// The whole record. The order of peers and networks is that of their indices in the maps. A clone
/// shares what there may be thousands of, so that it is made within a turn of the event loop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostState {
    pub node: String,
    /// Makes this host's overlay MACs its own. Empty in records of the first versions.
    #[serde(default)]
    pub secret: String,
    pub underlay: UnderlayRecord,
    pub peers: Vec<Shared<PeerRecord>>,
    pub networks: Vec<NetworkRecord>,
    /// Members in the order of their indices.
    pub members: Shared<Vec<MemberRecord>>,
    /// Paths with a small MTU. The next start begins with them, so that no packet is lost to find
    /// their MTUs again.
    #[serde(default)]
    pub narrow_paths: Vec<NarrowPath>,
    /// The generations of maps, the oldest first. The last generation is active, or about to be;
    /// those before it have counters that were not carried over yet. Empty until there is a
    /// generation.
    pub generations: Vec<Generation>,
    /// How many entries the daemon has written to each map.
    pub entries: Vec<MapEntries>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderlayRecord {
    pub interface: String,
    /// The first of `addresses`.
    pub address: IpAddr,
    /// The addresses that packets leave from: one of each family that the interface has.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// The addresses that peers know: those at the latest start or reload. Packets leave from them
    /// again as soon as the interface has them again.
    #[serde(default)]
    pub home: Vec<IpAddr>,
    /// `None` until the program is attached.
    pub xdp: Option<Attachment>,
    /// `None`: no TC program was attached, or about to be.
    pub tc: Option<TcRecord>,
    /// Why no packet can pass at present, or none from some address.
    #[serde(default)]
    pub lost: Option<String>,
    #[serde(default)]
    pub hooks: HooksRecord,
}

/// Where the programs are attached and pinned, as the latest look at it has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HooksRecord {
    /// What could not be made good.
    pub faults: Vec<String>,
    /// How often something was made good.
    pub restored: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcRecord {
    pub hook: TcHook,
    /// The daemon has made the clsact qdisc of the underlay interface.
    pub made_clsact: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRecord {
    pub name: String,
    /// The first declared endpoint, or the learned one; after [`PeerRecord::use_endpoint`] the
    /// endpoint in use according to the pinned maps. `None`: the endpoint is not learned yet.
    pub endpoint: Option<SocketAddr>,
    /// Of the family of `endpoint`, else any.
    pub private_address: Option<IpAddr>,
    /// In the order of preference.
    #[serde(default)]
    pub endpoints: Vec<SocketAddr>,
    #[serde(default)]
    pub private_addresses: Vec<IpAddr>,
    /// The learned endpoint, which probes have proved. A restart begins with it.
    #[serde(default)]
    pub learned: Option<LearnedEndpoint>,
}

impl UnderlayRecord {
    /// Lists the addresses that the choice of an address is to keep, the most important first.
    pub fn in_use(&self) -> Vec<IpAddr> {
        self.home.iter().chain(&self.addresses).copied().collect()
    }
}

impl PeerRecord {
    /// Records which endpoint is in use, and the private address of its family.
    pub fn use_endpoint(&mut self, endpoint: Option<SocketAddr>) {
        self.endpoint = endpoint;
        let same_family =
            |at: &&IpAddr| endpoint.is_some_and(|endpoint| at.is_ipv4() == endpoint.is_ipv4());
        let private = self.private_addresses.iter().find(same_family);
        self.private_address = private.or(self.private_addresses.first()).copied();
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    pub vni: u32,
    pub interface: String,
    pub hidden: String,
    /// 0 until the interface is made.
    pub ifindex: u32,
    /// The MAC address that the interface has, and is to have when it is made anew. `None` until it
    /// is made.
    #[serde(default)]
    pub mac: Option<[u8; 6]>,
    pub mtu: u32,
    pub addresses: Vec<IpNet>,
    /// Prefixes that the daemon has made a route for. Only routes that carry the daemon's mark are
    /// removed.
    pub routes: Vec<IpNet>,
    /// Each of `routes` has a blackhole beside it.
    #[serde(default)]
    pub blackholes: bool,
    /// The daemon has switched `proxy_arp` on.
    #[serde(default)]
    pub proxy_arp: bool,
    /// How `encap` is attached. `None`, in older records: as the programs of the underlay are.
    #[serde(default)]
    pub tc: Option<TcHook>,
    /// Why packets of the network cannot pass at present.
    #[serde(default)]
    pub lost: Option<String>,
}

impl HostState {
    /// Returns how `encap` is attached on each overlay interface, by VNI.
    pub fn encap_hooks(&self) -> HashMap<u32, TcHook> {
        let on_underlay = self.underlay.tc.map(|tc| tc.hook);
        let networks = self.networks.iter();
        networks.filter_map(|network| Some((network.vni, network.tc.or(on_underlay)?))).collect()
    }
}

impl NetworkRecord {
    /// Returns what was made on the host for the network.
    pub fn made(&self) -> Made {
        Made {
            mac: self.mac,
            addresses: self.addresses.clone(),
            routes: self.routes.clone(),
            proxy_arp: self.proxy_arp,
            ifindex: (self.ifindex != 0).then_some(self.ifindex),
        }
    }

    /// Returns whether both records are of the same network, with the same interface name.
    pub fn is_same(&self, other: &Self) -> bool {
        self.interface == other.interface && self.vni == other.vni
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    pub peer: usize,
    pub network: usize,
    pub allowed_ips: Vec<IpNet>,
}

/// A path whose MTU is below what link and route allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NarrowPath {
    pub endpoint: SocketAddr,
    pub mtu: u32,
    /// Until when the MTU counts: after that the path may have become wider. In seconds since boot,
    /// as [`uptime`](crate::dataplane::uptime) counts them.
    pub until: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapEntries {
    pub map: String,
    pub entries: u64,
    pub capacity: u64,
}
