//! The outer headers of a packet to send: composes them, inserts them in front of the frame, and
//! hands the packet to the underlay interface. Who gets the packet is decided before, in
//! [`forward`](crate::forward).

use aya_ebpf::{
    bindings::{
        BPF_F_ADJ_ROOM_ENCAP_L2_ETH, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6,
        BPF_F_ADJ_ROOM_ENCAP_L4_UDP, BPF_F_ADJ_ROOM_FIXED_GSO, TC_ACT_REDIRECT,
        bpf_adj_room_mode::BPF_ADJ_ROOM_MAC, bpf_redir_neigh, bpf_redir_neigh__bindgen_ty_1,
    },
    bpf_f_adj_room_encap_l2,
    helpers::generated::{
        bpf_redirect_neigh, bpf_skb_change_head, bpf_skb_set_tunnel_key, bpf_skb_vlan_pop,
        bpf_skb_vlan_push,
    },
    programs::TcContext,
};
use vxlan_common::{
    addr::{Address, IPV6},
    ecn, flow,
    inner::{self, FrameKind, Inner},
    outer::{self, HeaderWords, OuterHeaders},
    reason::TxDrop,
    table::{DSCP_INHERIT, GlobalSettings, NetworkEntry, PeerEntry},
    wire::{
        ETH_LEN,
        ethernet::{self, ETHERTYPE_VLAN, MAC_LEN},
        word,
    },
};

use crate::header_writer;

/// Address families of the kernel's socket interface (`include/linux/socket.h`).
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;

/// Composes the outer headers and the inner Ethernet header behind them. `len`: bytes of the frame.
#[inline(always)]
pub(crate) fn compose(
    headers: &mut HeaderWords,
    settings: &GlobalSettings,
    network: &NetworkEntry,
    peer: &PeerEntry,
    inner: &Inner,
    len: u32,
) {
    let hash = inner::flow_hash(inner);
    let is_arp = matches!(inner.kind, FrameKind::Arp);
    let outer = OuterHeaders {
        source_port: source_port(settings, hash),
        tos: if is_arp { ecn::encapsulate(inner.tos) } else { tos(settings, inner.tos) },
        ttl: if is_arp { 64 } else { ttl(settings, inner.ttl) },
        flow_label: hash,
        ..common_headers(settings, network, peer)
    };
    if peer.family == IPV6 {
        outer.write_ipv6(len, headers);
        inner_ethernet::<{ word(outer::OVERHEAD_IPV6) }>(headers, inner);
    } else {
        outer.write_ipv4(len, headers);
        inner_ethernet::<{ word(outer::OVERHEAD_IPV4) }>(headers, inner);
    }
}

/// What the headers of all packets to a peer in a network have in common.
#[inline(always)]
pub(crate) fn common_headers(
    settings: &GlobalSettings,
    network: &NetworkEntry,
    peer: &PeerEntry,
) -> OuterHeaders {
    OuterHeaders {
        source: if peer.family == IPV6 {
            settings.address6
        } else {
            Address::ipv4(settings.address)
        },
        destination: peer.endpoint,
        source_port: 0,
        destination_port: u16::from_be_bytes(peer.port),
        vni: network.vni,
        tos: 0,
        ttl: 0,
        flow_label: 0,
    }
}

/// The source port of a packet whose flow has that hash.
#[inline(always)]
pub(crate) fn source_port(settings: &GlobalSettings, hash: u32) -> u16 {
    if settings.fixed_source_port != 0 {
        u16::from_be_bytes(settings.port)
    } else {
        flow::source_port(hash)
    }
}

/// Outer DSCP and ECN of an IP packet.
#[inline(always)]
pub(crate) fn tos(settings: &GlobalSettings, inner: u8) -> u8 {
    let dscp = if settings.dscp == DSCP_INHERIT { inner & !ecn::MASK } else { settings.dscp << 2 };
    ecn::encapsulate(inner) | dscp
}

/// Outer time to live of an IP packet.
#[inline(always)]
pub(crate) fn ttl(settings: &GlobalSettings, inner: u8) -> u8 {
    if settings.ttl == 0 { inner } else { settings.ttl }
}

/// Composes the inner Ethernet header at word `AT`.
#[inline(always)]
fn inner_ethernet<const AT: usize>(headers: &mut HeaderWords, inner: &Inner) {
    let mut at = 0;
    while at < word(MAC_LEN) {
        headers[AT + at] = inner.destination_mac.net16(at);
        headers[AT + word(ethernet::field::SOURCE) + at] = inner.source_mac.net16(at);
        at += 1;
    }
    headers[AT + word(ethernet::field::ETHERTYPE)] = u16::from_ne_bytes(inner.ethertype());
}

