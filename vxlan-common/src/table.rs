//! Keys and values of the maps: the contract between daemon and programs. Which map holds which is
//! written in `vxlan-ebpf/src/maps.rs`.
//!
//! Values from the wire are byte arrays in network order, so that they cannot be misread. Padding is
//! explicit and zero. Indices point into arrays the daemon fills before anything refers to them.

use crate::{
    addr::{Address, Mac},
    nat::ObservedEndpoint,
    outer,
};

/// Asserts sizes, and that a type may be copied to and from the kernel as bytes.
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
pub(crate) use abi;

/// How an accepted frame is tagged between XDP and TC.
pub const TAG_METADATA: u8 = 0;
/// The tag is a secret destination MAC, for drivers without XDP metadata.
pub const TAG_MAC: u8 = 1;
/// [`TAG_METADATA`] until the driver refuses it once; `decap` then writes [`TAG_MAC`] here.
pub const TAG_AUTO: u8 = 2;

/// What applies to every packet. One entry, written by the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct GlobalSettings {
    /// Random at every start; proves to `deliver` that `decap` wrote the tag.
    pub secret: [u8; 8],
    /// The underlay interface's own IPv4 address; zero where it has none.
    pub address: [u8; 4],
    /// The IPv4 address that peers send to when a 1:1 NAT is in front; zero where there is none.
    pub public_address: [u8; 4],
    /// The same of IPv6.
    pub address6: Address,
    /// The same of IPv6.
    pub public_address6: Address,
    /// UDP destination port of VXLAN, network order.
    pub port: [u8; 2],
    /// [`TAG_METADATA`], [`TAG_MAC`] or [`TAG_AUTO`].
    pub tag: u8,
    /// 1: a VNI that is not ours is another VXLAN user's, leave it to the host.
    pub pass_unknown_vni: u8,
    /// 1: send from the VXLAN port instead of a port from the flow hash.
    pub fixed_source_port: u8,
    /// 1: reserved bits of a received VXLAN header say nothing (RFC 7348); 0: they are refused.
    pub ignore_reserved_bits: u8,
    /// 1: a UDP checksum of a received packet says nothing; 0: one that is not zero must be right.
    pub ignore_udp_checksum: u8,
    /// Outer time to live; 0: the inner one.
    pub ttl: u8,
    /// Outer DSCP, 0 to 63; [`DSCP_INHERIT`]: the inner one.
    pub dscp: u8,
    /// 1: packets of `probe_vni` are probes.
    pub probes: u8,
    /// VNI of probes, network order.
    pub probe_vni: [u8; 3],
    /// Zero.
    pub pad: [u8; 3],
}

/// For [`GlobalSettings::dscp`].
pub const DSCP_INHERIT: u8 = 0xff;

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
pub struct SourceEntry {
    /// Index of the member.
    pub member: u32,
    /// [`SourceEntry::REWRITTEN`], [`SourceEntry::SHARED`].
    pub flags: u32,
}

impl SourceEntry {
    /// The peer's interface carries another address than this one: a NAT rewrote it.
    pub const REWRITTEN: u32 = 1;
    /// It is also the address of peers whose endpoint is learned: the port may say that it is one of
    /// them. Not of a [`Mapping`].
    pub const SHARED: u32 = 2;
}

/// The learned endpoint of a peer, in a network that it is a member of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Mapping {
    /// NetworkEntry and outer source.
    pub from: NetworkAddress,
    /// UDP source port, network order.
    pub port: [u8; 2],
    /// Zero.
    pub pad: [u8; 2],
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
pub struct NetworkEntry {
    /// The overlay interface; 0 while it does not exist.
    pub ifindex: u32,
    /// Counter slot of drops that belong to the network but to no peer.
    pub slot: u32,
    /// VNI, network order.
    pub vni: [u8; 3],
    /// [`NetworkEntry::PASS_NESTED`], [`NetworkEntry::FLOOD_UNKNOWN`].
    pub flags: u8,
    /// MAC address of the overlay interface.
    pub mac: Mac,
    /// An IPv4 address of the overlay interface, to answer from; zero where it has none.
    pub address: [u8; 4],
    /// The same of IPv6.
    pub address6: Address,
    /// Frames that are copied to several members.
    pub bum_limit: RateLimit,
}

impl NetworkEntry {
    /// Tunnels inside the tunnel are traffic like any other.
    pub const PASS_NESTED: u8 = 1;
    /// A frame for a MAC that nobody is known to have goes to every member.
    pub const FLOOD_UNKNOWN: u8 = 2;
}

