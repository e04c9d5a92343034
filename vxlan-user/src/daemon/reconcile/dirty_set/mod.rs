//! The peers whose paths must be resolved again after a change on the host. Pure: events in,
//! indices of peers out, each once however often an event names it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    net::IpAddr,
};

use ipnet::IpNet;

use crate::{
    daemon::paths::resolved::{NextHopState, ResolvedPaths},
    host::HostEvent,
};

/// The peers by what their paths depend on, and the queue of peers to resolve.
#[derive(Debug, Default)]
pub(in crate::daemon) struct DirtySet {
    /// Peers by the addresses that they may be reached at, and the reverse.
    by_address: BTreeMap<IpAddr, BTreeSet<usize>>,
    addresses: Vec<Vec<IpAddr>>,
    /// Peers by the next hops to their addresses, and the reverse.
    by_hop: HashMap<IpAddr, BTreeSet<usize>>,
    hops: Vec<Vec<IpAddr>>,
    /// The neighbour states that the latest paths were made from.
    next_hop_states: HashMap<IpAddr, NextHopState>,
    queue: VecDeque<usize>,
    /// By peer: it is in the queue.
    queued: Vec<bool>,
    /// The peers whose path could be better.
    improvable: BTreeSet<usize>,
    /// Where the next [`mark_improvable`](Self::mark_improvable) begins.
    next: usize,
}

impl DirtySet {
    /// Creates a set for `peers` peers, without addresses and next hops yet.
    pub(in crate::daemon) fn new(peers: usize) -> Self {
        Self {
            addresses: vec![Vec::new(); peers],
            hops: vec![Vec::new(); peers],
            queued: vec![false; peers],
            ..Self::default()
        }
    }

    /// Sets the addresses that a peer may be reached at.
    pub(in crate::daemon) fn set_addresses(&mut self, peer: usize, addresses: Vec<IpAddr>) {
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

    /// Records what the latest paths were made from. Other peers whose paths were made from another
    /// state of the same next hop are marked.
    pub(in crate::daemon) fn record(&mut self, paths: &ResolvedPaths) {
        for (hop, state) in &paths.next_hop_states {
            self.set_next_hop_state(*hop, *state);
        }
        for resolved in &paths.peers {
            let Some(known) = self.hops.get_mut(resolved.peer) else { continue };
            if *known != resolved.next_hops {
                for old in std::mem::replace(known, resolved.next_hops.clone()) {
                    if let Some(peers) = self.by_hop.get_mut(&old) {
                        peers.remove(&resolved.peer);
                        if peers.is_empty() {
                            self.by_hop.remove(&old);
                            self.next_hop_states.remove(&old);
                        }
                    }
                }
                for new in &resolved.next_hops {
                    self.by_hop.entry(*new).or_default().insert(resolved.peer);
                }
            }
        }
        for (hop, state) in &paths.next_hop_states {
            if self.by_hop.contains_key(hop) {
                self.next_hop_states.insert(*hop, *state);
            }
        }
    }

    /// Marks the peers that an event concerns. `underlay` is the index of the underlay interface.
    pub(in crate::daemon) fn mark_event(&mut self, event: &HostEvent, underlay: u32) {
        match event {
            HostEvent::Route(route) | HostEvent::RouteRemoved(route) => {
                self.mark_prefix(route.prefix)
            }
            HostEvent::Neighbour(neighbour) if neighbour.ifindex == underlay => {
                self.set_next_hop_state(
                    neighbour.address,
                    NextHopState::from_neighbour(Some(neighbour)),
                );
            }
            HostEvent::NeighbourRemoved { ifindex, address } if *ifindex == underlay => {
                self.set_next_hop_state(*address, NextHopState::Unresolved);
            }
            HostEvent::Link { ifindex, .. }
            | HostEvent::LinkRemoved { ifindex, .. }
            | HostEvent::Address { ifindex, .. }
            | HostEvent::AddressRemoved { ifindex, .. }
                if *ifindex == underlay =>
            {
                self.mark_all();
            }
            HostEvent::Overrun => self.mark_all(),
            HostEvent::Neighbour(_)
            | HostEvent::NeighbourRemoved { .. }
            | HostEvent::TrafficControl { .. }
            | HostEvent::Link { .. }
            | HostEvent::LinkRemoved { .. }
            | HostEvent::Address { .. }
            | HostEvent::AddressRemoved { .. } => {}
        }
    }

    fn set_next_hop_state(&mut self, hop: IpAddr, state: NextHopState) {
        let Some(known) = self.next_hop_states.get_mut(&hop) else { return };
        if *known == state {
            return;
        }
        *known = state;
        let peers: Vec<usize> = self.by_hop.get(&hop).into_iter().flatten().copied().collect();
        peers.into_iter().for_each(|peer| self.mark(peer));
    }

    /// Marks the peers that may be reached at an address of this prefix.
    pub(in crate::daemon) fn mark_prefix(&mut self, prefix: IpNet) {
        if self.queue.len() == self.queued.len() {
            return;
        }
        let reachable = self.by_address.range(prefix.network()..=prefix.broadcast());
        let peers: Vec<usize> = reachable.flat_map(|(_, peers)| peers).copied().collect();
        peers.into_iter().for_each(|peer| self.mark(peer));
    }

    /// Marks every peer.
    pub(in crate::daemon) fn mark_all(&mut self) {
        (0..self.queued.len()).for_each(|peer| self.mark(peer));
    }

    /// Marks one peer.
    pub(in crate::daemon) fn mark(&mut self, peer: usize) {
        if let Some(queued) = self.queued.get_mut(peer).filter(|queued| !**queued) {
            *queued = true;
            self.queue.push_back(peer);
        }
    }

    /// Sets whether the path to a peer could be better.
    pub(in crate::daemon) fn set_improvable(&mut self, peer: usize, improvable: bool) {
        if improvable {
            self.improvable.insert(peer);
        } else {
            self.improvable.remove(&peer);
        }
    }

    /// Marks at most `max` of the peers whose path could be better; the next call begins behind
    /// them.
    pub(in crate::daemon) fn mark_improvable(&mut self, max: usize) {
        let all = self.improvable.range(self.next..).chain(self.improvable.range(..self.next));
        let peers: Vec<usize> = all.take(max).copied().collect();
        if let Some(last) = peers.last() {
            self.next = last + 1;
        }
        peers.into_iter().for_each(|peer| self.mark(peer));
    }

    pub(in crate::daemon) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes at most `max` peers out, those that were marked first.
    pub(in crate::daemon) fn take(&mut self, max: usize) -> Vec<usize> {
        let taken: Vec<usize> = self.queue.drain(..max.min(self.queue.len())).collect();
        for peer in &taken {
            self.queued[*peer] = false;
        }
        taken
    }
}

#[cfg(test)]
mod tests;
