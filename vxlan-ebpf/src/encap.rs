//! Transmit: from a frame on an overlay interface to a packet on the underlay, or a reason why not.

use aya_ebpf::{
    bindings::{
        BPF_F_ADJ_ROOM_ENCAP_L2_ETH, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L4_UDP,
        BPF_F_ADJ_ROOM_FIXED_GSO, TC_ACT_REDIRECT, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
        bpf_redir_neigh, bpf_redir_neigh__bindgen_ty_1,
    },
    bpf_f_adj_room_encap_l2,
    helpers::generated::{
        bpf_redirect_neigh, bpf_skb_change_head, bpf_skb_vlan_pop, bpf_skb_vlan_push,
    },
    programs::TcContext,
};
use vxlan_common::{
    bytes::{Bytes as _, Window as _},
    counters::NOBODY,
    ecn, flow,
    inner::{self, Inner, Kind},
    outer::{ETH_LEN, Headers, OVERHEAD_IPV4, Outer},
    reason::TxDrop,
    table::{FdbEntry, FdbKey, LOCAL, Member, Owner, Peer},
};

use crate::{
    count::{self, Failed},
    maps::{FDB, MEMBERS, NETWORK_BY_IFINDEX, NETWORKS, PEERS, ROUTES, RouteKey, SETTINGS},
    packet::{PacketWindow, SkbInfo, View},
};

/// Enough to read every header that decides: Ethernet, IPv6 or IPv4 with options, TCP's fixed part.
const HEADERS: u32 = 14 + 60 + 20;
const AF_INET: u32 = 2;
const ETH_P_8021Q: u16 = 0x8100;

/// Sends the frame on its way and returns the helper's verdict.
pub(crate) fn run(ctx: &TcContext) -> Result<i32, Failed<TxDrop>> {
    let info = SkbInfo::of(ctx);
    let mut account = Account { slot: NOBODY, packets: info.packets(0) };
    encapsulate(ctx, &info, &mut account).map_err(|reason| Failed {
        reason,
        slot: account.slot,
        packets: account.packets,
    })
}

/// Whom a frame that is dropped is put down to, and how many packets it would have been. Refined as
/// more is known of the frame.
struct Account {
    slot: u32,
    packets: u64,
}

#[inline(always)]
fn encapsulate(ctx: &TcContext, info: &SkbInfo, account: &mut Account) -> Result<i32, TxDrop> {
    let settings = SETTINGS.get(0).ok_or(TxDrop::NoRoute)?;
    let mut frame = View::of_skb(ctx);
    let wanted = if info.len < HEADERS { info.len } else { HEADERS };
    if frame.len() < wanted as usize {
        ctx.pull_data(wanted).map_err(|_| TxDrop::MalformedInner)?;
        frame = View::of_skb(ctx);
    }
    let parsed = inner::parse(&frame, 0, info.len);
    let inner = match parsed {
        Ok(inner) if !info.vlan => inner,
        _ => {
            account.slot = network_slot(info.ifindex);
            return Err(TxDrop::MalformedInner);
        }
    };
    let headers = if info.gso_size == 0 { 0 } else { inner::segment_headers(&frame, 0, &inner) };
    account.packets = info.packets(headers);
    let Some(member) = member(info.ifindex, &inner) else {
        account.slot = network_slot(info.ifindex);
        return Err(TxDrop::NoRoute);
    };
    account.slot = member.slot;
    let network = NETWORKS.get(member.network).ok_or(TxDrop::NoRoute)?;
    let peer = PEERS.get(member.peer).ok_or(TxDrop::NoRoute)?;
    if peer.ifindex == 0 {
        return Err(TxDrop::NoNeighbour);
    }
    check_mtu(info, headers, peer)?;
    let outer = Outer {
        destination_mac: [0; 6],
        source_mac: [0; 6],
        source: settings.address,
        destination: peer.endpoint.first(),
        source_port: if settings.fixed_source_port != 0 {
            u16::from_be_bytes(settings.port)
        } else {
            flow::source_port(inner::flow_hash(&frame, 0, &inner))
        },
        destination_port: u16::from_be_bytes(peer.port),
        vni: network.vni,
        tos: ecn::encapsulate(inner.tos),
        ttl: settings.ttl,
    };
    if matches!(inner.kind, Kind::Arp) {
        prepend(ctx, &outer.headers(info.len))?;
    } else {
        let eth = frame.window(0).ok_or(TxDrop::MalformedInner)?;
        make_room(ctx, &front(&outer.headers(info.len), &eth))?;
    }
    let verdict = transmit(peer)?;
    count::sent(member.slot, account.packets, info.bytes(headers));
    Ok(verdict)
}

/// The member a frame goes to: by station, else by the owner of the address.
///
/// A learned station does not overrule an owner: any member can send a frame with another's MAC, and
/// must not draw the other's traffic to itself.
#[inline(always)]
fn member(ifindex: u32, inner: &Inner) -> Option<&'static Member> {
    if inner.to_group() {
        if inner.is_multicast(inner.wanted()) || inner.is_announcement() {
            return None;
        }
    } else {
        let key = FdbKey { ifindex, mac: inner.destination_mac };
        // SAFETY: copied out at once; entries are replaced whole.
        if let Some(&FdbEntry { member: index, flags, .. }) = unsafe { FDB.get(key) } {
            let station = MEMBERS.get(index)?;
            if flags & FdbEntry::STATIC != 0 {
                return Some(station);
            }
            return match owner(station.network, inner) {
                Some(LOCAL) => None,
                Some(owner) => MEMBERS.get(owner),
                None => Some(station),
            };
        }
    }
    // SAFETY: an index, copied out at once.
    let network = *unsafe { NETWORK_BY_IFINDEX.get(ifindex) }?;
    match owner(network, inner)? {
        LOCAL => None,
        owner => MEMBERS.get(owner),
    }
}

