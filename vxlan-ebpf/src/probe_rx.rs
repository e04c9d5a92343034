//! Hands received probes to the daemon, with the outer header as it arrived. Whether they are
//! genuine is not known here; the tag and a limit keep strangers from filling the buffer.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use vxlan_common::{
    addr::{Address, IPV4, IPV6},
    bytes::{Bytes as _, HeaderWindow as _},
    outer::{OVERHEAD_IPV4, OVERHEAD_IPV6},
    probe::{FRAME_LEN, ProbeTag, ReceivedProbe, TAG_AT},
    reason::RxDrop,
    wire::{ETH_LEN, IPV4_LEN, IPV6_LEN, VXLAN_LEN, ipv4, ipv6, udp},
};

use crate::{
    counters::{self, Refused},
    maps::{PROBERS, PROBES},
    outer_rx::Received,
    packet::View,
    packet_ctx::{Carrier, HEADERS},
    peer_entry, policy, rate_limit,
};

/// Hands it over, or says why not.
#[inline(always)]
pub(crate) fn hand_over<C: Carrier>(carrier: &C, received: &Received) -> Result<(), Refused> {
    let packet = &carrier.reach(HEADERS);
    let Some(peer) = peer(packet, received) else {
        let slot = policy::slot_of_address(received.family, &received.source);
        return Err(Refused { reason: RxDrop::ProbeDenied, slot, pair: None });
    };
    let slot = policy::peer_slot(peer);
    let from_endpoint = peer_entry::part(peer).is_some_and(|peer| {
        peer.family == received.family && peer.endpoint.equals(&received.source)
    });
    if !rate_limit::probe(peer, from_endpoint) || write(carrier, packet, received, peer).is_none() {
        return Err(Refused { reason: RxDrop::RateLimited, slot, pair: None });
    }
    counters::probe(slot);
    Ok(())
}

/// Whose probe it claims to be. `None`: nobody's, or it is too short.
#[inline(always)]
fn peer(packet: &View, received: &Received) -> Option<u32> {
    if received.inner_len() < FRAME_LEN as u32 {
        return None;
    }
    let tag = packet.window::<{ size_of::<ProbeTag>() }>(received.overhead() + TAG_AT)?;
    let ([a, b, c, d], [e, f, g, h]) = (tag.be_bytes4(0), tag.be_bytes4(4));
    // SAFETY: an index, copied out at once.
    unsafe { PROBERS.get([a, b, c, d, e, f, g, h]) }.copied()
}

/// Puts it into the buffer. `None`: the buffer is full.
#[inline(always)]
fn write<C: Carrier>(carrier: &C, packet: &View, received: &Received, peer: u32) -> Option<()> {
    let mut entry = PROBES.reserve::<ReceivedProbe>(0)?;
    let place = entry.as_mut_ptr();
    // SAFETY: the entry is memory for one `ReceivedProbe`, which nobody else sees before it is
    // submitted; every field is written, or it is discarded.
    let written = unsafe {
        (*place).at = bpf_ktime_get_ns();
        (*place).peer = peer;
        (*place).tos = received.tos;
        (*place).ttl = received.ttl;
        (*place).source = received.source;
        (*place).source_port = received.source_port;
        (*place).pad = [0; 2];
        (*place).pad_end = [0; 6];
        let headers = if received.family == IPV6 {
            ipv6_headers(packet, received, place)
        } else {
            ipv4_headers(packet, received, place)
        };
        let at = (received.overhead() - VXLAN_LEN) as u32;
        headers.is_some() && carrier.load(at, &raw mut (*place).bytes).is_some()
    };
    if !written {
        entry.discard(0);
        return None;
    }
    entry.submit(0);
    Some(())
}

/// # Safety
/// `place` is memory for an `ReceivedProbe`.
#[inline(always)]
unsafe fn ipv4_headers(
    packet: &View,
    received: &Received,
    place: *mut ReceivedProbe,
) -> Option<()> {
    const UDP: usize = ETH_LEN + IPV4_LEN;
    let headers = packet.window::<OVERHEAD_IPV4>(0)?;
    // SAFETY: by the function's contract.
    unsafe {
        (*place).destination = Address::ipv4(headers.be_bytes4(ETH_LEN + ipv4::field::DESTINATION));
        (*place).length = u32::from(received.udp_len) + IPV4_LEN as u32;
        (*place).dont_fragment =
            u8::from(headers.be16(ETH_LEN + ipv4::field::FRAGMENT) & ipv4::DONT_FRAGMENT != 0);
        (*place).destination_port = headers.be16(UDP + udp::field::DESTINATION_PORT);
        (*place).checksum = headers.be_bytes2(UDP + udp::field::CHECKSUM);
        (*place).family = IPV4;
    }
    Some(())
}

/// # Safety
/// `place` is memory for an `ReceivedProbe`.
#[inline(always)]
unsafe fn ipv6_headers(
    packet: &View,
    received: &Received,
    place: *mut ReceivedProbe,
) -> Option<()> {
    const UDP: usize = ETH_LEN + IPV6_LEN;
    let headers = packet.window::<OVERHEAD_IPV6>(0)?;
    // SAFETY: by the function's contract.
    unsafe {
        (*place).destination = Address::read_ipv6(&headers, ETH_LEN + ipv6::field::DESTINATION);
        (*place).length = u32::from(received.udp_len) + IPV6_LEN as u32;
        (*place).dont_fragment = 1;
        (*place).destination_port = headers.be16(UDP + udp::field::DESTINATION_PORT);
        (*place).checksum = headers.be_bytes2(UDP + udp::field::CHECKSUM);
        (*place).family = IPV6;
    }
    Some(())
}
