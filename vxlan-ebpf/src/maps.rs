//! Every map: its writer, its reader and its size. Owns no access beyond the key of `ROUTES`.
//!
//! The counters' capacity is a default; the daemon sets it by the configuration at load. A
//! configured peer is never kept in a map that evicts.

use core::borrow::Borrow;

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LpmTrie, PerCpuArray, PerCpuHashMap, RingBuf, lpm_trie::Key},
};
use vxlan_common::{
    addr::{Address, IPV6, Mac},
    counters::Counters,
    outer::HeaderWords,
    probe::{CEILINGS, ProbeTag, SOURCE_BUCKETS},
    table::{
        AddressOwner, BucketState, FdbEntry, FdbKey, FloodList, GlobalSettings, MAX_MEMBERS,
        MAX_NETWORKS, MAX_PEER_ADDRESSES, MAX_PEERS, MAX_PREFIXES, MAX_SOURCES, Mapping,
        MemberEntry, MemberState, Neighbour, NeighbourKey, NetworkAddress, NetworkEntry, NonMember,
        OuterAddress, Owner, PeerEntry, RxMemoEntry, SENDER_FILTER_LINES, SenderFilterLine,
        SourceEntry, TaggedMember, TxMemoEntry,
    },
};

use crate::scratch::{Frame, RxScratch};

/// `BPF_F_MMAPABLE`.
const MMAPABLE: u32 = 1 << 10;
/// `BPF_F_NO_PREALLOC`: memory for an element when it comes, not for all at load.
const NO_PREALLOC: u32 = 1;

/// Settings that apply to every packet. Writer: daemon; `decap`, the field `tag` alone. Reader: all
/// programs. One entry.
#[map]
pub(crate) static SETTINGS: Array<GlobalSettings> = Array::with_max_entries(1, 0);

/// The member that may send from an outer address in a network: the one look-up of every received
/// packet.
/// Writer: daemon. Reader: `decap`. An entry per member and address that it sends from.
#[map]
pub(crate) static SOURCES: HashMap<NetworkAddress, SourceEntry> =
    HashMap::with_max_entries(MAX_SOURCES, NO_PREALLOC);

/// The member that sends from a learned endpoint in a network: looked up if `SOURCES` has no entry,
/// or one that says that the address is shared. Writer: daemon. Reader: `decap`. One entry per
/// member whose peer's endpoint is learned.
#[map]
pub(crate) static MAPPINGS: HashMap<Mapping, SourceEntry> =
    HashMap::with_max_entries(16_384, NO_PREALLOC);

/// The outer addresses that somebody may have, of `SOURCES`, `MAPPINGS` and `PEER_BY_ADDRESS`, and
/// the VNIs that networks may have. Other packets need no look-up there. Writer: daemon. Reader:
/// `decap`. Index: [`vxlan_common::table::SenderFilterBit::line`].
#[map]
pub(crate) static SENDER_FILTER: Array<SenderFilterLine> =
    Array::with_max_entries(SENDER_FILTER_LINES, 0);

/// The index of the peer whose probes have a tag. Writer: daemon. Reader: `decap`.
#[map]
pub(crate) static PROBERS: HashMap<ProbeTag, u32> =
    HashMap::with_max_entries(MAX_PEERS, NO_PREALLOC);

/// Virtual clocks of the limits of probes from the address of a peer's endpoint. Writer and reader:
/// `decap`. Index: twice the peer for those from the endpoint itself, plus one for other ports.
#[map]
pub(crate) static PROBE_BUCKETS: Array<u64> = Array::with_max_entries(2 * MAX_PEERS, 0);

/// Virtual clocks of the limits of probes by source, and of all probes. Writer and reader: `decap`.
/// Index: [`vxlan_common::probe::source_bucket`], or a ceiling.
#[map]
pub(crate) static PROBE_SOURCE_BUCKETS: Array<u64> =
    Array::with_max_entries(SOURCE_BUCKETS + CEILINGS, 0);

/// Received probes. Writer: `decap`. Reader: daemon, which consumes them. Size in bytes; a probe
/// takes 384, and ten thousand peers behind a NAT that restarts send theirs at once.
#[map]
pub(crate) static PROBES: RingBuf = RingBuf::with_byte_size(4 * 1024 * 1024, 0);

/// Inner prefixes and their owners. Writer: daemon. Reader: `decap` (source and destination),
/// `encap`. One entry per `allowed_ips` and per local prefix.
#[map]
pub(crate) static ROUTES: LpmTrie<NetworkAddress, Owner> =
    LpmTrie::with_max_entries(MAX_PREFIXES, NO_PREALLOC);

