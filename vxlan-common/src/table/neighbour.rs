//! The neighbour cache: which MAC address has an IP address behind a member?

use crate::{
    abi::{abi, two_layouts},
    addr::{Address, Mac},
};

two_layouts! {
    /// Where a member's neighbours are kept: the low bits of a hash of the address.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[repr(C)]
    pub struct NeighbourKey {
        /// Index of the member.
        pub member: u32,
        moved {
            /// Below [`NEIGHBOURS`].
            pub place: u32,
        }
    }
}

impl NeighbourKey {
    /// Where an address of a member is kept.
    #[inline(always)]
    pub const fn for_address(member: u32, address: &Address) -> Self {
        let words = address.be32(0) ^ address.be32(1) ^ address.be32(2) ^ address.be32(3);
        Self { member, place: (words ^ words >> 8) % NEIGHBOURS }
    }
}

/// Neighbours kept for each member.
pub const NEIGHBOURS: u32 = 16;

/// An address of a member's, and who has it. The last one heard at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Neighbour {
    /// The address.
    pub address: Address,
    /// Its MAC address.
    pub mac: Mac,
    /// When it was heard, in ns since boot.
    pub seen: u64,
}

abi! {
    NeighbourKey: 8,
    Neighbour: 32,
}
