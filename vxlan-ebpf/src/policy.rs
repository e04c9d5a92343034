//! Who may send what: the peer's right to a network, and the inner frame's source and destination.
//!
//! Default deny: whatever no table allows is refused here, under its own reason.

use vxlan_common::{
    addr::{Address, IPV4, Mac},
    counters::UNATTRIBUTED_SLOT,
    inner::{FrameKind, Inner},
    reason::RxDrop,
    table::{
        GlobalSettings, LOCAL, Mapping, MemberEntry, NetworkAddress, NetworkEntry, NonMember,
        OuterAddress, Owner, SourceEntry,
    },
};

use crate::{
    counters::Refused,
    maps::{
        MAPPINGS, MEMBERS, NETWORK_BY_VNI, NETWORKS, PEER_BY_ADDRESS, ROUTES, RouteKey, SOURCES,
    },
    outer_rx::Received,
    peer_entry,
};

/// Who sent it, and into what.
pub(crate) struct Sender {
    /// Index of the member.
    pub(crate) index: u32,
    pub(crate) member: &'static MemberEntry,
    pub(crate) network: &'static NetworkEntry,
    /// The outer source is not the address that its interface carries.
    pub(crate) rewritten: bool,
}

/// Finds the member that may send this. `None`: another VXLAN user's packet.
#[inline(always)]
pub(crate) fn sender(
    received: &Received,
    settings: &GlobalSettings,
) -> Result<Option<Sender>, Refused> {
    let key =
        NetworkAddress { vni: received.vni, family: received.family, address: received.source };
    // SAFETY: copied out at once; entries are replaced whole.
    let declared = unsafe { SOURCES.get(key) }.copied();
    let found = match declared {
        Some(source) if source.flags & SourceEntry::SHARED == 0 => declared,
        _ => learned(key, received.source_port).or(declared),
    };
    if let Some(SourceEntry { member: index, flags }) = found
        && let Some(member) = MEMBERS.get(index)
        && let Some(network) = NETWORKS.get(member.network)
    {
        return Ok(Some(Sender {
            index,
            member,
            network,
            rewritten: flags & SourceEntry::REWRITTEN != 0,
        }));
    }
    stranger(received, settings)
}

/// The member whose peer's endpoint this is, as it was learned.
#[inline(always)]
fn learned(from: NetworkAddress, port: u16) -> Option<SourceEntry> {
    let key = Mapping { from, port: port.to_be_bytes(), pad: [0; 2] };
    // SAFETY: copied out at once; entries are replaced whole.
    unsafe { MAPPINGS.get(key) }.copied()
}

/// Why nobody may send this, and whom to put it down to.
#[inline(always)]
fn stranger(received: &Received, settings: &GlobalSettings) -> Result<Option<Sender>, Refused> {
    let [a, b, c] = received.vni;
    // SAFETY: an index, copied out at once.
    let network = unsafe { NETWORK_BY_VNI.get([0, a, b, c]) }.copied();
    let peer = peer_index(received.family, &received.source);
    let peer_slot = peer.map_or(UNATTRIBUTED_SLOT, peer_slot);
    match (network, peer) {
        (None, _) if settings.pass_unknown_vni != 0 => Ok(None),
        (None, _) => Err(Refused { reason: RxDrop::UnknownVni, slot: peer_slot, pair: None }),
        (Some(network), None) => {
            let slot = NETWORKS.get(network).map_or(UNATTRIBUTED_SLOT, |network| network.slot);
            Err(Refused { reason: RxDrop::UnknownSource, slot, pair: None })
        }
        (Some(network), Some(peer)) => Err(Refused {
            reason: RxDrop::NotAMember,
            slot: peer_slot,
            pair: Some(NonMember { peer, network }),
        }),
    }
}

#[inline(always)]
fn peer_index(family: u8, address: &Address) -> Option<u32> {
    let key = OuterAddress { family, pad: [0; 3], address: *address };
    // SAFETY: an index, copied out at once.
    unsafe { PEER_BY_ADDRESS.get(key) }.copied()
}

