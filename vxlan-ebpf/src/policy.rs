//! The rules of receive: the peer's right to send in a network, and the inner frame's source and
//! destination. Look-ups are in [`lookup`](crate::lookup), rate limits in
//! [`rate_limit`](crate::rate_limit). In docs/packets.md these are rules 11 and 16 to 19.
//!
//! Default deny: whatever no table allows is refused here, under its own reason.

use vxlan_common::{
    addr::{Address, IPV4, Mac},
    counters::UNATTRIBUTED_SLOT,
    inner::{FrameKind, Inner},
    reason::RxDrop,
    table::{
        AddressOwner, GlobalSettings, LOCAL_STATIONS, Mapping, MemberEntry, NetworkAddress,
        NetworkEntry, NonMember, SourceEntry, is_local,
    },
};

use crate::{
    counters::Refused,
    lookup::{self, owner},
    maps::{MAPPINGS, MEMBERS, NETWORKS, SOURCES},
    scratch::OuterRx,
    strangers,
};

/// The member that sent a packet, and its network.
pub(crate) struct Sender {
    /// Index of the member.
    pub(crate) index: u32,
    pub(crate) member: &'static MemberEntry,
    pub(crate) network: &'static NetworkEntry,
    /// A NAT rewrote the outer source address.
    pub(crate) rewritten: bool,
    /// The source port decided who the sender is.
    pub(crate) by_port: bool,
}

/// Finds the member that may send this packet. `None`: the packet is another VXLAN user's.
#[inline(always)]
pub(crate) fn find_sender(
    outer: &OuterRx,
    settings: &GlobalSettings,
) -> Result<Option<Sender>, Refused> {
    let key = NetworkAddress { vni: outer.vni, family: outer.family, address: outer.source };
    // SAFETY: copied out at once; entries are replaced whole.
    let declared = unsafe { SOURCES.get(key) }.copied();
    if declared.is_none()
        && let Some(stranger) = strangers::find(outer)
    {
        return stranger.refusal(outer, settings).map_or(Ok(None), Err);
    }
    let (found, by_port) = match declared {
        Some(source) if source.flags & SourceEntry::SHARED == 0 => (declared, false),
        _ => (learned_source(key, outer.source_port).or(declared), true),
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
            by_port,
        }));
    }
    refuse_unknown(outer, settings)
}

/// The source entry of a learned endpoint.
#[inline(always)]
fn learned_source(from: NetworkAddress, port: u16) -> Option<SourceEntry> {
    let key = Mapping { from, port: port.to_be_bytes(), pad: [0; 2] };
    // SAFETY: copied out at once; entries are replaced whole.
    unsafe { MAPPINGS.get(key) }.copied()
}

/// Returns why no member may send this packet, and which counter slot the drop is attributed to.
/// The address of a learned endpoint is no peer's here: other hosts may be behind the same NAT. So
/// such a peer in a network that it is not a member of is an unknown source. So is a private
/// address that a peer may not send from, and the drop is that peer's.
#[inline(always)]
fn refuse_unknown(outer: &OuterRx, settings: &GlobalSettings) -> Result<Option<Sender>, Refused> {
    let network = lookup::network_of_vni(outer.vni);
    let peer = lookup::peer_of_address(outer.family, &outer.source);
    let peer_slot = peer.map_or(UNATTRIBUTED_SLOT, |owner| lookup::peer_slot(owner.peer));
    match (network, peer) {
        (None, _) if settings.pass_unknown_vni != 0 => Ok(None),
        (None, _) => Err(Refused { reason: RxDrop::UnknownVni, slot: peer_slot, pair: None }),
        (Some(network), None) => {
            let slot = NETWORKS.get(network).map_or(UNATTRIBUTED_SLOT, |network| network.slot);
            Err(Refused { reason: RxDrop::UnknownSource, slot, pair: None })
        }
        // In whatever network: the address is no right to send.
        (Some(_), Some(owner)) if owner.flags & AddressOwner::PRIVATE != 0 => {
            Err(Refused { reason: RxDrop::UnknownSource, slot: peer_slot, pair: None })
        }
        (Some(network), Some(AddressOwner { peer, .. })) => Err(Refused {
            reason: RxDrop::NotAMember,
            slot: peer_slot,
            pair: Some(NonMember { peer, network }),
        }),
    }
}

