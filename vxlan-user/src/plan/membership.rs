//! Which networks each peer is a member of, and what the maps hold for learned endpoints there: so
//! that a move of one peer costs as much as it has networks, however many peers there are.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
};

use vxlan_common::table::{Mapping, NetworkAddress, SourceEntry};

use super::{
    address::{network_address, vni_bytes},
    facts::LearnedEndpoint,
    peer::source_addresses,
    senders::{Change, mapping, rewritten},
};
use crate::config::Config;

/// One peer that moves: from one endpoint to another, or to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Index of the peer.
    pub peer: usize,
    pub from: Option<LearnedEndpoint>,
    pub to: Option<LearnedEndpoint>,
}

/// The members by peer, and how the addresses of learned endpoints are used.
#[derive(Clone, Debug, Default)]
pub struct Memberships {
    /// By peer: the network and the index of each member.
    members: Vec<Vec<([u8; 3], u32)>>,
    /// The entries of declared addresses, without [`SourceEntry::SHARED`].
    declared: HashMap<NetworkAddress, SourceEntry>,
    /// Number of learned endpoints at an address in a network.
    learned_at: HashMap<NetworkAddress, usize>,
}

impl Memberships {
    /// Nobody has a learned endpoint yet.
    pub fn new(config: &Config) -> Self {
        let mut memberships =
            Self { members: vec![Vec::new(); config.peers.len()], ..Self::default() };
        let members = config.networks.iter().flat_map(|network| {
            network.members.iter().map(|member| (vni_bytes(network.vni.value), member.peer))
        });
        for ((vni, peer), index) in members.zip(0..) {
            if let Some(of_peer) = memberships.members.get_mut(peer) {
                of_peer.push((vni, index));
            }
            for (address, flags) in source_addresses(&config.peers[peer]) {
                let entry = SourceEntry { member: index, flags };
                memberships.declared.insert(network_address(vni, address), entry);
            }
        }
        memberships
    }

    /// Applies moves, each of another peer, and returns the changes of the maps, in an order in
    /// which no packet of a peer that did not move is refused or attributed to another peer: a
    /// mapping is there before an address refers to it, and as long as an address does.
    pub fn apply(&mut self, config: &Config, moved: &[Moved]) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut kept: HashSet<Mapping> = HashSet::new();
        let mut shared: HashMap<NetworkAddress, bool> = HashMap::new();
        for Moved { peer, from, to } in moved {
            let flags = |at: &LearnedEndpoint| rewritten(&config.peers[*peer], at);
            for (vni, member) in self.members.get(*peer).into_iter().flatten() {
                if let Some(from) = from {
                    let key = mapping(*vni, from.endpoint).from;
                    let count = self.learned_at.entry(key).or_default();
                    shared.entry(key).or_insert(*count > 0);
                    *count = count.saturating_sub(1);
                }
                let Some(to) = to else { continue };
                let key = mapping(*vni, to.endpoint);
                let count = self.learned_at.entry(key.from).or_default();
                shared.entry(key.from).or_insert(*count > 0);
                *count += 1;
                kept.insert(key);
                let same = |from: &LearnedEndpoint| {
                    from.endpoint == to.endpoint && flags(from) == flags(to)
                };
                if !from.as_ref().is_some_and(same) {
                    let entry = SourceEntry { member: *member, flags: flags(to) };
                    changes.push(Change::SetMapping(key, entry));
                }
            }
        }
        for (key, was_shared) in shared {
            let is_shared = self.learned_at.get(&key).is_some_and(|count| *count > 0);
            if !is_shared {
                self.learned_at.remove(&key);
            }
            if let Some(entry) = self.declared.get(&key).filter(|_| is_shared != was_shared) {
                let flag = if is_shared { SourceEntry::SHARED } else { 0 };
                let entry = SourceEntry { flags: entry.flags | flag, ..*entry };
                changes.push(Change::SetSource(key, entry));
            }
        }
        for Moved { peer, from, .. } in moved {
            let Some(from) = from else { continue };
            let keys = self.members.get(*peer).into_iter().flatten();
            let keys = keys.map(|(vni, _)| mapping(*vni, from.endpoint));
            changes.extend(keys.filter(|key| !kept.contains(key)).map(Change::RemoveMapping));
        }
        changes
    }

    /// Returns the peers that have declared an endpoint, by endpoint; the first of several.
    pub(super) fn declared_endpoints(config: &Config) -> HashMap<SocketAddr, usize> {
        let mut declared = HashMap::new();
        for (index, peer) in config.peers.iter().enumerate() {
            for endpoint in &peer.endpoints {
                declared.entry(endpoint.value).or_insert(index);
            }
        }
        declared
    }
}
