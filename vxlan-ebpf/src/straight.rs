//! The short way through receive, for the commonest packet: outer headers without options or
//! checksum, a whole TCP or UDP packet without options in a frame from one host to another, by a
//! pair of hosts whose right is remembered ([`rx_memo`](crate::rx_memo)), from where the member
//! sent before. A packet with such outer headers from an address that nobody has, or of a VNI that
//! no network has, is refused here too ([`strangers`]). Whatever else a packet is, nothing is
//! decided here, and [`decap::run`](crate::decap::run) judges it from the start.
//!
//! XDP only. Every rule of docs/packets.md that depends on more than the remembered right is
//! checked here too; a packet that would fail one is left to `decap::run`, which has the reason.

use aya_ebpf::programs::XdpContext;
use vxlan_common::{
    bytes::{Bytes as _, HeaderWindow as _},
    ecn,
    reason::RxDrop,
    table::{GlobalSettings, MemberEntry, RxMemoKey},
    wire::{
        ETH_LEN,
        ethernet::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6},
        ip::PROTOCOL_UDP,
    },
};

use crate::{
    counters::{self, Refused},
    maps::{CLOCK, LEARNED, MEMBERS, NETWORKS, SETTINGS},
    memo,
    packet::View,
    packet_ctx::{PacketCtx as _, Tagged},
    policy::Sender,
    redirect, rx_memo,
    scratch::{OuterRx, Rewritten},
    straight_parse::{PlainFrame, parse_frame, parse_outer_ipv4, parse_outer_ipv6},
    strangers,
};

/// What was decided about a packet.
pub(crate) enum Decided {
    /// Accepted, and decapsulated; to be redirected to a hidden port unless that is 0.
    Accepted(u32),
    /// Nothing; the epoch for which the sender's right may be remembered.
    Nothing(u64),
}

/// The result for a packet, in one word: this is a function of its own to the verifier, which has
/// a register for it.
#[derive(Clone, Copy)]
pub(crate) struct Straight(u64);

impl Straight {
    /// Accepted, and decapsulated; the low bits are the hidden port to redirect to, or 0.
    const ACCEPTED: u64 = 0b11 << 62;
    /// A packet of another form. Nothing was changed.
    const OTHER: Self = Self(memo::CHANGING);
    /// The packet is refused: the low 32 bits are a counter slot, those above them the reason.
    const REFUSED: u64 = 1 << 63;
    /// Reasons. The first: the driver has no room for the tag.
    const NO_HEADROOM: u64 = 0;
    const UNKNOWN_VNI: u64 = 1;
    const UNKNOWN_SOURCE: u64 = 2;

    /// A packet of this form whose sender's right is not remembered. Nothing was changed.
    #[inline(always)]
    const fn not_remembered(epoch: u64) -> Self {
        Self(epoch & !Self::ACCEPTED)
    }

    #[inline(always)]
    const fn accepted(port: u32) -> Self {
        Self(Self::ACCEPTED | port as u64)
    }

    #[inline(always)]
    const fn refused(reason: u64, slot: u32) -> Self {
        Self(Self::REFUSED | reason << 32 | slot as u64)
    }

    /// Accepted, and decapsulated; or the epoch for which the sender's right may be remembered.
    ///
    /// # Errors
    /// The packet is refused.
    #[inline(always)]
    pub(crate) fn result(self) -> Result<Decided, Refused> {
        if self.0 & Self::ACCEPTED == Self::ACCEPTED {
            return Ok(Decided::Accepted(self.0 as u32));
        }
        if self.0 & Self::REFUSED != 0 {
            let reason = match (self.0 & !Self::REFUSED) >> 32 {
                Self::UNKNOWN_VNI => RxDrop::UnknownVni,
                Self::UNKNOWN_SOURCE => RxDrop::UnknownSource,
                _ => RxDrop::NoHeadroom,
            };
            return Err(Refused { reason, slot: self.0 as u32, pair: None });
        }
        Ok(Decided::Nothing(self.0))
    }
}

