//! One peer: its entry, which changes with the path to the peer, and how its packets are
//! recognised.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use vxlan_common::{
    addr::Address,
    table::{MemberEntry, PeerEntry, RateLimit, SourceEntry},
};

use super::{
    address::family_address,
    facts::{LearnedEndpoint, PeerPath, UnderlayFacts, known_endpoint},
};
use crate::config::{self, PeerSourcePort, PeerUdpChecksum};

/// Burst that a rate limit accepts, as time at the limited rate, in ns.
pub(super) const BURST: u64 = 100_000_000;
/// Smallest burst of a limit on packets: as many as a sender's network card sends at once.
const MIN_BURST_PACKETS: u64 = 32;
/// Smallest burst of a limit on bytes: two packets of the largest size.
const MIN_BURST_BYTES: u64 = 131_072;

/// Makes the entry of one peer, also when only the path to the peer has changed. Without a path the
/// entry names the first declared endpoint, or the learned one, and nothing is sent there. An
/// endpoint that is not learned yet is zero, of the family with the longer headers.
pub fn peer_entry(
    peer: &config::Peer,
    underlay: &UnderlayFacts,
    path: Option<&PeerPath>,
    learned: Option<&LearnedEndpoint>,
    slot: u32,
) -> PeerEntry {
    let known = || known_endpoint(peer, learned);
    let endpoint = path.map(|path| path.endpoint).or_else(known).unwrap_or_else(|| {
        let ip = match underlay.v6 {
            Some(_) => Ipv6Addr::UNSPECIFIED.into(),
            None => Ipv4Addr::UNSPECIFIED.into(),
        };
        SocketAddr::new(ip, 0)
    });
    let (family, address) = family_address(endpoint.ip());
    // A gateway of the other family (RFC 8950) is left to the kernel's own lookup.
    let same_family = |path: &&PeerPath| path.gateway.is_ipv4() == endpoint.is_ipv4();
    let resolved = path.filter(|path| path.resolved).filter(same_family);
    let limit =
        |units: Option<u64>, min_burst| RateLimit::per_second(units.unwrap_or(0), BURST, min_burst);
    let private = |v4| {
        let private = private_address(peer, learned, v4);
        private.map_or(Address::ZERO, |address| family_address(address).1)
    };
    PeerEntry {
        endpoint: address,
        gateway: resolved.map_or(Address::ZERO, |path| family_address(path.gateway).1),
        family,
        pad: 0,
        port: endpoint.port().to_be_bytes(),
        ifindex: path.map_or(0, |_| underlay.ifindex),
        mtu: path.map_or(underlay.mtu, |path| path.mtu.min(underlay.mtu)),
        slot,
        packets: limit(peer.packets_per_second, MIN_BURST_PACKETS),
        bytes: limit(peer.bytes_per_second, MIN_BURST_BYTES),
        private: private(true).first(),
        private6: private(false),
        pad_end: [0; 4],
    }
}

/// Returns an entry with the path of another entry of the same peer.
pub(super) fn with_path_of(entry: &PeerEntry, previous: &PeerEntry) -> PeerEntry {
    PeerEntry {
        endpoint: previous.endpoint,
        gateway: previous.gateway,
        family: previous.family,
        port: previous.port,
        ifindex: previous.ifindex,
        mtu: previous.mtu,
        ..*entry
    }
}

/// Returns the address of a family that a peer's own interface carries, where its packets arrive
/// from another address.
fn private_address(
    peer: &config::Peer,
    learned: Option<&LearnedEndpoint>,
    v4: bool,
) -> Option<IpAddr> {
    let of_family = |address: &IpAddr| address.is_ipv4() == v4;
    let mut endpoints = peer.endpoints.iter().map(|at| at.value.ip());
    if !peer.learns {
        return peer.private_behind(endpoints.find(of_family)?);
    }
    let declared = peer.private_addresses.addresses().find(of_family);
    let reported = learned.map(|at| at.sent_from).filter(of_family);
    let arrives_from = learned.map(|at| at.endpoint.ip());
    declared.or(reported).filter(|private| Some(*private) != arrives_from)
}

/// Returns every outer address that identifies packets as a peer's, with flags: a NAT must have
/// rewritten the address of an endpoint that is not the address of the peer's interface. A private
/// address is none of them unless the peer says so: in this host's own network another host may
/// have it. Empty if the endpoint of the peer is learned: other hosts may be behind the same
/// address.
pub(super) fn source_addresses(peer: &config::Peer) -> Vec<(IpAddr, u32)> {
    let mut sources: Vec<(IpAddr, u32)> = Vec::new();
    if peer.learns {
        return sources;
    }
    for endpoint in peer.endpoints.iter().map(|at| at.value.ip()) {
        let rewritten = peer.private_behind(endpoint).is_some();
        sources.push((endpoint, if rewritten { SourceEntry::REWRITTEN } else { 0 }));
    }
    for private in peer.private_addresses.addresses().filter(|_| peer.accept_private) {
        if sources.iter().all(|(known, _)| *known != private) {
            sources.push((private, 0));
        }
    }
    sources
}

/// Returns how packets of a peer must look: first and last UDP source port, and the flags of a
/// member for ports and checksums. `own_port` is the VXLAN port of this host.
pub(super) fn source_ports_and_flags(peer: &config::Peer, own_port: u16) -> (u16, u16, u32) {
    let (low, high, from_flow) = match peer.source_port {
        PeerSourcePort::Flow => (0, 0, MemberEntry::FLOW_PORTS),
        PeerSourcePort::Fixed => {
            let port = peer.fixed_source_port(own_port);
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
