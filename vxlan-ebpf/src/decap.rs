//! Receive: from a packet on the underlay to a tagged inner frame, or a reason why not. Form is judged
//! here, rights in [`admit`](crate::admit).

use aya_ebpf::{
    helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_meta, bpf_xdp_adjust_tail},
    programs::XdpContext,
};
use vxlan_common::{
    addr::{IPV6, Mac},
    bytes::{Bytes as _, Window},
    checksum,
    counters::NOBODY,
    ecn,
    inner::{self, Inner, InnerError, Kind},
    outer::{
        self, ETH_LEN, ETHERTYPE_IPV4, IPV4_LEN, OVERHEAD_IPV4, PROTOCOL_UDP, UDP_LEN, VXLAN_LEN,
    },
    reason::RxDrop,
    table::{Cast, Settings, TAG_AUTO, TAG_MAC, Tag},
};

use crate::{
    admit::{self, Sender},
    count::{self, Refused},
    learn,
    maps::{NETWORK_BY_VNI, SETTINGS},
    packet::View,
};

/// Offset of the outer IP header.
const IP: usize = ETH_LEN;

/// What became of a packet that was not refused. Both go up the stack.
pub(crate) enum Verdict {
    /// Not VXLAN to us: untouched.
    NotOurs,
    /// Stripped and tagged.
    Accepted,
}

/// The outer headers of a packet that is ours, as far as they matter further in.
struct Received {
    source: [u8; 4],
    /// The destination is our private address although peers send to our public one.
    destination_rewritten: bool,
    tos: u8,
    vni: [u8; 3],
    inner_len: u16,
    /// Bytes behind the IP packet, such as Ethernet padding.
    trailer: usize,
}

pub(crate) fn run(ctx: &XdpContext) -> Result<Verdict, Refused> {
    let packet = View::of_xdp(ctx);
    // A copy: `tag` may write to the entry.
    let Some(&settings) = SETTINGS.get(0) else { return Ok(Verdict::NotOurs) };
    let Some(received) = receive(&packet, &settings)? else { return Ok(Verdict::NotOurs) };
    let Some(sender) = admit::sender(received.source, received.vni, &settings)? else {
        return Ok(Verdict::NotOurs);
    };
    accept(ctx, &packet, &settings, &received, &sender).map_err(|reason| Refused {
        reason,
        slot: sender.member.slot,
        pair: None,
    })?;
    Ok(Verdict::Accepted)
}

/// Is the packet ours, and are its outer headers right? `None`: not ours.
#[inline(always)]
fn receive(packet: &View, settings: &Settings) -> Result<Option<Received>, Refused> {
    let Some(ip) = packet.window::<{ ETH_LEN + IPV4_LEN }>(0) else { return Ok(None) };
    if ip.wire2(12) != ETHERTYPE_IPV4 || ip.byte(IP + 9) != PROTOCOL_UDP {
        return Ok(None);
    }
    let (version_len, destination) = (ip.byte(IP), ip.wire4(IP + 16));
    if version_len >> 4 != 4
        || destination == [0; 4]
        || (destination != settings.address && destination != settings.public_address)
    {
        return Ok(None);
    }
    // Fragments behind the first have no port; the first one, dropped below, is missing to them.
    let header_len = usize::from(version_len & 0x0f) * 4;
    if ip.u16(IP + 6) & 0x1fff != 0 || header_len < IPV4_LEN {
        return Ok(None);
    }
    let Some(udp) = packet.window::<UDP_LEN>(IP + header_len) else { return Ok(None) };
    if udp.wire2(2) != settings.port {
        return Ok(None);
    }
    let source = ip.wire4(IP + 12);
    match check(packet, udp.u16(4)) {
        Ok((inner_len, vni, trailer)) => Ok(Some(Received {
            source,
            destination_rewritten: destination != settings.public_address
                && settings.public_address != [0; 4],
            tos: ip.byte(IP + 1),
            vni,
            inner_len,
            trailer,
        })),
        Err(RxDrop::InvalidVxlanHeader)
            if settings.pass_unknown_vni != 0 && !has_our_vni(packet) =>
        {
            Ok(None)
        }
        Err(reason) => {
            let slot = admit::peer_index(source).map_or(NOBODY, admit::peer_slot);
            Err(Refused { reason, slot, pair: None })
        }
    }
}

/// Does a VXLAN header that is not to our liking at least name a network of ours?
#[inline(always)]
fn has_our_vni(packet: &View) -> bool {
    let Some(vxlan) = packet.window::<VXLAN_LEN>(IP + IPV4_LEN + UDP_LEN) else { return false };
    let [a, b, c, _] = vxlan.wire4(4);
    // SAFETY: only asked whether it is there.
    unsafe { NETWORK_BY_VNI.get([0, a, b, c]) }.is_some()
}

