//! Answers ARP requests and neighbour solicitations on behalf of the owner of the address, if its
//! MAC is known: the request then does not cross the underlay. Learning is in
//! [`learning`](crate::learning).

use aya_ebpf::{helpers::bpf_ktime_get_ns, programs::TcContext};
use vxlan_common::{
    addr::{Address, Mac},
    bytes::{Bytes as _, HeaderWindow as _},
    checksum,
    inner::{FrameKind, Inner},
    table::{MemberEntry, Neighbour, NeighbourKey},
    wire::{ETH_LEN, IPV6_LEN, arp, ethernet, icmp, ip::PROTOCOL_ICMPV6, ipv6, ndp, word},
};

use crate::{header_writer, maps::NEIGHBOURS, packet::View, redirect};

/// Age up to which a learned neighbour is used, in ns.
const MAX_AGE: u64 = 15_000_000_000;

/// Turns a request into its reply and sends it back into the overlay interface; returns the
/// helper's verdict. `None`: the owner has to answer.
#[inline(always)]
pub(crate) fn answer(
    ctx: &TcContext,
    ifindex: u32,
    inner: &Inner,
    index: u32,
    member: &MemberEntry,
) -> Option<i32> {
    let mac = fresh_mac(index, member, inner.owner_address())?;
    match inner.kind {
        FrameKind::Arp => arp_reply(ctx, inner, &mac)?,
        FrameKind::Solicitation => advertisement(ctx, inner, &mac)?,
        FrameKind::Ip | FrameKind::Advertisement | FrameKind::LinkControl => return None,
    }
    redirect::into_overlay(ctx, ifindex)
}

/// Records a request that goes to one MAC address: its sender had that answer, and wants to know
/// whether it still holds. Until the owner of the address is heard, no request is answered with it.
#[inline(always)]
pub(crate) fn record_request(ctx: &TcContext, inner: &Inner, index: u32, member: &MemberEntry) {
    let is_request = match inner.kind {
        FrameKind::Solicitation => true,
        FrameKind::Arp => View::from_skb(ctx)
            .window::<{ arp::PACKET_LEN }>(ETH_LEN)
            .is_some_and(|body| body.be16(arp::field::OPERATION) == arp::REQUEST),
        FrameKind::Ip | FrameKind::Advertisement | FrameKind::LinkControl => false,
    };
    if !is_request {
        return;
    }
    let (address, mac) = (inner.owner_address(), inner.destination_mac);
    let key = NeighbourKey::for_address(index, address);
    if let Some(entry) = NEIGHBOURS.get_ptr_mut(key) {
        // SAFETY: points to an element of a hash map, which stays until the program ends, even if
        // it is removed meanwhile. Another CPU may have it learned at the same time: then either
        // the answer is forgotten, or this request.
        unsafe {
            if (*entry).address.equals(address) {
                if (*entry).mac.equals(&mac) || member.mac.equals(&mac) {
                    (*entry).seen = Neighbour::UNANSWERED;
                }
                return;
            }
        }
    }
    // Nothing is learned of a declared one that has not answered yet.
    if member.mac.equals(&mac) {
        let unanswered = Neighbour { address: *address, mac, seen: Neighbour::UNANSWERED };
        let _full = NEIGHBOURS.insert(key, unanswered, 0);
    }
}

/// The MAC of an address behind a member: the configured one, or one learned not long ago; and not
/// one that was asked for at that MAC in vain.
#[inline(always)]
fn fresh_mac(index: u32, member: &MemberEntry, address: &Address) -> Option<Mac> {
    // SAFETY: copied out at once; the words of an entry are written whole.
    let learned = unsafe { NEIGHBOURS.get(NeighbourKey::for_address(index, address)) }
        .copied()
        .filter(|learned| learned.address.equals(address));
    if learned.is_some_and(|learned| learned.seen == Neighbour::UNANSWERED) {
        return None;
    }
    if !member.mac.equals(&Mac::ZERO) {
        return Some(member.mac);
    }
    let Neighbour { mac, seen, .. } = learned?;
    // SAFETY: reads the clock.
    let age = unsafe { bpf_ktime_get_ns() }.wrapping_sub(seen);
    (age < MAX_AGE).then_some(mac)
}

