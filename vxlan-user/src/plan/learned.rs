//! Learned endpoints, and who may have which: no two peers ever the same address and port.

use std::net::SocketAddr;

use super::{
    facts::LearnedEndpoint,
    senders::{Change, Senders},
};
use crate::config::{self, Config};

/// The endpoint belongs to somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Index of that peer.
    pub by: usize,
}

/// The learned endpoints of all peers.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    learned: Vec<Option<LearnedEndpoint>>,
    /// What was claimed and refused, if it is the latest claim of its peer.
    refused: Vec<Option<LearnedEndpoint>>,
}

impl Endpoints {
    /// With what a former run knew, by peer; what does not suit the configuration any more is left out.
    pub fn new(config: &Config, former: impl Fn(&str) -> Option<LearnedEndpoint>) -> Self {
        let none = vec![None; config.peers.len()];
        let mut endpoints = Self { learned: none.clone(), refused: none };
        for (index, peer) in config.peers.iter().enumerate() {
            if let Some(learned) = former(&peer.name.value).filter(|_| peer.learns) {
                // Another's by now: probes will tell.
                let _taken = endpoints.grant(config, index, learned);
            }
        }
        endpoints.refused.fill(None);
        endpoints
    }

    /// By peer; `None`: not learned yet, or not to be learned.
    pub fn all(&self) -> &[Option<LearnedEndpoint>] {
        &self.learned
    }

    pub fn of(&self, peer: usize) -> Option<LearnedEndpoint> {
        self.learned.get(peer).copied().flatten()
    }

    /// What a peer has claimed last, if that was refused.
    pub fn refused(&self, peer: usize) -> Option<LearnedEndpoint> {
        self.refused.get(peer).copied().flatten()
    }

    /// Accepted probes prove that a peer is elsewhere; to be called whenever that is another place than
    /// the last time. The changes are to be written in their order; there are none if the peer is where
    /// it was, or its endpoint is not to be learned.
    ///
    /// An endpoint that another peer has is refused, until that one is elsewhere: then both move. Peers
    /// whose NAT has exchanged their ports have each other's: once the last of them has claimed its new
    /// one, all of them move.
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

    /// A peer is not any more where it claimed to be in vain.
    pub fn withdraw(&mut self, peer: usize) {
        if let Some(refused) = self.refused.get_mut(peer) {
            *refused = None;
        }
    }

    /// Learned peers at a place that another peer has proved to be at.
    pub fn contested(&self) -> Vec<usize> {
        self.refused.iter().flatten().filter_map(|to| self.holder(to.endpoint)).collect()
    }

    /// The peer is not where it was any more. Who has claimed its place gets it; the changes are to be
    /// written in their order.
    pub fn release(&mut self, config: &Config, peer: usize) -> Vec<Change> {
        let before = self.learned.clone();
        if let Some(learned) = self.learned.get_mut(peer) {
            *learned = None;
        }
        self.grant_the_refused(config);
        let (old, new) = (Senders::new(config, &before), Senders::new(config, &self.learned));
        Senders::changes(&old, &new)
    }

    fn grant(&mut self, config: &Config, peer: usize, to: LearnedEndpoint) -> Result<(), Taken> {
        self.refused[peer] = Some(to);
        let declared = |endpoint: SocketAddr| {
            let has = |peer: &config::Peer| peer.endpoints.iter().any(|at| at.value == endpoint);
            config.peers.iter().position(has)
        };
        if let Some(by) = declared(to.endpoint) {
            return Err(Taken { by });
        }
        // Who would have to make room, one after the other.
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

    /// Somebody has made room.
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

    fn holder(&self, endpoint: SocketAddr) -> Option<usize> {
        self.learned.iter().position(|at| at.is_some_and(|at| at.endpoint == endpoint))
    }
}
