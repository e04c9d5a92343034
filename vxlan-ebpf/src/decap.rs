//! Receive: from a packet on the underlay to a tagged inner frame, or a reason why not. The outer
//! headers are read in [`receive`](crate::receive), rights are judged in [`admit`](crate::admit).

use aya_ebpf::{
    helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_meta, bpf_xdp_adjust_tail},
    programs::XdpContext,
};
use vxlan_common::{
    addr::{IPV6, Mac},
    bytes::{Bytes as _, Window as _},
    checksum, ecn,
    inner::{Inner, InnerError, Kind},
    mss::Clamp,
    outer::ETH_LEN,
    reason::RxDrop,
    table::{Cast, Settings, TAG_AUTO, TAG_MAC, Tag},
};

use crate::{
    admit::{self, Sender},
    count::{Refused, Rewritten},
    frame::{self, Known, Place},
    learn, limit,
    maps::{CLOCK, LEARNED, SETTINGS},
    nat,
    packet::View,
    probe,
    receive::{self, Received},
    verify::{self, Sum},
    way,
};

/// What became of a packet that was not refused.
pub(crate) enum Verdict {
    /// Not VXLAN to us: goes up the stack untouched.
    NotOurs,
    /// Stripped and tagged: goes up the stack.
    Accepted,
    /// The daemon has what it needs of it.
    Probe,
}

pub(crate) fn run(ctx: &XdpContext) -> Result<Verdict, Refused> {
    let packet = View::of_xdp(ctx);
    let Some(settings) = SETTINGS.get(0) else { return Ok(Verdict::NotOurs) };
    let Some(received) = receive::headers(&packet, settings)? else { return Ok(Verdict::NotOurs) };
    let Some(known) = frame::known(received) else { return Ok(Verdict::NotOurs) };
    let Known { received, sum, rewritten } = known;
    let received = &*received;
    if settings.probes != 0 && received.vni == settings.probe_vni {
        probe::hand_over(ctx, &packet, received)?;
        return Ok(Verdict::Probe);
    }
    let Some(sender) = admit::sender(received, settings)? else { return Ok(Verdict::NotOurs) };
    let findings = (sum, rewritten);
    accept(ctx, &packet, settings, received, &sender, findings).map_err(|reason| Refused {
        reason,
        slot: sender.member.slot,
        pair: None,
    })?;
    Ok(Verdict::Accepted)
}

/// Strips the outer headers of a packet that a member sent, judges the inner frame and tags it.
#[inline(always)]
fn accept(
    ctx: &XdpContext,
    packet: &View,
    settings: &Settings,
    received: &Received,
    sender: &Sender,
    (sum, rewritten): (&mut Sum, &mut Rewritten),
) -> Result<(), RxDrop> {
    *sum = verify::udp(packet, received, settings.ignore_udp_checksum == 0);
    let sum = *frame::forget(sum);
    let len = received.inner_len();
    if sum.is_good() {
        limit::peer(sender, len)?;
    }
    // A sum that is wrong is looked into with what the frame says, and is the reason whatever that is.
    let read = if len < ETH_LEN as u32 {
        Err(InnerError::Malformed)
    } else {
        strip(ctx, received)?;
        frame::read(Place::Decap, &View::of_xdp(ctx), len)
    };
    if !sum.is_good() {
        nat::explain(sum, sender, received, read.ok().map(|read| &read.inner), settings);
        return Err(RxDrop::BadChecksum);
    }
    let inner = match read {
        Ok(read) => &read.inner,
        Err(InnerError::Malformed) => return Err(RxDrop::MalformedInner),
        Err(InnerError::Protocol) => return Err(RxDrop::InnerProtocolDenied),
    };
    let frame = View::of_xdp(ctx);
    admit::check_source(inner, sender)?;
    admit::check_nesting(inner, sender, settings)?;
    admit::check_destination(inner, sender)?;
    mark_congestion(&frame, inner, received.tos)?;
    clamp_segments(&frame, inner, sender);
    tag(ctx, sender, inner)?;
    if let Some(learned) = LEARNED.get_ptr_mut(sender.index) {
        let now = CLOCK.get(0).copied().unwrap_or(0);
        *rewritten = nat::rewritten(sender, received, inner);
        learn::from(sender, inner, learned, now);
        nat::note(sender, received, *frame::forget(rewritten), learned, now);
    }
    Ok(())
}