/// Decides about a packet of the commonest form, and decapsulates it if it is accepted.
#[inline(never)]
pub(crate) fn run(ctx: &XdpContext) -> Straight {
    let Some(settings) = SETTINGS.get(0) else { return Straight::OTHER };
    let packet = View::from_xdp(ctx);
    let Some(eth) = packet.window::<ETH_LEN>(0) else { return Straight::OTHER };
    // A copy of what follows for each family, so that every offset is a constant.
    let result = match eth.be_bytes2(ethernet::field::ETHERTYPE) {
        ETHERTYPE_IPV4 => judge(ctx, &packet, settings, parse_outer_ipv4(&packet, settings)),
        ETHERTYPE_IPV6 => judge(ctx, &packet, settings, parse_outer_ipv6(&packet, settings)),
        _ => None,
    };
    result.unwrap_or(Straight::OTHER)
}

#[inline(always)]
fn judge(
    ctx: &XdpContext,
    packet: &View,
    settings: &GlobalSettings,
    outer: Option<OuterRx>,
) -> Option<Straight> {
    let outer = outer?;
    if settings.probes != 0 && outer.vni == settings.probe_vni {
        return None;
    }
    if let Some(stranger) = strangers::find(&outer) {
        let Refused { reason, slot, .. } = stranger.refusal(&outer, settings)?;
        let is_vni = matches!(reason, RxDrop::UnknownVni);
        let reason = if is_vni { Straight::UNKNOWN_VNI } else { Straight::UNKNOWN_SOURCE };
        return Some(Straight::refused(reason, slot));
    }
    let frame = parse_frame(packet, outer.overhead(), outer.inner_len())?;
    if frame.is_vxlan(settings) {
        return None;
    }
    let key = RxMemoKey {
        vni: outer.vni,
        outer_family: outer.family,
        outer: outer.source,
        inner_family: frame.family,
        source: frame.source,
        destination: frame.destination,
        source_mac: frame.source_mac,
        destination_mac: frame.destination_mac,
    };
    let Some((index, rewritten)) = rx_memo::find(&key, outer.source_port) else {
        return Some(Straight::not_remembered(memo::epoch_before_lookups()));
    };
    let sender = sender(index, rewritten)?;
    if sender.member.flags & MemberEntry::LIMITED != 0 {
        return None;
    }
    let (outer_ecn, inner_ecn) = (outer.tos & ecn::MASK, frame.tos & ecn::MASK);
    if outer_ecn != ecn::NOT_ECT && outer_ecn != inner_ecn {
        return None;
    }
    let rewritten = Rewritten {
        source: sender.rewritten,
        destination: outer.destination_rewritten,
        port: !sender.member.sends_from(outer.source_port, || frame.flow_hash()),
        checksum: false,
    };
    if !is_as_before(&sender, &outer, &frame, rewritten) {
        return None;
    }
    let slot = sender.member.slot;
    ctx.strip(&outer)?;
    let Ok(tagged) = ctx.tag(&sender, frame.destination_mac) else {
        return Some(Straight::refused(Straight::NO_HEADROOM, slot));
    };
    counters::rewritten(slot, rewritten);
    let can_be_redirected = tagged == Tagged::Metadata && frame.protocol == PROTOCOL_UDP;
    let port = redirect::port(sender.network, can_be_redirected, outer.inner_len());
    counters::accepted(slot, port != 0);
    Some(Straight::accepted(port))
}

/// The member of a remembered right, as the tables have it now.
#[inline(always)]
fn sender(index: u32, rewritten: bool) -> Option<Sender> {
    let member = MEMBERS.get(index)?;
    let network = NETWORKS.get(member.network)?;
    Some(Sender { index, member, network, rewritten, by_port: false })
}

/// The packet comes from the MAC address and the endpoint that the member's latest packet came
/// from: there is nothing to learn.
#[inline(always)]
fn is_as_before(
    sender: &Sender,
    outer: &OuterRx,
    frame: &PlainFrame,
    rewritten: Rewritten,
) -> bool {
    let now = CLOCK.get(0).copied().unwrap_or(0);
    let port = if rewritten.port { outer.source_port } else { 0 };
    LEARNED.get(sender.index).is_some_and(|learned| {
        learned.last.equals(&frame.source_mac)
            && learned.seen == now
            && learned.observed.ttl == outer.ttl
            && learned.observed.equals(outer.family, &outer.source, port)
    })
}
