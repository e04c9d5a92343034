//! What the host shall have for each network: overlay interface, addresses, settings, routes and
//! blackholes, as a function of the configuration and of the record of what was made. Pure.

use std::net::IpAddr;

use ipnet::IpNet;
use vxlan_common::{
    outer::{OVERHEAD_IPV4, OVERHEAD_IPV6},
    table::PeerEntry,
    wire::ipv6::MIN_MTU as MIN_IPV6_MTU,
};

use super::preflight::Preflight;
use crate::{
    config::{self, RouteTable},
    dataplane::TcHook,
    host::{Made, OverlaySpec, RouteSpec, hidden_name},
    plan::{self, overlay_mac},
    state::NetworkRecord,
};

/// The smallest MTU that IPv4 links have (RFC 791).
const MIN_IPV4_MTU: u32 = 68;

/// Returns what the host shall have for one network. `secret` is the host's own, from which the MAC
/// address of a new interface is derived. `made` is the record of what a previous start,
/// or this daemon, has made for it. `peers` has the entry of each peer, with the MTU of the path to
/// it, as far as paths are known.
pub(in crate::daemon) fn overlay_spec(
    (preflight, secret): (&Preflight, &str),
    network: &config::Network,
    planned: &NetworkRecord,
    made: Option<&NetworkRecord>,
    peers: &[PeerEntry],
) -> OverlaySpec {
    let vni = network.vni.value.get();
    let routes = || {
        network.members.iter().flat_map(|member| {
            let path_mtu = peers.get(member.peer).and_then(inner_mtu);
            member.allowed_ips.iter().map(move |prefix| {
                let prefix = prefix.value;
                let mtu = path_mtu.filter(|mtu| *mtu < planned.mtu).map(|mtu| floor(prefix, mtu));
                RouteSpec { prefix, source: source_for(network, prefix), mtu }
            })
        })
    };
    OverlaySpec {
        name: network.interface.value.clone(),
        hidden_name: hidden_name(vni),
        vni,
        mac: planned.mac.unwrap_or_else(|| overlay_mac(secret, preflight.underlay.mac, vni)),
        mtu: planned.mtu,
        addresses: network.addresses.iter().map(|at| at.value).collect(),
        ipv6: network.has_ipv6(),
        proxy_arp: routes_beyond_link(network),
        routes: if routed(network) { routes().collect() } else { Vec::new() },
        any_route_mtu: peers.is_empty(),
        blackholes: network.blackhole,
        clsact: planned.tc == Some(TcHook::Netlink),
        made: made.map_or_else(Made::default, NetworkRecord::made),
    }
}

/// Returns the prefixes that the host routes through a network.
pub(in crate::daemon) fn routed_prefixes(network: &config::Network) -> Vec<IpNet> {
    if routed(network) { network.prefixes().map(|at| at.value).collect() } else { Vec::new() }
}

/// Returns whether this host has IPv4 prefixes behind it that its own interface addresses do not
/// cover. The routes of peers have these prefixes on the link, so that peers send ARP requests for
/// their hosts, which this host must answer.
pub(in crate::daemon) fn routes_beyond_link(network: &config::Network) -> bool {
    let mut ipv4 = network.local_ips.iter().filter(|prefix| prefix.addr().is_ipv4());
    !network.addresses.is_empty() && ipv4.any(|prefix| !network.is_on_link(prefix))
}

fn routed(network: &config::Network) -> bool {
    network.route_table.value == RouteTable::Main
}

/// Chooses the source address of a route: the address of this host in the network, of the family of
/// the prefix. Peers accept no other source.
fn source_for(network: &config::Network, prefix: IpNet) -> Option<IpAddr> {
    let addresses = network.addresses.iter().map(|at| at.value.addr());
    addresses.into_iter().find(|address| address.is_ipv4() == prefix.addr().is_ipv4())
}

/// Returns the longest inner packet that passes on the path to a peer. With it on the route the
/// host fragments what may be fragmented, and tells senders of the rest before they send.
fn inner_mtu(peer: &PeerEntry) -> Option<u32> {
    let endpoint = plan::entry_endpoint(peer);
    let overhead = if endpoint.is_ipv4() { OVERHEAD_IPV4 } else { OVERHEAD_IPV6 };
    let known = peer.ifindex != 0 && peer.mtu != 0;
    known.then(|| peer.mtu.saturating_sub(overhead as u32))
}

/// The least MTU that a route may have.
fn floor(prefix: IpNet, mtu: u32) -> u32 {
    mtu.max(if prefix.addr().is_ipv4() { MIN_IPV4_MTU } else { MIN_IPV6_MTU })
}
