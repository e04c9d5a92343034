//! Another host: where packets for it go.

use super::RateLimit;
use crate::{abi::abi, addr::Address, outer};

/// Another host: where packets for it go. There are two elements for each, of which one counts
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
    /// Underlay interface; 0: no route, or its next hop does not answer.
    pub ifindex: u32,
    /// Largest outer packet in bytes, from its IP header on.
    pub mtu: u32,
    /// Counter slot of drops that belong to the peer but to no network.
    pub slot: u32,
    /// Received packets.
    pub packets: RateLimit,
    /// Bytes of received inner frames.
    pub bytes: RateLimit,
    /// What its interface carries, where the address that its packets come from is another one;
    /// else zero.
    pub private: [u8; 4],
    /// The same of IPv6.
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

/// Which of the two elements of a peer counts, by the number of its latest change.
#[inline(always)]
pub const fn active_element(peer: u32, version: u32) -> u32 {
    2 * peer + (version & 1)
}

abi! {
    PeerEntry: 104,
}
