//! What a plan must know of this host, and how large an overlay's packets may be on it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sha2::{Digest as _, Sha256};
use vxlan_common::outer::{OVERHEAD_IPV4, OVERHEAD_IPV6};

use crate::config::{self, Config};

/// The underlay interface, as far as the maps are concerned.
#[derive(Clone, Copy, Debug)]
pub struct UnderlayFacts {
    pub ifindex: u32,
    pub mtu: u32,
    /// Where our packets come from and peers' packets arrive.
    pub v4: Option<Ipv4Addr>,
    /// The same of IPv6.
    pub v6: Option<Ipv6Addr>,
}

impl UnderlayFacts {
    /// The address of each family that it has.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.v4.map(IpAddr::V4).into_iter().chain(self.v6.map(IpAddr::V6))
    }

    /// The address to send to `destination` from.
    pub fn source_for(&self, destination: IpAddr) -> Option<IpAddr> {
        self.addresses().find(|address| address.is_ipv4() == destination.is_ipv4())
    }
}

/// The overlay interface of one network.
#[derive(Clone, Copy, Debug)]
pub struct OverlayFacts {
    pub ifindex: u32,
    pub mac: [u8; 6],
}

/// The overlay interface's address: locally administered, unicast (IEEE 802, section 8.2), and the same
/// whenever it is made anew, as peers go on to send to the one that they know.
pub fn overlay_mac(underlay: [u8; 6], vni: u32) -> [u8; 6] {
    let digest = Sha256::new().chain_update(underlay).chain_update(vni.to_be_bytes()).finalize();
    let mut mac = [0; 6];
    mac.copy_from_slice(&digest[..6]);
    mac[0] = mac[0] & !1 | 2;
    mac
}

/// The way to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerPath {
    /// Which of the peer's endpoints it leads to.
    pub endpoint: SocketAddr,
    /// Next hop on the link: the gateway, or the endpoint itself.
    pub gateway: IpAddr,
    /// The kernel knows the next hop's MAC, so that packets need not wait for it.
    pub resolved: bool,
    /// Of the path, as far as it is known: the route's own MTU, or the interface's.
    pub mtu: u32,
}

/// The overlay's MTU where the configuration does not say: what fits the underlay, and the longest
/// outer headers that its members need.
pub fn default_overlay_mtu(
    config: &Config,
    network: &config::Network,
    underlay: &UnderlayFacts,
) -> u32 {
    underlay.mtu.saturating_sub(overhead(config, network, underlay))
}

/// What the outer headers take for the members of a network: more over IPv6. A learned endpoint may be
/// of every family that the underlay has.
pub fn overhead(config: &Config, network: &config::Network, underlay: &UnderlayFacts) -> u32 {
    let mut peers = network.members.iter().map(|member| &config.peers[member.peer]);
    let ipv6 = peers.any(|peer| {
        let declared = peer.endpoints.iter().any(|endpoint| endpoint.is_ipv6());
        declared || peer.learns && underlay.v6.is_some()
    });
    if ipv6 { OVERHEAD_IPV6 as u32 } else { OVERHEAD_IPV4 as u32 }
}
