//! What a NAT on the way rewrote of a packet: counts it, and notes where the member's packets come
//! from. Decides about no packet.

use vxlan_common::{
    addr::{Address, IPV6},
    inner::Inner,
    nat,
    table::{GlobalSettings, MemberEntry, MemberState, ObservedEndpoint},
};

use crate::{
    counters::{self, Rewritten},
    outer_rx::Received,
    peer_entry,
    policy::Sender,
    udp_checksum::Sum,
};

/// What was rewritten of a packet.
#[inline(always)]
pub(crate) fn rewritten(sender: &Sender, received: &Received, inner: &Inner) -> Rewritten {
    Rewritten {
        source: sender.rewritten,
        destination: received.destination_rewritten,
        port: !sender.member.sends_from(received.source_port, inner),
        checksum: received.has_checksum && sends_none(sender.member),
    }
}

/// Counts what was rewritten of an accepted packet. `learned` is the member's element of `LEARNED`,
/// `now` the daemon's clock.
#[inline(always)]
pub(crate) fn note(
    sender: &Sender,
    received: &Received,
    what: Rewritten,
    learned: *mut MemberState,
    now: u32,
) {
    counters::rewritten(sender.member.slot, what);
    observe(received, if what.port { received.source_port } else { 0 }, learned, now);
}

/// Does the peer send no UDP checksums?
#[inline(always)]
fn sends_none(member: &MemberEntry) -> bool {
    member.flags & MemberEntry::ZERO_CHECKSUM != 0
}

/// Notes where a packet came from. Writes only what is news, as other CPUs read the same element.
#[inline(always)]
fn observe(received: &Received, port: u16, learned: *mut MemberState, now: u32) {
    // SAFETY: the caller got the pointer from an array map, whose elements live as long as the map.
    // Other CPUs may write the same element, word by word: a mixture of two mappings is one that
    // was never seen, and gives way to the next packet's.
    unsafe {
        let observed = &raw mut (*learned).observed;
        let new = !(*observed).equals(received.family, &received.source, port);
        if !new && (*observed).ttl == received.ttl {
            return;
        }
        (*observed).ttl = received.ttl;
        if !new {
            return;
        }
        if (*observed).family != 0 {
            (*observed).changes = (*observed).changes.wrapping_add(1);
        }
        (*observed).family = received.family;
        (*observed).address = received.source;
        (*observed).port = port;
        (*observed).changed = now;
        let place = ObservedEndpoint::bit_for(&received.source, port);
        (*observed).seen[((place / 64) & 7) as usize] |= 1 << (place % 64);
    }
}

/// Counts a packet with a wrong checksum, if a NAT is what made it wrong.
#[inline(always)]
pub(crate) fn explain(
    sum: Sum,
    sender: &Sender,
    received: &Received,
    inner: Option<&Inner>,
    settings: &GlobalSettings,
) {
    let member = sender.member;
    let checksum = sends_none(member)
        || sum.wrong().is_some_and(|sum| {
            nat::explains(
                sum,
                [
                    source_difference(member, received),
                    destination_difference(received, settings),
                    port_difference(member, received, inner),
                ],
            )
        });
    counters::rewritten(member.slot, Rewritten { checksum, ..Rewritten::default() });
}

#[inline(always)]
fn source_difference(member: &MemberEntry, received: &Received) -> u16 {
    let Some(peer) = peer_entry::part(member.peer) else { return 0 };
    let private = if received.family == IPV6 { peer.private6 } else { Address::ipv4(peer.private) };
    if private.equals(&Address::ZERO) {
        return 0;
    }
    nat::address_difference(&received.source, &private)
}

#[inline(always)]
fn destination_difference(received: &Received, settings: &GlobalSettings) -> u16 {
    if !received.destination_rewritten {
        return 0;
    }
    if received.family == IPV6 {
        return nat::address_difference(&settings.address6, &settings.public_address6);
    }
    let (now, then) = (settings.address, settings.public_address);
    nat::address_difference(&Address::ipv4(now), &Address::ipv4(then))
}

#[inline(always)]
fn port_difference(member: &MemberEntry, received: &Received, inner: Option<&Inner>) -> u16 {
    match member.source_port(inner) {
        Some(port) => nat::difference(received.source_port.to_be(), port.to_be()),
        None => 0,
    }
}
