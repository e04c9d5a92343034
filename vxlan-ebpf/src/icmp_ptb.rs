//! Messages to the sender of a packet that does not fit the path to the peer: ICMP "fragmentation
//! needed" (RFC 792, RFC 1191) or ICMPv6 "packet too big" (RFC 4443 section 3.2), from the overlay
//! interface's own address. Whether a packet fits is decided in [`encap`](crate::encap).

use aya_ebpf::{
    bindings::bpf_adj_room_mode::BPF_ADJ_ROOM_MAC, helpers::generated::bpf_skb_change_tail,
    programs::TcContext,
};
use vxlan_common::{
    addr::{Address, IPV6},
    bytes::{Bytes as _, HeaderWindow as _},
    checksum::fold,
    inner::{FrameKind, Inner},
    table::NetworkEntry,
    wire::{
        ETH_LEN, IPV4_LEN, IPV6_LEN, icmp,
        ip::{PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP},
        ipv4, ipv6, tcp, udp, word,
    },
};

use crate::{
    header_writer,
    packet::View,
    rate_limit::{self, SlowPath},
    redirect,
};

/// Bytes of the packet that are quoted: within the 576 bytes that every IPv4 host accepts.
const QUOTED: u32 = 512;
/// Precedence internetwork control, as RFC 1812 section 4.3.2.5 demands for ICMP errors.
const TOS: u16 = 0xc0;
const TTL: u16 = 64;

/// Turns a packet into the message about it, `mtu` being what fits, and sends it back into the
/// overlay interface; returns the helper's verdict. `None`: no message is sent.
#[inline(always)]
pub(crate) fn send(
    ctx: &TcContext,
    ifindex: u32,
    inner: &Inner,
    network: &NetworkEntry,
    mtu: u32,
) -> Option<i32> {
    if !is_reportable(ctx, inner) {
        return None;
    }
    if inner.family == IPV6 {
        if mtu < ipv6::MIN_MTU
            || network.address6.equals(&Address::ZERO)
            || !rate_limit::allow_slow_path(SlowPath::Icmp)
        {
            return None;
        }
        packet_too_big(ctx, inner, network, mtu)?;
    } else {
        if network.address == [0; 4] || !rate_limit::allow_slow_path(SlowPath::Icmp) {
            return None;
        }
        fragmentation_needed(ctx, inner, network, mtu)?;
    }
    redirect::into_overlay(ctx, ifindex)
}

/// A message about the packet is allowed: RFC 1122 section 3.2.2 and RFC 4443 section 2.4 rule out
/// ICMP errors, later fragments, packets to a group, and those whose source is no host's address.
#[inline(always)]
fn is_reportable(ctx: &TcContext, inner: &Inner) -> bool {
    let is_icmp = (inner.upper == PROTOCOL_ICMP && inner.family != IPV6)
        || (inner.upper == PROTOCOL_ICMPV6 && inner.family == IPV6);
    let about_icmp = is_icmp && {
        let behind_fragment_header = inner.protocol == ipv6::NEXT_FRAGMENT && inner.family == IPV6;
        let at = inner.transport_at()
            + if behind_fragment_header { ipv6::fragment::HEADER_LEN } else { 0 };
        View::from_skb(ctx).window::<2>(at).is_none_or(|icmp| {
            match (inner.family, icmp.byte(icmp::field::TYPE)) {
                (IPV6, icmp_type) => icmp_type < icmp::V6_FIRST_INFORMATIONAL,
                (_, icmp_type) => matches!(
                    icmp_type,
                    icmp::DESTINATION_UNREACHABLE
                        | icmp::SOURCE_QUENCH
                        | icmp::REDIRECT
                        | icmp::TIME_EXCEEDED
                        | icmp::PARAMETER_PROBLEM
                ),
            }
        })
    };
    !about_icmp
        && matches!(inner.kind, FrameKind::Ip)
        && inner.dont_fragment
        && !inner.is_later_fragment
        && !inner.to_group()
        && !inner.to_multicast()
        && !inner.has_martian_source()
        && inner.ip_len() >= QUOTED
}

