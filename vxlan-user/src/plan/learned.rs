//! Learned endpoints, and which peer may have which: no two peers ever have the same address and
//! port.

use std::net::SocketAddr;

use super::{
    facts::LearnedEndpoint,
    senders::{Change, Senders},
};
use crate::config::{self, Config};

/// The endpoint belongs to another peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Index of that peer.
    pub by: usize,
}

/// The learned endpoints of all peers.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    learned: Vec<Option<LearnedEndpoint>>,
    /// By peer: its latest claim, if that was refused.
    refused: Vec<Option<LearnedEndpoint>>,
}

impl Endpoints {
    /// Starts with the endpoints that the previous run had learned, by peer name. Those that the
    /// configuration does not allow any more are left out.
    pub fn new(config: &Config, previous: impl Fn(&str) -> Option<LearnedEndpoint>) -> Self {
        let none = vec![None; config.peers.len()];
        let mut endpoints = Self { learned: none.clone(), refused: none };
        for (index, peer) in config.peers.iter().enumerate() {
            if let Some(learned) = previous(&peer.name.value).filter(|_| peer.learns) {
                // The endpoint may be another peer's by now: probes will decide.
                let _taken = endpoints.grant(config, index, learned);
            }
        }
        endpoints.refused.fill(None);
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

    /// Moves a peer to another endpoint, which accepted probes have proved. Returns the changes of
    /// the maps, to be written in their order: none if the endpoint is the same, or not to be
    /// learned.
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
    ) -> Result<Vec<Change>, Taken> {
        if config.peers.get(peer).is_none_or(|peer| !peer.learns) {
            return Ok(Vec::new());
        }
        let before = self.learned.clone();
        self.grant(config, peer, to)?;
        self.grant_the_refused(config);
        if before == self.learned {
            return Ok(Vec::new());
        }
        let (old, new) = (Senders::new(config, &before), Senders::new(config, &self.learned));
        Ok(Senders::changes(&old, &new))
    }

    /// Forgets the refused claim of a peer.
    pub fn withdraw(&mut self, peer: usize) {
        if let Some(refused) = self.refused.get_mut(peer) {
            *refused = None;
        }
    }

    /// Returns the peers whose learned endpoint another peer has claimed.
    pub fn contested(&self) -> Vec<usize> {
        self.refused.iter().flatten().filter_map(|to| self.holder(to.endpoint)).collect()
    }

    /// Forgets the endpoint of a peer. A peer that has claimed that endpoint gets it; the changes
    /// of the maps are to be written in their order.
    pub fn release(&mut self, config: &Config, peer: usize) -> Vec<Change> {
        let before = self.learned.clone();
        if let Some(learned) = self.learned.get_mut(peer) {
            *learned = None;
        }
        self.grant_the_refused(config);
        let (old, new) = (Senders::new(config, &before), Senders::new(config, &self.learned));
        Senders::changes(&old, &new)
    }

    /// Moves a peer to an endpoint, and before it every peer that has to make room.
    fn grant(&mut self, config: &Config, peer: usize, to: LearnedEndpoint) -> Result<(), Taken> {
        self.refused[peer] = Some(to);
        let declared = |endpoint: SocketAddr| {
            let has = |peer: &config::Peer| peer.endpoints.iter().any(|at| at.value == endpoint);
            config.peers.iter().position(has)
        };
        if let Some(by) = declared(to.endpoint) {
            return Err(Taken { by });
        }
        // The peers that have to move, each to the endpoint that it has claimed.
        let mut moving = vec![(peer, to)];
        let mut wanted = to;
        while let Some(holder) = self.holder(wanted.endpoint).filter(|holder| *holder != peer) {
            let circles = moving.iter().any(|(mover, _)| *mover == holder);
            let next =
                self.refused[holder].filter(|to| !circles && declared(to.endpoint).is_none());
            let Some(next) = next else { return Err(Taken { by: holder }) };
            moving.push((holder, next));
            wanted = next;
        }
        for (mover, to) in moving {
            self.learned[mover] = Some(to);
            self.refused[mover] = None;
        }
        Ok(())
    }

    /// Grants the refused claims whose endpoints have become free.
    fn grant_the_refused(&mut self, config: &Config) {
        let refused = |endpoints: &Self| endpoints.refused.iter().flatten().count();
        loop {
            let before = refused(self);
            for peer in 0..self.refused.len() {
                if let Some(to) = self.refused(peer) {
                    let _still_taken = self.grant(config, peer, to);
                }
            }
            if refused(self) == before {
                return;
            }
        }
    }

    /// Returns the peer that has learned this endpoint.
    fn holder(&self, endpoint: SocketAddr) -> Option<usize> {
        self.learned.iter().position(|at| at.is_some_and(|at| at.endpoint == endpoint))
    }
}