/// How many members a frame is copied to at most.
pub const MAX_FLOOD_MEMBERS: usize = 64;

/// The members that get a copy of what is for everyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FloodList {
    /// How many of `members` there are.
    pub len: u32,
    /// Indices of members.
    pub members: [u32; MAX_FLOOD_MEMBERS],
}

/// A rate limit: a virtual clock runs ahead of the real one by `cost` for every unit, and a packet
/// that would put it ahead by more than `burst` is refused (the GCRA of ITU-T I.371).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct RateLimit {
    /// Of one unit, in 1/1024 ns; 0: no limit.
    pub cost: u64,
    /// In ns.
    pub burst: u64,
}

impl RateLimit {
    /// No limit.
    pub const NONE: Self = Self { cost: 0, burst: 0 };
    const SECOND: u64 = 1_000_000_000;
    const SCALE: u64 = 1024;

    /// `units` per second, and at once as many as come in `burst` ns or `least` of them, whatever
    /// is more. 0 units: no limit.
    pub const fn per_second(units: u64, burst: u64, least: u64) -> Self {
        if units == 0 {
            return Self::NONE;
        }
        let cost = (Self::SECOND * Self::SCALE).div_ceil(units);
        let room = cost.saturating_mul(least) / Self::SCALE;
        Self { cost, burst: if room > burst { room } else { burst } }
    }

    /// What `units` cost, in ns.
    #[inline(always)]
    pub const fn cost_of(&self, units: u64) -> u64 {
        self.cost.wrapping_mul(units) / Self::SCALE
    }
}

/// How far the virtual clocks of a peer's limits are, in ns. Written by `decap` alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct BucketState {
    /// Packets.
    pub packets: u64,
    /// Bytes of inner frames.
    pub bytes: u64,
}

/// A peer in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct MemberEntry {
    /// Index of the peer.
    pub peer: u32,
    /// Index of the network.
    pub network: u32,
    /// Counter slot.
    pub slot: u32,
    /// [`MemberEntry::IPV6`], [`MemberEntry::LIMITED`], [`MemberEntry::FLOW_PORTS`], [`MemberEntry::ZERO_CHECKSUM`].
    pub flags: u32,
    /// Stations that may be learned behind it.
    pub max_stations: u32,
    /// First UDP source port that its peer sends from, where that does not depend on the flow.
    pub port_low: u16,
    /// The last such port.
    pub port_high: u16,
    /// Its declared MAC address; zero: none is.
    pub mac: Mac,
    /// The secret that stands for this member in the destination MAC ([`TAG_MAC`]); its last two
    /// bits are zero and take a [`Cast`].
    pub tag: Mac,
}

impl MemberEntry {
    /// Some `allowed_ips` are IPv6, so neighbour discovery may come from link-local addresses.
    pub const IPV6: u32 = 1;
    /// Its peer has a rate limit.
    pub const LIMITED: u32 = 2;
    /// Its peer sends from a port that is made from the flow hash.
    pub const FLOW_PORTS: u32 = 4;
    /// Its peer sends no UDP checksums.
    pub const ZERO_CHECKSUM: u32 = 8;
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

/// Another host: where packets for it go. There are two elements for each, of which one counts
/// ([`current`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct PeerEntry {
    /// Outer destination address.
    pub endpoint: Address,
    /// Link-layer next hop: the gateway, or the endpoint itself on the same link. Zero while the
    /// kernel does not know its MAC: then it looks up the route, and resolves, by itself.
    pub gateway: Address,
    /// Family of `endpoint` and `gateway`.
    pub family: u8,
    /// Zero.
    pub pad: u8,
    /// UDP destination port, network order.
    pub port: [u8; 2],
    /// Underlay interface; 0: no route, or its next hop does not answer.
    pub ifindex: u32,
    /// Largest outer packet in bytes, from its IP header on.
    pub mtu: u32,
    /// Counter slot of drops that belong to the peer but to no network.
    pub slot: u32,
    /// Received packets.
    pub packets: RateLimit,
    /// Bytes of received inner frames.
    pub bytes: RateLimit,
    /// What its interface carries, where the address that its packets come from is another one; else
    /// zero.
    pub private: [u8; 4],
    /// The same of IPv6.
    pub private6: Address,
    /// Zero.
    pub pad_end: [u8; 4],
}