/// Checks that the frame may leave its link (rule 16), and that the member may send from the inner
/// source MAC and address (rule 17).
#[inline(always)]
pub(crate) fn check_source(inner: &Inner, sender: &Sender) -> Result<(), RxDrop> {
    if matches!(inner.kind, FrameKind::LinkControl) {
        return Err(RxDrop::InnerProtocolDenied);
    }
    if inner.source_mac.equals(&sender.network.mac) {
        return Err(RxDrop::OwnMac);
    }
    if inner.speaks_for_other_mac {
        return Err(RxDrop::InnerSourceDenied);
    }
    if inner.has_martian_source() {
        return if may_be_unspecified(inner, sender) {
            Ok(())
        } else {
            Err(RxDrop::InnerSourceDenied)
        };
    }
    let may_claim = |address| {
        // Neighbour discovery has link-local sources and targets too; other traffic of link-local
        // addresses stays on its link.
        if inner.is_link_local(&address) {
            return inner.is_discovery() && sender.member.flags & MemberEntry::IPV6 != 0;
        }
        owner(sender.network, inner, &address) == Some(sender.index)
    };
    let target_ok = !matches!(inner.kind, FrameKind::Advertisement)
        || (!inner.is_no_host(&inner.target) && may_claim(inner.target));
    if may_claim(inner.source) && target_ok { Ok(()) } else { Err(RxDrop::InnerSourceDenied) }
}

/// The frame may come from a host that has no address yet: DHCP, and the question whether an
/// address is taken that is the member's, which the host is about to use, or this host's.
#[inline(always)]
fn may_be_unspecified(inner: &Inner, sender: &Sender) -> bool {
    if sender.network.flags & NetworkEntry::PASS_UNSPECIFIED == 0 || inner.has_martian_mac() {
        return false;
    }
    if !inner.is_address_probe() {
        return inner.is_dhcp_request();
    }
    let target = inner.owner_address();
    if inner.is_no_host(target) {
        return false;
    }
    if inner.is_link_local(target) {
        return sender.member.flags & MemberEntry::IPV6 != 0;
    }
    owner(sender.network, inner, target)
        .is_some_and(|owner| owner == sender.index || is_local(owner))
}

/// Refuses a tunnel inside the tunnel (rule 18).
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

/// The inner destination is an address of the underlay.
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

/// Checks that the inner destination is on or behind this host (rule 19).
#[inline(always)]
pub(crate) fn check_destination(inner: &Inner, sender: &Sender) -> Result<(), RxDrop> {
    let denied = Err(RxDrop::InnerDestinationDenied);
    let broadcast = inner.destination_mac.equals(&Mac::BROADCAST);
    let to_station = !inner.to_group() && !inner.destination_mac.equals(&sender.network.mac);
    if to_station && inner.destination_mac.equals(&Mac::ZERO) {
        return denied;
    }
    // A multicast MAC is derived from a multicast IP address; any other destination is refused.
    if inner.to_group() && !broadcast && !inner.to_multicast() {
        return denied;
    }
    // The target of an address probe was looked at with its source.
    if inner.is_announcement() || inner.is_address_probe() {
        return Ok(());
    }
    let stations = sender.network.flags & NetworkEntry::STATIONS != 0;
    let ours = |address| {
        (inner.is_discovery() && inner.is_link_local(&address) && (!to_station || stations))
            || owner(sender.network, inner, &address).is_some_and(|owner| {
                if to_station { owner == LOCAL_STATIONS } else { is_local(owner) }
            })
    };
    let destination_ok =
        if inner.to_multicast() { inner.to_group() } else { ours(inner.destination) };
    let target_ok = !matches!(inner.kind, FrameKind::Solicitation) || ours(inner.target);
    if destination_ok && target_ok { Ok(()) } else { denied }
}
