//! Keys and values of the maps: the contract between daemon and programs. Which map holds which is
//! written in `vxlan-ebpf/src/maps.rs`.
//!
//! Values from the wire are byte arrays in network order, so that they cannot be misread. Padding is
//! explicit and zero. Indices point into arrays the daemon fills before anything refers to them.

use crate::addr::{Address, Mac};

/// How an accepted frame is tagged between XDP and TC.
pub const TAG_METADATA: u8 = 0;
/// The tag is a secret destination MAC, for drivers without XDP metadata.
pub const TAG_MAC: u8 = 1;
/// [`TAG_METADATA`] until the driver refuses it once; `decap` then writes [`TAG_MAC`] here.
pub const TAG_AUTO: u8 = 2;

/// What applies to every packet. One entry, written by the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// Random at every start; proves to `deliver` that `decap` wrote the tag.
    pub secret: [u8; 8],
    /// The underlay interface's own IPv4 address; zero where it has none.
    pub address: [u8; 4],
    /// The IPv4 address that peers send to when a 1:1 NAT is in front; zero where there is none.
    pub public_address: [u8; 4],
    /// UDP destination port of VXLAN, network order.
    pub port: [u8; 2],
    /// [`TAG_METADATA`], [`TAG_MAC`] or [`TAG_AUTO`].
    pub tag: u8,
    /// 1: a VNI that is not ours is another VXLAN user's, leave it to the host.
    pub pass_unknown_vni: u8,
    /// 1: send from the VXLAN port instead of a port from the flow hash.
    pub fixed_source_port: u8,
    /// Zero.
    pub pad: [u8; 3],
}

/// An IP address within a network: key of the sources, data of the prefix trie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct NetworkAddress {
    /// VXLAN network identifier, network order.
    pub vni: [u8; 3],
    /// [`IPV4`](crate::addr::IPV4) or [`IPV6`](crate::addr::IPV6).
    pub family: u8,
    /// The address.
    pub address: Address,
}

impl NetworkAddress {
    /// Bits of the key in front of the address: a prefix of length n has n + 32 bits.
    pub const FIXED_BITS: u32 = 32;
    /// Bits of a key that holds a whole IPv4 address.
    pub const IPV4_BITS: u32 = Self::FIXED_BITS + 32;
    /// Bits of a key that holds a whole IPv6 address.
    pub const IPV6_BITS: u32 = Self::FIXED_BITS + 128;
}

/// Who may send from an outer address in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Source {
    /// Index of the member.
    pub member: u32,
    /// [`Source::REWRITTEN`].
    pub flags: u32,
}

impl Source {
    /// The peer's interface carries another address than this one: a NAT rewrote it.
    pub const REWRITTEN: u32 = 1;
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

/// Who owns an inner prefix: the index of a member, or [`LOCAL`].
pub type Owner = u32;
/// The prefix is on or behind this host.
pub const LOCAL: Owner = u32::MAX;

/// A network of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Network {
    /// The overlay interface; 0 while it does not exist.
    pub ifindex: u32,
    /// Counter slot of drops that belong to the network but to no peer.
    pub slot: u32,
    /// VNI, network order.
    pub vni: [u8; 3],
    /// Zero.
    pub pad: u8,
    /// MAC address of the overlay interface.
    pub mac: Mac,
}

/// A peer in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Member {
    /// Index of the peer.
    pub peer: u32,
    /// Index of the network.
    pub network: u32,
    /// Counter slot.
    pub slot: u32,
    /// [`Member::IPV6`].
    pub flags: u32,
    /// The secret that stands for this member in the destination MAC ([`TAG_MAC`]); its last two
    /// bits are zero and take a [`Cast`].
    pub tag: Mac,
}

impl Member {
    /// Some `allowed_ips` are IPv6, so neighbour discovery may come from link-local addresses.
    pub const IPV6: u32 = 1;
}

/// What the destination MAC was before a secret one replaced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cast {
    /// The overlay interface's own.
    Unicast = 0,
    /// ff:ff:ff:ff:ff:ff.
    Broadcast = 1,
    /// Derived from the inner IP destination (RFC 1112 section 6.4, RFC 2464 section 7).
    Multicast = 2,
}

/// Another host: where packets for it go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Peer {
    /// Outer destination address.
    pub endpoint: Address,
    /// Link-layer next hop: the gateway, or the endpoint itself on the same link. Zero while the
    /// kernel does not know its MAC: then it looks up the route, and resolves, by itself.
    pub gateway: Address,
    /// Family of `endpoint` and `gateway`.
    pub family: u8,
    /// Outer time to live.
    pub ttl: u8,
    /// UDP destination port, network order.
    pub port: [u8; 2],
    /// Underlay interface; 0: no route, or its next hop does not answer.
    pub ifindex: u32,
    /// Largest outer packet in bytes, from its IP header on.
    pub mtu: u32,
    /// Counter slot of drops that belong to the peer but to no network.
    pub slot: u32,
}

/// A station behind a network: who has this MAC?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct FdbKey {
    /// Overlay interface.
    pub ifindex: u32,
    /// The station.
    pub mac: Mac,
}

/// Where a station is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FdbEntry {
    /// Index of the member.
    pub member: u32,
    /// [`FdbEntry::STATIC`].
    pub flags: u32,
}

impl FdbEntry {
    /// Declared in the configuration: never learned over.
    pub const STATIC: u32 = 1;
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

/// What `decap` writes in front of an accepted frame and `deliver` reads. The network stack never
/// lets a frame from the wire bring its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Tag {
    /// [`Settings::secret`].
    pub secret: [u8; 8],
    /// Index of the network; also keeps GRO from merging two of them.
    pub network: u32,
    /// Counter slot.
    pub slot: u32,
}

/// What a secret destination MAC stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct TaggedMember {
    /// Index of the network.
    pub network: u32,
    /// Counter slot.
    pub slot: u32,
}

macro_rules! abi {
    ($($type:ty: $size:literal,)+) => {
        $(
            const _: () = assert!(size_of::<$type>() == $size);
            #[cfg(feature = "user")]
            // SAFETY: repr(C) of integers and byte arrays; the size above is the sum of the fields,
            // so there is no padding, and every bit pattern is a value.
            unsafe impl aya::Pod for $type {}
        )+
    };
}

abi! {
    Settings: 24,
    NetworkAddress: 20,
    Source: 8,
    OuterAddress: 20,
    Network: 20,
    Member: 24,
    Peer: 48,
    FdbKey: 12,
    FdbEntry: 8,
    NonMember: 8,
    Tag: 16,
    TaggedMember: 8,
}
