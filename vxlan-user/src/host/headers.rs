//! Headers that this program writes itself: IP and UDP of probes, ICMP and ICMPv6 of echo requests.
//! Sends nothing.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use vxlan_common::{
    checksum,
    wire::{IPV4_LEN, IPV6_LEN, UDP_LEN, icmp, ip, ipv4, ipv6, udp},
};

/// The outer headers of one packet. IPv4 packets have DF and identification 0, IPv6 packets flow
/// label 0; the UDP checksum is zero, over IPv6 too (RFC 6935).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OuterHeaders {
    /// An address of this host, and any port: a socket that is bound to that port does not matter.
    pub source: SocketAddr,
    /// An address of the same family.
    pub destination: SocketAddr,
    /// IPv4's TTL, IPv6's hop limit.
    pub ttl: u8,
    /// IPv4's TOS, IPv6's traffic class.
    pub tos: u8,
}

/// Writes an IPv4 and a UDP header before `payload`. The kernel adds the IPv4 header's checksum.
///
/// # Errors
/// `EMSGSIZE`: a length field cannot hold the length.
pub(super) fn ipv4_packet(
    outer: &OuterHeaders,
    source: Ipv4Addr,
    destination: Ipv4Addr,
    payload: &[u8],
) -> io::Result<Vec<u8>> {
    let udp_length = length(UDP_LEN, payload)?;
    let total = length(IPV4_LEN + UDP_LEN, payload)?;
    let mut packet = vec![0; IPV4_LEN];
    put(&mut packet, ipv4::field::VERSION_IHL, [ipv4::VERSION_IHL]);
    put(&mut packet, ipv4::field::TOS, [outer.tos]);
    put(&mut packet, ipv4::field::TOTAL_LEN, total.to_be_bytes());
    put(&mut packet, ipv4::field::FRAGMENT, ipv4::DONT_FRAGMENT.to_be_bytes());
    put(&mut packet, ipv4::field::TTL, [outer.ttl]);
    put(&mut packet, ipv4::field::PROTOCOL, [ip::PROTOCOL_UDP]);
    put(&mut packet, ipv4::field::SOURCE, source.octets());
    put(&mut packet, ipv4::field::DESTINATION, destination.octets());
    append_udp(&mut packet, outer, udp_length, payload);
    Ok(packet)
}

/// Writes an IPv6 and a UDP header before `payload`.
///
/// # Errors
/// `EMSGSIZE`: a length field cannot hold the length.
pub(super) fn ipv6_packet(
    outer: &OuterHeaders,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    payload: &[u8],
) -> io::Result<Vec<u8>> {
    let udp_length = length(UDP_LEN, payload)?;
    let version_and_class =
        u16::from(ipv6::VERSION) << 12 | u16::from(outer.tos) << ipv6::CLASS_SHIFT;
    let mut packet = vec![0; IPV6_LEN];
    put(&mut packet, ipv6::field::VERSION_CLASS_LABEL, version_and_class.to_be_bytes());
    put(&mut packet, ipv6::field::PAYLOAD_LEN, udp_length.to_be_bytes());
    put(&mut packet, ipv6::field::NEXT_HEADER, [ip::PROTOCOL_UDP]);
    put(&mut packet, ipv6::field::HOP_LIMIT, [outer.ttl]);
    put(&mut packet, ipv6::field::SOURCE, source.octets());
    put(&mut packet, ipv6::field::DESTINATION, destination.octets());
    append_udp(&mut packet, outer, udp_length, payload);
    Ok(packet)
}

/// Writes an echo request of this type, checksum included: over the message alone, as ICMP has it.
/// The kernel overwrites the checksum of ICMPv6 with one over the pseudo-header too.
pub(super) fn echo_request(kind: u8, identifier: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut message = vec![0; icmp::HEADER_LEN];
    put(&mut message, icmp::field::TYPE, [kind]);
    put(&mut message, icmp::field::ECHO_IDENTIFIER, identifier.to_be_bytes());
    put(&mut message, icmp::field::ECHO_SEQUENCE, sequence.to_be_bytes());
    message.extend_from_slice(payload);
    let checksum = !ones_complement_sum(&message);
    put(&mut message, icmp::field::CHECKSUM, checksum.to_be_bytes());
    message
}

/// Returns what follows the IPv4 header at the beginning of `packet`.
pub(super) fn ipv4_payload(packet: &[u8]) -> &[u8] {
    let first = packet.first().copied().unwrap_or(0);
    let header = usize::from(first & ipv4::IHL_MASK) * 4;
    packet.get(header..).unwrap_or_default()
}

/// Returns the one's complement sum (RFC 1071): 0xffff over a message with a right checksum.
pub(super) fn ones_complement_sum(message: &[u8]) -> u16 {
    let words = message.chunks(2).map(|word| match *word {
        [high, low] => u16::from_be_bytes([high, low]),
        [high, ..] => u16::from_be_bytes([high, 0]),
        [] => 0,
    });
    checksum::fold(words.map(u32::from).sum())
}

/// Returns the value of a length field over headers and payload.
fn length(headers: usize, payload: &[u8]) -> io::Result<u16> {
    let too_long = |_| io::Error::from_raw_os_error(libc::EMSGSIZE);
    u16::try_from(headers.saturating_add(payload.len())).map_err(too_long)
}

fn append_udp(packet: &mut Vec<u8>, outer: &OuterHeaders, length: u16, payload: &[u8]) {
    let mut header = [0; UDP_LEN];
    put(&mut header, udp::field::SOURCE_PORT, outer.source.port().to_be_bytes());
    put(&mut header, udp::field::DESTINATION_PORT, outer.destination.port().to_be_bytes());
    put(&mut header, udp::field::LEN, length.to_be_bytes());
    packet.extend_from_slice(&header);
    packet.extend_from_slice(payload);
}

/// Writes a field.
fn put<const N: usize>(header: &mut [u8], offset: usize, field: [u8; N]) {
    header[offset..offset + N].copy_from_slice(&field);
}
