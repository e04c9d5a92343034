//! The parser of inner frames: [`parse`] checks the form, and records what decisions depend on.

use super::{FrameKind, Inner, InnerError};
use crate::{
    addr::{Address, IPV6, Mac},
    bytes::{Bytes, HeaderWindow as _},
    wire::{
        ETH_LEN, IPV4_LEN, IPV6_LEN, arp,
        ethernet::{self, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6},
        icmp,
        ip::{PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP},
        ipv4, ipv6, ndp, udp,
    },
};

/// Source and destination port, with which the headers of TCP and UDP begin.
const PORTS_LEN: usize = udp::field::LEN;

/// Parses the frame of `len` bytes that begins at `offset`.
///
/// # Errors
/// See [`InnerError`].
#[inline(always)]
pub fn parse<P: Bytes + ?Sized>(packet: &P, offset: usize, len: u32) -> Result<Inner, InnerError> {
    let mut inner = Inner::EMPTY;
    parse_into(packet, offset, len, &mut inner)?;
    Ok(inner)
}

/// [`parse`] into memory of the caller. After an error its contents mean nothing.
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
        destination_mac: Mac::read(&eth, ethernet::field::DESTINATION),
        source_mac: Mac::read(&eth, ethernet::field::SOURCE),
        ..Inner::EMPTY
    };
    match eth.be_bytes2(ethernet::field::ETHERTYPE) {
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
    let header = packet.window::<IPV4_LEN>(network).ok_or(InnerError::Malformed)?;
    let version_ihl = header.byte(ipv4::field::VERSION_IHL);
    let header_len = u32::from(version_ihl & ipv4::IHL_MASK) * 4;
    let total_len = u32::from(header.be16(ipv4::field::TOTAL_LEN));
    if version_ihl >> 4 != ipv4::VERSION
        || header_len < IPV4_LEN as u32
        || total_len < header_len
        || total_len > len
    {
        return Err(InnerError::Malformed);
    }
    inner.tos = header.byte(ipv4::field::TOS);
    inner.ttl = header.byte(ipv4::field::TTL);
    inner.protocol = header.byte(ipv4::field::PROTOCOL);
    inner.source = Address::ipv4(header.be_bytes4(ipv4::field::SOURCE));
    inner.destination = Address::ipv4(header.be_bytes4(ipv4::field::DESTINATION));
    inner.upper = inner.protocol;
    inner.transport = (ETH_LEN as u32 + header_len) as u16;
    inner.transport_len = (total_len - header_len) as u16;
    let fragment = header.be16(ipv4::field::FRAGMENT);
    inner.dont_fragment = fragment & ipv4::DONT_FRAGMENT != 0;
    inner.is_later_fragment = fragment & ipv4::FRAGMENT_OFFSET_MASK != 0;
    // A first fragment has ports too, but later ones do not: so the flow's hash leaves ports out.
    let whole = fragment & (ipv4::MORE_FRAGMENTS | ipv4::FRAGMENT_OFFSET_MASK) == 0;
    if !inner.is_later_fragment && total_len >= header_len + PORTS_LEN as u32 {
        read_ports(packet, network + header_len as usize, whole, inner);
    }
    Ok(())
}

