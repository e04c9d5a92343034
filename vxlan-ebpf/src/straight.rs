//! The short way through receive, for the commonest packet: outer headers without options or
//! checksum, a whole TCP or UDP packet without options in a frame from one host to another, by a
//! pair of hosts whose right is remembered ([`rx_memo`](crate::rx_memo)), from where the member sent
//! before. Whatever else a packet is, nothing is decided here, and
//! [`decap::run`](crate::decap::run) judges it from the start.
//!
//! XDP only. Every rule of docs/packets.md that depends on more than the remembered right is checked
//! here too; a packet that would fail one is left to `decap::run`, which has the reason.

use aya_ebpf::programs::XdpContext;
use vxlan_common::{
    addr::{Address, IPV4, IPV6, Mac},
    bytes::{Bytes as _, HeaderWindow},
    ecn, flow,
    outer::{OVERHEAD_IPV4, OVERHEAD_IPV6},
    reason::RxDrop,
    table::{GlobalSettings, MemberEntry, RxMemoKey},
    wire::{
        ETH_LEN, IPV4_LEN, IPV6_LEN, UDP_LEN,
        ethernet::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6},
        ip::{PROTOCOL_TCP, PROTOCOL_UDP},
        ipv4, ipv6, tcp, udp, vxlan,
    },
};

use crate::{
    counters::{self, Refused},
    maps::{CLOCK, LEARNED, MEMBERS, NETWORKS, SETTINGS},
    memo,
    packet::View,
    packet_ctx::PacketCtx as _,
    policy::Sender,
    rx_memo,
    scratch::{OuterRx, Rewritten},
};

/// The result for a packet, in one word: this is a function of its own to the verifier, which has
/// a register for it.
#[derive(Clone, Copy)]
pub(crate) struct Straight(u64);

impl Straight {
    /// Accepted, and decapsulated.
    const ACCEPTED: Self = Self(u64::MAX);
    /// A packet of another form. Nothing was changed.
    const OTHER: Self = Self(memo::CHANGING);
    /// A driver that has no room for the tag; the low bits are the member's counter slot.
    const NO_HEADROOM: u64 = 1 << 63;

    /// A packet of this form whose sender's right is not remembered. Nothing was changed.
    #[inline(always)]
    const fn not_remembered(epoch: u64) -> Self {
        Self(epoch & !Self::NO_HEADROOM)
    }

    #[inline(always)]
    const fn no_headroom(slot: u32) -> Self {
        Self(Self::NO_HEADROOM | slot as u64)
    }

    /// Accepted, and decapsulated; or the epoch for which the sender's right may be remembered.
    ///
    /// # Errors
    /// The packet is refused.
    #[inline(always)]
    pub(crate) fn result(self) -> Result<Option<u64>, Refused> {
        if self.0 == Self::ACCEPTED.0 {
            return Ok(None);
        }
        if self.0 & Self::NO_HEADROOM != 0 {
            return Err(Refused { reason: RxDrop::NoHeadroom, slot: self.0 as u32, pair: None });
        }
        Ok(Some(self.0))
    }
}

/// The inner frame, as far as this way needs it.
struct Frame {
    destination_mac: Mac,
    source_mac: Mac,
    family: u8,
    source: Address,
    destination: Address,
    tos: u8,
    protocol: u8,
    /// Source and destination port, as 32 bits.
    ports: u32,
}

impl Frame {
    /// What the sender's port is derived from.
    #[inline(always)]
    const fn flow_hash(&self) -> u32 {
        flow::hash(&self.source, &self.destination, self.ports, self.protocol)
    }

    /// UDP to a port of VXLAN. Such packets have rules of their own.
    #[inline(always)]
    fn is_vxlan(&self, settings: &GlobalSettings) -> bool {
        let port = self.ports as u16;
        self.protocol == PROTOCOL_UDP
            && (port == vxlan::PORT
                || port == vxlan::LINUX_DEFAULT_PORT
                || port == u16::from_be_bytes(settings.port))
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
        port: !sends_from(sender.member, outer.source_port, &frame),
        checksum: false,
    };
    if !is_as_before(&sender, &outer, &frame, rewritten) {
        return None;
    }
    let slot = sender.member.slot;
    ctx.strip(&outer)?;
    if ctx.tag(&sender, frame.destination_mac).is_err() {
        return Some(Straight::no_headroom(slot));
    }
    counters::rewritten(slot, rewritten);
    counters::accepted(slot);
    Some(Straight::ACCEPTED)
}

/// The member of a remembered right, as the tables have it now.
#[inline(always)]
fn sender(index: u32, rewritten: bool) -> Option<Sender> {
    let member = MEMBERS.get(index)?;
    let network = NETWORKS.get(member.network)?;
    Some(Sender { index, member, network, rewritten, by_port: false })
}

