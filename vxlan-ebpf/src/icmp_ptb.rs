//! What a sender is told whose packet does not fit the way to the peer: ICMP "fragmentation needed"
//! (RFC 792, RFC 1191) or ICMPv6 "packet too big" (RFC 4443 section 3.2), from the overlay
//! interface's own address.

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
    arp_nd_proxy, header_writer,
    packet::View,
    rate_limit::{self, Service},
};

/// How much of the packet is quoted: within the 576 bytes that every IPv4 host takes.
const QUOTED: u32 = 512;
/// Internetwork control, as RFC 1812 section 4.3.2.5 has it for ICMP errors.
const TOS: u16 = 0xc0;
const TTL: u16 = 64;

/// Turns a packet of one family into the message about it, `mtu` being what fits, and sends it back
/// into the overlay interface; returns the helper's verdict. `None`: nobody is told.
#[inline(always)]
pub(crate) fn tell(
    ctx: &TcContext,
    ifindex: u32,
    inner: &Inner,
    network: &NetworkEntry,
    mtu: u32,
) -> Option<i32> {
    if !may_be_told(ctx, inner) {
        return None;
    }
    if inner.family == IPV6 {
        if mtu < ipv6::MIN_MTU
            || network.address6.equals(&Address::ZERO)
            || !rate_limit::exception(Service::Icmp)
        {
            return None;
        }
        packet_too_big(ctx, inner, network, mtu)?;
    } else {
        if network.address == [0; 4] || !rate_limit::exception(Service::Icmp) {
            return None;
        }
        fragmentation_needed(ctx, inner, network, mtu)?;
    }
    arp_nd_proxy::back(ifindex)
}

