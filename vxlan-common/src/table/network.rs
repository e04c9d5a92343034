//! A network of this host, and the members that its BUM frames are copied to.

use super::RateLimit;
use crate::{
    abi::abi,
    addr::{Address, Mac},
};

/// A network of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct NetworkEntry {
    /// The overlay interface; 0 while it does not exist.
    pub ifindex: u32,
    /// Counter slot of drops that belong to the network but to no peer.
    pub slot: u32,
    /// VNI, network order.
    pub vni: [u8; 3],
    /// [`NetworkEntry::PASS_NESTED`], [`NetworkEntry::FLOOD_UNKNOWN`],
    /// [`NetworkEntry::STATIONS`], [`NetworkEntry::PASS_UNSPECIFIED`].
    pub flags: u8,
    /// MAC address of the overlay interface.
    pub mac: Mac,
    /// An IPv4 address of the overlay interface, source of ICMP messages; zero where it has none.
    pub address: [u8; 4],
    /// An IPv6 address of the overlay interface, likewise.
    pub address6: Address,
    /// Limit of BUM frames per second.
    pub bum_limit: RateLimit,
    /// The hidden port, through which `decap` redirects UDP in XDP into the overlay interface; 0:
    /// every frame goes to `deliver`.
    pub port: u32,
    /// Bytes of the longest frame that is redirected: what the pair carries.
    pub max_redirected: u32,
}

impl NetworkEntry {
    /// Tunnels inside the tunnel are accepted.
    pub const PASS_NESTED: u8 = 1;
    /// A frame to a MAC address without an FDB entry goes to every member.
    pub const FLOOD_UNKNOWN: u8 = 2;
    /// Some prefixes are [`LOCAL_STATIONS`](super::LOCAL_STATIONS), so neighbour discovery may go
    /// to link-local addresses of other hosts than this one.
    pub const STATIONS: u8 = 4;
    /// Hosts that have no address yet may ask for one, or whether one is taken.
    pub const PASS_UNSPECIFIED: u8 = 8;
}

/// Members that a frame is copied to, at most.
pub const MAX_FLOOD_MEMBERS: usize = 64;

/// The members that get a copy of BUM frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FloodList {
    /// Number of entries in `members`.
    pub len: u32,
    /// Indices of members.
    pub members: [u32; MAX_FLOOD_MEMBERS],
}

abi! {
    NetworkEntry: 64,
    FloodList: 260,
}
