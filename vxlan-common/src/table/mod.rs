//! Keys and values of the maps: the contract between daemon and programs, one file per table or
//! close group of tables. Which map holds which is written in `vxlan-ebpf/src/maps.rs`.
//!
//! Values from the wire are byte arrays in network order, so that they cannot be misread. Padding
//! is explicit and zero. Indices point into arrays that the daemon fills before anything refers to
//! them. Names and fields of what a new generation inherits from the previous one never change:
//! they are read by name (`vxlan-common/src/layout.rs`).

mod capacity;
mod fdb;
mod frame_tag;
mod member;
mod member_state;
mod neighbour;
mod network;
mod peer;
mod rate_limit;
mod routes;
mod rx_memo;
mod sender_filter;
mod senders;
mod settings;
mod tx_memo;

pub use capacity::{
    MAX_MEMBERS, MAX_NETWORKS, MAX_PEER_ADDRESSES, MAX_PEERS, MAX_PREFIXES, MAX_SOURCES,
};
pub use fdb::{FdbEntry, FdbKey};
pub use frame_tag::{Cast, FrameTag, TAG_AUTO, TAG_MAC, TAG_METADATA, TaggedMember};
pub use member::MemberEntry;
pub use member_state::{MemberState, ObservedEndpoint};
pub use neighbour::{NEIGHBOURS, Neighbour, NeighbourKey};
pub use network::{FloodList, MAX_FLOOD_MEMBERS, NetworkEntry};
pub use peer::{PeerEntry, active_element};
pub use rate_limit::{BucketState, RateLimit};
pub use routes::{LOCAL, LOCAL_STATIONS, NetworkAddress, Owner, is_local};
pub use rx_memo::{RxMemoEntry, RxMemoKey};
pub use sender_filter::{SENDER_FILTER_LINES, SenderFilterBit, SenderFilterLine};
pub use senders::{AddressOwner, Mapping, NonMember, OuterAddress, SourceEntry};
pub use settings::{DSCP_INHERIT, GlobalSettings};
pub use tx_memo::{TxMemoEntry, TxMemoKey};
