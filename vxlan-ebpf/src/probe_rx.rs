//! Hands received probes to the daemon, with the outer headers as they arrived. The daemon verifies
//! that a probe is genuine; here only the tag and budgets by source keep strangers from filling the
//! ring buffer.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use vxlan_common::{
    addr::{Address, IPV4, IPV6},
    bytes::{Bytes as _, HeaderWindow as _},
    outer::{OVERHEAD_IPV4, OVERHEAD_IPV6},
    probe::{FRAME_LEN, ProbeTag, ReceivedProbe, TAG_AT},
    reason::RxDrop,
    table::GlobalSettings,
    wire::{ETH_LEN, IPV4_LEN, IPV6_LEN, VXLAN_LEN, ipv4, ipv6, udp},
};

use crate::{
    counters::{self, Refused},
    lookup,
    maps::{PROBERS, PROBES},
    packet::View,
    packet_ctx::{MAX_HEADERS_LEN, PacketCtx},
    peer_entry,
    rate_limit::{self, ProbeOrigin},
    scratch::OuterRx,
};

/// Hands a probe to the daemon, or returns the drop reason: the section "Probe" of docs/packets.md.
#[inline(always)]
pub(crate) fn hand_over<C: PacketCtx>(
    ctx: &C,
    outer: &OuterRx,
    settings: &GlobalSettings,
) -> Result<(), Refused> {
    let packet = &ctx.reach(MAX_HEADERS_LEN);
    let Some(peer) = claimed_peer(packet, outer) else {
        let slot = lookup::slot_of_address(outer.family, &outer.source);
        return Err(Refused { reason: RxDrop::ProbeDenied, slot, pair: None });
    };
    let slot = lookup::peer_slot(peer);
    let origin = origin(peer, outer);
    let (source, port) = (&outer.source, outer.source_port);
    if !rate_limit::allow_probe(peer, origin, source, port, settings.secret)
        || write(ctx, packet, outer, peer).is_none()
    {
        return Err(Refused { reason: RxDrop::RateLimited, slot, pair: None });
    }
    counters::probe(slot);
    Ok(())
}

/// The index of the peer that a probe claims to come from. `None`: no peer has its tag, or the
/// probe is too short.
#[inline(always)]
fn claimed_peer(packet: &View, outer: &OuterRx) -> Option<u32> {
    if outer.inner_len() < FRAME_LEN as u32 {
        return None;
    }
    let tag = packet.window::<{ size_of::<ProbeTag>() }>(outer.overhead() + TAG_AT)?;
    let ([a, b, c, d], [e, f, g, h]) = (tag.be_bytes4(0), tag.be_bytes4(4));
    // SAFETY: an index, copied out at once.
    unsafe { PROBERS.get([a, b, c, d, e, f, g, h]) }.copied()
}

/// Compares the source of a probe with the endpoint of the peer that its tag names.
#[inline(always)]
fn origin(peer: u32, outer: &OuterRx) -> ProbeOrigin {
    match peer_entry::peek(peer) {
        Some(peer) if peer.family == outer.family && peer.endpoint.equals(&outer.source) => {
            if u16::from_be_bytes(peer.port) == outer.source_port {
                ProbeOrigin::Endpoint
            } else {
                ProbeOrigin::EndpointAddress
            }
        }
        _ => ProbeOrigin::Elsewhere,
    }
}

/// Writes a probe into the ring buffer. `None`: the buffer is full, as the daemon does not keep up;
/// or, which the checks before rule out, the probe cannot be read.
#[inline(always)]
fn write<C: PacketCtx>(ctx: &C, packet: &View, outer: &OuterRx, peer: u32) -> Option<()> {
    let mut entry = PROBES.reserve::<ReceivedProbe>(0)?;
    let probe = entry.as_mut_ptr();
    // SAFETY: the entry is memory for one `ReceivedProbe`, which nobody else sees before it is
    // submitted; every field is written, or it is discarded.
    let written = unsafe {
        (*probe).at = bpf_ktime_get_ns();
        (*probe).peer = peer;
        (*probe).tos = outer.tos;
        (*probe).ttl = outer.ttl;
        (*probe).source = outer.source;
        (*probe).source_port = outer.source_port;
        (*probe).pad = [0; 2];
        (*probe).pad_end = [0; 6];
        let headers = if outer.family == IPV6 {
            ipv6_headers(packet, outer, probe)
        } else {
            ipv4_headers(packet, outer, probe)
        };
        let at = (outer.overhead() - VXLAN_LEN) as u32;
        headers.is_some() && ctx.load(at, &raw mut (*probe).bytes).is_some()
    };
    if !written {
        entry.discard(0);
        return None;
    }
    entry.submit(0);
    Some(())
}

/// Fills in what the outer IPv4 and UDP headers say.
///
/// # Safety
/// `probe` is memory for a `ReceivedProbe`.
#[inline(always)]
unsafe fn ipv4_headers(packet: &View, outer: &OuterRx, probe: *mut ReceivedProbe) -> Option<()> {
    const UDP: usize = ETH_LEN + IPV4_LEN;
    let headers = packet.window::<OVERHEAD_IPV4>(0)?;
    // SAFETY: by the function's contract.
    unsafe {
        (*probe).destination = Address::ipv4(headers.be_bytes4(ETH_LEN + ipv4::field::DESTINATION));
        (*probe).length = u32::from(outer.udp_len) + IPV4_LEN as u32;
        (*probe).dont_fragment =
            u8::from(headers.be16(ETH_LEN + ipv4::field::FRAGMENT) & ipv4::DONT_FRAGMENT != 0);
        (*probe).destination_port = headers.be16(UDP + udp::field::DESTINATION_PORT);
        (*probe).checksum = headers.be_bytes2(UDP + udp::field::CHECKSUM);
        (*probe).family = IPV4;
    }
    Some(())
}

/// Fills in what the outer IPv6 and UDP headers say.
///
/// # Safety
/// `probe` is memory for a `ReceivedProbe`.
#[inline(always)]
unsafe fn ipv6_headers(packet: &View, outer: &OuterRx, probe: *mut ReceivedProbe) -> Option<()> {
    const UDP: usize = ETH_LEN + IPV6_LEN;
    let headers = packet.window::<OVERHEAD_IPV6>(0)?;
    // SAFETY: by the function's contract.
    unsafe {
        (*probe).destination = Address::read_ipv6(&headers, ETH_LEN + ipv6::field::DESTINATION);
        (*probe).length = u32::from(outer.udp_len) + IPV6_LEN as u32;
        (*probe).dont_fragment = 1;
        (*probe).destination_port = headers.be16(UDP + udp::field::DESTINATION_PORT);
        (*probe).checksum = headers.be_bytes2(UDP + udp::field::CHECKSUM);
        (*probe).family = IPV6;
    }
    Some(())
}
