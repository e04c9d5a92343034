//! Learned endpoints, and which peer may have which: no two peers ever have the same address and
//! port. What a move costs does not depend on how many peers there are.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
};

use super::{
    facts::LearnedEndpoint,
    membership::{Memberships, Moved},
    senders::Change,
};
use crate::config::Config;

/// The endpoint belongs to another peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Index of that peer.
    pub by: usize,
}

/// The peers that move together, and the changes of the maps, to be written in their order. Empty
/// if the endpoint is the same, or not to be learned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    pub peers: Vec<Moved>,
    pub changes: Vec<Change>,
}

/// The learned endpoints of all peers.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    learned: Vec<Option<LearnedEndpoint>>,
    /// By peer: its latest claim, if that was refused.
    refused: Vec<Option<LearnedEndpoint>>,
    /// The peer that has learned an endpoint.
    holders: HashMap<SocketAddr, usize>,
    /// The peer that has declared an endpoint.
    declared: HashMap<SocketAddr, usize>,
    /// The peers whose claim to an endpoint was refused.
    claimants: HashMap<SocketAddr, BTreeSet<usize>>,
    memberships: Memberships,
}

impl Endpoints {
    /// Starts with the endpoints that the previous run had learned, by peer name. Those that the
    /// configuration does not allow any more are left out.
    pub fn new(config: &Config, previous: impl Fn(&str) -> Option<LearnedEndpoint>) -> Self {
        let none = vec![None; config.peers.len()];
        let mut endpoints = Self {
            learned: none.clone(),
            refused: none,
            declared: Memberships::declared_endpoints(config),
            memberships: Memberships::new(config),
            ..Self::default()
        };
        let mut moved = Vec::new();
        for (index, peer) in config.peers.iter().enumerate() {
            if let Some(learned) = previous(&peer.name.value).filter(|_| peer.learns) {
                // The endpoint may be another peer's by now: probes will decide.
                let _taken = endpoints.grant(index, learned, &mut moved);
                endpoints.withdraw(index);
            }
        }
        endpoints.memberships.apply(config, &merged(moved));
        endpoints
    }

    /// Returns the endpoints by peer. `None`: not learned yet, or not to be learned.
    pub fn all(&self) -> &[Option<LearnedEndpoint>] {
        &self.learned
    }

    /// Returns the learned endpoint of a peer.
    pub fn of(&self, peer: usize) -> Option<LearnedEndpoint> {
        self.learned.get(peer).copied().flatten()
    }

    /// Returns the latest claim of a peer, if that was refused.
    pub fn refused(&self, peer: usize) -> Option<LearnedEndpoint> {
        self.refused.get(peer).copied().flatten()
    }

    /// Returns the peers whose latest claim was refused.
    pub fn all_refused(&self) -> Vec<usize> {
        self.claimants.values().flatten().copied().collect()
    }

    /// Moves a peer to another endpoint, which accepted probes have proved.
    ///
    /// An endpoint that another peer has is refused until that peer has moved: then both have
    /// moved. Peers whose NAT has exchanged their ports claim each other's endpoints: once the last
    /// of them has claimed its new endpoint, all of them move.
    ///
    /// # Errors
    /// The endpoint is another peer's, learned or declared.
    pub fn claim(
        &mut self,
        config: &Config,
        peer: usize,
        to: LearnedEndpoint,
    ) -> Result<Moves, Taken> {
        if config.peers.get(peer).is_none_or(|peer| !peer.learns) {
            return Ok(Moves::default());
        }
        let mut moved = Vec::new();
        self.grant(peer, to, &mut moved)?;
        Ok(self.followed(config, moved))
    }

    /// Takes back moves whose changes the maps have refused.
    pub fn take_back(&mut self, config: &Config, moves: &Moves) {
        let back = |moved: &Moved| Moved { from: moved.to, to: moved.from, ..*moved };
        let back: Vec<Moved> = moves.peers.iter().map(back).collect();
        back.iter().for_each(|moved| self.leave(moved.peer));
        back.iter().for_each(|moved| self.put(moved.peer, moved.to));
        self.memberships.apply(config, &back);
    }

    /// Forgets the refused claim of a peer.
    pub fn withdraw(&mut self, peer: usize) {
        let Some(claim) = self.refused.get_mut(peer).and_then(Option::take) else { return };
        if let Some(claimants) = self.claimants.get_mut(&claim.endpoint) {
            claimants.remove(&peer);
            if claimants.is_empty() {
                self.claimants.remove(&claim.endpoint);
            }
        }
    }

