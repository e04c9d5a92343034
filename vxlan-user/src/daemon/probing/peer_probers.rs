//! Makes the prober of each peer, from the configuration and the present path.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use super::destination::{destination, packet_length};
use crate::{
    config::{self, Config, OuterField, PeerSourcePort, SourcePort},
    daemon::running::ActivePlane,
    nat::{DeclaredFacts, SourcePorts},
    probe::{Key, Prober, ProberConfig, UnkeyedPeer, name_id},
};

/// Time to live of probes, where data packets inherit that of the inner packet.
const TTL: u8 = 64;

/// The prober of a peer.
pub(super) enum PeerProber {
    /// Authenticated probes, for a peer with a key.
    Keyed(Box<Prober>),
    /// Echo requests through the tunnel, for a peer without a key.
    Echo {
        unkeyed: Box<UnkeyedPeer>,
        /// When the next echo request is due.
        next: Duration,
    },
}

/// Makes the probers of all peers. `previous` has those of the previous configuration, by name of
/// the peer. A prober whose configuration is the same carries on, with everything that it has found
/// out.
pub(super) fn peer_probers(
    running: &ActivePlane,
    mut previous: HashMap<String, PeerProber>,
    now: Duration,
) -> Vec<PeerProber> {
    let session = rand::random::<u64>().max(1);
    let peers = running.preflight.config.peers.iter().zip(&running.preflight.keys);
    let each = peers.enumerate().map(|(index, (peer, key))| {
        let previous = previous.remove(&peer.name.value);
        match key {
            Some(key) => {
                let config = prober_config(running, index, peer, key, session);
                match previous {
                    Some(PeerProber::Keyed(prober)) if prober.continues(&config) => {
                        PeerProber::Keyed(prober)
                    }
                    _ => PeerProber::Keyed(Box::new(Prober::new(config, now))),
                }
            }
            None => {
                let facts = declared_facts(running, index, peer);
                let interval = running.preflight.config.probe.interval;
                match previous {
                    Some(PeerProber::Echo { unkeyed, next })
                        if unkeyed.continues(interval, &facts) =>
                    {
                        PeerProber::Echo { unkeyed, next }
                    }
                    _ => {
                        let unkeyed = UnkeyedPeer::new(&peer.name, interval, facts);
                        PeerProber::Echo { unkeyed: Box::new(unkeyed), next: now }
                    }
                }
            }
        }
    });
    each.collect()
}

fn prober_config(
    running: &ActivePlane,
    index: usize,
    peer: &config::Peer,
    key: &Key,
    session: u64,
) -> ProberConfig {
    let preflight = &running.preflight;
    let config = &preflight.config;
    let entry = running.plan.peers.get(index);
    let learned = running.endpoints.of(index).map(|at| at.endpoint);
    ProberConfig {
        peer: peer.name.value.clone(),
        local: name_id(&config.node.name),
        remote: name_id(&peer.name),
        key: key.clone(),
        session,
        interval: config.probe.interval,
        keepalive: config.probe.keepalive,
        vni: running.plan.settings.probe_vni,
        port: config.underlay.port.value,
        fixed_source_port: config.underlay.source_port.value == SourcePort::Fixed,
        addresses: preflight.facts.addresses().collect(),
        public_addresses: config.underlay.public_address.addresses().collect(),
        private_addresses: peer.private_addresses.addresses().collect(),
        ports: ports(&running.preflight.config, peer),
        ttl: match config.underlay.ttl {
            OuterField::Fixed(ttl) => ttl,
            OuterField::Inherit => TTL,
        },
        tos: match config.underlay.dscp {
            OuterField::Fixed(dscp) => dscp << 2,
            OuterField::Inherit => 0,
        },
        learned: peer.learns,
        endpoint: learned.or_else(|| destination(running, index)),
        mtu: packet_length(entry.map_or(preflight.facts.mtu, |entry| entry.mtu)),
    }
}

fn declared_facts(running: &ActivePlane, index: usize, peer: &config::Peer) -> DeclaredFacts {
    let endpoint = destination(running, index);
    let address = endpoint.map(|at| at.ip());
    let own_public =
        |like: IpAddr| running.preflight.config.underlay.public_address.same_family(like);
    DeclaredFacts {
        endpoint,
        learned: false,
        private: address.and_then(|address| peer.private_behind(address)),
        public: address.and_then(own_public).map(|at| at.value),
        ports: ports(&running.preflight.config, peer),
    }
}

/// Returns the ports that a peer sends data from.
fn ports(config: &Config, peer: &config::Peer) -> SourcePorts {
    match peer.source_port {
        PeerSourcePort::Flow => SourcePorts::Flow,
        PeerSourcePort::Fixed => {
            SourcePorts::Fixed(peer.fixed_source_port(config.underlay.port.value))
        }
        PeerSourcePort::Any => {
            SourcePorts::Range(*peer.source_ports.start(), *peer.source_ports.end())
        }
    }
}
