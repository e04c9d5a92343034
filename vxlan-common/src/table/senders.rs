//! Outer source addresses: which member may send from one, and which peers were refused.

use super::NetworkAddress;
use crate::{abi::abi, addr::Address};

/// The member that may send from an outer address in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct SourceEntry {
    /// Index of the member.
    pub member: u32,
    /// [`SourceEntry::REWRITTEN`], [`SourceEntry::SHARED`].
    pub flags: u32,
}

impl SourceEntry {
    /// The peer's interface carries another address than this one: a NAT rewrote it.
    pub const REWRITTEN: u32 = 1;
    /// Peers with a learned endpoint have this address too, and are told apart by the port. Never
    /// set in an entry of a [`Mapping`].
    pub const SHARED: u32 = 2;
}

/// The learned endpoint of a peer, in a network that it is a member of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Mapping {
    /// Network and outer source address.
    pub from: NetworkAddress,
    /// UDP source port, network order.
    pub port: [u8; 2],
    /// Zero.
    pub pad: [u8; 2],
}

/// An outer address by itself, which belongs to one peer in all networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct OuterAddress {
    /// Zero.
    pub pad: [u8; 3],
    /// [`IPV4`](crate::addr::IPV4) or [`IPV6`](crate::addr::IPV6).
    pub family: u8,
    /// The address.
    pub address: Address,
}

/// The peer that has an outer address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct AddressOwner {
    /// Index of the peer.
    pub peer: u32,
    /// [`AddressOwner::PRIVATE`].
    pub flags: u32,
}

impl AddressOwner {
    /// The address that the peer's own interface carries, which its packets may not come from: they
    /// are expected from the endpoint, and anybody in this host's own network may have the address.
    pub const PRIVATE: u32 = 1;
}

/// A peer seen in a network that it is not a member of; by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct NonMember {
    /// Index of the peer.
    pub peer: u32,
    /// Index of the network.
    pub network: u32,
}

abi! {
    SourceEntry: 8,
    Mapping: 24,
    OuterAddress: 20,
    AddressOwner: 8,
    NonMember: 8,
}