    /// Returns the peers whose learned endpoint another peer has claimed.
    pub fn contested(&self) -> Vec<usize> {
        self.claimants.keys().filter_map(|endpoint| self.holders.get(endpoint)).copied().collect()
    }

    /// Forgets the endpoint of a peer. A peer that has claimed that endpoint gets it.
    pub fn release(&mut self, config: &Config, peer: usize) -> Moves {
        let from = self.of(peer);
        self.leave(peer);
        self.followed(config, vec![Moved { peer, from, to: None }])
    }

    /// Moves a peer to an endpoint, and before it every peer that has to make room. Adds to `moved`
    /// who has moved.
    fn grant(
        &mut self,
        peer: usize,
        to: LearnedEndpoint,
        moved: &mut Vec<Moved>,
    ) -> Result<(), Taken> {
        self.withdraw(peer);
        self.refused[peer] = Some(to);
        self.claimants.entry(to.endpoint).or_default().insert(peer);
        if let Some(by) = self.declared.get(&to.endpoint) {
            return Err(Taken { by: *by });
        }
        // The peers that have to move, each to the endpoint that it has claimed.
        let mut moving = vec![(peer, to)];
        let mut wanted = to;
        while let Some(holder) = self.holder(wanted.endpoint).filter(|holder| *holder != peer) {
            let circles = moving.iter().any(|(mover, _)| *mover == holder);
            let is_declared = |to: &LearnedEndpoint| self.declared.contains_key(&to.endpoint);
            let next = self.refused[holder].filter(|to| !circles && !is_declared(to));
            let Some(next) = next else { return Err(Taken { by: holder }) };
            moving.push((holder, next));
            wanted = next;
        }
        for (mover, to) in &moving {
            moved.push(Moved { peer: *mover, from: self.of(*mover), to: Some(*to) });
            self.leave(*mover);
        }
        for (mover, to) in moving {
            self.withdraw(mover);
            self.put(mover, Some(to));
        }
        Ok(())
    }

    /// Grants the refused claims whose endpoints have become free by moves, and returns all moves.
    fn followed(&mut self, config: &Config, mut moved: Vec<Moved>) -> Moves {
        let mut seen = 0;
        while let Some(Moved { from, .. }) = moved.get(seen).copied() {
            seen += 1;
            let Some(free) = from.filter(|from| self.holder(from.endpoint).is_none()) else {
                continue;
            };
            let claimants: Vec<usize> =
                self.claimants.get(&free.endpoint).into_iter().flatten().copied().collect();
            for claimant in claimants {
                if let Some(to) = self.refused(claimant)
                    && self.grant(claimant, to, &mut moved).is_ok()
                {
                    break;
                }
            }
        }
        let peers = merged(moved);
        let changes = self.memberships.apply(config, &peers);
        Moves { peers, changes }
    }

    /// Returns the peer that has learned this endpoint.
    fn holder(&self, endpoint: SocketAddr) -> Option<usize> {
        self.holders.get(&endpoint).copied()
    }

    fn leave(&mut self, peer: usize) {
        if let Some(from) = self.learned.get_mut(peer).and_then(Option::take)
            && self.holder(from.endpoint) == Some(peer)
        {
            self.holders.remove(&from.endpoint);
        }
    }

    fn put(&mut self, peer: usize, to: Option<LearnedEndpoint>) {
        if let (Some(learned), Some(to)) = (self.learned.get_mut(peer), to) {
            *learned = Some(to);
            self.holders.insert(to.endpoint, peer);
        }
    }
}

/// Returns one move for each peer, from where it was first to where it is last. Who is where it was
/// is left out.
fn merged(moved: Vec<Moved>) -> Vec<Moved> {
    let mut peers: Vec<Moved> = Vec::with_capacity(moved.len());
    let mut known: HashMap<usize, usize> = HashMap::new();
    for moved in moved {
        let at = *known.entry(moved.peer).or_insert(peers.len());
        match peers.get_mut(at) {
            Some(earlier) => earlier.to = moved.to,
            None => peers.push(moved),
        }
    }
    peers.retain(|moved| moved.from != moved.to);
    peers
}