/// The counter slot of the peer that has this outer address.
#[inline(always)]
pub(crate) fn slot_of_address(family: u8, address: &Address) -> u32 {
    peer_index(family, address).map_or(UNATTRIBUTED_SLOT, peer_slot)
}

#[inline(always)]
pub(crate) fn peer_slot(index: u32) -> u32 {
    peer_entry::part(index).map_or(UNATTRIBUTED_SLOT, |peer| peer.slot)
}

/// May this member send from that inner address?
#[inline(always)]
pub(crate) fn check_source(inner: &Inner, sender: &Sender) -> Result<(), RxDrop> {
    if matches!(inner.kind, FrameKind::LinkControl) {
        return Err(RxDrop::InnerProtocolDenied);
    }
    if inner.has_martian_source()
        || inner.speaks_for_other_mac
        || inner.source_mac.equals(&sender.network.mac)
    {
        return Err(RxDrop::InnerSourceDenied);
    }
    let speaks_for = |address| {
        // Discovery speaks from and of link-local addresses too; other traffic of theirs stays on
        // its link.
        if inner.is_link_local(&address) {
            return inner.is_discovery() && sender.member.flags & MemberEntry::IPV6 != 0;
        }
        owner(sender.network, inner, address) == Some(sender.index)
    };
    let target_too = !matches!(inner.kind, FrameKind::Advertisement)
        || (!inner.is_no_host(&inner.target) && speaks_for(inner.target));
    if speaks_for(inner.source) && target_too { Ok(()) } else { Err(RxDrop::InnerSourceDenied) }
}

/// Is it a tunnel inside the tunnel?
#[inline(always)]
pub(crate) fn check_nesting(
    inner: &Inner,
    sender: &Sender,
    settings: &GlobalSettings,
) -> Result<(), RxDrop> {
    let vxlan = inner.is_vxlan(u16::from_be_bytes(settings.port));
    let pass = vxlan && sender.network.flags & NetworkEntry::PASS_NESTED != 0;
    if (vxlan && !pass) || ((vxlan || inner.is_ip_tunnel()) && is_underlay(inner, settings)) {
        return Err(RxDrop::NestedTunnel);
    }
    Ok(())
}

/// Is the inner destination an address of the underlay?
#[inline(always)]
fn is_underlay(inner: &Inner, settings: &GlobalSettings) -> bool {
    let to = &inner.destination;
    if inner.family == IPV4 {
        let to = to.first();
        return to != [0; 4] && (to == settings.address || to == settings.public_address);
    }
    !to.equals(&Address::ZERO)
        && (to.equals(&settings.address6) || to.equals(&settings.public_address6))
}

/// Is that inner destination on or behind this host?
#[inline(always)]
pub(crate) fn check_destination(inner: &Inner, sender: &Sender) -> Result<(), RxDrop> {
    let denied = Err(RxDrop::InnerDestinationDenied);
    let broadcast = inner.destination_mac.equals(&Mac::BROADCAST);
    if !inner.to_group() && !inner.destination_mac.equals(&sender.network.mac) {
        return denied;
    }
    // A multicast MAC is derived from a multicast IP address, and nothing else goes there.
    if inner.to_group() && !broadcast && !inner.to_multicast() {
        return denied;
    }
    if inner.is_announcement() {
        return Ok(());
    }
    let ours = |address| {
        (inner.is_discovery() && inner.is_link_local(&address))
            || owner(sender.network, inner, address) == Some(LOCAL)
    };
    let addressed = if inner.to_multicast() { inner.to_group() } else { ours(inner.destination) };
    let target_too = !matches!(inner.kind, FrameKind::Solicitation) || ours(inner.target);
    if addressed && target_too { Ok(()) } else { denied }
}

#[inline(always)]
fn owner(network: &NetworkEntry, inner: &Inner, address: Address) -> Option<Owner> {
    ROUTES.get(RouteKey::whole(network.vni, inner.family, address)).copied()
}
