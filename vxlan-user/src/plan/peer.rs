//! One peer: its entry, which changes with the way to it, and the addresses its packets come from.

use std::net::IpAddr;

use vxlan_common::{
    addr::Address,
    table::{Peer, Rate, Source},
};

use super::{BURST, UnderlayFacts, WayFacts, family_address};
use crate::config;

/// Packets that may come at once, however low the limit: what one burst of a sender is made of.
const LEAST_PACKETS: u64 = 32;
/// The same in bytes: the largest packet twice over.
const LEAST_BYTES: u64 = 131_072;

/// The entry of one peer, also for a change of the way to it alone. Without a way it names the first
/// endpoint, and nothing is sent there.
pub fn peer_entry(
    peer: &config::Peer,
    underlay: &UnderlayFacts,
    way: Option<&WayFacts>,
    slot: u32,
) -> Peer {
    let endpoint = way.map_or(peer.endpoint().value, |way| way.endpoint);
    let (family, address) = family_address(endpoint.ip());
    // A gateway of the other family (RFC 8950) is left to the kernel's own lookup.
    let same_family = |way: &&WayFacts| way.gateway.is_ipv4() == endpoint.is_ipv4();
    let resolved = way.filter(|way| way.resolved).filter(same_family);
    let limit = |units: Option<u64>, least| Rate::per_second(units.unwrap_or(0), BURST, least);
    Peer {
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
        private: [0; 4],
        private6: Address::ZERO,
        pad_end: [0; 4],
    }
}

/// Every outer address that a peer's packets may come from, and whether a NAT must have rewritten
/// it: an endpoint, where that is not the address its interface carries, has been.
pub(super) fn source_addresses(peer: &config::Peer) -> Vec<(IpAddr, u32)> {
    let mut sources: Vec<(IpAddr, u32)> = Vec::new();
    for endpoint in peer.endpoints.iter().map(|at| at.value.ip()) {
        let rewritten = peer.private_behind(endpoint).is_some();
        sources.push((endpoint, if rewritten { Source::REWRITTEN } else { 0 }));
    }
    for private in peer.private_addresses.iter().map(|at| at.value) {
        if sources.iter().all(|(known, _)| *known != private) {
            sources.push((private, 0));
        }
    }
    sources
}
