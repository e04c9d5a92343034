//! Transmit: from a frame on an overlay interface to a packet on the underlay, or a drop reason.
//! Owns the order of the steps: the rules of docs/packets.md, "Transmit". The member is chosen in
//! [`forward`](crate::forward), outer headers are written in [`outer_tx`](crate::outer_tx). The
//! commonest frame takes a short way instead: [`straight_tx`](crate::straight_tx).

use aya_ebpf::programs::TcContext;
use vxlan_common::{
    bytes::{Bytes as _, HeaderWindow as _},
    counters::UNATTRIBUTED_SLOT,
    inner::{self, FrameKind, Inner},
    mss::MssClamp,
    reason::TxDrop,
    table::{GlobalSettings, PeerEntry},
    wire::{
        ETH_LEN, IPV4_LEN, IPV6_LEN, UDP_LEN,
        ethernet::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6},
        ip::{PROTOCOL_TCP, PROTOCOL_UDP},
        ipv4, ipv6, tcp,
    },
};

use crate::{
    arp_nd_proxy, buffers,
    counters::{self, Failed},
    flood,
    forward::{self, Forwarding},
    header_writer, icmp_ptb, lookup,
    maps::{MEMBERS, NETWORKS, SETTINGS},
    mark::{self, Mark},
    memo, outer_tx,
    packet::{SkbInfo, View},
    peer_entry,
    scratch::{Frame, Recipient, ScratchSlot},
    segment, tx_memo,
};

/// Length of all headers that decisions depend on, at most: Ethernet, IPv6 or IPv4 with options,
/// TCP with options.
const MAX_HEADERS_LEN: u32 = (ETH_LEN + ipv4::MAX_HEADER_LEN + tcp::MAX_HEADER_LEN) as u32;

/// The `gso_size` of a frame that is segmented at its fragments, as SCTP is
/// (`include/linux/skbuff.h`).
const GSO_BY_FRAGS: u32 = 0xffff;

/// A frame that was not sent.
pub(crate) struct NotSent {
    pub(crate) failed: Failed<TxDrop>,
    /// The helper's verdict on the ICMP message to the frame's sender that took the frame's place.
    pub(crate) icmp_verdict: Option<i32>,
}

/// Sends the frame to its peer, or replies to it, and returns the helper's verdict. Inlined: its
/// frame on the stack and that of logging are not both there then.
#[inline(always)]
pub(crate) fn run(ctx: &TcContext) -> Result<i32, NotSent> {
    let info = SkbInfo::from_skb(ctx);
    let mut attribution =
        Attribution { slot: UNATTRIBUTED_SLOT, packets: info.packets(0), icmp_verdict: None };
    encapsulate(ctx, &info, &mut attribution).map_err(|reason| NotSent {
        failed: Failed { reason, slot: attribution.slot, packets: attribution.packets },
        icmp_verdict: attribution.icmp_verdict,
    })
}

/// What a drop of the frame is attributed to. Refined as more is known of the frame.
struct Attribution {
    /// Counter slot.
    slot: u32,
    /// Packets on the wire.
    packets: u64,
    /// As in [`NotSent`].
    icmp_verdict: Option<i32>,
}

