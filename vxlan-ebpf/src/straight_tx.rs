//! The short way through transmit, for the commonest frame: a whole TCP or UDP packet without
//! options, to a host whose owner is remembered, and the path to it ([`tx_memo`](crate::tx_memo)).
//! The outer headers are there already: they are filled in, and written. Whatever else a frame is,
//! nothing is decided here, and [`encap::run`](crate::encap::run) begins from the start.

use aya_ebpf::{bindings::TC_ACT_REDIRECT, programs::TcContext};
use vxlan_common::{
    addr::IPV6,
    bytes::{Bytes as _, HeaderWindow as _},
    header_template::OfPacket,
    outer,
    reason::TxDrop,
    table::{GlobalSettings, TxMemoEntry, TxMemoKey},
    wire::{
        ETH_LEN, IPV4_LEN, IPV6_LEN, UDP_LEN,
        ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6},
        ip::PROTOCOL_UDP,
        tcp,
    },
};

use crate::{
    counters::{self, Failed},
    header_writer,
    maps::{MEMBERS, NETWORKS, SETTINGS},
    mark::{self, NO_MEMBER},
    memo, outer_tx,
    packet::{SkbInfo, View},
    peer_entry,
    straight_parse::{PlainFrame, parse_frame},
    tx_memo,
};

/// The result for a frame, in one word: see [`Straight`](crate::straight::Straight).
#[derive(Clone, Copy)]
pub(crate) struct StraightTx(u64);

impl StraightTx {
    /// A frame of another form. Nothing was changed.
    const OTHER: Self = Self(0);
    /// Sent.
    const SENT: Self = Self(1);
    /// Not sent: the low 32 bits are a counter slot, those above them the number of packets.
    const FAILED: u64 = 1 << 63;
    /// With [`Self::FAILED`]: the underlay interface did not take the packet.
    const NOT_REDIRECTED: u64 = 1 << 62;

    #[inline(always)]
    const fn failed(reason: u64, slot: u32, packets: u64) -> Self {
        Self(Self::FAILED | reason | (packets & 0xff_ffff) << 32 | slot as u64)
    }

    /// The helper's verdict on a frame that was sent. `None`: nothing was decided.
    ///
    /// # Errors
    /// The frame was not sent.
    #[inline(always)]
    pub(crate) fn result(self) -> Result<Option<i32>, Failed<TxDrop>> {
        if self.0 & Self::FAILED == 0 {
            return Ok((self.0 != Self::OTHER.0).then_some(TC_ACT_REDIRECT));
        }
        let not_redirected = self.0 & Self::NOT_REDIRECTED != 0;
        Err(Failed {
            reason: if not_redirected { TxDrop::RedirectFailed } else { TxDrop::EncapFailed },
            slot: self.0 as u32,
            packets: self.0 >> 32 & 0xff_ffff,
        })
    }
}

/// Sends a frame of the commonest form.
#[inline(never)]
pub(crate) fn run(ctx: &TcContext) -> StraightTx {
    send(ctx).unwrap_or(StraightTx::OTHER)
}

#[inline(always)]
fn send(ctx: &TcContext) -> Option<StraightTx> {
    let settings = SETTINGS.get(0)?;
    let info = SkbInfo::from_skb(ctx);
    let is_copy = mark::read(ctx, settings).is_some_and(|mark| mark.member != NO_MEMBER);
    if info.vlan || is_copy {
        return None;
    }
    let packet = View::from_skb(ctx);
    let frame = parse_frame(&packet, 0, info.len)?;
    if frame.destination_mac.is_group() {
        return None;
    }
    let key =
        TxMemoKey { ifindex: info.ifindex, family: frame.family, destination: frame.destination };
    let entry = tx_memo::entry(&key)?;
    if entry.outer_family == 0 || peer_entry::version(entry.peer) != Some(entry.version) {
        remember_path(entry, settings)?;
    }
    let headers = if info.gso_size == 0 { 0 } else { segment_headers(&packet, &frame)? };
    let largest = if info.gso_size == 0 { info.len } else { headers + info.gso_size };
    if largest - ETH_LEN as u32 > entry.inner_mtu {
        return None;
    }
    // A copy of what follows for each family, so that every offset is a constant.
    if entry.outer_family == u32::from(IPV6) {
        finish::<IPV6>(ctx, settings, &info, &frame, entry, headers)
    } else {
        finish::<{ vxlan_common::addr::IPV4 }>(ctx, settings, &info, &frame, entry, headers)
    }
}

/// Writes the headers and hands the packet to the underlay.
#[inline(always)]
fn finish<const FAMILY: u8>(
    ctx: &TcContext,
    settings: &GlobalSettings,
    info: &SkbInfo,
    frame: &PlainFrame,
    entry: &mut TxMemoEntry,
    headers: u32,
) -> Option<StraightTx> {
    let hash = frame.flow_hash();
    let of = OfPacket {
        len: info.len,
        tos: outer_tx::tos(settings, frame.tos),
        ttl: outer_tx::ttl(settings, frame.ttl),
        source_port: outer_tx::source_port(settings, hash),
        flow_label: hash,
        destination_mac: frame.destination_mac,
        source_mac: frame.source_mac,
        ethertype: if frame.family == IPV6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 },
    };
    let words = entry.headers.fill(FAMILY, &of);
    outer_tx::make_room(ctx, FAMILY).ok()?;
    let (slot, packets) = (entry.slot, info.packets(headers));
    let len = outer::overhead(FAMILY) as usize + ETH_LEN;
    if header_writer::store(ctx, words, len).is_none() {
        return Some(StraightTx::failed(0, slot, packets));
    }
    if outer_tx::transmit(ctx, FAMILY, entry.underlay, &entry.gateway).is_err() {
        return Some(StraightTx::failed(StraightTx::NOT_REDIRECTED, slot, packets));
    }
    counters::sent(slot, packets, info.bytes(headers));
    Some(StraightTx::SENT)
}

/// Length of the headers that every segment of a GSO frame repeats.
#[inline(always)]
fn segment_headers(packet: &View, frame: &PlainFrame) -> Option<u32> {
    let transport = ETH_LEN + if frame.family == IPV6 { IPV6_LEN } else { IPV4_LEN };
    if frame.protocol == PROTOCOL_UDP {
        return Some((transport + UDP_LEN) as u32);
    }
    let header = packet.window::<{ tcp::HEADER_LEN }>(transport)?;
    Some(transport as u32 + u32::from(header.byte(tcp::field::DATA_OFFSET) >> 4) * 4)
}

/// Remembers the path to the peer of the entry's member. `None`: there is no path, or tables
/// change at the moment.
#[inline(always)]
fn remember_path(entry: &mut TxMemoEntry, settings: &GlobalSettings) -> Option<()> {
    entry.outer_family = 0;
    // Else headers of earlier tables could be taken for those of later ones.
    if memo::epoch_before_lookups() != entry.epoch {
        return None;
    }
    let member = MEMBERS.get(entry.member)?;
    let network = NETWORKS.get(member.network)?;
    let (peer, version) = peer_entry::snapshot(member.peer)?;
    if peer.ifindex == 0 {
        return None;
    }
    let outer = outer_tx::common_headers(settings, network, peer);
    if peer.family == IPV6 {
        entry.headers.compose_ipv6(&outer);
    } else {
        entry.headers.compose_ipv4(&outer);
    }
    entry.peer = member.peer;
    entry.version = version;
    entry.slot = member.slot;
    entry.inner_mtu = peer.inner_mtu();
    entry.underlay = peer.ifindex;
    entry.gateway = peer.gateway;
    entry.outer_family = peer.family.into();
    Some(())
}