/// Reads the ports behind an IP header, if there are any.
#[inline(always)]
fn read_ports<P: Bytes + ?Sized>(packet: &P, transport: usize, whole: bool, inner: &mut Inner) {
    if (inner.upper == PROTOCOL_TCP || inner.upper == PROTOCOL_UDP)
        && let Some(ports) = packet.window::<PORTS_LEN>(transport)
    {
        inner.ports = ports.be32(udp::field::SOURCE_PORT);
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
    let payload_len = u32::from(header.be16(ipv6::field::PAYLOAD_LEN));
    if header.byte(ipv6::field::VERSION_CLASS_LABEL) >> 4 != ipv6::VERSION
        || payload_len + IPV6_LEN as u32 > len
    {
        return Err(InnerError::Malformed);
    }
    inner.family = IPV6;
    inner.tos = (header.be16(ipv6::field::VERSION_CLASS_LABEL) >> ipv6::CLASS_SHIFT) as u8;
    inner.ttl = header.byte(ipv6::field::HOP_LIMIT);
    inner.protocol = header.byte(ipv6::field::NEXT_HEADER);
    inner.source = Address::read_ipv6(&header, ipv6::field::SOURCE);
    inner.destination = Address::read_ipv6(&header, ipv6::field::DESTINATION);
    inner.upper = inner.protocol;
    inner.transport = (ETH_LEN + IPV6_LEN) as u16;
    inner.transport_len = payload_len as u16;
    inner.dont_fragment = true;
    if payload_len >= PORTS_LEN as u32 {
        read_ports(packet, network + IPV6_LEN, true, inner);
    }
    if inner.protocol == ipv6::NEXT_FRAGMENT {
        parse_fragment(packet, network + IPV6_LEN, payload_len, inner);
    }
    if inner.protocol == PROTOCOL_ICMPV6 {
        return parse_icmpv6(packet, network + IPV6_LEN, payload_len, inner);
    }
    // ff02::/16 carries link-local control only. Discovery in fragments is refused by every stack
    // (RFC 6980 section 5), so fragments may pass.
    let link_local_group = header.be16(ipv6::field::DESTINATION) & 0xff0f == 0xff02;
    if link_local_group && inner.protocol != PROTOCOL_UDP || is_extension(inner.protocol) {
        inner.kind = FrameKind::LinkControl;
    }
    Ok(())
}

/// Hop-by-hop options, routing, authentication, destination options, mobility, HIP, shim6: IANA's
/// extension header types, without fragment and ESP.
#[inline(always)]
const fn is_extension(next_header: u8) -> bool {
    matches!(
        next_header,
        ipv6::NEXT_HOP_BY_HOP
            | ipv6::NEXT_ROUTING
            | ipv6::NEXT_AUTHENTICATION
            | ipv6::NEXT_DESTINATION_OPTIONS
            | ipv6::NEXT_MOBILITY
            | ipv6::NEXT_HIP
            | ipv6::NEXT_SHIM6
    )
}

/// Parses an IPv6 fragment header, and the ports behind it in a first fragment (RFC 8200 section
/// 4.5).
#[inline(always)]
fn parse_fragment<P: Bytes + ?Sized>(packet: &P, at: usize, len: u32, inner: &mut Inner) {
    if len < ipv6::fragment::HEADER_LEN as u32 {
        return;
    }
    let Some(header) = packet.window::<{ ipv6::fragment::HEADER_LEN }>(at) else { return };
    inner.upper = header.byte(ipv6::fragment::NEXT_HEADER);
    inner.is_later_fragment =
        header.be16(ipv6::fragment::OFFSET_M) & ipv6::fragment::OFFSET_MASK != 0;
    // The chain is not followed to what is behind it.
    if is_extension(inner.upper) || inner.upper == ipv6::NEXT_FRAGMENT {
        inner.kind = FrameKind::LinkControl;
    }
    if !inner.is_later_fragment && len >= ipv6::fragment::HEADER_LEN as u32 + PORTS_LEN as u32 {
        read_ports(packet, at + ipv6::fragment::HEADER_LEN, false, inner);
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
    let message_type =
        packet.window::<1>(transport).ok_or(InnerError::Malformed)?.byte(icmp::field::TYPE);
    match message_type {
        // Listener discovery, router solicitation and advertisement, redirect, listener v2.
        ndp::LISTENER_QUERY..=ndp::ROUTER_ADVERTISEMENT
        | ndp::REDIRECT
        | ndp::LISTENER_REPORT_V2 => inner.kind = FrameKind::LinkControl,
        // RFC 4861 section 7.1: a hop limit under 255 came from another link and is no discovery.
        ndp::SOLICITATION | ndp::ADVERTISEMENT if inner.ttl == ndp::HOP_LIMIT => {
            let body = match packet.window::<{ ndp::MESSAGE_LEN }>(transport) {
                Some(body) if len >= ndp::MESSAGE_LEN as u32 => body,
                _ => return Err(InnerError::Malformed),
            };
            inner.target = Address::read_ipv6(&body, ndp::field::TARGET);
            inner.kind = if message_type == ndp::SOLICITATION {
                FrameKind::Solicitation
            } else {
                FrameKind::Advertisement
            };
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
    const ETHERNET_IPV4: (u32, u16) = (
        (arp::HARDWARE_ETHERNET as u32) << 16 | arp::PROTOCOL_IPV4 as u32,
        arp::ETHERNET_IPV4_LENS,
    );
    let body = packet.window::<{ arp::PACKET_LEN }>(network).ok_or(InnerError::Malformed)?;
    let operation = body.be16(arp::field::OPERATION);
    if len < arp::PACKET_LEN as u32
        || (body.be32(arp::field::HARDWARE_TYPE), body.be16(arp::field::ADDRESS_LENS))
            != ETHERNET_IPV4
        || !(operation == arp::REQUEST || operation == arp::REPLY)
    {
        return Err(InnerError::Malformed);
    }
    inner.kind = FrameKind::Arp;
    inner.speaks_for_other_mac =
        !Mac::read(&body, arp::field::SENDER_MAC).equals(&inner.source_mac);
    inner.source = Address::ipv4(body.be_bytes4(arp::field::SENDER_ADDRESS));
    inner.destination = Address::ipv4(body.be_bytes4(arp::field::TARGET_ADDRESS));
    Ok(())
}
