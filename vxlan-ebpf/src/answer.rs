//! ARP requests and neighbour solicitations answered in the owner's name, where its MAC is known: the
//! question need not cross the underlay.

use aya_ebpf::{
    bindings::{BPF_F_INGRESS, TC_ACT_REDIRECT},
    helpers::{bpf_ktime_get_ns, generated::bpf_redirect},
    programs::TcContext,
};
use vxlan_common::{
    addr::{Address, Mac},
    bytes::{Bytes as _, HeaderWindow as _},
    checksum,
    inner::{FrameKind, Inner},
    outer::{ETH_LEN, IPV6_LEN},
    table::{MemberEntry, Neighbour, NeighbourKey},
};

use crate::{headers, maps::NEIGHBOURS, packet::View};

/// How long a neighbour is believed in, in ns.
const FRESH: u64 = 60_000_000_000;

/// Turns a question into its answer and sends it back into the overlay interface; returns the
/// helper's verdict. `None`: the owner shall answer itself.
#[inline(always)]
pub(crate) fn question(
    ctx: &TcContext,
    ifindex: u32,
    inner: &Inner,
    index: u32,
    member: &MemberEntry,
) -> Option<i32> {
    let mac = known(index, member, inner.wanted())?;
    match inner.kind {
        FrameKind::Arp => arp(ctx, inner, &mac)?,
        FrameKind::Solicitation => solicitation(ctx, inner, &mac)?,
        FrameKind::Ip | FrameKind::Advertisement | FrameKind::LinkControl => return None,
    }
    back(ifindex)
}

/// Has the overlay interface receive the frame.
#[inline(always)]
pub(crate) fn back(ifindex: u32) -> Option<i32> {
    // SAFETY: takes no pointers; the kernel checks the interface when it acts on the verdict.
    let verdict = unsafe { bpf_redirect(ifindex, u64::from(BPF_F_INGRESS)) };
    (verdict == i64::from(TC_ACT_REDIRECT)).then_some(verdict as i32)
}

#[inline(always)]
fn known(index: u32, member: &MemberEntry, address: &Address) -> Option<Mac> {
    if !member.mac.is(&Mac::ZERO) {
        return Some(member.mac);
    }
    // SAFETY: copied out at once; an entry is replaced whole.
    let neighbour = *unsafe { NEIGHBOURS.get(NeighbourKey::for_address(index, address)) }?;
    let Neighbour { address: heard, mac, seen } = neighbour;
    // SAFETY: reads the clock.
    let age = unsafe { bpf_ktime_get_ns() }.wrapping_sub(seen);
    (heard.is(address) && age < FRESH).then_some(mac)
}

/// RFC 826.
#[inline(always)]
fn arp(ctx: &TcContext, inner: &Inner, mac: &Mac) -> Option<()> {
    const REPLY: u16 = 2;
    let body = View::of_skb(ctx).window::<28>(ETH_LEN)?;
    let (request, asks) = (body.u16(6) == 1, inner.source.word(0) != 0);
    if !request || !asks {
        return None;
    }
    let sender = Mac::read(&body, 8);
    let words = headers::workplace()?;
    headers::ethernet_back(inner, words);
    // Hardware type, protocol type and the lengths of their addresses are those of the request.
    words[7] = 1_u16.to_be();
    words[8] = 0x0800_u16.to_be();
    words[9] = 0x0604_u16.to_be();
    words[10] = REPLY.to_be();
    let mut at = 0;
    while at < 3 {
        words[3 + at] = mac.half(at);
        words[11 + at] = mac.half(at);
        words[16 + at] = sender.half(at);
        at += 1;
    }
    at = 0;
    while at < 2 {
        words[14 + at] = inner.destination.half(at);
        words[19 + at] = inner.source.half(at);
        at += 1;
    }
    headers::store(ctx, words, ETH_LEN + 28)
}

/// RFC 4861 section 7.2.4: solicited, overriding, with the target's link-layer address.
#[inline(always)]
fn solicitation(ctx: &TcContext, inner: &Inner, mac: &Mac) -> Option<()> {
    const BODY: usize = 32;
    const MESSAGE: usize = ETH_LEN + IPV6_LEN;
    const HOP_LIMIT: u16 = 255;
    const ADVERTISEMENT: u16 = 136 << 8;
    const FLAGS: u16 = 0x6000;
    const OPTION: u16 = 0x0201;
    const NEXT_HEADER: u16 = 58;
    let view = View::of_skb(ctx);
    let length = view.window::<2>(ETH_LEN + 4)?.u16(0);
    let option = view.window::<2>(ETH_LEN + IPV6_LEN + 24)?.u16(0);
    if usize::from(length) != BODY || option != 0x0101 || inner.source.is(&Address::ZERO) {
        return None;
    }
    // The target twice: as source in the pseudo header, and in the message.
    let fixed = ADVERTISEMENT as u32 + FLAGS as u32 + OPTION as u32 + NEXT_HEADER as u32;
    let mut sum = fixed + BODY as u32;
    let mut at = 0;
    while at < 8 {
        sum += 2 * u32::from(u16::from_be(inner.target.half(at)));
        sum += u32::from(u16::from_be(inner.source.half(at)));
        at += 1;
    }
    at = 0;
    while at < 3 {
        sum += u32::from(u16::from_be(mac.half(at)));
        at += 1;
    }
    let words = headers::workplace()?;
    headers::ethernet_back(inner, words);
    at = 0;
    while at < 3 {
        words[3 + at] = mac.half(at);
        at += 1;
    }
    words[7] = 0x6000_u16.to_be();
    words[8] = 0;
    words[9] = (BODY as u16).to_be();
    words[10] = (NEXT_HEADER << 8 | HOP_LIMIT).to_be();
    at = 0;
    while at < 8 {
        words[11 + at] = inner.target.half(at);
        words[19 + at] = inner.source.half(at);
        at += 1;
    }
    words[27] = ADVERTISEMENT.to_be();
    words[28] = (!checksum::fold(sum)).to_be();
    words[29] = FLAGS.to_be();
    words[30] = 0;
    headers::store(ctx, words, MESSAGE + 8)?;
    // The target stays in its place; behind it the option.
    let option = [OPTION.to_be(), mac.half(0), mac.half(1), mac.half(2)];
    ctx.store(MESSAGE + 24, &option, 0).ok()
}
