//! Transmit: from a frame on an overlay interface to a packet on the underlay, or a reason why not.
//! Who gets it is decided in [`forward`](crate::forward).

use aya_ebpf::{
    bindings::{
        BPF_F_ADJ_ROOM_ENCAP_L2_ETH, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6,
        BPF_F_ADJ_ROOM_ENCAP_L4_UDP, BPF_F_ADJ_ROOM_FIXED_GSO, TC_ACT_REDIRECT,
        bpf_adj_room_mode::BPF_ADJ_ROOM_MAC, bpf_redir_neigh, bpf_redir_neigh__bindgen_ty_1,
    },
    bpf_f_adj_room_encap_l2,
    helpers::generated::{
        bpf_redirect_neigh, bpf_skb_change_head, bpf_skb_vlan_pop, bpf_skb_vlan_push,
    },
    programs::TcContext,
};
use vxlan_common::{
    addr::{Address, IPV6},
    counters::UNATTRIBUTED_SLOT,
    ecn, flow,
    inner::{self, FrameKind, Inner},
    mss::MssClamp,
    outer::{self, HeaderWords, OuterHeaders},
    reason::TxDrop,
    table::{DSCP_INHERIT, GlobalSettings, NetworkEntry, PeerEntry},
    wire::{
        ETH_LEN,
        ethernet::{self, ETHERTYPE_VLAN, MAC_LEN},
        ipv4, tcp, word,
    },
};

use crate::{
    arp_nd_proxy,
    counters::{self, Failed},
    flood,
    forward::{self, To},
    frame::{self, Frame, Place, Recipient},
    header_writer, icmp_ptb,
    maps::{MEMBERS, NETWORKS, SETTINGS},
    packet::{SkbInfo, View},
    peer_entry,
};

/// Enough to read every header that decides: Ethernet, IPv6 or IPv4 with options, TCP with options.
const HEADERS: u32 = (ETH_LEN + ipv4::MAX_HEADER_LEN + tcp::MAX_HEADER_LEN) as u32;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;

/// What became of a frame that was not sent.
pub(crate) struct Stopped {
    pub(crate) failed: Failed<TxDrop>,
    /// Its sender is told by a message that took its place: the helper's verdict.
    pub(crate) told: Option<i32>,
}

/// Sends the frame on its way, or answers it, and returns the helper's verdict.
pub(crate) fn run(ctx: &TcContext) -> Result<i32, Stopped> {
    let info = SkbInfo::of(ctx);
    let mut account = Account { slot: UNATTRIBUTED_SLOT, packets: info.packets(0), told: None };
    encapsulate(ctx, &info, &mut account).map_err(|reason| Stopped {
        failed: Failed { reason, slot: account.slot, packets: account.packets },
        told: account.told,
    })
}

/// Whom a frame that is dropped is put down to, how many packets it would have been, and whether
/// its sender is told. Refined as more is known of the frame.
struct Account {
    slot: u32,
    packets: u64,
    told: Option<i32>,
}

#[inline(always)]
fn encapsulate(ctx: &TcContext, info: &SkbInfo, account: &mut Account) -> Result<i32, TxDrop> {
    let settings = SETTINGS.get(0).ok_or(TxDrop::NoRoute)?;
    let mut frame = View::of_skb(ctx);
    let wanted = if info.len < HEADERS { info.len } else { HEADERS };
    if frame.len() < wanted as usize {
        if ctx.pull_data(wanted).is_err() {
            account.slot = network_slot(info.ifindex);
            return Err(TxDrop::MalformedInner);
        }
        frame = View::of_skb(ctx);
    }
    let copy = flood::copy_for(ctx, settings);
    let place = if copy.is_some() { Place::Copy } else { Place::Encap };
    let read = match frame::read(place, &frame, info.len) {
        Ok(read) if !info.vlan => read,
        _ => {
            account.slot = network_slot(info.ifindex);
            return Err(TxDrop::MalformedInner);
        }
    };
    let headers =
        if info.gso_size == 0 { 0 } else { inner::segment_headers(&frame, 0, &read.inner) };
    account.packets = info.packets(headers);
    let Frame { inner, recipient } =
        match recipient(ctx, info, &read.inner, settings, copy, account.packets) {
            Ok(found) => read.is_for(found),
            Err(reason) => {
                account.slot = network_slot(info.ifindex);
                return Err(reason);
            }
        };
    let member = MEMBERS.get(recipient.member).ok_or(TxDrop::NoRoute)?;
    account.slot = member.slot;
    if recipient.asked
        && let Some(verdict) =
            arp_nd_proxy::question(ctx, info.ifindex, inner, recipient.member, member)
    {
        counters::answered(member.slot);
        return Ok(verdict);
    }
    let network = NETWORKS.get(member.network).ok_or(TxDrop::NoRoute)?;
    let peer = peer_entry::to(member.peer).ok_or(TxDrop::NoRoute)?;
    if peer.ifindex == 0 {
        return Err(TxDrop::NoNeighbour);
    }
    if !fits(info, headers, peer) {
        if recipient.alone {
            account.told = icmp_ptb::tell(ctx, info.ifindex, inner, network, peer.inner_mtu());
            if account.told.is_some() {
                counters::told(member.slot);
            }
        }
        return Err(TxDrop::MtuExceeded);
    }
    clamp_segments(ctx, inner, peer)?;
    let front = header_writer::workplace().ok_or(TxDrop::EncapFailed)?;
    write(front, settings, network, peer, inner, info.len);
    if matches!(inner.kind, FrameKind::Arp) {
        prepend(ctx, front, peer)?;
    } else {
        make_room(ctx, front, peer)?;
    }
    let verdict = transmit(peer)?;
    counters::sent(member.slot, account.packets, info.bytes(headers));
    Ok(verdict)
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
        return Ok(Recipient { member, asked: false, alone: false });
    }
    match forward::decide(info.ifindex, inner).ok_or(TxDrop::NoRoute)? {
        To::One(member) => Ok(Recipient { member, asked: false, alone: true }),
        To::Asked(member) => Ok(Recipient { member, asked: true, alone: true }),
        To::Everyone(network) => {
            let member = flood::to_all(ctx, info.ifindex, inner, network, settings, packets)?;
            Ok(Recipient { member, asked: false, alone: false })
        }
    }
}

