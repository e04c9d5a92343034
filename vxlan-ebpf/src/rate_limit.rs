//! Rate limits: what each peer may send, how many BUM frames are replicated, and how much work any
//! packet can cause on the slow path. Owns the buckets' arithmetic at run time, and the constant
//! limits of probes and of the slow path; the limits of peers and of networks come from the
//! configuration (`vxlan_common::table::RateLimit`).
//!
//! A virtual clock is one word, moved on by compare-and-exchange: a limit holds however many CPUs
//! receive at once.

use aya_ebpf::{helpers::bpf_ktime_get_ns, maps::Array};
use vxlan_common::{
    addr::Address,
    probe::{self, CEILING_KNOWN, CEILING_STRANGERS},
    reason::{RxDrop, TxDrop},
    table::{BucketState, MemberEntry, NetworkEntry, PeerEntry, RateLimit},
};

use crate::{
    atomic,
    maps::{BUM_BUCKETS, PEER_BUCKETS, PROBE_BUCKETS, PROBE_SOURCE_BUCKETS, SLOW_PATH_BUCKETS},
    peer_entry,
};

/// Limit of each kind of slow-path work.
const SLOW_PATH_LIMIT: RateLimit = RateLimit::per_second(100, 0, 100);
/// Limit of probes with one peer's tag from the peer's endpoint: more than a peer sends, a search
/// for the path MTU included.
const ENDPOINT_PROBES: RateLimit = RateLimit::per_second(256, 0, 256);
/// Limit of probes with one peer's tag from the address of its endpoint and all other ports.
const ADDRESS_PROBES: RateLimit = RateLimit::per_second(1_024, 0, 1_024);
/// Limit of probes with one peer's tag from one source.
const SOURCE_PROBES: RateLimit = RateLimit::per_second(64, 0, 64);
/// Limit of all probes, once for those from addresses of endpoints and once for all others: what
/// the daemon can verify beside its other work. Both bursts together fit into the ring buffer.
const ALL_PROBES: RateLimit = RateLimit::per_second(32_768, 0, 2_048);

/// Charges a received packet, and the bytes of its inner frame, to its peer.
#[inline(always)]
pub(crate) fn charge_peer(member: &MemberEntry, bytes: u32) -> Result<(), RxDrop> {
    if member.flags & MemberEntry::LIMITED == 0 {
        return Ok(());
    }
    let entries = peer_entry::peek(member.peer).zip(PEER_BUCKETS.get_ptr_mut(member.peer));
    let Some((peer, bucket)) = entries else { return Ok(()) };
    // SAFETY: points to an element of an array map, which lives as long as the map.
    if unsafe { charge_both(bucket, peer, bytes.into()) } == 0 {
        return Err(RxDrop::RateLimited);
    }
    Ok(())
}

/// Charges a packet to both limits of a peer, or to none. Returns 1 if it was charged. A function
/// of its own to the verifier too: its callers have no room on the stack for what it needs.
///
/// # Safety
/// `bucket` points into a value of a map, which lives as long as the map.
#[inline(never)]
unsafe fn charge_both(bucket: *mut BucketState, peer: &PeerEntry, bytes: u64) -> u64 {
    let now = now();
    // SAFETY: by the function's contract.
    unsafe {
        let (packets, bytes_clock) = (&raw mut (*bucket).packets, &raw mut (*bucket).bytes);
        // A look first, so that what is refused writes nothing.
        if !has_room(bytes_clock, &peer.bytes, bytes, now)
            || !charge(packets, &peer.packets, 1, now)
        {
            return 0;
        }
        if !charge(bytes_clock, &peer.bytes, bytes, now) {
            atomic::add(packets, peer.packets.cost_of(1).wrapping_neg());
            return 0;
        }
    }
    1
}

/// Charges a BUM frame to its network.
#[inline(always)]
pub(crate) fn charge_bum(index: u32, network: &NetworkEntry) -> Result<(), TxDrop> {
    if allow(&BUM_BUCKETS, index, &network.bum_limit) { Ok(()) } else { Err(TxDrop::RateLimited) }
}

/// Where a probe comes from.
#[derive(Clone, Copy)]
pub(crate) enum ProbeOrigin {
    /// Address and port of the endpoint of the peer that the tag names.
    Endpoint,
    /// The endpoint's address, and another port.
    EndpointAddress,
    Elsewhere,
}