/// RFC 1122 section 3.2.2 and RFC 4443 section 2.4: never about an ICMP error, a later fragment, a
/// packet to a group, or one whose source is no host's address.
#[inline(always)]
fn may_be_told(ctx: &TcContext, inner: &Inner) -> bool {
    let is_icmp = (inner.upper == PROTOCOL_ICMP && inner.family != IPV6)
        || (inner.upper == PROTOCOL_ICMPV6 && inner.family == IPV6);
    let about_icmp = is_icmp && {
        let at = inner.transport_at();
        View::of_skb(ctx).window::<2>(at).is_none_or(|icmp| {
            match (inner.family, icmp.byte(icmp::field::TYPE)) {
                (IPV6, kind) => kind < icmp::V6_FIRST_INFORMATIONAL,
                (_, kind) => matches!(
                    kind,
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

/// Leaves the quoted part of the packet, with `HEADERS` bytes of room between it and the Ethernet
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

/// What the quoted transport header has for a checksum while that is still to be computed: the sum
/// of the pseudo header, as on the wire. `None`: it has been.
///
/// Whoever takes the message over a wire computes it then, over what is quoted, and no helper says
/// that nobody shall. A checksum of that kind is the one that the kernel does not update.
#[inline(always)]
fn unfinished(ctx: &TcContext, inner: &Inner) -> Option<u16> {
    let at = inner.transport_at()
        + match inner.protocol {
            PROTOCOL_TCP => tcp::field::CHECKSUM,
            PROTOCOL_UDP => udp::field::CHECKSUM,
            _ => return None,
        };
    let old = View::of_skb(ctx).window::<2>(at)?.be_bytes2(0);
    ctx.l4_csum_replace(at, 0, 1, 2).ok()?;
    if View::of_skb(ctx).window::<2>(at)?.be_bytes2(0) == old {
        return Some(u16::from_ne_bytes(old));
    }
    ctx.store(at, &old, 0).ok()?;
    None
}

/// The ICMP checksum: `sum` is of everything in front of the quoted bytes at `AT`, in host order.
///
/// A checksum that will be put in makes the bytes from the transport header on sum up to the
/// complement of what stands there now, as their number is even; a right IPv4 header sums up to
/// nothing.
#[inline(always)]
fn icmp_checksum<const AT: usize>(
    ctx: &TcContext,
    inner: &Inner,
    sum: u32,
    unfinished: Option<u16>,
) -> Option<u16> {
    let sum = u32::from(fold(sum).to_be());
    let packet = View::of_skb(ctx);
    let sum = match unfinished {
        None => packet.add_to_checksum::<QUOTED>(AT, sum)?,
        Some(field) => {
            let header = if inner.family == IPV6 {
                packet.add_to_checksum::<{ IPV6_LEN as u32 }>(AT, sum)?
            } else {
                sum
            };
            u32::from(fold(header)) + u32::from(!field)
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
    let unfinished = unfinished(ctx, inner);
    make_room::<HEADERS>(ctx)?;
    let sum = u32::from(TYPE_CODE) + mtu;
    let checksum = icmp_checksum::<{ ETH_LEN + HEADERS }>(ctx, inner, sum, unfinished)?;
    let source = Address::ipv4(network.address);
    let to = &inner.source;
    let (s0, s1, d0, d1) = (source.net16(0), source.net16(1), to.net16(0), to.net16(1));
    let mut sum = u32::from(VERSION_TOS) + u32::from(TOTAL) + u32::from(ipv4::DONT_FRAGMENT);
    sum += u32::from(TTL << 8 | u16::from(PROTOCOL_ICMP));
    sum += u32::from(u16::from_be(s0)) + u32::from(u16::from_be(s1));
    sum += u32::from(u16::from_be(d0)) + u32::from(u16::from_be(d1));
    let words = header_writer::workplace()?;
    header_writer::ethernet_back(inner, words);
    words[word(ETH_LEN + ipv4::field::VERSION_IHL)] = VERSION_TOS.to_be();
    words[word(ETH_LEN + ipv4::field::TOTAL_LEN)] = TOTAL.to_be();
    words[word(ETH_LEN + ipv4::field::IDENTIFICATION)] = 0;
    words[word(ETH_LEN + ipv4::field::FRAGMENT)] = ipv4::DONT_FRAGMENT.to_be();
    words[word(ETH_LEN + ipv4::field::TTL)] = (TTL << 8 | u16::from(PROTOCOL_ICMP)).to_be();
    words[word(ETH_LEN + ipv4::field::CHECKSUM)] = (!fold(sum)).to_be();
    words[word(ETH_LEN + ipv4::field::SOURCE)] = s0;
    words[word(ETH_LEN + ipv4::field::SOURCE) + 1] = s1;
    words[word(ETH_LEN + ipv4::field::DESTINATION)] = d0;
    words[word(ETH_LEN + ipv4::field::DESTINATION) + 1] = d1;
    words[word(ICMP + icmp::field::TYPE)] = TYPE_CODE.to_be();
    words[word(ICMP + icmp::field::CHECKSUM)] = checksum;
    words[word(ICMP + icmp::field::UNUSED)] = 0;
    words[word(ICMP + icmp::field::NEXT_HOP_MTU)] = (mtu as u16).to_be();
    header_writer::store(ctx, words, ETH_LEN + HEADERS)
}

#[inline(always)]
fn packet_too_big(ctx: &TcContext, inner: &Inner, network: &NetworkEntry, mtu: u32) -> Option<()> {
    const HEADERS: usize = IPV6_LEN + icmp::HEADER_LEN;
    const PAYLOAD: u16 = icmp::HEADER_LEN as u16 + QUOTED as u16;
    const ICMP: usize = ETH_LEN + IPV6_LEN;
    const TYPE_CODE: u16 = (icmp::V6_PACKET_TOO_BIG as u16) << 8;
    const VERSION_CLASS: u16 = (ipv6::VERSION as u16) << 12 | TOS << ipv6::CLASS_SHIFT;
    let unfinished = unfinished(ctx, inner);
    make_room::<HEADERS>(ctx)?;
    let (from, to) = (&network.address6, &inner.source);
    let mut sum = u32::from(TYPE_CODE) + (mtu >> 16) + (mtu & 0xffff);
    sum += u32::from(PAYLOAD) + u32::from(PROTOCOL_ICMPV6);
    let mut at = 0;
    while at < 8 {
        sum += u32::from(u16::from_be(from.net16(at))) + u32::from(u16::from_be(to.net16(at)));
        at += 1;
    }
    let checksum = icmp_checksum::<{ ETH_LEN + HEADERS }>(ctx, inner, sum, unfinished)?;
    let words = header_writer::workplace()?;
    header_writer::ethernet_back(inner, words);
    words[word(ETH_LEN + ipv6::field::VERSION_CLASS_LABEL)] = VERSION_CLASS.to_be();
    words[word(ETH_LEN + ipv6::field::VERSION_CLASS_LABEL) + 1] = 0;
    words[word(ETH_LEN + ipv6::field::PAYLOAD_LEN)] = PAYLOAD.to_be();
    words[word(ETH_LEN + ipv6::field::NEXT_HEADER)] =
        (u16::from(PROTOCOL_ICMPV6) << 8 | TTL).to_be();
    at = 0;
    while at < 8 {
        words[word(ETH_LEN + ipv6::field::SOURCE) + at] = from.net16(at);
        words[word(ETH_LEN + ipv6::field::DESTINATION) + at] = to.net16(at);
        at += 1;
    }
    words[word(ICMP + icmp::field::TYPE)] = TYPE_CODE.to_be();
    words[word(ICMP + icmp::field::CHECKSUM)] = checksum;
    words[word(ICMP + icmp::field::PACKET_TOO_BIG_MTU)] = ((mtu >> 16) as u16).to_be();
    words[word(ICMP + icmp::field::PACKET_TOO_BIG_MTU) + 1] = (mtu as u16).to_be();
    header_writer::store(ctx, words, ETH_LEN + HEADERS)
}