/// Which of the two elements of a peer counts, by the number of its latest change.
#[inline(always)]
pub const fn active_element(peer: u32, version: u32) -> u32 {
    2 * peer + (version & 1)
}

impl PeerEntry {
    /// Largest inner IP packet in bytes.
    #[inline(always)]
    pub const fn inner_mtu(&self) -> u32 {
        self.mtu.saturating_sub(outer::overhead(self.family))
    }
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
    /// When it was last heard, by the daemon's clock (map `CLOCK`).
    #[cfg(feature = "other-layout")]
    pub seen: u32,
    /// Index of the member.
    pub member: u32,
    /// [`FdbEntry::STATIC`].
    pub flags: u32,
    /// When it was last heard, by the daemon's clock (map `CLOCK`).
    #[cfg(not(feature = "other-layout"))]
    pub seen: u32,
}

impl FdbEntry {
    /// Declared in the configuration: never learned over.
    pub const STATIC: u32 = 1;
}

/// What `decap` remembers of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct MemberState {
    /// Where its packets came from.
    #[cfg(feature = "other-layout")]
    pub observed: ObservedEndpoint,
    /// The station last heard, so that an unchanged one costs no lookup.
    pub last: Mac,
    /// Stations learned, less those that moved to another member. Those that the daemon has
    /// forgotten (map `FORGOTTEN`) are still in it; both wrap.
    pub stations: u64,
    /// When `last` was noted, by the daemon's clock.
    pub seen: u32,
    /// Zero.
    pub pad: u32,
    /// Where its packets came from.
    #[cfg(not(feature = "other-layout"))]
    pub observed: ObservedEndpoint,
}

/// Where a member's neighbours are kept: the low bits of a hash of the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct NeighbourKey {
    /// Below [`NEIGHBOURS`].
    #[cfg(feature = "other-layout")]
    pub place: u32,
    /// Index of the member.
    pub member: u32,
    /// Below [`NEIGHBOURS`].
    #[cfg(not(feature = "other-layout"))]
    pub place: u32,
}

/// Neighbours kept for each member.
pub const NEIGHBOURS: u32 = 16;

impl NeighbourKey {
    /// Where an address of a member is kept.
    #[inline(always)]
    pub const fn for_address(member: u32, address: &Address) -> Self {
        let words = address.word(0) ^ address.word(1) ^ address.word(2) ^ address.word(3);
        Self { member, place: (words ^ words >> 8) % NEIGHBOURS }
    }
}

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
///
/// The `deliver` of the next generation reads it too, so it names nothing by an index that another
/// configuration gives to somebody else, and its layout stays through all versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FrameTag {
    /// [`GlobalSettings::secret`].
    pub secret: [u8; 8],
    /// The overlay interface; also keeps GRO from merging two networks.
    pub ifindex: u32,
    /// Counter slot.
    pub slot: u32,
}

/// What a secret destination MAC stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct TaggedMember {
    /// The overlay interface.
    pub ifindex: u32,
    /// Counter slot.
    pub slot: u32,
    /// MAC address of the overlay interface.
    pub mac: Mac,
}

abi! {
    GlobalSettings: 64,
    NetworkAddress: 20,
    SourceEntry: 8,
    Mapping: 24,
    OuterAddress: 20,
    NetworkEntry: 56,
    FloodList: 260,
    RateLimit: 16,
    BucketState: 16,
    MemberEntry: 40,
    PeerEntry: 104,
    FdbKey: 12,
    FdbEntry: 12,
    MemberState: 120,
    NeighbourKey: 8,
    Neighbour: 32,
    NonMember: 8,
    FrameTag: 16,
    TaggedMember: 16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_costs_what_it_says() {
        let thousand = RateLimit::per_second(1_000, 0, 1);
        assert_eq!(
            (thousand.cost_of(1), thousand.cost_of(1_000), thousand.burst),
            (1_000_000, 1_000_000_000, 1_000_000)
        );
        // 10 Gbit/s in bytes: less than a nanosecond each.
        let fast = RateLimit::per_second(1_250_000_000, 1_000_000, 1_500);
        assert!(fast.cost_of(1_250_000_000).abs_diff(1_000_000_000) < 1_000_000, "{fast:?}");
        assert_eq!(fast.burst, 1_000_000);
        assert_eq!(RateLimit::per_second(0, 5, 5), RateLimit::NONE);
        assert_eq!(RateLimit::per_second(1, 0, 1).cost_of(1), 1_000_000_000);
    }
}
