//! The forwarding decision of transmit: which member gets a frame that this host sends. Replication
//! is in [`flood`](crate::flood).

use vxlan_common::{
    inner::{FrameKind, Inner},
    table::{FdbEntry, FdbKey, NetworkEntry, is_local},
};

use crate::{
    lookup::{network_of_interface, owner},
    maps::FDB,
};

/// The decision for a frame. Carries an index.
pub(crate) enum Forwarding {
    /// To the member that owns the destination address.
    Owner(u32),
    /// To the member that the destination MAC is behind.
    Station(u32),
    /// To the member that owns the address which an ARP request or neighbour solicitation asks for.
    TargetOwner(u32),
    /// To all members of that network.
    Flood(u32),
}

/// Decides who gets a frame. `None`: no member does.
///
/// No FDB entry, learned or declared, overrules an owner: any member can send a frame with
/// another's MAC, or answer ARP with it, and must not attract the other's traffic, nor direct its
/// own at the other.
#[inline(always)]
pub(crate) fn decide(ifindex: u32, inner: &Inner) -> Option<Forwarding> {
    let (index, network) = network_of_interface(ifindex)?;
    if inner.to_group() {
        return decide_group(index, network, inner);
    }
    if !inner.answers_address_probe()
        && let Some(owner) = owner(network, inner, inner.owner_address())
    {
        return if is_local(owner) { None } else { Some(Forwarding::Owner(owner)) };
    }
    let key = FdbKey { ifindex, mac: inner.destination_mac };
    // SAFETY: copied out at once; the words of an entry are written whole.
    match unsafe { FDB.get(key) } {
        Some(&FdbEntry { member, .. }) => Some(Forwarding::Station(member)),
        None => {
            (network.flags & NetworkEntry::FLOOD_UNKNOWN != 0).then_some(Forwarding::Flood(index))
        }
    }
}

/// Decides about a frame to a group MAC: a request goes to the owner of the address it asks for.
#[inline(always)]
fn decide_group(index: u32, network: &NetworkEntry, inner: &Inner) -> Option<Forwarding> {
    let is_request = match inner.kind {
        FrameKind::LinkControl => return None,
        FrameKind::Arp => !inner.is_announcement(),
        FrameKind::Solicitation => true,
        FrameKind::Ip | FrameKind::Advertisement => false,
    };
    let address = inner.owner_address();
    if !is_request && (matches!(inner.kind, FrameKind::Arp) || inner.is_multicast(address)) {
        return Some(Forwarding::Flood(index));
    }
    match owner(network, inner, address) {
        Some(owner) if !is_local(owner) && is_request => Some(Forwarding::TargetOwner(owner)),
        Some(owner) if !is_local(owner) => Some(Forwarding::Owner(owner)),
        _ if is_request => None,
        _ => Some(Forwarding::Flood(index)),
    }
}
