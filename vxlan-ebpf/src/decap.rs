//! Receive: from a packet on the underlay to an inner frame that may enter the overlay, or a drop
//! reason. Owns the order of the steps: the rules of docs/packets.md, "Receive". The outer headers
//! are parsed in [`outer_rx`](crate::outer_rx), rights are checked in [`policy`](crate::policy);
//! what differs between XDP and TC is behind [`PacketCtx`].

use aya_ebpf::programs::XdpContext;
use vxlan_common::{
    addr::IPV6,
    bytes::{Bytes as _, HeaderWindow as _},
    checksum, ecn,
    inner::{FrameKind, Inner, InnerError},
    mss::MssClamp,
    reason::RxDrop,
    table::GlobalSettings,
    wire::{ETH_LEN, UDP_LEN, VXLAN_LEN, ipv4, ipv6},
};

use crate::{
    buffers,
    counters::{self, Refused},
    learning, lookup,
    maps::{CLOCK, LEARNED, SETTINGS},
    nat,
    outer_rx::{self, BadOuter},
    packet_ctx::{AcceptedFrame, MAX_HEADERS_LEN, PacketCtx, Tagged},
    peer_entry,
    policy::{self, Sender},
    probe_rx, rate_limit, redirect, rx_memo,
    scratch::{ChecksumResult, OuterRx, Rewritten, RxScratch, ScratchSlot, opaque},
    straight::{self, Decided},
    udp_checksum,
};

/// The result for a packet that was not refused.
pub(crate) enum RxVerdict {
    /// Not VXLAN to this host: goes up the stack untouched.
    NotOurs,
    /// Decapsulated, and allowed into the overlay.
    Accepted(AcceptedFrame),
    /// A probe, which was handed to the daemon.
    Probe,
    /// Several packets of a member, which the card or GRO has merged; carries the member's counter
    /// slot. Nothing else is judged yet.
    Merged(u32),
}

/// Where XDP has a packet go.
pub(crate) enum XdpVerdict {
    Pass,
    Drop,
    /// To the hidden port of this index.
    Redirect(u32),
}

/// [`run`] in XDP, after the short way.
#[inline(always)]
pub(crate) fn run_xdp(ctx: &XdpContext) -> Result<XdpVerdict, Refused> {
    let epoch = match straight::run(ctx).result()? {
        Decided::Accepted(0) => return Ok(XdpVerdict::Pass),
        Decided::Accepted(port) => return Ok(XdpVerdict::Redirect(port)),
        Decided::Nothing(epoch) => epoch,
    };
    Ok(match run(ctx, epoch)? {
        RxVerdict::NotOurs => XdpVerdict::Pass,
        // XDP sees no merged packets, see `is_merged`.
        RxVerdict::Probe | RxVerdict::Merged(_) => XdpVerdict::Drop,
        RxVerdict::Accepted(AcceptedFrame { port: 0, .. }) => XdpVerdict::Pass,
        RxVerdict::Accepted(AcceptedFrame { port, .. }) => XdpVerdict::Redirect(port),
    })
}

/// Decides about a packet, and decapsulates what is accepted. The sender's right is
/// remembered for `epoch`, see [`rx_memo::keep`].
pub(crate) fn run<C: PacketCtx>(ctx: &C, epoch: u64) -> Result<RxVerdict, Refused> {
    let Some(settings) = SETTINGS.get(0) else { return Ok(RxVerdict::NotOurs) };
    let packet = ctx.outer();
    let outer = match outer_rx::parse(&packet, ctx.len() as usize, settings) {
        Ok(Some(outer)) => outer,
        Ok(None) => return Ok(RxVerdict::NotOurs),
        Err(bad) if is_other_users(&bad, settings) => return Ok(RxVerdict::NotOurs),
        Err(BadOuter { reason, family, source, .. }) => {
            let slot = lookup::slot_of_address(family, &source);
            return Err(Refused { reason, slot, pair: None });
        }
    };
    let Some(scratch) = buffers::store_outer(outer) else { return Ok(RxVerdict::NotOurs) };
    let RxScratch { outer, checksum, rewritten } = scratch;
    let outer = &*outer;
    let aggregate = |slot| Err(Refused { reason: RxDrop::Aggregate, slot, pair: None });
    if settings.probes != 0 && outer.vni == settings.probe_vni {
        if ctx.is_merged() {
            return aggregate(lookup::slot_of_address(outer.family, &outer.source));
        }
        probe_rx::hand_over(ctx, outer, settings)?;
        return Ok(RxVerdict::Probe);
    }
    let Some(sender) = policy::find_sender(outer, settings)? else {
        return Ok(RxVerdict::NotOurs);
    };
    let slot = sender.member.slot;
    if ctx.is_merged() {
        return Ok(RxVerdict::Merged(slot));
    }
    let results = (checksum, rewritten);
    let can_be_redirected = accept(ctx, settings, outer, &sender, results, epoch)
        .map_err(|reason| Refused { reason, slot, pair: None })?;
    let port = redirect::port(sender.network, can_be_redirected, outer.inner_len());
    counters::accepted(slot, port != 0);
    let ifindex = sender.network.ifindex;
    Ok(RxVerdict::Accepted(AcceptedFrame { ifindex, slot, len: outer.inner_len(), port }))
}

