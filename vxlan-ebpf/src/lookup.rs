//! Look-ups that more than one step makes: network of an interface, owner of an inner address, peer
//! of an outer address. Decides nothing.

use vxlan_common::{
    addr::Address,
    counters::UNATTRIBUTED_SLOT,
    inner::Inner,
    table::{AddressOwner, NetworkEntry, OuterAddress, Owner},
};

use crate::{
    maps::{NETWORK_BY_IFINDEX, NETWORK_BY_VNI, NETWORKS, PEER_BY_ADDRESS, ROUTES, RouteKey},
    peer_entry,
};

/// The network of an overlay interface, with its index.
#[inline(always)]
pub(crate) fn network_of_interface(ifindex: u32) -> Option<(u32, &'static NetworkEntry)> {
    // SAFETY: an index, copied out at once.
    let index = *unsafe { NETWORK_BY_IFINDEX.get(ifindex) }?;
    Some((index, NETWORKS.get(index)?))
}

/// The index of the network that has a VNI, given in network order.
#[inline(always)]
pub(crate) fn network_of_vni([a, b, c]: [u8; 3]) -> Option<u32> {
    // SAFETY: an index, copied out at once.
    unsafe { NETWORK_BY_VNI.get([0, a, b, c]) }.copied()
}

/// The owner of an inner address: the longest prefix in `ROUTES`.
#[inline(always)]
pub(crate) fn owner(network: &NetworkEntry, inner: &Inner, address: &Address) -> Option<Owner> {
    ROUTES.get(RouteKey::for_address(network.vni, inner.family, *address)).copied()
}

/// The peer that has an outer address.
#[inline(always)]
pub(crate) fn peer_of_address(family: u8, address: &Address) -> Option<AddressOwner> {
    let key = OuterAddress { family, pad: [0; 3], address: *address };
    // SAFETY: copied out at once; entries are replaced whole.
    unsafe { PEER_BY_ADDRESS.get(key) }.copied()
}

/// The counter slot of a peer, by its index.
#[inline(always)]
pub(crate) fn peer_slot(index: u32) -> u32 {
    peer_entry::peek(index).map_or(UNATTRIBUTED_SLOT, |peer| peer.slot)
}

/// The counter slot of the peer that has an outer address.
#[inline(always)]
pub(crate) fn slot_of_address(family: u8, address: &Address) -> u32 {
    peer_of_address(family, address).map_or(UNATTRIBUTED_SLOT, |owner| peer_slot(owner.peer))
}
