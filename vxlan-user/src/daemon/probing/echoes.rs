//! Echo requests through the tunnel to peers without a key: to which address, and over which
//! socket.

use std::{
    collections::{HashMap, hash_map::Entry},
    future::poll_fn,
    io,
    net::IpAddr,
    task::Poll,
};

use super::peer_counters::PeerCounters;
use crate::{
    config::Config,
    host::{EchoReply, EchoSocket},
};

/// Sockets by network and family (`true`: IPv4), opened when they are first needed.
#[derive(Default)]
pub(super) struct Echoes {
    sockets: HashMap<(usize, bool), EchoSocket>,
    sequence: u16,
    /// The peer that the latest request with a number went to.
    recipients: HashMap<u16, usize>,
}

/// An address behind a peer, in one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    network: usize,
    /// The address of this host in the network.
    source: IpAddr,
    pub(super) address: IpAddr,
}

/// Lists the addresses behind a peer that echo requests can go to: the declared address, else the
/// sources of its frames if there are `frames`, the latest first. The first network counts in which
/// this host has an address of the same family.
pub(super) fn targets(
    config: &Config,
    peer_counters: &PeerCounters,
    peer: usize,
    frames: bool,
) -> Vec<Target> {
    for position in peer_counters.members_of(peer) {
        let Some(network) = config.networks.get(position.network) else { continue };
        let Some(member) = network.members.get(position.number) else { continue };
        let candidates: Vec<IpAddr> = match member.probe_address.map(|at| at.value) {
            Some(declared) => vec![declared],
            None if frames => peer_counters.reader().neighbours(position.index).unwrap_or_default(),
            None => continue,
        };
        let own = || network.addresses.iter().map(|at| at.value.addr());
        let target = |address: IpAddr| {
            let source = own().find(|own| own.is_ipv4() == address.is_ipv4())?;
            Some(Target { network: position.network, source, address })
        };
        let found: Vec<Target> = candidates.into_iter().filter_map(target).collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

impl Echoes {
    /// Sends a request to the target of a peer that has this address, and returns the address with
    /// the sequence number. `None`: there is no such target, or the request could not be sent.
    pub(super) fn send_to(
        &mut self,
        config: &Config,
        targets: &[Target],
        (peer, address): (usize, Option<IpAddr>),
    ) -> Option<(IpAddr, u16)> {
        let target = targets.iter().find(|target| Some(target.address) == address)?;
        let sequence = self.send_request(config, target)?;
        self.recipients.insert(sequence, peer);
        Some((target.address, sequence))
    }

    /// Returns the peer that the latest request with this number went to.
    pub(super) fn recipient_of(&self, sequence: u16) -> Option<usize> {
        self.recipients.get(&sequence).copied()
    }

    /// Sends a request, and returns its sequence number. `None`: the request could not be sent.
    fn send_request(&mut self, config: &Config, target: &Target) -> Option<u16> {
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
                // The interface may be another device of the same name by now.
                self.sockets.remove(&key);
                None
            }
        }
    }

    /// Waits for the next answer. Nothing is lost when the future is dropped before it is ready.
    pub(super) async fn next(&self) -> io::Result<EchoReply> {
        // Nothing is made for each socket, as this is begun anew in each turn of the event loop.
        poll_fn(|context| {
            let mut replies = self.sockets.values().map(|socket| socket.poll_next(context));
            replies.find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await
    }
}