/// Cuts the packet to its quoted part, and inserts `HEADERS` bytes between it and the Ethernet
/// header.
#[inline(always)]
fn make_room<const HEADERS: usize>(ctx: &TcContext) -> Option<()> {
    let len = ETH_LEN as u32 + QUOTED;
    // SAFETY: the context is the program's own; views derived before are not used again.
    if unsafe { bpf_skb_change_tail(ctx.skb.skb, len, 0) } != 0 {
        return None;
    }
    ctx.adjust_room(HEADERS as i32, BPF_ADJ_ROOM_MAC, 0).ok()?;
    ctx.pull_data(len + HEADERS as u32).ok()
}

/// There is no partial checksum: the quoted packet's own one is right.
const COMPLETE: u32 = 1 << 16;

/// The partial checksum of the quoted transport header (CHECKSUM_PARTIAL): the sum over the pseudo
/// header, in network order; or [`COMPLETE`]. A number on every path: the compiler would compute
/// with the content of an `Option` before it looks whether there is one, which the verifier
/// refuses.
///
/// Whoever sends the message on a wire completes the checksum, over what is quoted, and no helper
/// prevents that. `bpf_l4_csum_replace` does not update a partial checksum, which tells it apart.
#[inline(always)]
fn partial_checksum(ctx: &TcContext, inner: &Inner) -> u32 {
    read_partial_checksum(ctx, inner).map_or(COMPLETE, u32::from)
}

#[inline(always)]
fn read_partial_checksum(ctx: &TcContext, inner: &Inner) -> Option<u16> {
    let at = inner.transport_at()
        + match inner.protocol {
            PROTOCOL_TCP => tcp::field::CHECKSUM,
            PROTOCOL_UDP => udp::field::CHECKSUM,
            _ => return None,
        };
    let old = View::from_skb(ctx).window::<2>(at)?.be_bytes2(0);
    ctx.l4_csum_replace(at, 0, 1, 2).ok()?;
    if View::from_skb(ctx).window::<2>(at)?.be_bytes2(0) == old {
        return Some(u16::from_ne_bytes(old));
    }
    ctx.store(at, &old, 0).ok()?;
    None
}

/// The ICMP checksum: `sum` is over everything in front of the quoted bytes at `AT`, in host order.
///
/// Once a partial checksum is completed, the bytes from the transport header on sum up to the
/// complement of the partial checksum, as their number is even; a correct IPv4 header sums up to
/// zero.
#[inline(always)]
fn icmp_checksum<const AT: usize>(
    ctx: &TcContext,
    inner: &Inner,
    sum: u32,
    partial: u32,
) -> Option<u16> {
    let sum = u32::from(fold(sum).to_be());
    let packet = View::from_skb(ctx);
    let sum = match partial {
        COMPLETE => packet.add_to_checksum::<QUOTED>(AT, sum)?,
        field => {
            let header = if inner.family == IPV6 {
                packet.add_to_checksum::<{ IPV6_LEN as u32 }>(AT, sum)?
            } else {
                sum
            };
            u32::from(fold(header)) + u32::from(!(field as u16))
        }
    };
    Some(!fold(sum))
}

