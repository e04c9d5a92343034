//! Asks peers without keys by echo through the tunnel whether they live: which address, and over which
//! socket.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    net::IpAddr,
};

use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::counting::Counting;
use crate::{
    config::Config,
    host::{EchoReply, EchoSocket},
};

/// Sockets by network and family, opened when they are first needed.
#[derive(Default)]
pub(super) struct Echoes {
    sockets: HashMap<(usize, bool), EchoSocket>,
    sequence: u16,
}

/// An address behind a peer, in one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    network: usize,
    /// Ours there.
    source: IpAddr,
    pub(super) address: IpAddr,
}

/// Whom to ask of a peer: a declared address, else the one that was heard last behind it. Of a family that
/// this host has an address of, in the first of its networks where there is one.
pub(super) fn target(config: &Config, counting: &Counting, peer: usize) -> Option<Target> {
    counting.members_of(peer).iter().find_map(|place| {
        let network = config.networks.get(place.network)?;
        let member = network.members.get(place.number)?;
        let declared = member.probe_address.map(|at| at.value);
        let heard = || counting.reader().neighbours(place.index).unwrap_or_default();
        let candidates: Vec<IpAddr> = match declared {
            Some(declared) => vec![declared],
            None => heard(),
        };
        let own = || network.addresses.iter().map(|at| at.value.addr());
        candidates.into_iter().find_map(|address| {
            let source = own().find(|own| own.is_ipv4() == address.is_ipv4())?;
            Some(Target { network: place.network, source, address })
        })
    })
}

impl Echoes {
    /// Sends a request, and returns its sequence. `None`: it could not be sent.
    pub(super) fn ask(&mut self, config: &Config, target: &Target) -> Option<u16> {
        let key = (target.network, target.address.is_ipv4());
        let interface = &config.networks.get(target.network)?.interface.value;
        let socket = match self.sockets.entry(key) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(none) => match EchoSocket::open(interface, target.source) {
                Ok(socket) => none.insert(socket),
                Err(error) => {
                    tracing::debug!("{error}");
                    return None;
                }
            },
        };
        self.sequence = self.sequence.wrapping_add(1);
        match socket.send(target.address, self.sequence) {
            Ok(()) => Some(self.sequence),
            Err(error) => {
                tracing::debug!("no echo request to {} on {interface}: {error}", target.address);
                // The interface may be another one of the same name by now.
                self.sockets.remove(&key);
                None
            }
        }
    }

    /// The next answer. Nothing is lost when the future is dropped before it is ready.
    pub(super) async fn next(&self) -> io::Result<EchoReply> {
        let mut all: FuturesUnordered<_> = self.sockets.values().map(EchoSocket::next).collect();
        match all.next().await {
            Some(reply) => reply,
            None => std::future::pending().await,
        }
    }
}
