//! The inner frame: what it is, whom it claims to come from, and whom it is for.
//!
//! [`parse`] judges form only; whether a peer may send such a frame, and who owns its destination,
//! is decided by the programs with their maps.

use crate::{
    addr::{Address, IPV4, IPV6, Mac},
    bytes::{Bytes, Window as _},
    flow,
    outer::{ETH_LEN, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, IPV6_LEN, PROTOCOL_UDP},
};

/// IP protocol number of TCP.
pub const PROTOCOL_TCP: u8 = 6;
/// IP protocol number of ICMP for IPv4.
pub const PROTOCOL_ICMP: u8 = 1;
/// IP protocol number of ICMP for IPv6.
pub const PROTOCOL_ICMPV6: u8 = 58;
const PROTOCOL_FRAGMENT: u8 = 44;
const DONT_FRAGMENT: u16 = 0x4000;

/// What kind of frame it is, as far as forwarding cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 or IPv6 payload.
    Ip,
    /// ARP request or reply (RFC 826).
    Arp,
    /// Neighbour solicitation (RFC 4861 section 4.3): who has the target?
    Solicitation,
    /// Neighbour advertisement (RFC 4861 section 4.4): the target is here.
    Advertisement,
    /// IPv6 control traffic that concerns one link and must not cross: router discovery, redirects,
    /// multicast listener reports. So is whatever hides behind an extension header, where the stack
    /// would find discovery and this program does not look.
    LinkControl,
}

/// A frame whose form is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner {
    /// Destination MAC.
    pub destination_mac: Mac,
    /// Source MAC.
    pub source_mac: Mac,
    /// Who claims to send: IP source or ARP sender protocol address.
    pub source: Address,
    /// Who is meant: IP destination or ARP target protocol address.
    pub destination: Address,
    /// The address that a solicitation asks for or an advertisement speaks for.
    pub target: Address,
    /// What it is.
    pub kind: Kind,
    /// Family of `source` and `destination`.
    pub family: u8,
    /// TOS byte or traffic class; 0 for ARP.
    pub tos: u8,
    /// Time to live or hop limit; 64 for ARP.
    pub ttl: u8,
    /// IP protocol or next header; 0 for ARP.
    pub protocol: u8,
    /// What an IPv6 fragment header is followed by; else the same as `protocol`.
    pub upper: u8,
    /// It has ports, and is no fragment.
    pub has_ports: bool,
    /// IPv4 with DF, or IPv6, which no router cuts up.
    pub dont_fragment: bool,
    /// A fragment behind the first: its transport header is somewhere else.
    pub is_later_fragment: bool,
    /// ARP whose sender hardware address is not the frame's source.
    pub speaks_for_other_mac: bool,
    /// Offset of the transport header from the start of the frame.
    pub transport: u16,
    /// Bytes of the IP packet from there on.
    pub transport_len: u16,
    /// Offset of the value of the maximum segment size of a TCP SYN; 0: none was found, see
    /// [`crate::mss::find`].
    pub segment_at: u16,
    /// That value.
    pub segment: u16,
    /// Source and destination port of TCP and UDP, as 32 bits; also of a first fragment. 0: none.
    pub ports: u32,
}

/// Why a frame is not one that the overlay carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InnerError {
    /// Cut off, or its lengths cannot be.
    Malformed,
    /// Not IPv4, IPv6 or ARP. 802.1Q is among these: RFC 7348 section 6.1.
    Protocol,
}

impl Inner {
    /// No frame yet.
    pub const EMPTY: Self = Self {
        destination_mac: Mac::ZERO,
        source_mac: Mac::ZERO,
        source: Address::ZERO,
        destination: Address::ZERO,
        target: Address::ZERO,
        kind: Kind::Ip,
        family: IPV4,
        tos: 0,
        ttl: 64,
        protocol: 0,
        upper: 0,
        has_ports: false,
        dont_fragment: false,
        is_later_fragment: false,
        speaks_for_other_mac: false,
        transport: 0,
        transport_len: 0,
        segment_at: 0,
        segment: 0,
        ports: 0,
    };
}

/// Reads the frame of `len` bytes that begins at `offset`.
///
/// # Errors
/// See [`InnerError`].
#[inline(always)]
pub fn parse<P: Bytes + ?Sized>(packet: &P, offset: usize, len: u32) -> Result<Inner, InnerError> {
    let mut inner = Inner::EMPTY;
    parse_into(packet, offset, len, &mut inner)?;
    Ok(inner)
}

