//! The forwarding database: behind which member is a MAC address?

use crate::{
    abi::{abi, two_layouts},
    addr::Mac,
};

/// A station behind a network: who has this MAC?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct FdbKey {
    /// Overlay interface.
    pub ifindex: u32,
    /// The station.
    pub mac: Mac,
}

two_layouts! {
    /// Where a station is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[repr(C)]
    pub struct FdbEntry {
        /// Index of the member.
        pub member: u32,
        /// [`FdbEntry::STATIC`].
        pub flags: u32,
        moved {
            /// When it was last heard, by the daemon's clock (map `CLOCK`).
            pub seen: u32,
        }
    }
}

impl FdbEntry {
    /// Declared in the configuration: never learned over.
    pub const STATIC: u32 = 1;
}

abi! {
    FdbKey: 12,
    FdbEntry: 12,
}
