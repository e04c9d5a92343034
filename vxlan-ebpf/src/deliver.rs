//! The second half of receive: redirects an accepted frame into the overlay interface, whether
//! `decap` tagged it in XDP or `decap_tc` just accepted it. Decides about no rights.
//!
//! This program never writes to the packet directly: a program that does makes the kernel copy a
//! packet that a capture holds a clone of, before the program runs, and the copy has no metadata.

use aya_ebpf::programs::{TcContext, XdpContext};
use vxlan_common::{
    addr::Mac,
    bytes::{Bytes as _, HeaderWindow as _},
    inner,
    reason::RxDrop,
    table::{Cast, TAG_MAC, TaggedMember},
    wire::{
        ETH_LEN,
        ethernet::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6, MAC_LEN},
        ipv4, ipv6,
    },
};

use crate::{
    counters::{self, Failed},
    maps::{SETTINGS, TAGS},
    packet::{SkbInfo, View},
    packet_ctx::AcceptedFrame,
    redirect,
};

/// The result for a frame.
pub(crate) enum DeliverVerdict {
    /// No tag of ours: other traffic of the underlay.
    NotOurs,
    /// Redirected; carries the helper's verdict.
    Redirected(i32),
}

/// The destination of a tagged frame.
struct Target {
    ifindex: u32,
    slot: u32,
    /// How to restore the destination MAC: its kind of address, and the interface's own MAC.
    cast: Option<(Cast, Mac)>,
    /// The first byte of a group's MAC, which `decap` has replaced; 0: it has not.
    first_byte: u8,
}

/// Delivers a frame that has our tag.
#[inline(always)]
pub(crate) fn run(ctx: &TcContext) -> Result<DeliverVerdict, Failed<RxDrop>> {
    let Some(target) = target(ctx) else { return Ok(DeliverVerdict::NotOurs) };
    let info = SkbInfo::from_skb(ctx);
    let headers = repeated_headers(ctx, &info);
    let packets = info.packets(headers);
    let failed = |reason| Failed { reason, slot: target.slot, packets };
    // The driver removed the VLAN tag before `decap` could see it.
    if info.vlan {
        return Err(failed(RxDrop::MalformedOuter));
    }
    let not_redirected = || failed(RxDrop::RedirectFailed);
    if target.ifindex == 0 {
        return Err(not_redirected());
    }
    if let Some((cast, own)) = &target.cast {
        restore(ctx, own, cast).ok_or_else(not_redirected)?;
    }
    if target.first_byte != 0 {
        let restored = ctx.store(ethernet::field::DESTINATION, &[target.first_byte], 0);
        restored.ok().ok_or_else(not_redirected)?;
    }
    let verdict = redirect::into_overlay(ctx, target.ifindex).ok_or_else(not_redirected)?;
    counters::received(target.slot, packets, info.bytes(headers));
    Ok(DeliverVerdict::Redirected(verdict))
}

/// Delivers a frame that `decap_tc` accepted, and returns the helper's verdict.
pub(crate) fn accepted(ctx: &TcContext, frame: &AcceptedFrame) -> Result<i32, Failed<RxDrop>> {
    let verdict =
        if frame.ifindex == 0 { None } else { redirect::into_overlay(ctx, frame.ifindex) };
    let failed = || Failed { reason: RxDrop::RedirectFailed, slot: frame.slot, packets: 1 };
    let verdict = verdict.ok_or_else(failed)?;
    counters::received(frame.slot, 1, frame.len.into());
    Ok(verdict)
}

/// Counts a frame that `decap` has redirected, where it arrives. `None`: another frame.
#[inline(always)]
pub(crate) fn arrived(ctx: &XdpContext) -> Option<()> {
    let settings = SETTINGS.get(0)?;
    let tag = View::from_xdp_metadata(ctx).tag()?;
    // SAFETY: the kernel hands the program a valid `xdp_md`; the verifier rewrites this load.
    let ifindex = unsafe { (*ctx.ctx).ingress_ifindex };
    if tag.secret != settings.secret || tag.ifindex != ifindex {
        return None;
    }
    let (slot, first_byte) = tag.slot_and_byte();
    if first_byte != 0 {
        let frame = View::from_xdp(ctx);
        let second = frame.window::<2>(ethernet::field::DESTINATION)?.byte(1);
        frame.set(ethernet::field::DESTINATION, [first_byte, second])?;
    }
    // Else the compiler would compare the length above, which proves nothing to the verifier.
    let len = View::from_xdp(core::hint::black_box(ctx)).len();
    counters::arrived(slot, len as u64);
    Some(())
}

/// Finds by its tag where a frame goes.
#[inline(always)]
fn target(ctx: &TcContext) -> Option<Target> {
    let settings = SETTINGS.get(0)?;
    if settings.tag == TAG_MAC {
        let mac =
            Mac::read(&View::from_skb(ctx).window::<MAC_LEN>(ethernet::field::DESTINATION)?, 0);
        // SAFETY: copied out at once; entries are replaced whole.
        let member = *unsafe { TAGS.get(mac.with_last(mac.last() & !3)) }?;
        let cast = match mac.last() & 3 {
            0 => Cast::Unicast,
            1 => Cast::Broadcast,
            2 => Cast::Multicast,
            _ => return None,
        };
        let cast = Some((cast, member.mac));
        let TaggedMember { ifindex, slot, .. } = member;
        return Some(Target { ifindex, slot, cast, first_byte: 0 });
    }
    let tag = View::from_skb_metadata(ctx).tag()?;
    let (slot, first_byte) = tag.slot_and_byte();
    (tag.secret == settings.secret).then_some(Target {
        ifindex: tag.ifindex,
        slot,
        cast: None,
        first_byte,
    })
}

/// The headers that every segment of a frame merged by GRO had.
#[inline(always)]
fn repeated_headers(ctx: &TcContext, info: &SkbInfo) -> u32 {
    if info.gso_size == 0 {
        return 0;
    }
    let frame = View::from_skb(ctx);
    match inner::parse(&frame, 0, info.len) {
        Ok(inner) => inner::segment_headers(&frame, 0, &inner),
        Err(_) => 0,
    }
}

/// Restores the destination MAC that the tag replaced.
#[inline(always)]
fn restore(ctx: &TcContext, own: &Mac, cast: &Cast) -> Option<()> {
    let mac = match cast {
        Cast::Unicast => own.octets(),
        Cast::Broadcast => Mac::BROADCAST.octets(),
        Cast::Multicast => multicast_mac(&View::from_skb(ctx))?,
    };
    ctx.store(ethernet::field::DESTINATION, &mac, 0).ok()
}

/// The MAC of the frame's IP group: 01:00:5e and 23 bits of the group (RFC 1112 section 6.4), or
/// 33:33 and 32 bits (RFC 2464 section 7).
#[inline(always)]
fn multicast_mac(frame: &View) -> Option<[u8; 6]> {
    match frame.window::<2>(ethernet::field::ETHERTYPE)?.be_bytes2(0) {
        ETHERTYPE_IPV4 => {
            let [_, b, c, d] = frame.window::<4>(ETH_LEN + ipv4::field::DESTINATION)?.be_bytes4(0);
            Some([0x01, 0x00, 0x5e, b & 0x7f, c, d])
        }
        ETHERTYPE_IPV6 => {
            let [a, b, c, d] = frame
                .window::<4>(ETH_LEN + ipv6::field::DESTINATION + ipv6::ADDRESS_LEN - 4)?
                .be_bytes4(0);
            Some([0x33, 0x33, a, b, c, d])
        }
        _ => None,
    }
}
