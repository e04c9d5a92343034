//! Who may send from an outer address, and who was refused.

use super::NetworkAddress;
use crate::{abi::abi, addr::Address};

/// Who may send from an outer address in a network.
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
    /// It is also the address of peers whose endpoint is learned: the port may say that it is one
    /// of them. Not of a [`Mapping`].
    pub const SHARED: u32 = 2;
}

/// The learned endpoint of a peer, in a network that it is a member of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Mapping {
    /// Network and outer source.
    pub from: NetworkAddress,
    /// UDP source port, network order.
    pub port: [u8; 2],
    /// Zero.
    pub pad: [u8; 2],
}

/// An outer address on its own: which peer is it, whatever the network?
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
    NonMember: 8,
}