#[inline(always)]
fn network_slot(ifindex: u32) -> u32 {
    forward::network(ifindex).map_or(UNATTRIBUTED_SLOT, |(_, network)| network.slot)
}

/// Would every packet on the wire fit the way to the peer?
#[inline(always)]
fn fits(info: &SkbInfo, headers: u32, peer: &PeerEntry) -> bool {
    let largest = if info.gso_size == 0 { info.len } else { headers + info.gso_size };
    largest - ETH_LEN as u32 <= peer.inner_mtu()
}

/// Has the peer's side send no segments that would not fit.
#[inline(always)]
fn clamp_segments(ctx: &TcContext, inner: &Inner, peer: &PeerEntry) -> Result<(), TxDrop> {
    let Some(clamp) = MssClamp::for_frame(inner, peer.inner_mtu()) else { return Ok(()) };
    let (from, to) = clamp.words();
    let new = clamp.new.to_be();
    // The helper leaves a checksum alone that is still to be computed.
    let size = size_of_val(&new) as u64;
    ctx.l4_csum_replace(clamp.checksum_at, from.to_be().into(), to.to_be().into(), size)
        .and_then(|()| ctx.store(clamp.value_at, &new, 0))
        .map_err(|_| TxDrop::EncapFailed)
}

/// Writes the outer headers and the inner Ethernet header behind them.
#[inline(always)]
fn write(
    front: &mut HeaderWords,
    settings: &GlobalSettings,
    network: &NetworkEntry,
    peer: &PeerEntry,
    inner: &Inner,
    len: u32,
) {
    let hash = inner::flow_hash(inner);
    let is_arp = matches!(inner.kind, FrameKind::Arp);
    let dscp =
        if settings.dscp == DSCP_INHERIT { inner.tos & !ecn::MASK } else { settings.dscp << 2 };
    let outer = OuterHeaders {
        source: if peer.family == IPV6 {
            settings.address6
        } else {
            Address::ipv4(settings.address)
        },
        destination: peer.endpoint,
        source_port: if settings.fixed_source_port != 0 {
            u16::from_be_bytes(settings.port)
        } else {
            flow::source_port(hash)
        },
        destination_port: u16::from_be_bytes(peer.port),
        vni: network.vni,
        tos: ecn::encapsulate(inner.tos) | if is_arp { 0 } else { dscp },
        ttl: if is_arp {
            64
        } else if settings.ttl == 0 {
            inner.ttl
        } else {
            settings.ttl
        },
        flow_label: hash,
    };
    if peer.family == IPV6 {
        outer.write_ipv6(len, front);
        ethernet::<{ word(outer::OVERHEAD_IPV6) }>(front, inner);
    } else {
        outer.write_ipv4(len, front);
        ethernet::<{ word(outer::OVERHEAD_IPV4) }>(front, inner);
    }
}

/// The inner Ethernet header at word `AT`.
#[inline(always)]
fn ethernet<const AT: usize>(front: &mut HeaderWords, inner: &Inner) {
    let mut at = 0;
    while at < word(MAC_LEN) {
        front[AT + at] = inner.destination_mac.net16(at);
        front[AT + word(ethernet::field::SOURCE) + at] = inner.source_mac.net16(at);
        at += 1;
    }
    front[AT + word(ethernet::field::ETHERTYPE)] = u16::from_ne_bytes(inner.ethertype());
}