/// Inserts all headers behind the Ethernet header of an IP frame, so that the kernel knows the
/// tunnel's layers and can segment a GSO frame.
///
/// The inner layer-2 length is the inner Ethernet header only: with the VXLAN header included every
/// GSO frame is lost at segmentation. FIXED_GSO keeps the segment size, which was chosen for the
/// overlay's MTU and so leaves room for the outer headers.
#[inline(always)]
pub(crate) fn insert_in_ip_frame(
    ctx: &TcContext,
    headers: &HeaderWords,
    peer: &PeerEntry,
) -> Result<(), TxDrop> {
    make_room(ctx, peer.family)?;
    let room = outer::overhead(peer.family);
    header_writer::store(ctx, headers, room as usize + ETH_LEN).ok_or(TxDrop::EncapFailed)
}

/// Makes room for the outer headers behind the Ethernet header of an IP frame. After an error the
/// frame is as before.
#[inline(always)]
pub(crate) fn make_room(ctx: &TcContext, family: u8) -> Result<(), TxDrop> {
    let l3 =
        if family == IPV6 { BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 } else { BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 };
    let flags =
        BPF_F_ADJ_ROOM_FIXED_GSO | l3 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2_ETH;
    let flags = u64::from(flags) | bpf_f_adj_room_encap_l2(ETH_LEN as u64);
    let room = outer::overhead(family);
    ctx.adjust_room(room as i32, BPF_ADJ_ROOM_MAC, flags).map_err(|_| TxDrop::EncapFailed)
}

/// Inserts the outer headers in front of a frame that `bpf_skb_adjust_room` refuses: ARP, and a
/// packet of another tunnel. Not for GSO frames: the kernel does not learn of the tunnel.
///
/// The neighbour layer reads the packet's protocol from the kernel's metadata, where it still is
/// the inner one, and no helper sets that. Removing a VLAN tag makes the kernel read the protocol
/// anew from the bytes, so two tags are added (the second pushes the first into the packet) and
/// removed.
#[inline(always)]
pub(crate) fn insert_before_frame(
    ctx: &TcContext,
    headers: &HeaderWords,
    peer: &PeerEntry,
) -> Result<(), TxDrop> {
    let skb = ctx.skb.skb;
    let room = outer::overhead(peer.family);
    // SAFETY: the context is the program's own; views derived before are not used again.
    if unsafe { bpf_skb_change_head(skb, room, 0) } != 0 {
        return Err(TxDrop::EncapFailed);
    }
    header_writer::store(ctx, headers, room as usize).ok_or(TxDrop::EncapFailed)?;
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

/// Hands the packet to the neighbour layer of the underlay interface, which resolves the next hop's
/// MAC and keeps it fresh, also while no daemon runs. Returns the helper's verdict.
///
/// Naming the next hop saves the kernel a route lookup, which costs several times as much as
/// [`forget_route`].
#[inline(always)]
pub(crate) fn transmit(
    ctx: &TcContext,
    family: u8,
    ifindex: u32,
    gateway: &Address,
) -> Result<i32, TxDrop> {
    let is_named = !gateway.equals(&Address::ZERO) && forget_route(ctx);
    let verdict = if is_named {
        let gateway = &gateway.0;
        let mut next_hop = bpf_redir_neigh {
            nh_family: if family == IPV6 { AF_INET6 } else { AF_INET },
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
        unsafe { bpf_redirect_neigh(ifindex, &raw mut next_hop, size, 0) }
    } else {
        // SAFETY: takes no pointer that is not null, and null asks for a lookup.
        unsafe { bpf_redirect_neigh(ifindex, core::ptr::null_mut(), 0, 0) }
    };
    if verdict == i64::from(TC_ACT_REDIRECT) {
        Ok(verdict as i32)
    } else {
        Err(TxDrop::RedirectFailed)
    }
}

/// Takes the inner route from the packet. Where the program names the next hop, the kernel leaves
/// that route in place, and a packet that has to wait for the next hop's reply would be sent by it
/// afterwards: into the overlay (`neigh_update`). Returns `false` where it is still there.
///
/// No helper does just that. This one puts tunnel metadata in the route's place, which nobody looks
/// at and by which nothing can be sent.
#[inline(always)]
fn forget_route(ctx: &TcContext) -> bool {
    // The shortest form of `bpf_tunnel_key`: tunnel id and remote IPv4 address.
    let mut key = [0_u32; 2];
    let size = size_of_val(&key) as u32;
    // SAFETY: the pointer is to a whole initialised value on the stack, of the size passed.
    (unsafe { bpf_skb_set_tunnel_key(ctx.skb.skb, (&raw mut key).cast(), size, 0) }) == 0
}
