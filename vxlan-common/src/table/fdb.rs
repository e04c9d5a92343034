//! The forwarding database: the member behind which a MAC address is.

use crate::{
    abi::{abi, two_layouts},
    addr::Mac,
};

/// A MAC address in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct FdbKey {
    /// Overlay interface.
    pub ifindex: u32,
    /// The MAC address.
    pub mac: Mac,
}

two_layouts! {
    /// The member that a MAC address is behind.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[repr(C)]
    pub struct FdbEntry {
        /// Index of the member.
        pub member: u32,
        /// [`FdbEntry::STATIC`].
        pub flags: u32,
        moved {
            /// When a frame from the MAC address last arrived, in seconds of the daemon's clock
            /// (map `CLOCK`).
            pub seen: u32,
        }
    }
}

impl FdbEntry {
    /// The entry is declared in the configuration, and never replaced by learning.
    pub const STATIC: u32 = 1;
}

abi! {
    FdbKey: 12,
    FdbEntry: 12,
}