/// Charges a probe to the budgets of docs/probe-protocol.md, "Budgets". Anybody on the path can
/// read a tag: so each source has a budget of its own, and takes nothing from another one.
#[inline(always)]
pub(crate) fn allow_probe(
    peer: u32,
    origin: ProbeOrigin,
    source: &Address,
    source_port: u16,
    secret: [u8; 8],
) -> bool {
    let now = now();
    let (port, ceiling) = match origin {
        ProbeOrigin::Endpoint | ProbeOrigin::EndpointAddress => (source_port, CEILING_KNOWN),
        ProbeOrigin::Elsewhere => (0, CEILING_STRANGERS),
    };
    let of_peer = match origin {
        ProbeOrigin::Endpoint => allow_at(&PROBE_BUCKETS, 2 * peer, &ENDPOINT_PROBES, now),
        ProbeOrigin::EndpointAddress | ProbeOrigin::Elsewhere => {
            let bucket = probe::source_bucket(secret, peer, source, port, now);
            allow_at(&PROBE_SOURCE_BUCKETS, bucket, &SOURCE_PROBES, now)
                && (matches!(origin, ProbeOrigin::Elsewhere)
                    || allow_at(&PROBE_BUCKETS, 2 * peer + 1, &ADDRESS_PROBES, now))
        }
    };
    of_peer && allow_at(&PROBE_SOURCE_BUCKETS, ceiling, &ALL_PROBES, now)
}

/// Work that packets of strangers can cause. Each kind has a bucket of its own.
#[derive(Clone, Copy)]
pub(crate) enum SlowPath {
    /// An ICMP message to the sender of a frame.
    Icmp = 0,
    /// A log message.
    Log = 1,
}

/// Charges one unit of slow-path work.
#[inline(always)]
pub(crate) fn allow_slow_path(service: SlowPath) -> bool {
    allow(&SLOW_PATH_BUCKETS, service as u32, &SLOW_PATH_LIMIT)
}

#[inline(always)]
fn allow(buckets: &Array<u64>, index: u32, limit: &RateLimit) -> bool {
    allow_at(buckets, index, limit, now())
}

#[inline(always)]
fn allow_at(buckets: &Array<u64>, index: u32, limit: &RateLimit, now: u64) -> bool {
    let Some(bucket) = buckets.get_ptr_mut(index) else { return false };
    // SAFETY: as in `charge_peer`.
    unsafe { charge(bucket, limit, 1, now) }
}

/// Moves the virtual clock of a limit on by `units`. Returns whether it does not run too far ahead.
///
/// # Safety
/// `clock` points to a word in a value of a map, which lives as long as the map.
#[inline(always)]
unsafe fn charge(clock: *mut u64, limit: &RateLimit, units: u64, now: u64) -> bool {
    // SAFETY: by the function's contract.
    limit.cost == 0 || unsafe { move_on(clock, limit.cost_of(units), now, now + limit.burst) } != 0
}

/// Moves a virtual clock on by `cost`, from `now` if it is behind, unless that would be beyond
/// `latest`. Returns 1 if it has moved. A function of its own, as [`charge_both`] is.
///
/// # Safety
/// As for [`charge`].
#[inline(never)]
unsafe fn move_on(clock: *mut u64, cost: u64, now: u64, latest: u64) -> u64 {
    /// So often another CPU may come first.
    const ATTEMPTS: u32 = 4;
    // SAFETY: by the function's contract; words are read whole.
    let mut found = unsafe { clock.read_volatile() };
    let mut attempts = 0;
    while attempts < ATTEMPTS {
        let after = moved_on(found, cost, now);
        if after > latest {
            return 0;
        }
        // SAFETY: by the function's contract.
        let at_the_time = unsafe { atomic::compare_exchange(clock, found, after) };
        if at_the_time == found {
            return 1;
        }
        found = at_the_time;
        attempts += 1;
    }
    // As many others were charged meanwhile. This one is accepted and charged without another look:
    // the clock may be ahead by a unit of each CPU, which the next ones wait for.
    // SAFETY: by the function's contract.
    unsafe { atomic::add(clock, cost) };
    1
}

/// The limit would not refuse `units`.
///
/// # Safety
/// As for [`charge`].
#[inline(always)]
unsafe fn has_room(clock: *mut u64, limit: &RateLimit, units: u64, now: u64) -> bool {
    // SAFETY: by the function's contract; words are read whole.
    let found = unsafe { clock.read_volatile() };
    limit.cost == 0 || moved_on(found, limit.cost_of(units), now) <= now + limit.burst
}

/// A virtual clock after `cost` more.
#[inline(always)]
fn moved_on(clock: u64, cost: u64, now: u64) -> u64 {
    let from = if clock > now { clock } else { now };
    from + cost
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: reads the clock.
    unsafe { bpf_ktime_get_ns() }
}