/// The networks of this host. Writer: daemon. Reader: all programs. Index: network.
#[map]
pub(crate) static NETWORKS: Array<NetworkEntry> = Array::with_max_entries(MAX_NETWORKS, 0);

/// The members that get a copy of BUM frames. Writer: daemon. Reader: `encap`. Index: network.
#[map]
pub(crate) static FLOOD_LISTS: Array<FloodList> = Array::with_max_entries(MAX_NETWORKS, 0);

/// The network that has a VNI. Writer: daemon. Reader: `decap`, only for packets that it refuses.
/// The key is the VNI in network order behind a zero byte, the value an index.
#[map]
pub(crate) static NETWORK_BY_VNI: HashMap<[u8; 4], u32> =
    HashMap::with_max_entries(MAX_NETWORKS, NO_PREALLOC);

/// The network that an overlay interface belongs to. Writer: daemon. Reader: `encap`.
#[map]
pub(crate) static NETWORK_BY_IFINDEX: HashMap<u32, u32> =
    HashMap::with_max_entries(MAX_NETWORKS, NO_PREALLOC);

/// The members. Writer: daemon. Reader: `decap`, `encap`. Index: member.
#[map]
pub(crate) static MEMBERS: Array<MemberEntry> = Array::with_max_entries(MAX_MEMBERS, 0);

/// The peers. Writer: daemon. Reader: all programs, by [`crate::peer_entry`]. Two elements for each
/// peer, of which `VERSIONS` says which one is active.
#[map]
pub(crate) static PEERS: Array<PeerEntry> = Array::with_max_entries(2 * MAX_PEERS, 0);

/// Number of changes of a peer's entry. Writer: daemon. Reader: [`crate::peer_entry`]. Index:
/// peer.
#[map]
pub(crate) static VERSIONS: Array<u32> = Array::with_max_entries(MAX_PEERS, 0);

/// A consistent copy of a peer's element. Writer and reader: `encap`, on its CPU, on
/// which no other packet is sent before it is done. One entry.
#[map]
pub(crate) static PEER_SNAPSHOT: PerCpuArray<PeerEntry> = PerCpuArray::with_max_entries(1, 0);

/// The state of the tables that the daemon writes and that decide who sends and who gets a packet,
/// a number that every change of them raises; odd while they are being changed. Writer: daemon.
/// Readers: `decap`, `encap`. One entry.
#[map]
pub(crate) static EPOCH: Array<u64> = Array::with_max_entries(1, 0);

/// A word of each CPU's own for its barriers. One entry.
#[map]
pub(crate) static FENCE: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// The rights of the latest packets' senders, by CPU: so many entries for each. Begins on a page,
/// so that an entry fills its cache lines. Writer and reader: `decap`, on its CPU. The daemon sets
/// the capacity by the number of members and of CPUs at load.
#[map]
pub(crate) static RX_MEMO: Array<RxMemoEntry> = Array::with_max_entries(4_096, MMAPABLE);

/// The owners of the latest frames' destinations, likewise. Writer and reader: `encap`, on its CPU.
#[map]
pub(crate) static TX_MEMO: Array<TxMemoEntry> = Array::with_max_entries(4_096, MMAPABLE);

/// The peer that has an outer address, in all networks. Writer: daemon. Reader: `decap`, only for
/// packets that it refuses.
#[map]
pub(crate) static PEER_BY_ADDRESS: HashMap<OuterAddress, AddressOwner> =
    HashMap::with_max_entries(MAX_PEER_ADDRESSES, NO_PREALLOC);

/// MAC addresses behind members. Writer: `decap`, from accepted frames; daemon, static entries.
/// Reader: `encap`, `decap`. When the map is full nothing more is learned, and `ROUTES` alone
/// decides.
#[map]
pub(crate) static FDB: HashMap<FdbKey, FdbEntry> = HashMap::with_max_entries(16_384, NO_PREALLOC);

/// What was learned of each member: the source MAC of the latest frame, so that an unchanged one
/// costs no `FDB` look-up, the number of MAC addresses, and the endpoint of its packets. Writer:
/// `decap`. Reader: `decap`, daemon. Index: member.
#[map]
pub(crate) static LEARNED: Array<MemberState> = Array::with_max_entries(MAX_MEMBERS, 0);

/// Number of a member's MAC addresses that the daemon removed from `FDB`, because no frame of
/// theirs had arrived for too long. Writer: daemon. Reader: `decap`. Index: member.
#[map]
pub(crate) static FORGOTTEN: Array<u64> = Array::with_max_entries(MAX_MEMBERS, 0);