/// Takes all steps of transmit.
#[inline(always)]
fn encapsulate(
    ctx: &TcContext,
    info: &SkbInfo,
    attribution: &mut Attribution,
) -> Result<i32, TxDrop> {
    let settings = SETTINGS.get(0).ok_or(TxDrop::NoRoute)?;
    let mut frame = View::from_skb(ctx);
    let wanted = if info.len < MAX_HEADERS_LEN { info.len } else { MAX_HEADERS_LEN };
    if frame.len() < wanted as usize && !has_all_headers(&frame) {
        if ctx.pull_data(wanted).is_err() {
            attribution.slot = network_slot(info.ifindex);
            return Err(TxDrop::MalformedInner);
        }
        frame = View::from_skb(ctx);
    }
    let copy = flood::copy_for(ctx, settings);
    let slot = if copy.is_some() { ScratchSlot::Copy } else { ScratchSlot::Encap };
    let parsed = match buffers::parse_frame(slot, &frame, info.len) {
        Ok(parsed) if !info.vlan => parsed,
        _ => {
            attribution.slot = network_slot(info.ifindex);
            return Err(TxDrop::MalformedInner);
        }
    };
    let segment_headers =
        if info.gso_size == 0 { 0 } else { inner::segment_headers(&frame, 0, &parsed.inner) };
    attribution.packets = info.packets(segment_headers);
    let Frame { inner, recipient } =
        match recipient(ctx, info, &parsed.inner, settings, copy, attribution.packets) {
            Ok(found) => parsed.set_recipient(found),
            Err(reason) => {
                attribution.slot = network_slot(info.ifindex);
                return Err(reason);
            }
        };
    let member = MEMBERS.get(recipient.member).ok_or(TxDrop::NoRoute)?;
    attribution.slot = member.slot;
    if recipient.owns_target
        && let Some(verdict) =
            arp_nd_proxy::answer(ctx, info.ifindex, inner, recipient.member, member)
    {
        counters::neighbour_reply(member.slot);
        return Ok(verdict);
    }
    if !inner.to_group() && matches!(inner.kind, FrameKind::Arp | FrameKind::Solicitation) {
        arp_nd_proxy::record_request(ctx, inner, recipient.member, member);
    }
    let network = NETWORKS.get(member.network).ok_or(TxDrop::NoRoute)?;
    let (peer, _) = peer_entry::snapshot(member.peer).ok_or(TxDrop::NoRoute)?;
    if peer.ifindex == 0 {
        return Err(TxDrop::NoNeighbour);
    }
    // Its segments are as long as its fragments, which no program sees; and no helper takes it.
    if info.gso_size == GSO_BY_FRAGS {
        return Err(TxDrop::EncapFailed);
    }
    if !fits(info, segment_headers, peer) {
        // No message about a frame that is flooded: the paths to other members may carry it.
        if recipient.is_only {
            attribution.icmp_verdict =
                icmp_ptb::send(ctx, info.ifindex, inner, network, peer.inner_mtu());
            if attribution.icmp_verdict.is_some() {
                counters::too_big_sent(member.slot);
            }
        }
        return Err(TxDrop::MtuExceeded);
    }
    clamp_segments(ctx, inner, peer)?;
    let headers = header_writer::scratch().ok_or(TxDrop::EncapFailed)?;
    outer_tx::compose(headers, settings, network, peer, inner, info.len);
    let is_arp = matches!(inner.kind, FrameKind::Arp);
    if is_arp || outer_tx::insert_in_ip_frame(ctx, headers, peer).is_err() {
        if !is_arp {
            // A tunnel of this host, whose packets the kernel may have to cut up before.
            let member = if recipient.is_only { mark::NO_MEMBER } else { recipient.member };
            let mark = Mark { member, back: info.ifindex, flags: 0 };
            if let Some(verdict) = segment::cut_up(ctx, settings, mark) {
                return Ok(verdict);
            }
            if info.gso_size != 0 || settings.segmenter == 0 {
                return Err(TxDrop::EncapFailed);
            }
        }
        outer_tx::insert_before_frame(ctx, headers, peer)?;
    }
    let verdict = outer_tx::transmit(ctx, peer.family, peer.ifindex, &peer.gateway)?;
    counters::sent(member.slot, attribution.packets, info.bytes(segment_headers));
    Ok(verdict)
}

