//! Whose ways must be looked at again, after what is new on the host. Pure: events in, indices of peers
//! out, each once however often it was named.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    net::IpAddr,
};

use ipnet::IpNet;

use crate::{
    daemon::paths::resolution::{Standing, Ways},
    host::HostEvent,
};

/// The peers by what their ways depend on, and those whose turn has not come.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Affected {
    /// Peers by the addresses that they may be reached at, and the other way round.
    by_address: BTreeMap<IpAddr, BTreeSet<usize>>,
    addresses: Vec<Vec<IpAddr>>,
    /// Peers by the next hops to these, and the other way round.
    by_hop: HashMap<IpAddr, BTreeSet<usize>>,
    hops: Vec<Vec<IpAddr>>,
    /// What the ways were last made from.
    standings: HashMap<IpAddr, Standing>,
    waiting: VecDeque<usize>,
    waits: Vec<bool>,
    /// Where the last round of those that could be better ended.
    rounds: usize,
}

impl Affected {
    /// Of so many peers, of which nothing is known.
    pub(in crate::daemon) fn of(peers: usize) -> Self {
        Self {
            addresses: vec![Vec::new(); peers],
            hops: vec![Vec::new(); peers],
            waits: vec![false; peers],
            ..Self::default()
        }
    }

    /// A peer may be reached at these addresses from now on.
    pub(in crate::daemon) fn reached_at(&mut self, peer: usize, addresses: Vec<IpAddr>) {
        let Some(known) = self.addresses.get_mut(peer) else { return };
        for old in std::mem::replace(known, addresses) {
            if let Some(peers) = self.by_address.get_mut(&old) {
                peers.remove(&peer);
                if peers.is_empty() {
                    self.by_address.remove(&old);
                }
            }
        }
        for new in self.addresses.get(peer).into_iter().flatten() {
            self.by_address.entry(*new).or_default().insert(peer);
        }
    }

    /// What a look has found. A next hop that stands otherwise than at the look at other peers is news for
    /// these.
    pub(in crate::daemon) fn found(&mut self, ways: &Ways) {
        for (hop, standing) in &ways.standings {
            self.stands(*hop, *standing);
        }
        for looked in &ways.to_peers {
            let Some(known) = self.hops.get_mut(looked.peer) else { continue };
            if *known != looked.next_hops {
                for old in std::mem::replace(known, looked.next_hops.clone()) {
                    if let Some(peers) = self.by_hop.get_mut(&old) {
                        peers.remove(&looked.peer);
                        if peers.is_empty() {
                            self.by_hop.remove(&old);
                            self.standings.remove(&old);
                        }
                    }
                }
                for new in &looked.next_hops {
                    self.by_hop.entry(*new).or_default().insert(looked.peer);
                }
            }
        }
        for (hop, standing) in &ways.standings {
            if self.by_hop.contains_key(hop) {
                self.standings.insert(*hop, *standing);
            }
        }
    }

    /// Takes note of an event. `underlay` is the interface that all ways go by.
    pub(in crate::daemon) fn note(&mut self, event: &HostEvent, underlay: u32) {
        match event {
            HostEvent::Route(route) | HostEvent::RouteRemoved(route) => self.within(route.prefix),
            HostEvent::Neighbour(neighbour) if neighbour.ifindex == underlay => {
                self.stands(neighbour.address, Standing::of(Some(neighbour)));
            }
            HostEvent::NeighbourRemoved { ifindex, address } if *ifindex == underlay => {
                self.stands(*address, Standing::Open);
            }
            HostEvent::Link { ifindex, .. }
            | HostEvent::LinkRemoved { ifindex, .. }
            | HostEvent::Address { ifindex, .. }
            | HostEvent::AddressRemoved { ifindex, .. }
                if *ifindex == underlay =>
            {
                self.all();
            }
            HostEvent::Overrun => self.all(),
            HostEvent::Neighbour(_)
            | HostEvent::NeighbourRemoved { .. }
            | HostEvent::Link { .. }
            | HostEvent::LinkRemoved { .. }
            | HostEvent::Address { .. }
            | HostEvent::AddressRemoved { .. } => {}
        }
    }

    fn stands(&mut self, hop: IpAddr, standing: Standing) {
        let Some(known) = self.standings.get_mut(&hop) else { return };
        if *known == standing {
            return;
        }
        *known = standing;
        let peers: Vec<usize> = self.by_hop.get(&hop).into_iter().flatten().copied().collect();
        peers.into_iter().for_each(|peer| self.peer(peer));
    }

    /// The ways to these addresses.
    pub(in crate::daemon) fn within(&mut self, prefix: IpNet) {
        let found = self.by_address.range(prefix.network()..=prefix.broadcast());
        let peers: Vec<usize> = found.flat_map(|(_, peers)| peers).copied().collect();
        peers.into_iter().for_each(|peer| self.peer(peer));
    }

    /// The ways to all peers.
    pub(in crate::daemon) fn all(&mut self) {
        (0..self.waits.len()).for_each(|peer| self.peer(peer));
    }

    /// The way to this peer.
    pub(in crate::daemon) fn peer(&mut self, peer: usize) {
        if let Some(waits) = self.waits.get_mut(peer).filter(|waits| !**waits) {
            *waits = true;
            self.waiting.push_back(peer);
        }
    }

    /// The ways to peers of which this is true, as many at a time; the next call goes on behind them.
    pub(in crate::daemon) fn some(&mut self, most: usize, which: impl Fn(usize) -> bool) {
        let peers = self.waits.len();
        let mut named = 0;
        for step in 0..peers {
            let peer = (self.rounds + step) % peers;
            if !which(peer) {
                continue;
            }
            if named == most {
                self.rounds = peer;
                return;
            }
            self.peer(peer);
            named += 1;
        }
    }

    pub(in crate::daemon) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes so many out, those that have waited longest.
    pub(in crate::daemon) fn take(&mut self, most: usize) -> Vec<usize> {
        let taken: Vec<usize> = self.waiting.drain(..most.min(self.waiting.len())).collect();
        for peer in &taken {
            self.waits[*peer] = false;
        }
        taken
    }
}

#[cfg(test)]
mod tests;
