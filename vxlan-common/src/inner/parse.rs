//! Reading an inner frame: [`parse`] judges its form and notes what decides about it.

use super::{FrameKind, Inner, InnerError, PROTOCOL_ICMPV6, PROTOCOL_TCP};
use crate::{
    addr::{Address, IPV6, Mac},
    bytes::{Bytes, HeaderWindow as _},
    outer::{ETH_LEN, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, IPV6_LEN, PROTOCOL_UDP},
};

const PROTOCOL_FRAGMENT: u8 = 44;
const DONT_FRAGMENT: u16 = 0x4000;

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
        inner.kind = FrameKind::LinkControl;
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
        inner.kind = FrameKind::LinkControl;
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
        130..=134 | 137 | 143 => inner.kind = FrameKind::LinkControl,
        // RFC 4861 section 7.1: a hop limit under 255 came from another link and is no discovery.
        135 | 136 if inner.ttl == 255 => {
            let body = match packet.window::<24>(transport) {
                Some(body) if len >= 24 => body,
                _ => return Err(InnerError::Malformed),
            };
            inner.target = Address::read_ipv6(&body, 8);
            inner.kind =
                if kind == 135 { FrameKind::Solicitation } else { FrameKind::Advertisement };
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
    inner.kind = FrameKind::Arp;
    inner.speaks_for_other_mac = !Mac::read(&body, 8).is(&inner.source_mac);
    inner.source = Address::ipv4(body.wire4(14));
    inner.destination = Address::ipv4(body.wire4(24));
    Ok(())
}