/// All headers of a TCP or UDP frame without IPv4 options or IPv6 extension headers can be read in
/// place. To make more readable costs more than the rest of transmit: the kernel copies the headers
/// of what TCP sends, as it keeps them for a retransmission.
#[inline(always)]
fn has_all_headers(frame: &View) -> bool {
    let Some(eth) = frame.window::<{ ETH_LEN + IPV4_LEN }>(0) else { return false };
    let is_plain_ipv4 = eth.be_bytes2(ethernet::field::ETHERTYPE) == ETHERTYPE_IPV4
        && eth.byte(ETH_LEN + ipv4::field::VERSION_IHL) == ipv4::VERSION_IHL;
    if is_plain_ipv4 {
        let protocol = eth.byte(ETH_LEN + ipv4::field::PROTOCOL);
        return has_transport_header(frame, ETH_LEN + IPV4_LEN, protocol);
    }
    let Some(ip) = frame.window::<IPV6_LEN>(ETH_LEN) else { return false };
    let is_ipv6 = eth.be_bytes2(ethernet::field::ETHERTYPE) == ETHERTYPE_IPV6;
    let protocol = ip.byte(ipv6::field::NEXT_HEADER);
    is_ipv6 && has_transport_header(frame, ETH_LEN + IPV6_LEN, protocol)
}

/// The TCP or UDP header at `at` can be read in place, options included.
#[inline(always)]
fn has_transport_header(frame: &View, at: usize, protocol: u8) -> bool {
    match protocol {
        PROTOCOL_UDP => frame.window::<UDP_LEN>(at).is_some(),
        PROTOCOL_TCP => frame.window::<{ tcp::HEADER_LEN }>(at).is_some_and(|header| {
            let len = usize::from(header.byte(tcp::field::DATA_OFFSET) >> 4) * 4;
            frame.len() >= at + len
        }),
        _ => false,
    }
}

/// Who gets the frame.
#[inline(always)]
fn recipient(
    ctx: &TcContext,
    info: &SkbInfo,
    inner: &Inner,
    settings: &GlobalSettings,
    copy: Option<u32>,
    packets: u64,
) -> Result<Recipient, TxDrop> {
    if let Some(member) = copy {
        return Ok(Recipient { member, owns_target: false, is_only: false });
    }
    let only = |member| Ok(Recipient { member, owns_target: false, is_only: true });
    let key = tx_memo::key(info.ifindex, inner);
    if let Some(member) = key.as_ref().and_then(tx_memo::find) {
        return only(member);
    }
    let epoch = if key.is_some() { memo::epoch_before_lookups() } else { memo::CHANGING };
    match forward::decide(info.ifindex, inner).ok_or(TxDrop::NoRoute)? {
        Forwarding::Owner(member) => {
            if let Some(key) = &key {
                tx_memo::keep(key, member, epoch);
            }
            only(member)
        }
        Forwarding::Station(member) => only(member),
        Forwarding::TargetOwner(member) => {
            Ok(Recipient { member, owns_target: true, is_only: true })
        }
        Forwarding::Flood(network) => {
            let member = flood::flood(ctx, info.ifindex, inner, network, settings, packets)?;
            Ok(Recipient { member, owns_target: false, is_only: false })
        }
    }
}

/// The counter slot of an interface's network.
#[inline(always)]
fn network_slot(ifindex: u32) -> u32 {
    lookup::network_of_interface(ifindex).map_or(UNATTRIBUTED_SLOT, |(_, network)| network.slot)
}

/// Every packet on the wire fits the path to the peer. `headers`: those that each segment of a GSO
/// frame repeats.
#[inline(always)]
fn fits(info: &SkbInfo, headers: u32, peer: &PeerEntry) -> bool {
    let largest = if info.gso_size == 0 { info.len } else { headers + info.gso_size };
    largest - ETH_LEN as u32 <= peer.inner_mtu()
}

/// Lowers the MSS that the frame announces, so that the peer's side sends no segments that would
/// not fit the path.
#[inline(always)]
fn clamp_segments(ctx: &TcContext, inner: &Inner, peer: &PeerEntry) -> Result<(), TxDrop> {
    let Some(clamp) = MssClamp::for_frame(inner, peer.inner_mtu()) else { return Ok(()) };
    let (from, to) = clamp.words();
    let new = clamp.new.to_be();
    // The helper does not touch a partial checksum.
    let size = size_of_val(&new) as u64;
    ctx.l4_csum_replace(clamp.checksum_at, from.to_be().into(), to.to_be().into(), size)
        .and_then(|()| ctx.store(clamp.value_at, &new, 0))
        .map_err(|_| TxDrop::EncapFailed)
}