/// A VXLAN header that is wrong to us may be right to another VXLAN user of this host, if its VNI
/// is none of ours.
#[inline(always)]
fn is_other_users(bad: &BadOuter, settings: &GlobalSettings) -> bool {
    bad.vni
        .is_some_and(|vni| settings.pass_unknown_vni != 0 && lookup::network_of_vni(vni).is_none())
}

/// Removes the outer headers of a packet that a member sent, checks the inner frame and tags it.
/// Returns whether XDP may redirect it.
#[inline(always)]
fn accept<C: PacketCtx>(
    ctx: &C,
    settings: &GlobalSettings,
    outer: &OuterRx,
    sender: &Sender,
    (checksum, rewritten): (&mut ChecksumResult, &mut Rewritten),
    epoch: u64,
) -> Result<bool, RxDrop> {
    *checksum = if outer.has_checksum && settings.ignore_udp_checksum == 0 {
        let headers = outer.overhead() - VXLAN_LEN - UDP_LEN;
        udp_checksum::verify(&ctx.reach(headers as u32 + u32::from(outer.udp_len)), outer)
    } else {
        ChecksumResult::GOOD
    };
    let checksum = *opaque(checksum);
    let len = outer.inner_len();
    if checksum.is_good() {
        rate_limit::charge_peer(sender.member, len)?;
    }
    // A wrong checksum is the drop reason, whatever else is wrong with the frame. The frame is
    // parsed all the same, as its flow determines the source port that the peer sent from.
    let parsed = if len < ETH_LEN as u32 {
        Err(InnerError::Malformed)
    } else if ctx.strip(outer).is_some() {
        buffers::parse_frame(ScratchSlot::Decap, &ctx.reach(MAX_HEADERS_LEN), len)
    } else if checksum.is_good() {
        return Err(RxDrop::NoHeadroom);
    } else {
        Err(InnerError::Malformed)
    };
    if !checksum.is_good() {
        let inner = parsed.ok().map(|frame| &frame.inner);
        nat::count_explained(checksum, sender, outer, inner, settings);
        return Err(RxDrop::BadChecksum);
    }
    let inner = match parsed {
        Ok(frame) => &frame.inner,
        Err(InnerError::Malformed) => return Err(RxDrop::MalformedInner),
        Err(InnerError::Protocol) => return Err(RxDrop::InnerProtocolDenied),
    };
    policy::check_source(inner, sender)?;
    policy::check_nesting(inner, sender, settings)?;
    policy::check_destination(inner, sender)?;
    mark_congestion(ctx, inner, outer.tos)?;
    clamp_segments(ctx, inner, sender);
    let tagged = ctx.tag(sender, inner.destination_mac)?;
    rx_memo::keep(outer, inner, sender, epoch);
    if let Some(learned) = LEARNED.get_ptr_mut(sender.index) {
        let now = CLOCK.get(0).copied().unwrap_or(0);
        *rewritten = nat::rewritten(sender, outer, inner);
        learning::learn_from(sender, inner, learned, now);
        nat::record(sender, outer, *opaque(rewritten), learned, now);
    }
    Ok(tagged == Tagged::Metadata && inner.is_udp())
}

/// Copies a congestion mark from the outer header to the inner one (RFC 6040).
#[inline(always)]
fn mark_congestion<C: PacketCtx>(ctx: &C, inner: &Inner, outer_tos: u8) -> Result<(), RxDrop> {
    if matches!(inner.kind, FrameKind::Arp) {
        return Ok(());
    }
    let ecn = ecn::decapsulate(outer_tos, inner.tos)?;
    if ecn == inner.tos & ecn::MASK {
        return Ok(());
    }
    const NETWORK: usize = ETH_LEN;
    /// The byte whose high four bits are the low four of the traffic class, ECN among them.
    const TRAFFIC_CLASS_LOW: usize = ipv6::field::VERSION_CLASS_LABEL + 1;
    let frame = ctx.reach(MAX_HEADERS_LEN);
    let tos = (inner.tos & !ecn::MASK) | ecn;
    let written = if inner.family == IPV6 {
        frame.window::<{ TRAFFIC_CLASS_LOW + 1 }>(NETWORK).and_then(|header| {
            let traffic_class_low = (header.byte(TRAFFIC_CLASS_LOW)
                & !(ecn::MASK << ipv6::CLASS_SHIFT))
                | (ecn << ipv6::CLASS_SHIFT);
            ctx.set(NETWORK + TRAFFIC_CLASS_LOW, [traffic_class_low])
        })
    } else {
        frame.window::<{ ipv4::field::SOURCE }>(NETWORK).and_then(|header| {
            let old = header.be16(ipv4::field::VERSION_IHL);
            let new = (old & 0xff00) | u16::from(tos);
            let sum = checksum::update(header.be16(ipv4::field::CHECKSUM), old, new);
            ctx.set(NETWORK + ipv4::field::TOS, [tos])?;
            ctx.set(NETWORK + ipv4::field::CHECKSUM, sum.to_be_bytes())
        })
    };
    written.ok_or(RxDrop::MalformedInner)
}

/// Lowers the MSS that the frame announces, so that the host sends no segments back that would not
/// fit the path to the peer.
#[inline(always)]
fn clamp_segments<C: PacketCtx>(ctx: &C, inner: &Inner, sender: &Sender) {
    if inner.mss_at == 0 {
        return;
    }
    let Some(peer) = peer_entry::peek(sender.member.peer) else { return };
    let Some(clamp) = MssClamp::for_frame(inner, peer.inner_mtu()) else { return };
    let _unchanged = ctx.clamp(&clamp);
}