/// The UDP source port is one that the member's peer sends this frame from.
#[inline(always)]
fn sends_from(member: &MemberEntry, port: u16, frame: &Frame) -> bool {
    if member.flags & MemberEntry::FLOW_PORTS != 0 {
        return port == flow::source_port(frame.flow_hash());
    }
    member.port_low <= port && port <= member.port_high
}

/// The packet comes from the MAC address and the endpoint that the member's latest packet came
/// from: there is nothing to learn.
#[inline(always)]
fn is_as_before(sender: &Sender, outer: &OuterRx, frame: &Frame, rewritten: Rewritten) -> bool {
    let now = CLOCK.get(0).copied().unwrap_or(0);
    let port = if rewritten.port { outer.source_port } else { 0 };
    LEARNED.get(sender.index).is_some_and(|learned| {
        learned.last.equals(&frame.source_mac)
            && learned.seen == now
            && learned.observed.ttl == outer.ttl
            && learned.observed.equals(outer.family, &outer.source, port)
    })
}

/// Parses outer headers of the commonest form.
#[inline(always)]
fn parse_outer_ipv4(packet: &View, settings: &GlobalSettings) -> Option<OuterRx> {
    const UDP: usize = ETH_LEN + IPV4_LEN;
    let headers = packet.window::<OVERHEAD_IPV4>(0)?;
    let destination = headers.be_bytes4(ETH_LEN + ipv4::field::DESTINATION);
    let to_us = destination != [0; 4]
        && (destination == settings.address || destination == settings.public_address);
    let total_len = headers.be16(ETH_LEN + ipv4::field::TOTAL_LEN);
    let fragment = headers.be16(ETH_LEN + ipv4::field::FRAGMENT);
    let udp_len = headers.be16(UDP + udp::field::LEN);
    let plain = headers.byte(ETH_LEN + ipv4::field::VERSION_IHL) == ipv4::VERSION_IHL
        && headers.byte(ETH_LEN + ipv4::field::PROTOCOL) == PROTOCOL_UDP
        && fragment & (ipv4::MORE_FRAGMENTS | ipv4::FRAGMENT_OFFSET_MASK) == 0
        && usize::from(total_len) == packet.len() - ETH_LEN
        && u32::from(udp_len) + IPV4_LEN as u32 == u32::from(total_len);
    if !to_us || !plain || ipv4_sum(&headers) != 0xffff {
        return None;
    }
    let outer = parse_udp(&headers, UDP, settings)?;
    Some(OuterRx {
        source: Address::ipv4(headers.be_bytes4(ETH_LEN + ipv4::field::SOURCE)),
        destination_rewritten: destination != settings.public_address
            && settings.public_address != [0; 4],
        family: IPV4,
        tos: headers.byte(ETH_LEN + ipv4::field::TOS),
        ttl: headers.byte(ETH_LEN + ipv4::field::TTL),
        udp_len,
        ..outer
    })
}

