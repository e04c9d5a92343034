//! Counting packets, bytes and drops. Per CPU, one array lookup, no atomics: a program is never
//! preempted by another of the same hook on its CPU, and two hooks that interleave add to different
//! fields. The layout is in `vxlan_common::counters`.

use vxlan_common::{
    counters::{Counters, NatField},
    reason::{DropReason, RxDrop, TxDrop},
    table::NonMember,
};

use crate::{
    maps::{COUNTERS, NON_MEMBERS},
    scratch::Rewritten,
};

/// A packet that must not enter the overlay, and the counter that the drop is attributed to.
pub(crate) struct Refused {
    /// Why.
    pub(crate) reason: RxDrop,
    /// Counter slot. Where there is a pair: that of its peer, used when the map of pairs is full.
    pub(crate) slot: u32,
    /// For [`RxDrop::NotAMember`]: peer and network. Pairs have no slots, but a map of their own.
    pub(crate) pair: Option<NonMember>,
}

/// A frame that a TC program dropped after it had been accepted (receive), or did not send
/// (transmit).
pub(crate) struct Failed<R> {
    /// Why.
    pub(crate) reason: R,
    /// Counter slot.
    pub(crate) slot: u32,
    /// Packets on the wire: several for a GSO frame.
    pub(crate) packets: u64,
}

#[inline(always)]
fn update(slot: u32, change: impl FnOnce(&mut Counters)) {
    if let Some(counters) = COUNTERS.get_ptr_mut(slot) {
        // SAFETY: the pointer is to this CPU's value of the element, which lives as long as the
        // map; no other reference to it exists in this program run.
        change(unsafe { &mut *counters });
    }
}

/// Counts dropped packets.
#[inline(always)]
pub(crate) fn add_drops(slot: u32, reason: DropReason, packets: u64) {
    // The compiler knows that no reason is out of bounds. The verifier of Linux 6.1 does not follow
    // that, and demands the check.
    let index = core::hint::black_box(reason.index());
    update(slot, |counters| {
        if let Some(count) = counters.drops.get_mut(index) {
            *count += packets;
        }
    });
}

/// Counts a refused frame that stands for `packets` on the wire: by its pair, if it has one and the
/// map of pairs has room, else in its slot.
#[inline(always)]
pub(crate) fn rx_drop(refused: &Refused, packets: u64) {
    if let Some(pair) = refused.pair
        && add_pair(&pair, packets)
    {
        return;
    }
    add_drops(refused.slot, DropReason::Rx(refused.reason), packets);
}

/// Adds packets to a pair's count. `false`: the map of pairs is full.
#[inline(always)]
fn add_pair(pair: &NonMember, packets: u64) -> bool {
    if let Some(count) = NON_MEMBERS.get_ptr_mut(pair) {
        // SAFETY: as in `update`.
        unsafe { *count += packets };
        return true;
    }
    NON_MEMBERS.insert(pair, packets, 0).is_ok()
}

/// Counts packets that were accepted and then not delivered.
#[inline(always)]
pub(crate) fn rx_drop_many(failed: &Failed<RxDrop>) {
    add_drops(failed.slot, DropReason::Rx(failed.reason), failed.packets);
}

/// Counts packets that were not sent.
#[inline(always)]
pub(crate) fn tx_drop(failed: &Failed<TxDrop>) {
    add_drops(failed.slot, DropReason::Tx(failed.reason), failed.packets);
}

/// Counts a packet that passed every rule, and whether it is redirected into the hidden port.
#[inline(always)]
pub(crate) fn accepted(slot: u32, redirected: bool) {
    update(slot, |counters| {
        counters.accepted += 1;
        counters.redirected += u64::from(redirected);
    });
}

/// Counts a packet that was redirected, where it arrives.
#[inline(always)]
pub(crate) fn arrived(slot: u32, bytes: u64) {
    update(slot, |counters| {
        counters.arrived += 1;
        counters.rx_packets += 1;
        counters.rx_bytes += bytes;
    });
}

/// Counts packets handed to the overlay.
#[inline(always)]
pub(crate) fn received(slot: u32, packets: u64, bytes: u64) {
    update(slot, |counters| {
        counters.rx_packets += packets;
        counters.rx_bytes += bytes;
    });
}

/// Counts packets handed to the underlay.
#[inline(always)]
pub(crate) fn sent(slot: u32, packets: u64, bytes: u64) {
    update(slot, |counters| {
        counters.tx_packets += packets;
        counters.tx_bytes += bytes;
    });
}

/// Counts an ARP request or neighbour solicitation that was answered on a member's behalf.
#[inline(always)]
pub(crate) fn neighbour_reply(slot: u32) {
    update(slot, |counters| counters.neighbour_replies += 1);
}

/// Counts an ICMP message about a packet too big.
#[inline(always)]
pub(crate) fn too_big_sent(slot: u32) {
    update(slot, |counters| counters.too_big_sent += 1);
}

/// Counts a probe that the daemon receives.
#[inline(always)]
pub(crate) fn probe(slot: u32) {
    update(slot, |counters| counters.probes += 1);
}

/// Counts what a NAT rewrote, if anything.
#[inline(always)]
pub(crate) fn rewritten(slot: u32, rewritten: Rewritten) {
    let Rewritten { source, destination, port, checksum } = rewritten;
    if source || destination || port || checksum {
        update(slot, |counters| {
            counters.nat[NatField::SrcAddress as usize] += u64::from(source);
            counters.nat[NatField::DstAddress as usize] += u64::from(destination);
            counters.nat[NatField::SrcPort as usize] += u64::from(port);
            counters.nat[NatField::Checksum as usize] += u64::from(checksum);
        });
    }
}
