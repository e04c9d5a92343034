//! How much a configuration may ask of one host: the sizes of the maps that it fills.

/// Networks.
pub const MAX_NETWORKS: u32 = 1_024;
/// Peers.
pub const MAX_PEERS: u32 = 16_384;
/// Outer addresses of all peers.
pub const MAX_PEER_ADDRESSES: u32 = 32_768;
/// Members of all networks.
pub const MAX_MEMBERS: u32 = 16_384;
/// Outer addresses of the members of all networks.
pub const MAX_SOURCES: u32 = 32_768;
/// Inner prefixes of all networks.
pub const MAX_PREFIXES: u32 = 65_536;
