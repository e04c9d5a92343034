//! Receive: from a packet on the underlay to an inner frame that may enter the overlay, or a reason
//! why not. The outer headers are read in [`outer_rx`](crate::outer_rx), rights are judged in
//! [`policy`](crate::policy); what differs between XDP and TC is behind [`Carrier`].

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
    counters::{Refused, Rewritten},
    frame::{self, Known, Place},
    learning,
    maps::{CLOCK, LEARNED, SETTINGS},
    nat,
    outer_rx::{self, Received},
    packet_ctx::{Carrier, HEADERS},
    peer_entry,
    policy::{self, Sender},
    probe_rx, rate_limit,
    udp_checksum::{self, Sum},
};

/// What became of a packet that was not refused.
pub(crate) enum Verdict {
    /// Not VXLAN to us: goes up the stack untouched.
    NotOurs,
    /// Stripped, and allowed in.
    Accepted(Accepted),
    /// The daemon has what it needs of it.
    Probe,
}

/// Where an accepted frame goes.
pub(crate) struct Accepted {
    /// The overlay interface.
    pub(crate) ifindex: u32,
    /// Counter slot of its member.
    pub(crate) slot: u32,
    /// Bytes of the frame.
    pub(crate) len: u32,
}

pub(crate) fn run<C: Carrier>(carrier: &C) -> Result<Verdict, Refused> {
    let Some(settings) = SETTINGS.get(0) else { return Ok(Verdict::NotOurs) };
    let packet = carrier.outer();
    let Some(received) = outer_rx::headers(&packet, carrier.len() as usize, settings)? else {
        return Ok(Verdict::NotOurs);
    };
    let Some(known) = frame::known(received) else { return Ok(Verdict::NotOurs) };
    let Known { received, sum, rewritten } = known;
    let received = &*received;
    let aggregate = |slot| Err(Refused { reason: RxDrop::Aggregate, slot, pair: None });
    if settings.probes != 0 && received.vni == settings.probe_vni {
        if carrier.is_merged() {
            return aggregate(policy::slot_of_address(received.family, &received.source));
        }
        probe_rx::hand_over(carrier, received)?;
        return Ok(Verdict::Probe);
    }
    let Some(sender) = policy::sender(received, settings)? else { return Ok(Verdict::NotOurs) };
    let slot = sender.member.slot;
    if carrier.is_merged() {
        return aggregate(slot);
    }
    let findings = (sum, rewritten);
    accept(carrier, settings, received, &sender, findings).map_err(|reason| Refused {
        reason,
        slot,
        pair: None,
    })?;
    let ifindex = sender.network.ifindex;
    Ok(Verdict::Accepted(Accepted { ifindex, slot, len: received.inner_len() }))
}

/// Strips the outer headers of a packet that a member sent, judges the inner frame and tags it.
#[inline(always)]
fn accept<C: Carrier>(
    carrier: &C,
    settings: &GlobalSettings,
    received: &Received,
    sender: &Sender,
    (sum, rewritten): (&mut Sum, &mut Rewritten),
) -> Result<(), RxDrop> {
    *sum = if received.has_checksum && settings.ignore_udp_checksum == 0 {
        let headers = received.overhead() - VXLAN_LEN - UDP_LEN;
        udp_checksum::udp(&carrier.reach(headers as u32 + u32::from(received.udp_len)), received)
    } else {
        Sum::GOOD
    };
    let sum = *frame::forget(sum);
    let len = received.inner_len();
    if sum.is_good() {
        rate_limit::peer(sender, len)?;
    }
    // A sum that is wrong is looked into with what the frame says, and is the reason whatever that
    // is.
    let read = if len < ETH_LEN as u32 {
        Err(InnerError::Malformed)
    } else {
        carrier.strip(received).ok_or(RxDrop::NoHeadroom)?;
        frame::read(Place::Decap, &carrier.reach(HEADERS), len)
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
    policy::check_source(inner, sender)?;
    policy::check_nesting(inner, sender, settings)?;
    policy::check_destination(inner, sender)?;
    mark_congestion(carrier, inner, received.tos)?;
    clamp_segments(carrier, inner, sender);
    carrier.tag(sender, inner)?;
    if let Some(learned) = LEARNED.get_ptr_mut(sender.index) {
        let now = CLOCK.get(0).copied().unwrap_or(0);
        *rewritten = nat::rewritten(sender, received, inner);
        learning::from(sender, inner, learned, now);
        nat::note(sender, received, *frame::forget(rewritten), learned, now);
    }
    Ok(())
}

/// Carries a congestion mark from the outer header to the inner one.
#[inline(always)]
fn mark_congestion<C: Carrier>(carrier: &C, inner: &Inner, outer_tos: u8) -> Result<(), RxDrop> {
    if matches!(inner.kind, FrameKind::Arp) {
        return Ok(());
    }
    let ecn = ecn::decapsulate(outer_tos, inner.tos)?;
    if ecn == inner.tos & ecn::MASK {
        return Ok(());
    }
    const NETWORK: usize = ETH_LEN;
    /// The byte with the low four bits of the traffic class.
    const TRAFFIC_CLASS_LOW: usize = ipv6::field::VERSION_CLASS_LABEL + 1;
    let frame = carrier.reach(HEADERS);
    let tos = (inner.tos & !ecn::MASK) | ecn;
    let written = if inner.family == IPV6 {
        frame.window::<{ TRAFFIC_CLASS_LOW + 1 }>(NETWORK).and_then(|header| {
            let traffic_class_low = (header.byte(TRAFFIC_CLASS_LOW) & 0xcf) | (ecn << 4);
            carrier.set(NETWORK + TRAFFIC_CLASS_LOW, [traffic_class_low])
        })
    } else {
        frame.window::<{ ipv4::field::SOURCE }>(NETWORK).and_then(|header| {
            let old = header.be16(ipv4::field::VERSION_IHL);
            let new = (old & 0xff00) | u16::from(tos);
            let sum = checksum::update(header.be16(ipv4::field::CHECKSUM), old, new);
            carrier.set(NETWORK + ipv4::field::TOS, [tos])?;
            carrier.set(NETWORK + ipv4::field::CHECKSUM, sum.to_be_bytes())
        })
    };
    written.ok_or(RxDrop::MalformedInner)
}

/// Has the host send no segments back that would not fit the way to the peer.
#[inline(always)]
fn clamp_segments<C: Carrier>(carrier: &C, inner: &Inner, sender: &Sender) {
    if inner.segment_at == 0 {
        return;
    }
    let Some(peer) = peer_entry::part(sender.member.peer) else { return };
    let Some(clamp) = MssClamp::for_frame(inner, peer.inner_mtu()) else { return };
    let _left_alone = carrier.clamp(&clamp);
}
