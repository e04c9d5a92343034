//! Building a plan: first from the configuration alone, which is enough to size and load the
//! programs; then the overlay interfaces and the paths to the peers are filled in.

use std::{collections::HashMap, net::SocketAddr};

use vxlan_common::table::NEIGHBOURS;

use super::{
    contents::Plan,
    facts::{LearnedEndpoint, PeerPath, UnderlayFacts},
    names::Names,
    peer::{peer_entry, with_path_of},
    secrets::Secrets,
    senders::Senders,
    settings::settings,
    slots::{Inherited, Slots},
};
use crate::config::{self, Config};

impl Plan {
    /// Plans everything but the overlay interfaces and the paths to the peers, which may not exist
    /// yet: [`Plan::set_overlays`] and [`Plan::set_paths`] fill these in, and change no number of
    /// entries.
    ///
    /// `learned` is by peer, here and below; peers beyond its length have no learned endpoint.
    pub fn new(
        config: &Config,
        underlay: &UnderlayFacts,
        learned: &[Option<LearnedEndpoint>],
        inherited: &Inherited,
        secrets: &mut impl Secrets,
    ) -> Self {
        let mut plan = Self {
            settings: settings(config, underlay, inherited, secrets),
            networks: Vec::new(),
            flood_lists: Vec::new(),
            peers: Vec::new(),
            members: Vec::new(),
            senders: Senders::new(config, learned),
            probers: Vec::new(),
            routes: Vec::new(),
            fdb_entries: Vec::new(),
            tags: Vec::new(),
            names: Names::default(),
        };
        let mut slots = Slots::new(inherited);
        for (index, peer) in config.peers.iter().enumerate() {
            let slot = slots.assign(Some(&peer.name.value), None);
            plan.names.peers.push(peer.name.value.clone());
            let learned = learned.get(index).and_then(Option::as_ref);
            plan.peers.push(peer_entry(peer, underlay, None, learned, slot));
        }
        for network in &config.networks {
            plan.add_network(config, network, &mut slots);
        }
        plan.names.slots = slots.into_owners();
        plan
    }

    /// Fills in the paths: one for each peer, in the order of the configuration. `None` is a peer
    /// that has no route at present.
    pub fn set_paths(
        &mut self,
        config: &Config,
        underlay: &UnderlayFacts,
        learned: &[Option<LearnedEndpoint>],
        paths: &[Option<PeerPath>],
    ) {
        let peers = config.peers.iter().zip(paths);
        for ((index, (peer, path)), entry) in peers.enumerate().zip(&mut self.peers) {
            let learned = learned.get(index).and_then(Option::as_ref);
            *entry = peer_entry(peer, underlay, path.as_ref(), learned, entry.slot);
        }
    }

    /// Takes over from the previous plan the path to each peer whose endpoints are the same, until
    /// that path is looked up again.
    pub fn keep_paths(&mut self, config: &Config, previous: &Self, previous_config: &Config) {
        let known = previous_config.peers.iter().zip(&previous.peers);
        let known: HashMap<&str, _> =
            known.map(|(peer, entry)| (peer.name.value.as_str(), (peer, entry))).collect();
        let endpoints = |peer: &config::Peer| -> Vec<SocketAddr> {
            peer.endpoints.iter().map(|at| at.value).collect()
        };
        for (peer, entry) in config.peers.iter().zip(&mut self.peers) {
            let Some((previous_peer, previous)) = known.get(peer.name.value.as_str()) else {
                continue;
            };
            if previous_peer.learns == peer.learns && endpoints(previous_peer) == endpoints(peer) {
                *entry = with_path_of(entry, previous);
            }
        }
    }

    /// Returns how many `NEIGHBOURS` entries the members of `config` can fill.
    pub fn neighbours_for(config: &Config) -> u32 {
        let members: usize = config.networks.iter().map(|network| network.members.len()).sum();
        (members as u32).saturating_mul(NEIGHBOURS)
    }

    /// Returns how many members of `config` have a peer whose endpoint is learned.
    pub fn learning_for(config: &Config) -> u32 {
        let members = config.networks.iter().flat_map(|network| &network.members);
        let learns = |member: &&config::Member| {
            config.peers.get(member.peer).is_some_and(|peer| peer.learns)
        };
        members.filter(learns).count() as u32
    }

    /// Returns how many FDB entries, declared and learned, the networks of `config` can have. Not
    /// more than [`config::MAX_FDB_ENTRIES`]: the configuration is refused otherwise.
    pub fn fdb_entries_for(config: &Config) -> u32 {
        config.max_fdb_entries() as u32
    }
}
