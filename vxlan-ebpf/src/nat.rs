//! What a NAT on the path rewrote of a packet: counts rewrites, and records the endpoint that the
//! member's packets come from. Decides about no packet.

use vxlan_common::{
    addr::{Address, IPV6},
    inner::{self, Inner},
    nat,
    table::{GlobalSettings, MemberEntry, MemberState, ObservedEndpoint},
};

use crate::{
    counters, peer_entry,
    policy::Sender,
    scratch::{ChecksumResult, OuterRx, Rewritten},
};

/// Finds what a NAT rewrote of an accepted packet.
#[inline(always)]
pub(crate) fn rewritten(sender: &Sender, outer: &OuterRx, inner: &Inner) -> Rewritten {
    Rewritten {
        source: sender.rewritten,
        destination: outer.destination_rewritten,
        port: !sender.member.sends_from(outer.source_port, || inner::flow_hash(inner)),
        checksum: outer.has_checksum && sends_zero_checksum(sender.member),
    }
}

/// Counts what a NAT rewrote of an accepted packet, and records the packet's endpoint. `learned` is
/// the member's element of `LEARNED`, `now` the daemon's clock.
#[inline(always)]
pub(crate) fn record(
    sender: &Sender,
    outer: &OuterRx,
    rewritten: Rewritten,
    learned: *mut MemberState,
    now: u32,
) {
    counters::rewritten(sender.member.slot, rewritten);
    record_endpoint(outer, if rewritten.port { outer.source_port } else { 0 }, learned, now);
}

/// The peer leaves the UDP checksum zero.
#[inline(always)]
fn sends_zero_checksum(member: &MemberEntry) -> bool {
    member.flags & MemberEntry::ZERO_CHECKSUM != 0
}

/// Records the endpoint that a packet came from. Writes only on a change, as other CPUs read the
/// same element.
#[inline(always)]
fn record_endpoint(outer: &OuterRx, port: u16, learned: *mut MemberState, now: u32) {
    // SAFETY: the caller got the pointer from an array map, whose elements live as long as the map.
    // Other CPUs may write the same element, word by word: a mixture of two mappings is one that
    // was never seen, and gives way to the next packet's.
    unsafe {
        let observed = &raw mut (*learned).observed;
        let is_new = !(*observed).equals(outer.family, &outer.source, port);
        if !is_new && (*observed).ttl == outer.ttl {
            return;
        }
        (*observed).ttl = outer.ttl;
        if !is_new {
            return;
        }
        if (*observed).family != 0 {
            (*observed).changes = (*observed).changes.wrapping_add(1);
        }
        (*observed).family = outer.family;
        (*observed).address = outer.source;
        (*observed).port = port;
        (*observed).changed = now;
        let bit = ObservedEndpoint::bit_for(&outer.source, port);
        (*observed).seen[((bit / 64) & 7) as usize] |= 1 << (bit % 64);
    }
}

/// Counts a rewritten checksum, if a NAT explains why the packet's checksum is wrong.
#[inline(always)]
pub(crate) fn count_explained(
    result: ChecksumResult,
    sender: &Sender,
    outer: &OuterRx,
    inner: Option<&Inner>,
    settings: &GlobalSettings,
) {
    let member = sender.member;
    let checksum = sends_zero_checksum(member)
        || result.wrong_sum().is_some_and(|sum| {
            nat::explains(
                sum,
                [
                    source_difference(member, outer),
                    destination_difference(outer, settings),
                    port_difference(member, outer, inner),
                ],
            )
        });
    counters::rewritten(member.slot, Rewritten { checksum, ..Rewritten::default() });
}

#[inline(always)]
fn source_difference(member: &MemberEntry, outer: &OuterRx) -> u16 {
    let Some(peer) = peer_entry::peek(member.peer) else { return 0 };
    let private = if outer.family == IPV6 { peer.private6 } else { Address::ipv4(peer.private) };
    if private.equals(&Address::ZERO) {
        return 0;
    }
    nat::address_difference(&outer.source, &private)
}

#[inline(always)]
fn destination_difference(outer: &OuterRx, settings: &GlobalSettings) -> u16 {
    if !outer.destination_rewritten {
        return 0;
    }
    if outer.family == IPV6 {
        return nat::address_difference(&settings.address6, &settings.public_address6);
    }
    let (private, public) = (settings.address, settings.public_address);
    nat::address_difference(&Address::ipv4(private), &Address::ipv4(public))
}

#[inline(always)]
fn port_difference(member: &MemberEntry, outer: &OuterRx, inner: Option<&Inner>) -> u16 {
    match member.source_port(inner) {
        Some(port) => nat::difference(outer.source_port.to_be(), port.to_be()),
        None => 0,
    }
}