/// The folded sum of the words of an outer IPv4 header without options. All ones is right. The
/// order of bytes in a word does not matter to that.
#[inline(always)]
fn ipv4_sum(headers: &impl HeaderWindow) -> u16 {
    let mut sum = 0u64;
    let mut at = 0;
    while at < IPV4_LEN {
        sum += u64::from(u32::from_ne_bytes(headers.be_bytes4(ETH_LEN + at)));
        at += 4;
    }
    let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

#[inline(always)]
fn parse_outer_ipv6(packet: &View, settings: &GlobalSettings) -> Option<OuterRx> {
    const UDP: usize = ETH_LEN + IPV6_LEN;
    let headers = packet.window::<OVERHEAD_IPV6>(0)?;
    let destination = Address::read_ipv6(&headers, ETH_LEN + ipv6::field::DESTINATION);
    let to_us = !destination.equals(&Address::ZERO)
        && (destination.equals(&settings.address6)
            || destination.equals(&settings.public_address6));
    let payload_len = headers.be16(ETH_LEN + ipv6::field::PAYLOAD_LEN);
    let version_class = headers.be16(ETH_LEN + ipv6::field::VERSION_CLASS_LABEL);
    let plain = version_class >> 12 == u16::from(ipv6::VERSION)
        && headers.byte(ETH_LEN + ipv6::field::NEXT_HEADER) == PROTOCOL_UDP
        && usize::from(payload_len) == packet.len() - UDP
        && headers.be16(UDP + udp::field::LEN) == payload_len;
    if !to_us || !plain {
        return None;
    }
    let outer = parse_udp(&headers, UDP, settings)?;
    Some(OuterRx {
        source: Address::read_ipv6(&headers, ETH_LEN + ipv6::field::SOURCE),
        destination_rewritten: !settings.public_address6.equals(&Address::ZERO)
            && !destination.equals(&settings.public_address6),
        family: IPV6,
        tos: (version_class >> ipv6::CLASS_SHIFT) as u8,
        ttl: headers.byte(ETH_LEN + ipv6::field::HOP_LIMIT),
        udp_len: payload_len,
        ..outer
    })
}

/// Parses UDP to our port without a checksum, and the VXLAN header behind it.
#[inline(always)]
fn parse_udp(headers: &impl HeaderWindow, at: usize, settings: &GlobalSettings) -> Option<OuterRx> {
    let vxlan = at + UDP_LEN;
    let [a, b, c, reserved] = headers.be_bytes4(vxlan + vxlan::field::VNI);
    let plain = headers.be_bytes2(at + udp::field::DESTINATION_PORT) == settings.port
        && headers.be_bytes2(at + udp::field::CHECKSUM) == [0; 2]
        && headers.be32(vxlan + vxlan::field::FLAGS) == u32::from(vxlan::FLAG_I) << 24
        && reserved == 0;
    plain.then(|| OuterRx {
        source: Address::ZERO,
        destination_rewritten: false,
        family: IPV4,
        tos: 0,
        vni: [a, b, c],
        udp_len: 0,
        source_port: headers.be16(at + udp::field::SOURCE_PORT),
        has_checksum: false,
        ttl: 0,
        trailer: 0,
    })
}

/// Parses a frame of `len` bytes at `at`, of the commonest form.
#[inline(always)]
fn parse_frame(packet: &View, at: usize, len: u32) -> Option<Frame> {
    let eth = packet.window::<ETH_LEN>(at)?;
    let frame = match eth.be_bytes2(ethernet::field::ETHERTYPE) {
        ETHERTYPE_IPV4 => parse_ipv4(packet, at + ETH_LEN, len)?,
        ETHERTYPE_IPV6 => parse_ipv6(packet, at + ETH_LEN, len)?,
        _ => return None,
    };
    Some(Frame {
        destination_mac: Mac::read(&eth, ethernet::field::DESTINATION),
        source_mac: Mac::read(&eth, ethernet::field::SOURCE),
        ..frame
    })
}

#[inline(always)]
fn parse_ipv4(packet: &View, at: usize, len: u32) -> Option<Frame> {
    let header = packet.window::<{ IPV4_LEN + UDP_LEN }>(at)?;
    let total_len = u32::from(header.be16(ipv4::field::TOTAL_LEN));
    let fragment = header.be16(ipv4::field::FRAGMENT);
    let plain = header.byte(ipv4::field::VERSION_IHL) == ipv4::VERSION_IHL
        && fragment & (ipv4::MORE_FRAGMENTS | ipv4::FRAGMENT_OFFSET_MASK) == 0
        && total_len >= (IPV4_LEN + UDP_LEN) as u32
        && total_len + ETH_LEN as u32 <= len;
    let protocol = header.byte(ipv4::field::PROTOCOL);
    if !plain || !has_no_rules_of_its_own(packet, at + IPV4_LEN, protocol) {
        return None;
    }
    Some(Frame {
        destination_mac: Mac::ZERO,
        source_mac: Mac::ZERO,
        family: IPV4,
        source: Address::ipv4(header.be_bytes4(ipv4::field::SOURCE)),
        destination: Address::ipv4(header.be_bytes4(ipv4::field::DESTINATION)),
        tos: header.byte(ipv4::field::TOS),
        protocol,
        ports: header.be32(IPV4_LEN),
    })
}

#[inline(always)]
fn parse_ipv6(packet: &View, at: usize, len: u32) -> Option<Frame> {
    let header = packet.window::<{ IPV6_LEN + UDP_LEN }>(at)?;
    let payload_len = u32::from(header.be16(ipv6::field::PAYLOAD_LEN));
    let version_class = header.be16(ipv6::field::VERSION_CLASS_LABEL);
    let plain = version_class >> 12 == u16::from(ipv6::VERSION)
        && payload_len >= UDP_LEN as u32
        && payload_len + (ETH_LEN + IPV6_LEN) as u32 <= len;
    let protocol = header.byte(ipv6::field::NEXT_HEADER);
    if !plain || !has_no_rules_of_its_own(packet, at + IPV6_LEN, protocol) {
        return None;
    }
    Some(Frame {
        destination_mac: Mac::ZERO,
        source_mac: Mac::ZERO,
        family: IPV6,
        source: Address::read_ipv6(&header, ipv6::field::SOURCE),
        destination: Address::read_ipv6(&header, ipv6::field::DESTINATION),
        tos: (version_class >> ipv6::CLASS_SHIFT) as u8,
        protocol,
        ports: header.be32(IPV6_LEN),
    })
}

/// The packet is UDP, or TCP and no SYN, whose announced segment size may have to be lowered.
#[inline(always)]
fn has_no_rules_of_its_own(packet: &View, transport: usize, protocol: u8) -> bool {
    match protocol {
        PROTOCOL_UDP => true,
        PROTOCOL_TCP => packet
            .window::<{ tcp::HEADER_LEN }>(transport)
            .is_some_and(|header| header.byte(tcp::field::FLAGS) & tcp::FLAG_SYN == 0),
        _ => false,
    }
}
