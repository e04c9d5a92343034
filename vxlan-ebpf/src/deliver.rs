//! The second half of receive: a tagged frame goes into the overlay interface, or one that needed
//! no tag.
//!
//! This program never writes to the packet directly: a program that does makes the kernel copy a
//! packet that a capture holds a clone of, before the program runs, and the copy has no metadata.

use aya_ebpf::{
    bindings::{BPF_F_INGRESS, TC_ACT_REDIRECT},
    helpers::generated::bpf_redirect,
    programs::TcContext,
};
use vxlan_common::{
    addr::Mac,
    bytes::{Bytes as _, HeaderWindow as _},
    inner,
    reason::RxDrop,
    table::{Cast, TAG_MAC},
    wire::{
        ETH_LEN,
        ethernet::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6, MAC_LEN},
        ipv4, ipv6,
    },
};

use crate::{
    counters::{self, Failed},
    decap::Accepted,
    maps::{SETTINGS, TAGS},
    packet::{SkbInfo, View},
};

/// What became of a frame.
pub(crate) enum Verdict {
    /// Without our tag: some other traffic of the underlay.
    NotOurs,
    /// On its way; carries the helper's verdict.
    Redirected(i32),
}

/// Where a tagged frame goes.
struct Target {
    ifindex: u32,
    slot: u32,
    /// The destination MAC to put back: what kind of address it was, and the interface's own.
    cast: Option<(Cast, Mac)>,
}

#[inline(always)]
pub(crate) fn run(ctx: &TcContext) -> Result<Verdict, Failed<RxDrop>> {
    let Some(target) = target(ctx) else { return Ok(Verdict::NotOurs) };
    let info = SkbInfo::of(ctx);
    let headers = repeated_headers(ctx, &info);
    let packets = info.packets(headers);
    let failed = |reason| Failed { reason, slot: target.slot, packets };
    // The driver took the tag off before `decap` could see it.
    if info.vlan {
        return Err(failed(RxDrop::MalformedOuter));
    }
    let gone = || failed(RxDrop::RedirectFailed);
    if target.ifindex == 0 {
        return Err(gone());
    }
    if let Some((cast, own)) = &target.cast {
        restore(ctx, own, cast).ok_or_else(gone)?;
    }
    let verdict = into(target.ifindex).ok_or_else(gone)?;
    counters::received(target.slot, packets, info.bytes(headers));
    Ok(Verdict::Redirected(verdict))
}

/// The same for a frame that needed no tag. Returns the helper's verdict.
pub(crate) fn accepted(frame: &Accepted) -> Result<i32, Failed<RxDrop>> {
    let verdict = if frame.ifindex == 0 { None } else { into(frame.ifindex) };
    let failed = || Failed { reason: RxDrop::RedirectFailed, slot: frame.slot, packets: 1 };
    let verdict = verdict.ok_or_else(failed)?;
    counters::received(frame.slot, 1, frame.len.into());
    Ok(verdict)
}

/// Redirects into an overlay interface. `None`: the kernel refuses.
#[inline(always)]
fn into(ifindex: u32) -> Option<i32> {
    // SAFETY: takes no pointers; the kernel checks the interface when it acts on the verdict.
    let verdict = unsafe { bpf_redirect(ifindex, u64::from(BPF_F_INGRESS)) };
    (verdict == i64::from(TC_ACT_REDIRECT)).then_some(verdict as i32)
}

#[inline(always)]
fn target(ctx: &TcContext) -> Option<Target> {
    let settings = SETTINGS.get(0)?;
    if settings.tag == TAG_MAC {
        let mac = Mac::read(&View::of_skb(ctx).window::<MAC_LEN>(0)?, 0);
        // SAFETY: copied out at once; entries are replaced whole.
        let member = *unsafe { TAGS.get(mac.with_last(mac.last() & !3)) }?;
        let cast = match mac.last() & 3 {
            0 => Cast::Unicast,
            1 => Cast::Broadcast,
            2 => Cast::Multicast,
            _ => return None,
        };
        let cast = Some((cast, member.mac));
        return Some(Target { ifindex: member.ifindex, slot: member.slot, cast });
    }
    let tag = View::of_skb_metadata(ctx).tag()?;
    (tag.secret == settings.secret).then_some(Target {
        ifindex: tag.ifindex,
        slot: tag.slot,
        cast: None,
    })
}

/// The headers that every segment of a frame merged by GRO had.
#[inline(always)]
fn repeated_headers(ctx: &TcContext, info: &SkbInfo) -> u32 {
    if info.gso_size == 0 {
        return 0;
    }
    let frame = View::of_skb(ctx);
    match inner::parse(&frame, 0, info.len) {
        Ok(inner) => inner::segment_headers(&frame, 0, &inner),
        Err(_) => 0,
    }
}

/// Puts the destination MAC back that the tag stood in for.
#[inline(always)]
fn restore(ctx: &TcContext, own: &Mac, cast: &Cast) -> Option<()> {
    let mac = match cast {
        Cast::Unicast => own.octets(),
        Cast::Broadcast => Mac::BROADCAST.octets(),
        Cast::Multicast => multicast_mac(&View::of_skb(ctx))?,
    };
    ctx.store(0, &mac, 0).ok()
}

/// RFC 1112 section 6.4: 01:00:5e and 23 bits of the group; RFC 2464 section 7: 33:33 and 32 bits.
#[inline(always)]
fn multicast_mac(frame: &View) -> Option<[u8; 6]> {
    match frame.window::<2>(ethernet::field::ETHERTYPE)?.be_bytes2(0) {
        ETHERTYPE_IPV4 => {
            let [_, b, c, d] = frame.window::<4>(ETH_LEN + ipv4::field::DESTINATION)?.be_bytes4(0);
            Some([0x01, 0x00, 0x5e, b & 0x7f, c, d])
        }
        ETHERTYPE_IPV6 => {
            let [a, b, c, d] =
                frame.window::<4>(ETH_LEN + ipv6::field::DESTINATION + 12)?.be_bytes4(0);
            Some([0x33, 0x33, a, b, c, d])
        }
        _ => None,
    }
}
