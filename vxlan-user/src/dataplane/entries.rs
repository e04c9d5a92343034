//! Plain values that are read from maps, without the maps' own layouts.

/// Packets of a peer dropped in a network that the peer is not a member of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonMemberDrops {
    pub peer: String,
    pub vni: u32,
    pub packets: u64,
}

/// A MAC address of the forwarding table (FDB).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacEntry {
    /// Overlay interface.
    pub ifindex: u32,
    pub mac: [u8; 6],
    /// Index of the member behind which the address is.
    pub member: u32,
    /// Declared in the configuration.
    pub is_static: bool,
    /// When the address was last seen as a source, in seconds since boot; meaningless if static.
    pub seen: u32,
}

/// How full a map is that fills by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapUsage {
    pub map: &'static str,
    pub entries: u64,
    pub capacity: u64,
}
