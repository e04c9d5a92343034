//! The plan itself: the contents of every map that the daemon writes.

use vxlan_common::{
    addr::Mac,
    probe,
    table::{
        FdbEntry, FdbKey, FloodList, GlobalSettings, MemberEntry, NetworkAddress, NetworkEntry,
        Owner, PeerEntry, TaggedMember,
    },
};

use super::{names::Names, senders::Senders};

/// One prefix of the trie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteEntry {
    /// Length of the key that counts, [`NetworkAddress::FIXED_BITS`] included.
    pub bits: u32,
    pub address: NetworkAddress,
    pub owner: Owner,
}

/// Contents of every map that the daemon writes.
#[derive(Clone, Debug)]
pub struct Plan {
    pub settings: GlobalSettings,
    pub networks: Vec<NetworkEntry>,
    /// By network: the members that get a copy of each broadcast, multicast and unknown unicast
    /// frame.
    pub flood_lists: Vec<FloodList>,
    pub peers: Vec<PeerEntry>,
    pub members: Vec<MemberEntry>,
    pub senders: Senders,
    /// By tag of a probe: the peer whose key makes that tag. Empty until the daemon has read the
    /// keys, which are not part of the configuration.
    pub probers: Vec<(probe::ProbeTag, u32)>,
    pub routes: Vec<RouteEntry>,
    /// Declared FDB entries.
    pub fdb_entries: Vec<(FdbKey, FdbEntry)>,
    /// By member.
    pub tags: Vec<(Mac, TaggedMember)>,
    pub names: Names,
}