/// Carries a congestion mark from the outer header to the inner one.
#[inline(always)]
fn mark_congestion(frame: &View, inner: &Inner, outer_tos: u8) -> Result<(), RxDrop> {
    if matches!(inner.kind, Kind::Arp) {
        return Ok(());
    }
    let ecn = ecn::decapsulate(outer_tos, inner.tos)?;
    if ecn == inner.tos & ecn::MASK {
        return Ok(());
    }
    const NETWORK: usize = ETH_LEN;
    let tos = (inner.tos & !ecn::MASK) | ecn;
    let written = if inner.family == IPV6 {
        frame.window::<2>(NETWORK).and_then(|header| {
            let traffic_class_low = (header.byte(1) & 0xcf) | (ecn << 4);
            frame.set(NETWORK + 1, [traffic_class_low])
        })
    } else {
        frame.window::<12>(NETWORK).and_then(|header| {
            let old = header.u16(0);
            let new = (old & 0xff00) | u16::from(tos);
            let sum = checksum::update(header.u16(10), old, new);
            frame.set(NETWORK + 1, [tos])?;
            frame.set(NETWORK + 10, sum.to_be_bytes())
        })
    };
    written.ok_or(RxDrop::MalformedInner)
}

/// Has the host send no segments back that would not fit the way to the peer.
#[inline(always)]
fn clamp_segments(frame: &View, inner: &Inner, sender: &Sender) {
    if inner.segment_at == 0 {
        return;
    }
    let Some(peer) = way::part(sender.member.peer) else { return };
    let Some(clamp) = Clamp::of(inner, peer.inner_mtu()) else { return };
    let Some(checksum) = frame.window::<2>(clamp.checksum_at) else { return };
    checksum.set2(0, clamp.checksum(checksum.u16(0)).to_be_bytes());
    if let Some(value) = frame.window::<2>(clamp.value_at) {
        value.set2(0, clamp.new.to_be_bytes());
    }
}

/// Removes the outer headers, and what lay behind the outer IP packet.
#[inline(always)]
fn strip(ctx: &XdpContext, received: &Received) -> Result<(), RxDrop> {
    if received.trailer != 0 {
        // SAFETY: the context is the program's own; the kernel checks the new length.
        let result = unsafe { bpf_xdp_adjust_tail(ctx.ctx, -(received.trailer as i32)) };
        if result != 0 {
            return Err(RxDrop::NoHeadroom);
        }
    }
    // SAFETY: as above.
    if unsafe { bpf_xdp_adjust_head(ctx.ctx, received.overhead() as i32) } != 0 {
        return Err(RxDrop::NoHeadroom);
    }
    Ok(())
}

/// Tags the frame so that `deliver` knows it, and nobody can make it up.
#[inline(always)]
fn tag(ctx: &XdpContext, sender: &Sender, inner: &Inner) -> Result<(), RxDrop> {
    // Copies: the entry may be written below.
    let Some(&Settings { tag, secret, .. }) = SETTINGS.get(0) else {
        return Err(RxDrop::NoHeadroom);
    };
    if tag == TAG_MAC {
        return tag_mac(ctx, sender, inner);
    }
    // SAFETY: the context is the program's own; the kernel checks the headroom.
    if unsafe { bpf_xdp_adjust_meta(ctx.ctx, -(size_of::<Tag>() as i32)) } != 0 {
        if tag != TAG_AUTO {
            return Err(RxDrop::NoHeadroom);
        }
        if let Some(settings) = SETTINGS.get_ptr_mut(0) {
            // SAFETY: points into an array map, which is never freed while the program runs, and no
            // reference into it is used any more. One byte is written, and every CPU that gets here
            // writes the same.
            unsafe { (*settings).tag = TAG_MAC };
        }
        return tag_mac(ctx, sender, inner);
    }
    let tag = Tag { secret, ifindex: sender.network.ifindex, slot: sender.member.slot };
    View::of_xdp_metadata(ctx).set_tag(&tag).ok_or(RxDrop::NoHeadroom)
}

/// Puts the member's secret in place of the destination MAC.
#[inline(always)]
fn tag_mac(ctx: &XdpContext, sender: &Sender, inner: &Inner) -> Result<(), RxDrop> {
    let cast = if !inner.to_group() {
        Cast::Unicast
    } else if inner.destination_mac.is(&Mac::BROADCAST) {
        Cast::Broadcast
    } else {
        Cast::Multicast
    };
    let secret = sender.member.tag;
    let secret = secret.with_last(secret.last() | cast as u8);
    View::of_xdp(ctx).set(0, secret.octets()).ok_or(RxDrop::NoHeadroom)
}