/// [`parse`] into a place of the caller's. After an error its contents mean nothing.
///
/// # Errors
/// See [`InnerError`].
#[inline(always)]
pub fn parse_into<P: Bytes + ?Sized>(
    packet: &P,
    offset: usize,
    len: u32,
    inner: &mut Inner,
) -> Result<(), InnerError> {
    if len < ETH_LEN as u32 {
        return Err(InnerError::Malformed);
    }
    let eth = packet.window::<ETH_LEN>(offset).ok_or(InnerError::Malformed)?;
    let payload_len = len - ETH_LEN as u32;
    let network = offset + ETH_LEN;
    *inner = Inner {
        destination_mac: Mac::read(&eth, 0),
        source_mac: Mac::read(&eth, 6),
        ..Inner::EMPTY
    };
    match eth.wire2(12) {
        ETHERTYPE_IPV4 => parse_ipv4(packet, network, payload_len, inner),
        ETHERTYPE_IPV6 => parse_ipv6(packet, network, payload_len, inner),
        ETHERTYPE_ARP => parse_arp(packet, network, payload_len, inner),
        _ => Err(InnerError::Protocol),
    }
}

#[inline(always)]
fn parse_ipv4<P: Bytes + ?Sized>(
    packet: &P,
    network: usize,
    len: u32,
    inner: &mut Inner,
) -> Result<(), InnerError> {
    let header = packet.window::<20>(network).ok_or(InnerError::Malformed)?;
    let version_len = header.byte(0);
    let header_len = u32::from(version_len & 0x0f) * 4;
    let total_len = u32::from(header.u16(2));
    if version_len >> 4 != 4 || header_len < 20 || total_len < header_len || total_len > len {
        return Err(InnerError::Malformed);
    }
    inner.tos = header.byte(1);
    inner.ttl = header.byte(8);
    inner.protocol = header.byte(9);
    inner.source = Address::ipv4(header.wire4(12));
    inner.destination = Address::ipv4(header.wire4(16));
    inner.upper = inner.protocol;
    inner.transport = (ETH_LEN as u32 + header_len) as u16;
    inner.transport_len = (total_len - header_len) as u16;
    let fragment = header.u16(6);
    inner.dont_fragment = fragment & DONT_FRAGMENT != 0;
    inner.is_later_fragment = fragment & 0x1fff != 0;
    // A first fragment has ports too, but those behind it do not: a flow's hash goes without.
    let whole = fragment & 0x3fff == 0;
    if !inner.is_later_fragment && total_len >= header_len + 4 {
        read_ports(packet, network + header_len as usize, whole, inner);
    }
    Ok(())
}

/// Reads the ports behind an IP header, where there are some.
#[inline(always)]
fn read_ports<P: Bytes + ?Sized>(packet: &P, transport: usize, whole: bool, inner: &mut Inner) {
    if (inner.upper == PROTOCOL_TCP || inner.upper == PROTOCOL_UDP)
        && let Some(ports) = packet.window::<4>(transport)
    {
        inner.ports = ports.u32(0);
        inner.has_ports = whole;
    }
}

#[inline(always)]
fn parse_ipv6<P: Bytes + ?Sized>(
    packet: &P,
    network: usize,
    len: u32,
    inner: &mut Inner,
) -> Result<(), InnerError> {
    let header = packet.window::<IPV6_LEN>(network).ok_or(InnerError::Malformed)?;
    let payload_len = u32::from(header.u16(4));
    if header.byte(0) >> 4 != 6 || payload_len + IPV6_LEN as u32 > len {
        return Err(InnerError::Malformed);
    }
    inner.family = IPV6;
    inner.tos = (header.u16(0) >> 4) as u8;
    inner.ttl = header.byte(7);
    inner.protocol = header.byte(6);
    inner.source = Address::read_ipv6(&header, 8);
    inner.destination = Address::read_ipv6(&header, 24);
    inner.upper = inner.protocol;
    inner.transport = (ETH_LEN + IPV6_LEN) as u16;
    inner.transport_len = payload_len as u16;
    inner.dont_fragment = true;
    if payload_len >= 4 {
        read_ports(packet, network + IPV6_LEN, true, inner);
    }
    if inner.protocol == PROTOCOL_FRAGMENT {
        parse_fragment(packet, network + IPV6_LEN, payload_len, inner);
    }
    if inner.protocol == PROTOCOL_ICMPV6 {
        return parse_icmpv6(packet, network + IPV6_LEN, payload_len, inner);
    }
    // ff02::/16 carries link-local control only. Discovery in fragments is refused by every stack
    // (RFC 6980 section 5), so fragments may pass.
    let link_local_group = header.u16(24) & 0xff0f == 0xff02;
    if link_local_group && inner.protocol != PROTOCOL_UDP || is_extension(inner.protocol) {
        inner.kind = Kind::LinkControl;
    }
    Ok(())
}

