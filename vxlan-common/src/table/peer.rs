//! Another host, and the path to it.

use super::RateLimit;
use crate::{abi::abi, addr::Address, outer};

/// Another host, and the path to it. `PEERS` has two elements for each, of which one is active
/// ([`active_element`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct PeerEntry {
    /// Outer destination address.
    pub endpoint: Address,
    /// Link-layer next hop: the gateway, or the endpoint itself on the same link. Zero while the
    /// kernel does not know its MAC: then it looks up the route, and resolves, by itself.
    pub gateway: Address,
    /// Family of `endpoint` and `gateway`.
    pub family: u8,
    /// Zero.
    pub pad: u8,
    /// UDP destination port, network order.
    pub port: [u8; 2],
    /// Underlay interface; 0: no route, or the next hop does not answer.
    pub ifindex: u32,
    /// Largest outer packet in bytes, from its IP header on.
    pub mtu: u32,
    /// Counter slot of drops that belong to the peer but to no network.
    pub slot: u32,
    /// Limit of received packets.
    pub packets: RateLimit,
    /// Limit of received inner frames, in bytes.
    pub bytes: RateLimit,
    /// The IPv4 address of the peer's interface, if a NAT replaces it as source of the peer's
    /// packets; else zero.
    pub private: [u8; 4],
    /// The IPv6 address, likewise.
    pub private6: Address,
    /// Zero.
    pub pad_end: [u8; 4],
}

impl PeerEntry {
    /// Largest inner IP packet in bytes.
    #[inline(always)]
    pub const fn inner_mtu(&self) -> u32 {
        self.mtu.saturating_sub(outer::overhead(self.family))
    }
}

/// The index of the active one of a peer's two elements, by the peer's version.
#[inline(always)]
pub const fn active_element(peer: u32, version: u32) -> u32 {
    2 * peer + (version & 1)
}

abi! {
    PeerEntry: 104,
}
