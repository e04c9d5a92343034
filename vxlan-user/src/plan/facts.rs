//! What a plan must know of this host, and how large an overlay's packets may be on it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use vxlan_common::outer::{OVERHEAD_IPV4, OVERHEAD_IPV6};

use ipnet::IpNet;

use crate::config::{self, Config};

/// The underlay interface, as far as the maps are concerned.
#[derive(Clone, Copy, Debug)]
pub struct UnderlayFacts {
    pub ifindex: u32,
    pub mtu: u32,
    /// The source address of our packets, and the destination of packets from peers.
    pub v4: Option<Ipv4Addr>,
    /// As `v4`, for IPv6.
    pub v6: Option<Ipv6Addr>,
}

impl UnderlayFacts {
    /// Returns the address of each family that the interface has.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.v4.map(IpAddr::V4).into_iter().chain(self.v6.map(IpAddr::V6))
    }

    /// Returns the source address of packets to `destination`.
    pub fn source_for(&self, destination: IpAddr) -> Option<IpAddr> {
        self.addresses().find(|address| address.is_ipv4() == destination.is_ipv4())
    }
}

/// The overlay interface of one network.
#[derive(Clone, Copy, Debug)]
pub struct OverlayFacts {
    pub ifindex: u32,
    pub mac: [u8; 6],
    /// Absent: XDP redirects nothing into the interface.
    pub redirect: Option<RedirectTarget>,
}

/// Where XDP redirects frames that are to arrive at an overlay interface.
#[derive(Clone, Copy, Debug)]
pub struct RedirectTarget {
    /// The hidden port.
    pub ifindex: u32,
    /// That of both ends of the pair.
    pub mtu: u32,
}

/// Derives the MAC address of an overlay interface: locally administered, unicast (IEEE 802,
/// section 8.2). The address is the same whenever the interface is made again, since peers go on to
/// send to the address that they have learned.
pub fn overlay_mac(secret: &str, underlay: [u8; 6], vni: u32) -> [u8; 6] {
    let digest = Sha256::new()
        .chain_update(secret)
        .chain_update(underlay)
        .chain_update(vni.to_be_bytes())
        .finalize();
    let mut mac = [0; 6];
    mac.copy_from_slice(&digest[..6]);
    mac[0] = mac[0] & !1 | 2;
    mac
}

/// The path to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerPath {
    /// The endpoint of the peer that the path leads to.
    pub endpoint: SocketAddr,
    /// Next hop on the link: the gateway, or the endpoint itself.
    pub gateway: IpAddr,
    /// The kernel knows the next hop's MAC, so that packets need not wait for it.
    pub resolved: bool,
    /// Path MTU as far as it is known: that of the route, or that of the interface.
    pub mtu: u32,
}

/// The endpoint of a peer, as authenticated probes have proved it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedEndpoint {
    /// Outer source address and UDP source port, as they arrived.
    pub endpoint: SocketAddr,
    /// The outer source address that the peer reports to have sent from.
    pub sent_from: IpAddr,
}

/// Returns the endpoint of a peer, as far as it is known: the learned one, or the first declared
/// one.
pub fn known_endpoint(
    peer: &config::Peer,
    learned: Option<&LearnedEndpoint>,
) -> Option<SocketAddr> {
    learned.map(|at| at.endpoint).or_else(|| peer.endpoint())
}

/// Returns the MTU of an overlay interface for which the configuration has none: the underlay's MTU
/// less the longest outer headers that the members need.
pub fn default_overlay_mtu(
    config: &Config,
    network: &config::Network,
    underlay: &UnderlayFacts,
) -> u32 {
    underlay.mtu.saturating_sub(overhead(config, network, underlay))
}

/// Returns the length, in bytes, of the longest outer headers that the members of a network need:
/// those over IPv6 are longer. A learned endpoint may be of every family that the underlay has.
pub fn overhead(config: &Config, network: &config::Network, underlay: &UnderlayFacts) -> u32 {
    let mut peers = network.members.iter().map(|member| &config.peers[member.peer]);
    let ipv6 = peers.any(|peer| {
        let declared = peer.endpoints.iter().any(|endpoint| endpoint.is_ipv6());
        declared || peer.learns && underlay.v6.is_some()
    });
    if ipv6 { OVERHEAD_IPV6 as u32 } else { OVERHEAD_IPV4 as u32 }
}

/// Tells why no peer can be at a learned endpoint, by the rules for declared ones. `None`: a peer
/// can. `own`: this host's addresses, with the prefix lengths of their networks; a probe that seems
/// to come from one of these would have this host send to itself, or to everybody.
pub fn unfit_endpoint(endpoint: SocketAddr, own: &[IpNet]) -> Option<&'static str> {
    if endpoint.port() == 0 {
        return Some("has port 0");
    }
    let address = endpoint.ip();
    let of_own_link = own.iter().find_map(|net| unfit_on_link(net, address));
    of_own_link.or_else(|| config::unfit_for_endpoint(address))
}

/// Tells what an address is that no other host on the link of this host's address `own` can have.
/// `None`: another host can.
pub fn unfit_on_link(own: &IpNet, address: IpAddr) -> Option<&'static str> {
    // Networks of one or two addresses have neither a network nor a broadcast address.
    let wide = own.addr().is_ipv4() && own.max_prefix_len() - own.prefix_len() > 1;
    if address == own.addr() {
        Some("is this host's own address")
    } else if wide && address == own.broadcast() {
        Some("is the broadcast address of the network")
    } else if wide && address == own.network() {
        Some("is the address of the network itself")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_learned_endpoint_is_held_to_the_rules_of_a_declared_one() {
        let own: Vec<IpNet> = ["10.0.0.2/24", "203.0.113.10/32", "2001:db8::2/64", "192.0.2.1/31"]
            .map(|net| net.parse().expect("a prefix"))
            .to_vec();
        for (endpoint, fits) in [
            ("198.51.100.20:1024", true),
            ("10.0.0.3:4789", true),
            ("192.0.2.0:4789", true),
            ("[2001:db8::3]:4789", true),
            ("198.51.100.20:0", false),
            ("10.0.0.2:4789", false),
            ("203.0.113.10:4789", false),
            ("[2001:db8::2]:4789", false),
            ("10.0.0.255:4789", false),
            ("10.0.0.0:4789", false),
            ("0.0.0.0:4789", false),
            ("0.1.2.3:4789", false),
            ("127.0.0.1:4789", false),
            ("224.0.0.1:4789", false),
            ("240.0.0.1:4789", false),
            ("255.255.255.255:4789", false),
            ("[::]:4789", false),
            ("[::1]:4789", false),
            ("[ff02::1]:4789", false),
            ("[fe80::1]:4789", false),
            ("[::ffff:198.51.100.20]:4789", false),
        ] {
            let why = unfit_endpoint(endpoint.parse().expect("an endpoint"), &own);
            assert_eq!(why.is_none(), fits, "{endpoint}: {why:?}");
        }
    }
}
