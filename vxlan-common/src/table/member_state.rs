//! What `decap` stores about a member, from the packets that the member sends.

use crate::{
    abi::{abi, two_layouts},
    addr::{Address, Mac},
    flow,
};

two_layouts! {
    /// What `decap` stores about a member.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[repr(C)]
    pub struct MemberState {
        /// Source MAC of the latest frame, so that an unchanged one costs no lookup.
        pub last: Mac,
        /// MAC addresses learned, less those that moved to another member. Includes those that the
        /// daemon has removed since (map `FORGOTTEN`); both numbers wrap.
        pub stations: u64,
        /// When `last` was written, in seconds of the daemon's clock (map `CLOCK`).
        pub seen: u32,
        /// Zero.
        pub pad: u32,
        moved {
            /// The endpoint that the member's packets come from.
            pub observed: ObservedEndpoint,
        }
    }
}

/// Words of [`ObservedEndpoint::seen`].
const WORDS: usize = 8;

/// The endpoint that a member's packets come from. A part of
/// [`MemberState`](crate::table::MemberState).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ObservedEndpoint {
    /// A set bit for each mapping seen, at [`ObservedEndpoint::bit_for`].
    pub seen: [u64; WORDS],
    /// Outer source of the latest packet.
    pub address: Address,
    /// Number of changes of `address` or `port`.
    pub changes: u32,
    /// When they last changed, in seconds of the daemon's clock (map `CLOCK`).
    pub changed: u32,
    /// UDP source port of the latest packet; 0: the port was not rewritten.
    pub port: u16,
    /// TTL or hop limit of the latest packet.
    pub ttl: u8,
    /// Family of `address`; 0: there was no packet yet.
    pub family: u8,
    /// Zero.
    pub pad: u32,
}

impl ObservedEndpoint {
    /// No packet yet.
    pub const NONE: Self = Self {
        seen: [0; WORDS],
        address: Address::ZERO,
        changes: 0,
        changed: 0,
        port: 0,
        ttl: 0,
        family: 0,
        pad: 0,
    };

    /// The bit of [`Self::seen`] that stands for a mapping.
    #[inline(always)]
    pub const fn bit_for(address: &Address, port: u16) -> u32 {
        flow::hash(address, &Address::ZERO, port as u32, 0) % (WORDS as u32 * 64)
    }

    /// The mapping is this one.
    #[inline(always)]
    pub const fn equals(&self, family: u8, address: &Address, port: u16) -> bool {
        self.family == family && self.port == port && self.address.equals(address)
    }
}

#[cfg(feature = "user")]
impl ObservedEndpoint {
    /// The number of different mappings seen, estimated from the bits that are set (linear
    /// counting): right for a few, an estimate for hundreds, at most 3194.
    pub fn mappings(seen: &[u64; WORDS]) -> u32 {
        let set: u32 = seen.iter().map(|word| word.count_ones()).sum();
        let all = WORDS as f64 * 64.0;
        let clear = (all - f64::from(set)).max(1.0);
        (all * (all / clear).ln()).round() as u32
    }
}

abi! {
    MemberState: 120,
    ObservedEndpoint: 96,
}
