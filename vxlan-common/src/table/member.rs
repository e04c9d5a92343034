//! A peer in a network, as the daemon declares it.

use crate::{abi::abi, addr::Mac};

/// A peer in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct MemberEntry {
    /// Index of the peer.
    pub peer: u32,
    /// Index of the network.
    pub network: u32,
    /// Counter slot.
    pub slot: u32,
    /// [`MemberEntry::IPV6`], [`MemberEntry::LIMITED`], [`MemberEntry::FLOW_PORTS`],
    /// [`MemberEntry::ZERO_CHECKSUM`].
    pub flags: u32,
    /// MAC addresses that may be learned behind the member, at most.
    pub max_stations: u32,
    /// First UDP source port that the peer sends from, unless the port depends on the flow.
    pub port_low: u16,
    /// The last such port.
    pub port_high: u16,
    /// The declared MAC address; zero: none is declared.
    pub mac: Mac,
    /// The secret that stands for this member in the destination MAC ([`TAG_MAC`]); its last two
    /// bits are zero and take a [`Cast`].
    pub tag: Mac,
}

impl MemberEntry {
    /// Some `allowed_ips` are IPv6, so neighbour discovery may come from link-local addresses.
    pub const IPV6: u32 = 1;
    /// The peer has a rate limit.
    pub const LIMITED: u32 = 2;
    /// The peer derives the source port from the flow hash.
    pub const FLOW_PORTS: u32 = 4;
    /// The peer leaves the UDP checksum zero.
    pub const ZERO_CHECKSUM: u32 = 8;
}

abi! {
    MemberEntry: 40,
}