#[inline(always)]
fn fragmentation_needed(
    ctx: &TcContext,
    inner: &Inner,
    network: &NetworkEntry,
    mtu: u32,
) -> Option<()> {
    const HEADERS: usize = IPV4_LEN + icmp::HEADER_LEN;
    const TOTAL: u16 = HEADERS as u16 + QUOTED as u16;
    const ICMP: usize = ETH_LEN + IPV4_LEN;
    const TYPE_CODE: u16 =
        (icmp::DESTINATION_UNREACHABLE as u16) << 8 | icmp::FRAGMENTATION_NEEDED as u16;
    const VERSION_TOS: u16 = (ipv4::VERSION_IHL as u16) << 8 | TOS;
    let partial = partial_checksum(ctx, inner);
    make_room::<HEADERS>(ctx)?;
    let sum = u32::from(TYPE_CODE) + mtu;
    let checksum = icmp_checksum::<{ ETH_LEN + HEADERS }>(ctx, inner, sum, partial)?;
    let source = Address::ipv4(network.address);
    let to = &inner.source;
    let (s0, s1, d0, d1) = (source.net16(0), source.net16(1), to.net16(0), to.net16(1));
    let mut sum = u32::from(VERSION_TOS) + u32::from(TOTAL) + u32::from(ipv4::DONT_FRAGMENT);
    sum += u32::from(TTL << 8 | u16::from(PROTOCOL_ICMP));
    sum += u32::from(u16::from_be(s0)) + u32::from(u16::from_be(s1));
    sum += u32::from(u16::from_be(d0)) + u32::from(u16::from_be(d1));
    let headers = header_writer::scratch()?;
    header_writer::ethernet_back(inner, headers);
    headers[word(ETH_LEN + ipv4::field::VERSION_IHL)] = VERSION_TOS.to_be();
    headers[word(ETH_LEN + ipv4::field::TOTAL_LEN)] = TOTAL.to_be();
    headers[word(ETH_LEN + ipv4::field::IDENTIFICATION)] = 0;
    headers[word(ETH_LEN + ipv4::field::FRAGMENT)] = ipv4::DONT_FRAGMENT.to_be();
    headers[word(ETH_LEN + ipv4::field::TTL)] = (TTL << 8 | u16::from(PROTOCOL_ICMP)).to_be();
    headers[word(ETH_LEN + ipv4::field::CHECKSUM)] = (!fold(sum)).to_be();
    headers[word(ETH_LEN + ipv4::field::SOURCE)] = s0;
    headers[word(ETH_LEN + ipv4::field::SOURCE) + 1] = s1;
    headers[word(ETH_LEN + ipv4::field::DESTINATION)] = d0;
    headers[word(ETH_LEN + ipv4::field::DESTINATION) + 1] = d1;
    headers[word(ICMP + icmp::field::TYPE)] = TYPE_CODE.to_be();
    headers[word(ICMP + icmp::field::CHECKSUM)] = checksum;
    headers[word(ICMP + icmp::field::UNUSED)] = 0;
    headers[word(ICMP + icmp::field::NEXT_HOP_MTU)] = (mtu as u16).to_be();
    header_writer::store(ctx, headers, ETH_LEN + HEADERS)
}

#[inline(always)]
fn packet_too_big(ctx: &TcContext, inner: &Inner, network: &NetworkEntry, mtu: u32) -> Option<()> {
    const HEADERS: usize = IPV6_LEN + icmp::HEADER_LEN;
    const PAYLOAD: u16 = icmp::HEADER_LEN as u16 + QUOTED as u16;
    const ICMP: usize = ETH_LEN + IPV6_LEN;
    const TYPE_CODE: u16 = (icmp::V6_PACKET_TOO_BIG as u16) << 8;
    const VERSION_CLASS: u16 = (ipv6::VERSION as u16) << 12 | TOS << ipv6::CLASS_SHIFT;
    let partial = partial_checksum(ctx, inner);
    make_room::<HEADERS>(ctx)?;
    let (from, to) = (&network.address6, &inner.source);
    let mut sum = u32::from(TYPE_CODE) + (mtu >> 16) + (mtu & 0xffff);
    sum += u32::from(PAYLOAD) + u32::from(PROTOCOL_ICMPV6);
    let mut at = 0;
    while at < 8 {
        sum += u32::from(u16::from_be(from.net16(at))) + u32::from(u16::from_be(to.net16(at)));
        at += 1;
    }
    let checksum = icmp_checksum::<{ ETH_LEN + HEADERS }>(ctx, inner, sum, partial)?;
    let headers = header_writer::scratch()?;
    header_writer::ethernet_back(inner, headers);
    headers[word(ETH_LEN + ipv6::field::VERSION_CLASS_LABEL)] = VERSION_CLASS.to_be();
    headers[word(ETH_LEN + ipv6::field::VERSION_CLASS_LABEL) + 1] = 0;
    headers[word(ETH_LEN + ipv6::field::PAYLOAD_LEN)] = PAYLOAD.to_be();
    headers[word(ETH_LEN + ipv6::field::NEXT_HEADER)] =
        (u16::from(PROTOCOL_ICMPV6) << 8 | TTL).to_be();
    at = 0;
    while at < 8 {
        headers[word(ETH_LEN + ipv6::field::SOURCE) + at] = from.net16(at);
        headers[word(ETH_LEN + ipv6::field::DESTINATION) + at] = to.net16(at);
        at += 1;
    }
    headers[word(ICMP + icmp::field::TYPE)] = TYPE_CODE.to_be();
    headers[word(ICMP + icmp::field::CHECKSUM)] = checksum;
    headers[word(ICMP + icmp::field::PACKET_TOO_BIG_MTU)] = ((mtu >> 16) as u16).to_be();
    headers[word(ICMP + icmp::field::PACKET_TOO_BIG_MTU) + 1] = (mtu as u16).to_be();
    header_writer::store(ctx, headers, ETH_LEN + HEADERS)
}