/// Makes room behind the Ethernet header of an IP frame, so that the kernel knows the tunnel's
/// layers and can segment a GSO frame, and writes all headers there.
///
/// The inner layer-2 length is the inner Ethernet header only: with the VXLAN header included every
/// GSO frame is lost at segmentation. FIXED_GSO keeps the segment size, which was chosen for the
/// overlay's MTU and so leaves room for the outer headers.
#[inline(always)]
fn make_room(ctx: &TcContext, front: &HeaderWords, peer: &PeerEntry) -> Result<(), TxDrop> {
    let l3 = if peer.family == IPV6 {
        BPF_F_ADJ_ROOM_ENCAP_L3_IPV6
    } else {
        BPF_F_ADJ_ROOM_ENCAP_L3_IPV4
    };
    let flags =
        BPF_F_ADJ_ROOM_FIXED_GSO | l3 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2_ETH;
    let flags = u64::from(flags) | bpf_f_adj_room_encap_l2(ETH_LEN as u64);
    let room = outer::overhead(peer.family);
    ctx.adjust_room(room as i32, BPF_ADJ_ROOM_MAC, flags).map_err(|_| TxDrop::EncapFailed)?;
    header_writer::store(ctx, front, room as usize + ETH_LEN).ok_or(TxDrop::EncapFailed)
}

/// Puts the outer headers in front of a frame that is not IP, which `bpf_skb_adjust_room` refuses.
///
/// The neighbour layer goes by the kernel's idea of the packet's protocol, still ARP, and no helper
/// sets that. Removing a VLAN tag makes the kernel read it anew from the bytes, so two tags are
/// added (the second drives the first into the packet) and removed.
#[inline(always)]
fn prepend(ctx: &TcContext, front: &HeaderWords, peer: &PeerEntry) -> Result<(), TxDrop> {
    let skb = ctx.skb.skb;
    let room = outer::overhead(peer.family);
    // SAFETY: the context is the program's own; views derived before are not used again.
    if unsafe { bpf_skb_change_head(skb, room, 0) } != 0 {
        return Err(TxDrop::EncapFailed);
    }
    header_writer::store(ctx, front, room as usize).ok_or(TxDrop::EncapFailed)?;
    let tag = u16::from_ne_bytes(ETHERTYPE_VLAN);
    // SAFETY: as above; each helper checks the packet itself.
    let failed = unsafe {
        bpf_skb_vlan_push(skb, tag, 0) != 0
            || bpf_skb_vlan_push(skb, tag, 0) != 0
            || bpf_skb_vlan_pop(skb) != 0
            || bpf_skb_vlan_pop(skb) != 0
    };
    if failed { Err(TxDrop::EncapFailed) } else { Ok(()) }
}

/// Hands the packet to the neighbour layer of the underlay interface, which knows or finds out the
/// next hop's MAC and keeps it fresh, also while no daemon runs.
///
/// Naming the next hop saves the kernel a route lookup, but leaves the packet with the inner route
/// as its own. Should it have to wait for the neighbour's answer, it would be sent by that route:
/// so only a next hop that is known to have answered is named.
#[inline(always)]
fn transmit(peer: &PeerEntry) -> Result<i32, TxDrop> {
    let verdict = if peer.gateway.equals(&Address::ZERO) {
        // SAFETY: takes no pointer that is not null, and null asks for a lookup.
        unsafe { bpf_redirect_neigh(peer.ifindex, core::ptr::null_mut(), 0, 0) }
    } else {
        let gateway = &peer.gateway.0;
        let mut next_hop = bpf_redir_neigh {
            nh_family: if peer.family == IPV6 { AF_INET6 } else { AF_INET },
            __bindgen_anon_1: bpf_redir_neigh__bindgen_ty_1 {
                ipv6_nh: [
                    u32::from_ne_bytes(gateway[0]),
                    u32::from_ne_bytes(gateway[1]),
                    u32::from_ne_bytes(gateway[2]),
                    u32::from_ne_bytes(gateway[3]),
                ],
            },
        };
        let size = size_of::<bpf_redir_neigh>() as i32;
        // SAFETY: the pointer is to a whole initialised value on the stack, of the size passed.
        unsafe { bpf_redirect_neigh(peer.ifindex, &raw mut next_hop, size, 0) }
    };
    if verdict == i64::from(TC_ACT_REDIRECT) {
        Ok(verdict as i32)
    } else {
        Err(TxDrop::RedirectFailed)
    }
}
