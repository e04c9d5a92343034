//! One peer: its entry, which changes with the way to it, and what its packets show of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use vxlan_common::{
    addr::Address,
    table::{MemberEntry, PeerEntry, RateLimit, SourceEntry},
};

use super::{BURST, LearnedEndpoint, PeerPath, UnderlayFacts, family_address};
use crate::config::{self, PeerSourcePort, PeerUdpChecksum};

/// Packets that may come at once, however low the limit: what one burst of a sender is made of.
const LEAST_PACKETS: u64 = 32;
/// The same in bytes: the largest packet twice over.
const LEAST_BYTES: u64 = 131_072;

/// The entry of one peer, also for a change of the way to it alone. Without a way it names the first
/// endpoint or the learned one, and nothing is sent there. One that is not learned yet is zero, of the
/// family with the longer headers.
pub fn peer_entry(
    peer: &config::Peer,
    underlay: &UnderlayFacts,
    way: Option<&PeerPath>,
    learned: Option<&LearnedEndpoint>,
    slot: u32,
) -> PeerEntry {
    let known = || learned.map(|at| at.endpoint).or(peer.endpoint().map(|at| at.value));
    let endpoint = way.map(|way| way.endpoint).or_else(known).unwrap_or_else(|| {
        let ip = match underlay.v6 {
            Some(_) => Ipv6Addr::UNSPECIFIED.into(),
            None => Ipv4Addr::UNSPECIFIED.into(),
        };
        SocketAddr::new(ip, 0)
    });
    let (family, address) = family_address(endpoint.ip());
    // A gateway of the other family (RFC 8950) is left to the kernel's own lookup.
    let same_family = |way: &&PeerPath| way.gateway.is_ipv4() == endpoint.is_ipv4();
    let resolved = way.filter(|way| way.resolved).filter(same_family);
    let limit = |units: Option<u64>, least| RateLimit::per_second(units.unwrap_or(0), BURST, least);
    let private = |v4| {
        let private = carried(peer, learned, v4);
        private.map_or(Address::ZERO, |address| family_address(address).1)
    };
    PeerEntry {
        endpoint: address,
        gateway: resolved.map_or(Address::ZERO, |way| family_address(way.gateway).1),
        family,
        pad: 0,
        port: endpoint.port().to_be_bytes(),
        ifindex: way.map_or(0, |_| underlay.ifindex),
        mtu: way.map_or(underlay.mtu, |way| way.mtu.min(underlay.mtu)),
        slot,
        packets: limit(peer.packets_per_second, LEAST_PACKETS),
        bytes: limit(peer.bytes_per_second, LEAST_BYTES),
        private: private(true).first(),
        private6: private(false),
        pad_end: [0; 4],
    }
}

/// The address of a family that a peer's interface carries, where its packets come from another one.
fn carried(peer: &config::Peer, learned: Option<&LearnedEndpoint>, v4: bool) -> Option<IpAddr> {
    let of_family = |address: &IpAddr| address.is_ipv4() == v4;
    let mut endpoints = peer.endpoints.iter().map(|at| at.value.ip());
    if !peer.learns {
        return peer.private_behind(endpoints.find(of_family)?);
    }
    let declared = peer.private_addresses.iter().map(|at| at.value).find(of_family);
    let said = learned.map(|at| at.sent_from).filter(of_family);
    let seen = learned.map(|at| at.endpoint.ip());
    declared.or(said).filter(|carried| Some(*carried) != seen)
}

/// Every outer address that alone tells that a packet is a peer's, and whether a NAT must have rewritten
/// it: an endpoint, where that is not the address its interface carries, has been. None, if its
/// endpoint is learned: others may be behind the same address.
pub(super) fn source_addresses(peer: &config::Peer) -> Vec<(IpAddr, u32)> {
    let mut sources: Vec<(IpAddr, u32)> = Vec::new();
    if peer.learns {
        return sources;
    }
    for endpoint in peer.endpoints.iter().map(|at| at.value.ip()) {
        let rewritten = peer.private_behind(endpoint).is_some();
        sources.push((endpoint, if rewritten { SourceEntry::REWRITTEN } else { 0 }));
    }
    for private in peer.private_addresses.iter().map(|at| at.value) {
        if sources.iter().all(|(known, _)| *known != private) {
            sources.push((private, 0));
        }
    }
    sources
}

/// The UDP source ports that a peer sends from, and what it makes of checksums: first port, last port
/// and flags of a member. `own_port` is the VXLAN port of this host.
pub(super) fn sends(peer: &config::Peer, own_port: u16) -> (u16, u16, u32) {
    let (low, high, from_flow) = match peer.source_port {
        PeerSourcePort::Flow => (0, 0, MemberEntry::FLOW_PORTS),
        PeerSourcePort::Fixed => {
            let port = peer.endpoint().map_or(own_port, |at| at.value.port());
            (port, port, 0)
        }
        PeerSourcePort::Any => (*peer.source_ports.start(), *peer.source_ports.end(), 0),
    };
    let checksum = match peer.udp_checksum {
        PeerUdpChecksum::Zero => MemberEntry::ZERO_CHECKSUM,
        PeerUdpChecksum::Any => 0,
    };
    (low, high, from_flow | checksum)
}