/// Judges the outer headers of a packet to our port. The UDP length is passed in: reading it again at
/// its constant offset would need a second bounds check, which the compiler knows to be superfluous
/// and the verifier does not. Returns length of the inner frame, VNI, and
/// length of what follows the IP packet.
#[inline(always)]
fn check(packet: &View, udp_len: u16) -> Result<(u16, [u8; 3], usize), RxDrop> {
    let ip = packet.window::<IPV4_LEN>(IP).ok_or(RxDrop::MalformedOuter)?;
    if ip.byte(0) != 0x45 {
        return Err(RxDrop::IpOptions);
    }
    const MORE_FRAGMENTS: u16 = 0x2000;
    if ip.u16(6) & MORE_FRAGMENTS != 0 {
        return Err(RxDrop::OuterFragment);
    }
    let total_len = ip.u16(2);
    let end = ETH_LEN + usize::from(total_len);
    if end > packet.len() {
        return Err(RxDrop::MalformedOuter);
    }
    if checksum::ipv4_window(&ip) != 0 {
        return Err(RxDrop::BadChecksum);
    }
    let inner_len = outer::inner_len(udp_len, total_len)?;
    let vxlan =
        packet.window::<VXLAN_LEN>(IP + IPV4_LEN + UDP_LEN).ok_or(RxDrop::InvalidVxlanHeader)?;
    Ok((inner_len, outer::vni(&vxlan)?, packet.len() - end))
}

/// Judges the inner frame, then strips the outer headers and tags what is left.
#[inline(always)]
fn accept(
    ctx: &XdpContext,
    packet: &View,
    settings: &Settings,
    received: &Received,
    sender: &Sender,
) -> Result<(), RxDrop> {
    let inner =
        inner::parse(packet, OVERHEAD_IPV4, u32::from(received.inner_len)).map_err(|error| {
            match error {
                InnerError::Malformed => RxDrop::MalformedInner,
                InnerError::Protocol => RxDrop::InnerProtocolDenied,
            }
        })?;
    admit::check_source(&inner, sender)?;
    admit::check_destination(&inner, sender)?;
    mark_congestion(packet, &inner, received.tos)?;
    strip(ctx, received.trailer)?;
    tag(ctx, settings, sender, &inner)?;
    count::rewritten(sender.member.slot, sender.rewritten, received.destination_rewritten);
    learn::from(sender, &inner);
    Ok(())
}

/// Carries a congestion mark from the outer header to the inner one.
#[inline(always)]
fn mark_congestion(packet: &View, inner: &Inner, outer_tos: u8) -> Result<(), RxDrop> {
    if matches!(inner.kind, Kind::Arp) {
        return Ok(());
    }
    let ecn = ecn::decapsulate(outer_tos, inner.tos)?;
    if ecn == inner.tos & ecn::MASK {
        return Ok(());
    }
    const NETWORK: usize = OVERHEAD_IPV4 + ETH_LEN;
    let tos = (inner.tos & !ecn::MASK) | ecn;
    let written = if inner.family == IPV6 {
        packet.window::<2>(NETWORK).and_then(|header| {
            let traffic_class_low = (header.byte(1) & 0xcf) | (ecn << 4);
            packet.set(NETWORK + 1, [traffic_class_low])
        })
    } else {
        packet.window::<12>(NETWORK).and_then(|header| {
            let old = header.u16(0);
            let new = (old & 0xff00) | u16::from(tos);
            let sum = checksum::update(header.u16(10), old, new);
            packet.set(NETWORK + 1, [tos])?;
            packet.set(NETWORK + 10, sum.to_be_bytes())
        })
    };
    written.ok_or(RxDrop::MalformedInner)
}

/// Removes the outer headers, and what lay behind the outer IP packet.
#[inline(always)]
fn strip(ctx: &XdpContext, trailer: usize) -> Result<(), RxDrop> {
    if trailer != 0 {
        // SAFETY: the context is the program's own; the kernel checks the new length.
        let result = unsafe { bpf_xdp_adjust_tail(ctx.ctx, -(trailer as i32)) };
        if result != 0 {
            return Err(RxDrop::NoHeadroom);
        }
    }
    // SAFETY: as above.
    if unsafe { bpf_xdp_adjust_head(ctx.ctx, OVERHEAD_IPV4 as i32) } != 0 {
        return Err(RxDrop::NoHeadroom);
    }
    Ok(())
}

/// Tags the frame so that `deliver` knows it, and nobody can make it up.
#[inline(always)]
fn tag(
    ctx: &XdpContext,
    settings: &Settings,
    sender: &Sender,
    inner: &Inner,
) -> Result<(), RxDrop> {
    if settings.tag == TAG_MAC {
        return tag_mac(ctx, sender, inner);
    }
    // SAFETY: the context is the program's own; the kernel checks the headroom.
    if unsafe { bpf_xdp_adjust_meta(ctx.ctx, -(size_of::<Tag>() as i32)) } != 0 {
        if settings.tag != TAG_AUTO {
            return Err(RxDrop::NoHeadroom);
        }
        if let Some(settings) = SETTINGS.get_ptr_mut(0) {
            // SAFETY: points into an array map, which is never freed while the program runs, and no
            // reference into it is held: `run` copied the entry. One byte is written, and every CPU
            // that gets here writes the same.
            unsafe { (*settings).tag = TAG_MAC };
        }
        return tag_mac(ctx, sender, inner);
    }
    let tag =
        Tag { secret: settings.secret, network: sender.member.network, slot: sender.member.slot };
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
