//! The neighbour cache: the MAC address of an inner IP address behind a member.

use crate::{
    abi::{abi, two_layouts},
    addr::{Address, Mac},
};

two_layouts! {
    /// One of the hash buckets of a member, each with room for one neighbour.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[repr(C)]
    pub struct NeighbourKey {
        /// Index of the member.
        pub member: u32,
        moved {
            /// Number of the bucket, below [`NEIGHBOURS`]: the low bits of a hash of the address.
            pub place: u32,
        }
    }
}

impl NeighbourKey {
    /// The bucket of an address behind a member.
    #[inline(always)]
    pub const fn for_address(member: u32, address: &Address) -> Self {
        let words = address.be32(0) ^ address.be32(1) ^ address.be32(2) ^ address.be32(3);
        Self { member, place: (words ^ words >> 8) % NEIGHBOURS }
    }
}

/// Number of buckets of each member.
pub const NEIGHBOURS: u32 = 16;

/// An address behind a member, and its MAC address: the latest one learned of all addresses that
/// share the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Neighbour {
    /// The address.
    pub address: Address,
    /// Its MAC address.
    pub mac: Mac,
    /// When the address was learned, in ns since boot. [`Neighbour::UNANSWERED`]: a request for it
    /// was sent to its MAC address since, and it has not answered.
    pub seen: u64,
}

impl Neighbour {
    /// For [`Neighbour::seen`]: no time at which a packet was received.
    pub const UNANSWERED: u64 = 0;
}

abi! {
    NeighbourKey: 8,
    Neighbour: 32,
}
