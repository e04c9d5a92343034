//! RateLimit limits: what each peer may send, how much is copied to everyone, and how much is done
//! on behalf of strangers.
//!
//! Two CPUs may read a clock before either has written it: then one packet is not charged. A limit
//! is for overload, where a few packets more do no harm, and exactness would cost every packet.

use aya_ebpf::{helpers::bpf_ktime_get_ns, maps::Array};
use vxlan_common::{
    reason::{RxDrop, TxDrop},
    table::{MemberEntry, NetworkEntry, RateLimit},
};

use crate::{
    maps::{BUM_BUCKETS, PEER_BUCKETS, PROBE_BUCKETS, SLOW_PATH_BUCKETS},
    peer_entry,
    policy::Sender,
};

/// What is done for others: ICMP messages, log messages.
const EXCEPTION: RateLimit = RateLimit::per_second(100, 0, 100);
/// Probes with one peer's tag from one side: what it sends, and more than a search for the path MTU
/// takes.
const PROBES: RateLimit = RateLimit::per_second(64, 0, 64);

/// Charges a received packet to its peer.
#[inline(always)]
pub(crate) fn peer(sender: &Sender, bytes: u32) -> Result<(), RxDrop> {
    if sender.member.flags & MemberEntry::LIMITED == 0 {
        return Ok(());
    }
    let limits =
        peer_entry::part(sender.member.peer).zip(PEER_BUCKETS.get_ptr_mut(sender.member.peer));
    let Some((peer, spent)) = limits else { return Ok(()) };
    let now = now();
    // SAFETY: points to an element of an array map, which lives as long as the map; both words are
    // read and written whole.
    unsafe {
        let packets = charge((*spent).packets, &peer.packets, 1, now);
        let bytes = charge((*spent).bytes, &peer.bytes, u64::from(bytes), now);
        let (Some(packets), Some(bytes)) = (packets, bytes) else {
            return Err(RxDrop::RateLimited);
        };
        (*spent).packets = packets;
        (*spent).bytes = bytes;
    }
    Ok(())
}

/// Charges a frame that is to be copied to everyone.
#[inline(always)]
pub(crate) fn broadcast(index: u32, network: &NetworkEntry) -> Result<(), TxDrop> {
    if allow(&BUM_BUCKETS, index, &network.bum_limit) { Ok(()) } else { Err(TxDrop::RateLimited) }
}

/// Charges a probe to the peer that it claims to come from. What comes from elsewhere than its
/// endpoint, with a tag that anybody on the way can read, uses up nothing of what comes from there.
#[inline(always)]
pub(crate) fn probe(peer: u32, from_endpoint: bool) -> bool {
    allow(&PROBE_BUCKETS, 2 * peer + u32::from(from_endpoint), &PROBES)
}

/// What others can have us do. Neither shall use up what the other has.
#[derive(Clone, Copy)]
pub(crate) enum Service {
    /// Tell a sender by ICMP.
    Icmp = 0,
    /// Tell the log.
    Log = 1,
}

/// May it be done for others once more?
#[inline(always)]
pub(crate) fn exception(service: Service) -> bool {
    allow(&SLOW_PATH_BUCKETS, service as u32, &EXCEPTION)
}

#[inline(always)]
fn allow(spent: &Array<u64>, index: u32, rate: &RateLimit) -> bool {
    let Some(spent) = spent.get_ptr_mut(index) else { return false };
    // SAFETY: as in `peer`.
    unsafe {
        let Some(clock) = charge(*spent, rate, 1, now()) else { return false };
        *spent = clock;
    }
    true
}

/// Where the virtual clock of a limit is after `units` more; `None`: too far ahead.
#[inline(always)]
fn charge(clock: u64, rate: &RateLimit, units: u64, now: u64) -> Option<u64> {
    if rate.cost == 0 {
        return Some(clock);
    }
    let clock = if clock > now { clock } else { now } + rate.cost_of(units);
    (clock <= now + rate.burst).then_some(clock)
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: reads the clock.
    unsafe { bpf_ktime_get_ns() }
}