/// Seconds since boot, as the daemon writes them now and then; constant while no daemon runs.
/// Writer: daemon. Reader: `decap`. One entry.
#[map]
pub(crate) static CLOCK: Array<u32> = Array::with_max_entries(1, 0);

/// The MAC of an address behind a member, as learned from ARP and neighbour discovery. A member can
/// fill no more than the places of its own. Writer: `decap`. Reader: `encap`.
#[map]
pub(crate) static NEIGHBOURS: HashMap<NeighbourKey, Neighbour> =
    HashMap::with_max_entries(16_384, NO_PREALLOC);

/// The members' secret destination MACs, their last two bits zero.
/// Writer: daemon. Reader: `deliver`, where the driver has no XDP metadata.
#[map]
pub(crate) static TAGS: HashMap<Mac, TaggedMember> =
    HashMap::with_max_entries(MAX_MEMBERS, NO_PREALLOC);

/// Virtual clocks of a peer's limits. Writer and reader: `decap`. Index: peer.
#[map]
pub(crate) static PEER_BUCKETS: Array<BucketState> = Array::with_max_entries(MAX_PEERS, 0);

/// Virtual clocks of the limit of BUM frames. Writer and reader: `encap`. Index: network.
#[map]
pub(crate) static BUM_BUCKETS: Array<u64> = Array::with_max_entries(MAX_NETWORKS, 0);

/// Virtual clocks of the limits of slow-path work: ICMP messages, log messages.
/// Writer and reader: all programs. Index: [`crate::rate_limit::SlowPath`].
#[map]
pub(crate) static SLOW_PATH_BUCKETS: Array<u64> = Array::with_max_entries(2, 0);

/// Where `encap` composes headers, as the stack has too little room. Writer and reader: `encap`, on
/// its CPU, on which no other packet is sent before it is done. One entry.
#[map]
pub(crate) static HEADER_SCRATCH: PerCpuArray<HeaderWords> = PerCpuArray::with_max_entries(1, 0);

/// The parsed headers of an inner frame. Not on the stack, for lack of room there; and because the
/// verifier follows every combination of values on the stack, and no value in a map. Writer and
/// reader: `decap`, `encap`, each in its own elements ([`crate::scratch::ScratchSlot`]), on its
/// CPU.
#[map]
pub(crate) static FRAME_SCRATCH: PerCpuArray<Frame> = PerCpuArray::with_max_entries(3, 0);

/// What `decap` knows of a packet beside its inner frame; in a map for the same reason. Writer and
/// reader: `decap`, on its CPU. One entry.
#[map]
pub(crate) static RX_SCRATCH: PerCpuArray<RxScratch> = PerCpuArray::with_max_entries(1, 0);

/// The counters. Writer: all programs. Reader: daemon. Index: counter slot; slot 0 is unattributed.
#[map]
pub(crate) static COUNTERS: PerCpuArray<Counters> = PerCpuArray::with_max_entries(1_024, 0);

/// Packets dropped as `not_a_member`, by pair. Writer: `decap`. Reader: daemon. A pair is added
/// when it is first seen; when the map is full the drop is counted in the peer's slot.
#[map]
pub(crate) static NON_MEMBERS: PerCpuHashMap<NonMember, u64> =
    PerCpuHashMap::with_max_entries(8_192, NO_PREALLOC);

/// A whole address as a key of [`ROUTES`]. aya's own key is packed, which would have it put
/// together byte by byte.
#[repr(C)]
pub(crate) struct RouteKey {
    bits: u32,
    address: NetworkAddress,
}

impl RouteKey {
    /// Looks for the longest prefix of `address`.
    #[inline(always)]
    pub(crate) fn for_address(vni: [u8; 3], family: u8, address: Address) -> Self {
        let bits =
            if family == IPV6 { NetworkAddress::IPV6_BITS } else { NetworkAddress::IPV4_BITS };
        Self { bits, address: NetworkAddress { vni, family, address } }
    }
}

impl Borrow<Key<NetworkAddress>> for RouteKey {
    #[inline(always)]
    fn borrow(&self) -> &Key<NetworkAddress> {
        const _: () = assert!(size_of::<RouteKey>() == size_of::<Key<NetworkAddress>>());
        // SAFETY: both are 32 bits of length and then the address, without padding (the sizes are
        // equal and the fields of the packed one have none), and `Key` asks for less alignment.
        unsafe { &*core::ptr::from_ref(self).cast() }
    }
}