/// Who owns the address that the frame is for.
#[inline(always)]
fn owner(network: u32, inner: &Inner) -> Option<Owner> {
    let network = NETWORKS.get(network)?;
    ROUTES.get(RouteKey::whole(network.vni, inner.family, *inner.wanted())).copied()
}

#[inline(always)]
fn network_slot(ifindex: u32) -> u32 {
    // SAFETY: an index, copied out at once.
    unsafe { NETWORK_BY_IFINDEX.get(ifindex) }
        .and_then(|network| NETWORKS.get(*network))
        .map_or(NOBODY, |network| network.slot)
}

/// Would every packet on the wire fit the underlay?
#[inline(always)]
fn check_mtu(info: &SkbInfo, headers: u32, peer: &Peer) -> Result<(), TxDrop> {
    const OUTER: u32 = (OVERHEAD_IPV4 - ETH_LEN) as u32;
    let largest = if info.gso_size == 0 { info.len } else { headers + info.gso_size };
    if largest + OUTER > peer.mtu { Err(TxDrop::MtuExceeded) } else { Ok(()) }
}

/// The outer headers and the inner Ethernet header behind them, in wire order.
type Front = [u16; (OVERHEAD_IPV4 + ETH_LEN) / 2];

#[inline(always)]
fn front(headers: &Headers, eth: &PacketWindow<ETH_LEN>) -> Front {
    let mut front = [0; (OVERHEAD_IPV4 + ETH_LEN) / 2];
    front[..headers.len()].copy_from_slice(headers);
    let mut at = 0;
    while at < ETH_LEN {
        front[(OVERHEAD_IPV4 + at) / 2] = u16::from_ne_bytes(eth.wire2(at));
        at += 2;
    }
    front
}

/// Makes room behind the Ethernet header of an IP frame, so that the kernel knows the tunnel's layers
/// and can segment a GSO frame, and writes all headers there.
///
/// The inner layer-2 length is the inner Ethernet header only: with the VXLAN header included every
/// GSO frame is lost at segmentation. FIXED_GSO keeps the segment size, which was chosen for the
/// overlay's MTU and so leaves room for the outer headers.
#[inline(always)]
fn make_room(ctx: &TcContext, front: &Front) -> Result<(), TxDrop> {
    let flags = u64::from(
        BPF_F_ADJ_ROOM_FIXED_GSO
            | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4
            | BPF_F_ADJ_ROOM_ENCAP_L4_UDP
            | BPF_F_ADJ_ROOM_ENCAP_L2_ETH,
    ) | bpf_f_adj_room_encap_l2(ETH_LEN as u64);
    ctx.adjust_room(OVERHEAD_IPV4 as i32, BPF_ADJ_ROOM_MAC, flags)
        .map_err(|_| TxDrop::EncapFailed)?;
    ctx.store(0, front, 0).map_err(|_| TxDrop::EncapFailed)
}

/// Puts the outer headers in front of a frame that is not IP, which `bpf_skb_adjust_room` refuses.
///
/// The neighbour layer goes by the kernel's idea of the packet's protocol, still ARP, and no helper
/// sets that. Removing a VLAN tag makes the kernel read it anew from the bytes, so two tags are added
/// (the second drives the first into the packet) and removed.
#[inline(always)]
fn prepend(ctx: &TcContext, headers: &Headers) -> Result<(), TxDrop> {
    let skb = ctx.skb.skb;
    // SAFETY: the context is the program's own; views derived before are not used again.
    let room = unsafe { bpf_skb_change_head(skb, OVERHEAD_IPV4 as u32, 0) };
    if room != 0 {
        return Err(TxDrop::EncapFailed);
    }
    ctx.store(0, headers, 0).map_err(|_| TxDrop::EncapFailed)?;
    let tag = ETH_P_8021Q.to_be();
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
/// Naming the next hop saves the kernel a route lookup, but leaves the packet with the inner route as
/// its own. Should it have to wait for the neighbour's answer, it would be sent by that route: so only
/// a next hop that is known to have answered is named.
#[inline(always)]
fn transmit(peer: &Peer) -> Result<i32, TxDrop> {
    let gateway = peer.gateway.first();
    let verdict = if gateway == [0; 4] {
        // SAFETY: takes no pointer that is not null, and null asks for a lookup.
        unsafe { bpf_redirect_neigh(peer.ifindex, core::ptr::null_mut(), 0, 0) }
    } else {
        let mut next_hop = bpf_redir_neigh {
            nh_family: AF_INET,
            __bindgen_anon_1: bpf_redir_neigh__bindgen_ty_1 { ipv6_nh: [0; 4] },
        };
        next_hop.__bindgen_anon_1.ipv4_nh = u32::from_ne_bytes(gateway);
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
