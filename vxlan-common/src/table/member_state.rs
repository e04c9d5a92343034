//! What `decap` keeps of a member, from the packets that it sends.

use crate::{
    abi::{abi, two_layouts},
    addr::{Address, Mac},
    flow,
};

two_layouts! {
    /// What `decap` remembers of a member.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[repr(C)]
    pub struct MemberState {
        /// The station last heard, so that an unchanged one costs no lookup.
        pub last: Mac,
        /// Stations learned, less those that moved to another member. Those that the daemon has
        /// forgotten (map `FORGOTTEN`) are still in it; both wrap.
        pub stations: u64,
        /// When `last` was noted, by the daemon's clock.
        pub seen: u32,
        /// Zero.
        pub pad: u32,
        moved {
            /// Where its packets came from.
            pub observed: ObservedEndpoint,
        }
    }
}

/// Words of [`ObservedEndpoint::seen`].
const WORDS: usize = 8;

/// Where a member's packets came from. A part of [`MemberState`](crate::table::MemberState).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ObservedEndpoint {
    /// A set bit for each mapping seen, at [`ObservedEndpoint::bit_for`].
    pub seen: [u64; WORDS],
    /// Outer source of the latest packet.
    pub address: Address,
    /// How often `address` or `port` has changed.
    pub changes: u32,
    /// When they last did, by the daemon's clock (map `CLOCK`).
    pub changed: u32,
    /// UDP source port of the latest packet; 0: it was as sent.
    pub port: u16,
    /// TTL or hop limit of the latest packet.
    pub ttl: u8,
    /// Of `address`; 0: there was no packet yet.
    pub family: u8,
    /// Zero.
    pub pad: u32,
}

impl ObservedEndpoint {
    /// Nothing yet.
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

    /// Which bit of [`Self::seen`] stands for a mapping.
    #[inline(always)]
    pub const fn bit_for(address: &Address, port: u16) -> u32 {
        flow::hash(address, &Address::ZERO, port as u32, 0) % (WORDS as u32 * 64)
    }

    /// The same mapping?
    #[inline(always)]
    pub const fn equals(&self, family: u8, address: &Address, port: u16) -> bool {
        self.family == family && self.port == port && self.address.equals(address)
    }
}

#[cfg(feature = "user")]
impl ObservedEndpoint {
    /// How many different mappings were seen, from the bits that are set (linear counting): right
    /// for a few, an estimate for hundreds, at most 3194.
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
