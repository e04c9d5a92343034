//! How the programs recognise the sender of a packet: by the outer address of a declared peer, by
//! the address and port of a learned endpoint. What changes when a learned endpoint moves is the
//! matter of `membership`.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
};

use vxlan_common::table::{AddressOwner, Mapping, NetworkAddress, OuterAddress, SourceEntry};

use super::{
    address::{network_address, outer_address, vni_bytes},
    facts::LearnedEndpoint,
    peer::source_addresses,
};
use crate::config::{self, Config};

/// The contents of the maps `SOURCES`, `MAPPINGS` and `PEER_BY_ADDRESS`.
#[derive(Clone, Debug, Default)]
pub struct Senders {
    pub sources: Vec<(NetworkAddress, SourceEntry)>,
    pub mappings: Vec<(Mapping, SourceEntry)>,
    /// Declared addresses: the same as long as the configuration is.
    pub peer_addresses: Vec<(OuterAddress, AddressOwner)>,
}

/// One entry to write or to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    SetSource(NetworkAddress, SourceEntry),
    RemoveSource(NetworkAddress),
    SetMapping(Mapping, SourceEntry),
    RemoveMapping(Mapping),
}

impl Senders {
    /// Computes the contents. `learned` is by peer; peers beyond its length have no learned
    /// endpoint.
    pub fn new(config: &Config, learned: &[Option<LearnedEndpoint>]) -> Self {
        let learned_of = |index: usize| learned.get(index).copied().flatten();
        let mut senders = Self { peer_addresses: peer_addresses(config), ..Self::default() };
        let members = config.networks.iter().flat_map(|network| {
            network.members.iter().map(|member| (vni_bytes(network.vni.value), member.peer))
        });
        for ((vni, peer), index) in members.zip(0..) {
            let source = |flags| SourceEntry { member: index, flags };
            if let Some(learned) = learned_of(peer) {
                let key = mapping(vni, learned.endpoint);
                let flags = rewritten(&config.peers[peer], &learned);
                senders.mappings.push((key, source(flags)));
            }
            for (address, flags) in source_addresses(&config.peers[peer]) {
                senders.sources.push((network_address(vni, address), source(flags)));
            }
        }
        let shared: HashSet<NetworkAddress> =
            senders.mappings.iter().map(|(mapping, _)| mapping.from).collect();
        for (address, source) in &mut senders.sources {
            if shared.contains(address) {
                source.flags |= SourceEntry::SHARED;
            }
        }
        senders
    }
}

pub(super) fn mapping(vni: [u8; 3], endpoint: SocketAddr) -> Mapping {
    let from = network_address(vni, endpoint.ip());
    Mapping { from, port: endpoint.port().to_be_bytes(), pad: [0; 2] }
}

/// Returns the flags of a learned endpoint: whether its address is another than that of the peer's
/// own interface.
pub(super) fn rewritten(peer: &config::Peer, learned: &LearnedEndpoint) -> u32 {
    let reported = learned.sent_from != learned.endpoint.ip();
    let declared = peer.private_behind(learned.endpoint.ip()).is_some();
    if reported || declared { SourceEntry::REWRITTEN } else { 0 }
}

/// Returns the declared addresses that belong to one peer alone. Peers in different networks may
/// have the same private address, which then does not identify the sender. The address of a learned
/// endpoint does not either without the port, as other hosts may be behind the same NAT. Behind the
/// addresses that packets may come from stand those private addresses that they may not come from,
/// unless they are another peer's by right: packets from there are refused for that peer.
fn peer_addresses(config: &Config) -> Vec<(OuterAddress, AddressOwner)> {
    let peers = || config.peers.iter().zip(0..);
    let by_right = peers()
        .flat_map(|(peer, index)| source_addresses(peer).into_iter().map(move |at| (at.0, index)));
    let by_right: Vec<(IpAddr, u32)> = by_right.collect();
    let taken: HashSet<IpAddr> = by_right.iter().map(|(address, _)| *address).collect();
    let private = peers().flat_map(|(peer, index)| {
        peer.private_addresses.addresses().map(move |address| (address, index))
    });
    let private = private.filter(|(address, _)| !taken.contains(address)).collect();
    let owner =
        |flags| move |(address, peer)| (outer_address(address), AddressOwner { peer, flags });
    let mut all: Vec<_> = of_one(by_right).map(owner(0)).collect();
    all.extend(of_one(private).map(owner(AddressOwner::PRIVATE)));
    all
}

/// Leaves out the addresses of several peers.
fn of_one(all: Vec<(IpAddr, u32)>) -> impl Iterator<Item = (IpAddr, u32)> {
    let mut users: HashMap<IpAddr, u32> = HashMap::new();
    for (address, _) in &all {
        *users.entry(*address).or_default() += 1;
    }
    all.into_iter().filter(move |(address, _)| users.get(address) == Some(&1))
}
