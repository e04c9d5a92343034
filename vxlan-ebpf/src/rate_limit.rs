//! Rate limits: what each peer may send, how many BUM frames are replicated, and how much work any
//! packet can cause on the slow path. Owns the buckets' arithmetic at run time, and the constant
//! limits of probes and of the slow path; the limits of peers and of networks come from the
//! configuration (`vxlan_common::table::RateLimit`).
//!
//! Two CPUs may read a virtual clock before either has written it: then one packet is not charged.
//! A limit is for overload, where a few packets more do no harm, and exactness would cost every
//! packet.

use aya_ebpf::{helpers::bpf_ktime_get_ns, maps::Array};
use vxlan_common::{
    addr::Address,
    probe::{self, CEILING_KNOWN, CEILING_STRANGERS},
    reason::{RxDrop, TxDrop},
    table::{MemberEntry, NetworkEntry, RateLimit},
};

use crate::{
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
    let now = now();
    // SAFETY: points to an element of an array map, which lives as long as the map; both clocks
    // are words, which are read and written whole.
    unsafe {
        let packets = charge((*bucket).packets, &peer.packets, 1, now);
        let bytes = charge((*bucket).bytes, &peer.bytes, u64::from(bytes), now);
        let (Some(packets), Some(bytes)) = (packets, bytes) else {
            return Err(RxDrop::RateLimited);
        };
        (*bucket).packets = packets;
        (*bucket).bytes = bytes;
    }
    Ok(())
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
    unsafe {
        let Some(clock) = charge(*bucket, limit, 1, now) else { return false };
        *bucket = clock;
    }
    true
}

/// The virtual clock of a limit after `units` more. `None`: the clock would run too far ahead.
#[inline(always)]
fn charge(clock: u64, limit: &RateLimit, units: u64, now: u64) -> Option<u64> {
    if limit.cost == 0 {
        return Some(clock);
    }
    let clock = if clock > now { clock } else { now } + limit.cost_of(units);
    (clock <= now + limit.burst).then_some(clock)
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: reads the clock.
    unsafe { bpf_ktime_get_ns() }
}
