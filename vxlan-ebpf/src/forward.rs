//! Who gets a frame that this host sends: the forwarding decision of transmit.

use vxlan_common::{
    addr::Address,
    inner::{FrameKind, Inner},
    table::{FdbEntry, FdbKey, LOCAL, NetworkEntry, Owner},
};

use crate::maps::{FDB, MEMBERS, NETWORK_BY_IFINDEX, NETWORKS, ROUTES, RouteKey};

/// Whom a frame goes to, by index.
pub(crate) enum To {
    /// That member.
    One(u32),
    /// The member that owns the address which a broadcast question asks for.
    Asked(u32),
    /// All members of that network.
    Everyone(u32),
}

/// Decides. `None`: nobody gets it.
///
/// A learned station does not overrule an owner: any member can send a frame with another's MAC,
/// and must not draw the other's traffic to itself.
#[inline(always)]
pub(crate) fn decide(ifindex: u32, inner: &Inner) -> Option<To> {
    if inner.to_group() {
        return group(ifindex, inner);
    }
    let key = FdbKey { ifindex, mac: inner.destination_mac };
    // SAFETY: copied out at once; the words of an entry are written whole.
    if let Some(&FdbEntry { member: index, flags, .. }) = unsafe { FDB.get(key) } {
        let network = NETWORKS.get(MEMBERS.get(index)?.network)?;
        if flags & FdbEntry::STATIC != 0 {
            return Some(To::One(index));
        }
        return match owner(network, inner, inner.wanted()) {
            Some(LOCAL) => None,
            Some(owner) => Some(To::One(owner)),
            None => Some(To::One(index)),
        };
    }
    let (index, network) = network(ifindex)?;
    match owner(network, inner, inner.wanted()) {
        Some(LOCAL) => None,
        Some(owner) => Some(To::One(owner)),
        None => (network.flags & NetworkEntry::FLOOD_UNKNOWN != 0).then_some(To::Everyone(index)),
    }
}

/// A frame to a group MAC: a question goes to the one who has the answer.
#[inline(always)]
fn group(ifindex: u32, inner: &Inner) -> Option<To> {
    let (index, network) = network(ifindex)?;
    let asks = match inner.kind {
        FrameKind::LinkControl => return None,
        FrameKind::Arp => !inner.is_announcement(),
        FrameKind::Solicitation => true,
        FrameKind::Ip | FrameKind::Advertisement => false,
    };
    let wanted = inner.wanted();
    if !asks && (matches!(inner.kind, FrameKind::Arp) || inner.is_multicast(wanted)) {
        return Some(To::Everyone(index));
    }
    match owner(network, inner, wanted) {
        Some(owner) if owner != LOCAL && asks => Some(To::Asked(owner)),
        Some(owner) if owner != LOCAL => Some(To::One(owner)),
        _ if asks => None,
        _ => Some(To::Everyone(index)),
    }
}

/// The network of an overlay interface.
#[inline(always)]
pub(crate) fn network(ifindex: u32) -> Option<(u32, &'static NetworkEntry)> {
    // SAFETY: an index, copied out at once.
    let index = *unsafe { NETWORK_BY_IFINDEX.get(ifindex) }?;
    Some((index, NETWORKS.get(index)?))
}

#[inline(always)]
fn owner(network: &NetworkEntry, inner: &Inner, address: &Address) -> Option<Owner> {
    ROUTES.get(RouteKey::whole(network.vni, inner.family, *address)).copied()
}
