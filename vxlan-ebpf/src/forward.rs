//! The forwarding decision of transmit: which member gets a frame that this host sends. Replication
//! is in [`flood`](crate::flood).

use vxlan_common::{
    inner::{FrameKind, Inner},
    table::{FdbEntry, FdbKey, LOCAL, NetworkEntry},
};

use crate::{
    lookup::{network_of_interface, owner},
    maps::{FDB, MEMBERS, NETWORKS},
};

/// The decision for a frame. Carries an index.
pub(crate) enum Forwarding {
    /// To that member.
    Member(u32),
    /// To the member that owns the address which an ARP request or neighbour solicitation asks for.
    TargetOwner(u32),
    /// To all members of that network.
    Flood(u32),
}

/// Decides who gets a frame. `None`: no member does.
///
/// A learned FDB entry does not overrule an owner: any member can send a frame with another's MAC,
/// and must not attract the other's traffic.
#[inline(always)]
pub(crate) fn decide(ifindex: u32, inner: &Inner) -> Option<Forwarding> {
    if inner.to_group() {
        return decide_group(ifindex, inner);
    }
    let key = FdbKey { ifindex, mac: inner.destination_mac };
    // SAFETY: copied out at once; the words of an entry are written whole.
    if let Some(&FdbEntry { member: index, flags, .. }) = unsafe { FDB.get(key) } {
        let network = NETWORKS.get(MEMBERS.get(index)?.network)?;
        if flags & FdbEntry::STATIC != 0 {
            return Some(Forwarding::Member(index));
        }
        return match owner(network, inner, inner.owner_address()) {
            Some(LOCAL) => None,
            Some(owner) => Some(Forwarding::Member(owner)),
            None => Some(Forwarding::Member(index)),
        };
    }
    let (index, network) = network_of_interface(ifindex)?;
    match owner(network, inner, inner.owner_address()) {
        Some(LOCAL) => None,
        Some(owner) => Some(Forwarding::Member(owner)),
        None => {
            (network.flags & NetworkEntry::FLOOD_UNKNOWN != 0).then_some(Forwarding::Flood(index))
        }
    }
}

/// Decides about a frame to a group MAC: a request goes to the owner of the address it asks for.
#[inline(always)]
fn decide_group(ifindex: u32, inner: &Inner) -> Option<Forwarding> {
    let (index, network) = network_of_interface(ifindex)?;
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
        Some(owner) if owner != LOCAL && is_request => Some(Forwarding::TargetOwner(owner)),
        Some(owner) if owner != LOCAL => Some(Forwarding::Member(owner)),
        _ if is_request => None,
        _ => Some(Forwarding::Flood(index)),
    }
}
