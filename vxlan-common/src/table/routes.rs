//! Inner prefixes and their owners.

use crate::{abi::abi, addr::Address};

/// An IP address within a network: key of the sources, data of the prefix trie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct NetworkAddress {
    /// VXLAN network identifier, network order.
    pub vni: [u8; 3],
    /// [`IPV4`](crate::addr::IPV4) or [`IPV6`](crate::addr::IPV6).
    pub family: u8,
    /// The address.
    pub address: Address,
}

impl NetworkAddress {
    /// Bits of the key in front of the address: a prefix of length n has n + 32 bits.
    pub const FIXED_BITS: u32 = 32;
    /// Bits of a key that holds a whole IPv4 address.
    pub const IPV4_BITS: u32 = Self::FIXED_BITS + 32;
    /// Bits of a key that holds a whole IPv6 address.
    pub const IPV6_BITS: u32 = Self::FIXED_BITS + 128;
}

/// The owner of an inner prefix: the index of a member, [`LOCAL`] or [`LOCAL_STATIONS`].
pub type Owner = u32;
/// The prefix is on or behind this host, and reached by the MAC address of the overlay interface.
pub const LOCAL: Owner = u32::MAX;
/// The prefix is of hosts behind this one, which may be reached by MAC addresses of their own: the
/// overlay interface may be a port of a bridge.
pub const LOCAL_STATIONS: Owner = LOCAL - 1;

/// The prefix is on or behind this host.
#[inline(always)]
pub const fn is_local(owner: Owner) -> bool {
    owner >= LOCAL_STATIONS
}

abi! {
    NetworkAddress: 20,
}