/// Hop-by-hop options, routing, authentication, destination options, mobility, HIP, shim6: IANA's
/// extension header types, without fragment and ESP.
#[inline(always)]
const fn is_extension(next_header: u8) -> bool {
    matches!(next_header, 0 | 43 | 51 | 60 | 135 | 139 | 140)
}

/// What an IPv6 fragment carries: its ports, if it is the first (RFC 8200 section 4.5).
#[inline(always)]
fn parse_fragment<P: Bytes + ?Sized>(packet: &P, at: usize, len: u32, inner: &mut Inner) {
    const FRAGMENT_LEN: usize = 8;
    if len < FRAGMENT_LEN as u32 {
        return;
    }
    let Some(header) = packet.window::<FRAGMENT_LEN>(at) else { return };
    inner.upper = header.byte(0);
    inner.is_later_fragment = header.u16(2) & 0xfff8 != 0;
    // Nobody here follows the chain to what lies behind it.
    if is_extension(inner.upper) || inner.upper == PROTOCOL_FRAGMENT {
        inner.kind = Kind::LinkControl;
    }
    if !inner.is_later_fragment && len >= FRAGMENT_LEN as u32 + 4 {
        read_ports(packet, at + FRAGMENT_LEN, false, inner);
    }
}

#[inline(always)]
fn parse_icmpv6<P: Bytes + ?Sized>(
    packet: &P,
    transport: usize,
    len: u32,
    inner: &mut Inner,
) -> Result<(), InnerError> {
    if len == 0 {
        return Err(InnerError::Malformed);
    }
    let kind = packet.window::<1>(transport).ok_or(InnerError::Malformed)?.byte(0);
    match kind {
        // Listener discovery, router solicitation and advertisement, redirect, listener v2.
        130..=134 | 137 | 143 => inner.kind = Kind::LinkControl,
        // RFC 4861 section 7.1: a hop limit under 255 came from another link and is no discovery.
        135 | 136 if inner.ttl == 255 => {
            let body = match packet.window::<24>(transport) {
                Some(body) if len >= 24 => body,
                _ => return Err(InnerError::Malformed),
            };
            inner.target = Address::read_ipv6(&body, 8);
            inner.kind = if kind == 135 { Kind::Solicitation } else { Kind::Advertisement };
        }
        _ => {}
    }
    Ok(())
}

#[inline(always)]
fn parse_arp<P: Bytes + ?Sized>(
    packet: &P,
    network: usize,
    len: u32,
    inner: &mut Inner,
) -> Result<(), InnerError> {
    // Hardware type Ethernet, protocol type IPv4, and the lengths of their addresses.
    const ETHERNET_IPV4: (u32, u16) = (0x0001_0800, 0x0604);
    let body = packet.window::<28>(network).ok_or(InnerError::Malformed)?;
    let operation = body.u16(6);
    if len < 28
        || (body.u32(0), body.u16(4)) != ETHERNET_IPV4
        || !(operation == 1 || operation == 2)
    {
        return Err(InnerError::Malformed);
    }
    inner.kind = Kind::Arp;
    inner.speaks_for_other_mac = !Mac::read(&body, 8).is(&inner.source_mac);
    inner.source = Address::ipv4(body.wire4(14));
    inner.destination = Address::ipv4(body.wire4(24));
    Ok(())
}

impl Inner {
    /// [`Self::transport`], with the bound that every header length keeps: a BPF verifier that lost
    /// sight of the value sees it here.
    #[inline(always)]
    pub const fn transport_at(&self) -> usize {
        self.transport as usize & 0x7f
    }

    /// Is the destination MAC a group address?
    #[inline(always)]
    pub const fn to_group(&self) -> bool {
        self.destination_mac.is_group()
    }

    /// Is the destination IP address multicast or limited broadcast?
    #[inline(always)]
    pub const fn to_multicast(&self) -> bool {
        self.is_multicast(&self.destination)
    }

    /// Is `address`, of the frame's family, multicast or limited broadcast?
    #[inline(always)]
    pub const fn is_multicast(&self, address: &Address) -> bool {
        let first = address.word(0);
        if self.family == IPV6 {
            first >> 24 == 0xff
        } else {
            first >> 28 == 0xe || first == u32::MAX
        }
    }