/// Writes the ARP reply (RFC 826).
#[inline(always)]
fn arp_reply(ctx: &TcContext, inner: &Inner, mac: &Mac) -> Option<()> {
    let body = View::from_skb(ctx).window::<{ arp::PACKET_LEN }>(ETH_LEN)?;
    let (is_request, has_sender) =
        (body.be16(arp::field::OPERATION) == arp::REQUEST, inner.source.be32(0) != 0);
    if !is_request || !has_sender {
        return None;
    }
    let sender = Mac::read(&body, arp::field::SENDER_MAC);
    let headers = header_writer::scratch()?;
    header_writer::ethernet_back(inner, headers);
    // Hardware type, protocol type and the lengths of their addresses are those of the request.
    headers[word(ETH_LEN + arp::field::HARDWARE_TYPE)] = arp::HARDWARE_ETHERNET.to_be();
    headers[word(ETH_LEN + arp::field::PROTOCOL_TYPE)] = arp::PROTOCOL_IPV4.to_be();
    headers[word(ETH_LEN + arp::field::ADDRESS_LENS)] = arp::ETHERNET_IPV4_LENS.to_be();
    headers[word(ETH_LEN + arp::field::OPERATION)] = arp::REPLY.to_be();
    let mut at = 0;
    while at < 3 {
        headers[word(ethernet::field::SOURCE) + at] = mac.net16(at);
        headers[word(ETH_LEN + arp::field::SENDER_MAC) + at] = mac.net16(at);
        headers[word(ETH_LEN + arp::field::TARGET_MAC) + at] = sender.net16(at);
        at += 1;
    }
    at = 0;
    while at < 2 {
        headers[word(ETH_LEN + arp::field::SENDER_ADDRESS) + at] = inner.destination.net16(at);
        headers[word(ETH_LEN + arp::field::TARGET_ADDRESS) + at] = inner.source.net16(at);
        at += 1;
    }
    header_writer::store(ctx, headers, ETH_LEN + arp::PACKET_LEN)
}

/// Writes the neighbour advertisement (RFC 4861 section 7.2.4): solicited, overriding, with the
/// target's link-layer address.
#[inline(always)]
fn advertisement(ctx: &TcContext, inner: &Inner, mac: &Mac) -> Option<()> {
    const BODY: usize = ndp::MESSAGE_LEN + ndp::LINK_LAYER_OPTION_LEN;
    const MESSAGE: usize = ETH_LEN + IPV6_LEN;
    const HOP_LIMIT: u16 = ndp::HOP_LIMIT as u16;
    const ADVERTISEMENT: u16 = (ndp::ADVERTISEMENT as u16) << 8;
    const FLAGS: u16 = ndp::SOLICITED_OVERRIDE;
    const OPTION: u16 = ndp::TARGET_LINK_LAYER;
    const NEXT_HEADER: u16 = PROTOCOL_ICMPV6 as u16;
    let view = View::from_skb(ctx);
    let length = view.window::<2>(ETH_LEN + ipv6::field::PAYLOAD_LEN)?.be16(0);
    let option = view.window::<2>(MESSAGE + ndp::field::OPTIONS)?.be16(0);
    if usize::from(length) != BODY
        || option != ndp::SOURCE_LINK_LAYER
        || inner.source.equals(&Address::ZERO)
    {
        return None;
    }
    // The target counts twice: as source in the pseudo header, and in the message.
    let fixed = ADVERTISEMENT as u32 + FLAGS as u32 + OPTION as u32 + NEXT_HEADER as u32;
    let mut sum = fixed + BODY as u32;
    let mut at = 0;
    while at < 8 {
        sum += 2 * u32::from(u16::from_be(inner.target.net16(at)));
        sum += u32::from(u16::from_be(inner.source.net16(at)));
        at += 1;
    }
    at = 0;
    while at < 3 {
        sum += u32::from(u16::from_be(mac.net16(at)));
        at += 1;
    }
    let headers = header_writer::scratch()?;
    header_writer::ethernet_back(inner, headers);
    at = 0;
    while at < 3 {
        headers[word(ethernet::field::SOURCE) + at] = mac.net16(at);
        at += 1;
    }
    headers[word(ETH_LEN + ipv6::field::VERSION_CLASS_LABEL)] =
        (u16::from(ipv6::VERSION) << 12).to_be();
    headers[word(ETH_LEN + ipv6::field::VERSION_CLASS_LABEL) + 1] = 0;
    headers[word(ETH_LEN + ipv6::field::PAYLOAD_LEN)] = (BODY as u16).to_be();
    headers[word(ETH_LEN + ipv6::field::NEXT_HEADER)] = (NEXT_HEADER << 8 | HOP_LIMIT).to_be();
    at = 0;
    while at < 8 {
        headers[word(ETH_LEN + ipv6::field::SOURCE) + at] = inner.target.net16(at);
        headers[word(ETH_LEN + ipv6::field::DESTINATION) + at] = inner.source.net16(at);
        at += 1;
    }
    headers[word(MESSAGE + icmp::field::TYPE)] = ADVERTISEMENT.to_be();
    headers[word(MESSAGE + icmp::field::CHECKSUM)] = (!checksum::fold(sum)).to_be();
    headers[word(MESSAGE + ndp::field::FLAGS)] = FLAGS.to_be();
    headers[word(MESSAGE + ndp::field::FLAGS) + 1] = 0;
    header_writer::store(ctx, headers, MESSAGE + ndp::field::TARGET)?;
    // The target address stays where it is; the option follows.
    let option = [OPTION.to_be(), mac.net16(0), mac.net16(1), mac.net16(2)];
    ctx.store(MESSAGE + ndp::field::OPTIONS, &option, 0).ok()
}
