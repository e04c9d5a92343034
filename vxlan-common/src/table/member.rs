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
    /// Stations that may be learned behind it.
    pub max_stations: u32,
    /// First UDP source port that its peer sends from, where that does not depend on the flow.
    pub port_low: u16,
    /// The last such port.
    pub port_high: u16,
    /// Its declared MAC address; zero: none is.
    pub mac: Mac,
    /// The secret that stands for this member in the destination MAC ([`TAG_MAC`]); its last two
    /// bits are zero and take a [`Cast`].
    pub tag: Mac,
}

impl MemberEntry {
    /// Some `allowed_ips` are IPv6, so neighbour discovery may come from link-local addresses.
    pub const IPV6: u32 = 1;
    /// Its peer has a rate limit.
    pub const LIMITED: u32 = 2;
    /// Its peer sends from a port that is made from the flow hash.
    pub const FLOW_PORTS: u32 = 4;
    /// Its peer sends no UDP checksums.
    pub const ZERO_CHECKSUM: u32 = 8;
}

abi! {
    MemberEntry: 40,
}