    /// Whose traffic this is: the target of a solicitation, which by its IP destination is for a
    /// group, else the destination.
    #[inline(always)]
    pub const fn wanted(&self) -> &Address {
        match self.kind {
            Kind::Solicitation => &self.target,
            Kind::Ip | Kind::Arp | Kind::Advertisement | Kind::LinkControl => &self.destination,
        }
    }

    /// Is it a tunnel towards its destination: IPv4 or IPv6 in IP, or GRE?
    #[inline(always)]
    pub const fn is_ip_tunnel(&self) -> bool {
        matches!(self.upper, 4 | 41 | 47)
    }

    /// Is it UDP to IANA's VXLAN port, to the one that Linux used before, or to `port`?
    #[inline(always)]
    pub const fn is_vxlan(&self, port: u16) -> bool {
        let destination = self.ports as u16;
        self.upper == PROTOCOL_UDP
            && self.ports != 0
            && (destination == crate::VXLAN_PORT || destination == 8472 || destination == port)
    }

    /// Is it neighbour discovery?
    #[inline(always)]
    pub const fn is_discovery(&self) -> bool {
        matches!(self.kind, Kind::Solicitation | Kind::Advertisement)
    }

    /// Does the frame announce its own address to everybody (RFC 5227 section 3)?
    #[inline(always)]
    pub const fn is_announcement(&self) -> bool {
        matches!(self.kind, Kind::Arp)
            && self.to_group()
            && self.source.word(0) == self.destination.word(0)
    }

    /// Is `address` an IPv6 link-local unicast address (fe80::/10)?
    #[inline(always)]
    pub const fn is_link_local(&self, address: &Address) -> bool {
        self.family == IPV6 && address.word(0) >> 22 == 0xfe80 >> 6
    }

    /// EtherType of the frame.
    #[inline(always)]
    pub const fn ethertype(&self) -> [u8; 2] {
        match (self.kind, self.family) {
            (Kind::Arp, _) => ETHERTYPE_ARP,
            (_, IPV6) => ETHERTYPE_IPV6,
            _ => ETHERTYPE_IPV4,
        }
    }

    /// Can the source be no host's: see [`Self::is_no_host`], or a source MAC that is zero or a
    /// group's?
    #[inline(always)]
    pub const fn has_martian_source(&self) -> bool {
        self.source_mac.is_group()
            || self.source_mac.is(&Mac::ZERO)
            || self.is_no_host(&self.source)
    }

    /// Can `address` be no host's: unspecified, loopback, multicast, reserved (RFC 1122 section
    /// 3.2.1.3, RFC 4291 section 2.5)?
    #[inline(always)]
    pub const fn is_no_host(&self, address: &Address) -> bool {
        let first = address.word(0);
        if self.family == IPV4 {
            let network = first >> 24;
            return network == 0 || network == 127 || network >= 224;
        }
        let loopback = first | address.word(1) | address.word(2) == 0 && address.word(3) <= 1;
        first >> 24 == 0xff || loopback
    }

    /// Length of the IP packet.
    #[inline(always)]
    pub const fn ip_len(&self) -> u32 {
        self.transport as u32 - ETH_LEN as u32 + self.transport_len as u32
    }
}

/// The flow's hash, from which its UDP source port follows.
#[inline(always)]
pub const fn flow_hash(inner: &Inner) -> u32 {
    if matches!(inner.kind, Kind::Arp) {
        return flow::hash(&inner.source_mac.padded(), &inner.destination_mac.padded(), 0, 0);
    }
    let ports = if inner.has_ports { inner.ports } else { 0 };
    flow::hash(&inner.source, &inner.destination, ports, inner.protocol)
}

/// Length of everything in front of the payload of a GSO frame: what every segment repeats.
///
/// TCP and UDP only, as nothing else is segmented here; 0 for anything else.
#[inline(always)]
pub fn segment_headers<P: Bytes + ?Sized>(packet: &P, offset: usize, inner: &Inner) -> u32 {
    let transport = u32::from(inner.transport);
    if inner.protocol == PROTOCOL_UDP {
        return transport + 8;
    }
    if inner.protocol != PROTOCOL_TCP {
        return 0;
    }
    match packet.window::<1>(offset + inner.transport_at() + 12) {
        Some(data_offset) => transport + u32::from(data_offset.byte(0) >> 4) * 4,
        None => 0,
    }
}

#[cfg(test)]
mod tests;
