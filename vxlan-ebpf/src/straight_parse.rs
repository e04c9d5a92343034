//! The parser of packets of the commonest form, for [`straight`](crate::straight) and
//! [`straight_tx`](crate::straight_tx): outer headers
//! without options or checksum, a whole TCP or UDP packet without options in a frame. Of any other
//! packet it says nothing.

use vxlan_common::{
    addr::{Address, IPV4, IPV6, Mac},
    bytes::{Bytes as _, HeaderWindow},
    checksum, flow,
    outer::{OVERHEAD_IPV4, OVERHEAD_IPV6},
    table::GlobalSettings,
    wire::{
        ETH_LEN, IPV4_LEN, IPV6_LEN, UDP_LEN,
        ethernet::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6},
        ip::{PROTOCOL_TCP, PROTOCOL_UDP},
        ipv4, ipv6, tcp, udp, vxlan,
    },
};

use crate::{packet::View, scratch::OuterRx};

/// The inner frame, as far as this way needs it.
pub(crate) struct PlainFrame {
    pub(crate) destination_mac: Mac,
    pub(crate) source_mac: Mac,
    pub(crate) family: u8,
    pub(crate) source: Address,
    pub(crate) destination: Address,
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
    pub(crate) protocol: u8,
    /// Source and destination port, as 32 bits.
    pub(crate) ports: u32,
}

impl PlainFrame {
    /// What the sender's port is derived from.
    #[inline(always)]
    pub(crate) const fn flow_hash(&self) -> u32 {
        flow::hash(&self.source, &self.destination, self.ports, self.protocol)
    }

    /// UDP to a port of VXLAN. Such packets have rules of their own.
    #[inline(always)]
    pub(crate) fn is_vxlan(&self, settings: &GlobalSettings) -> bool {
        self.protocol == PROTOCOL_UDP
            && vxlan::is_port(self.ports as u16, u16::from_be_bytes(settings.port))
    }
}

/// Parses outer headers of the commonest form.
#[inline(always)]
pub(crate) fn parse_outer_ipv4(packet: &View, settings: &GlobalSettings) -> Option<OuterRx> {
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
    if !to_us || !plain {
        return None;
    }
    let outer = parse_udp(&headers, UDP, settings)?;
    if checksum::ipv4_window(&packet.window::<IPV4_LEN>(ETH_LEN)?) != 0 {
        return None;
    }
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

#[inline(always)]
pub(crate) fn parse_outer_ipv6(packet: &View, settings: &GlobalSettings) -> Option<OuterRx> {
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
pub(crate) fn parse_frame(packet: &View, at: usize, len: u32) -> Option<PlainFrame> {
    let eth = packet.window::<ETH_LEN>(at)?;
    let frame = match eth.be_bytes2(ethernet::field::ETHERTYPE) {
        ETHERTYPE_IPV4 => parse_ipv4(packet, at + ETH_LEN, len)?,
        ETHERTYPE_IPV6 => parse_ipv6(packet, at + ETH_LEN, len)?,
        _ => return None,
    };
    Some(PlainFrame {
        destination_mac: Mac::read(&eth, ethernet::field::DESTINATION),
        source_mac: Mac::read(&eth, ethernet::field::SOURCE),
        ..frame
    })
}

#[inline(always)]
fn parse_ipv4(packet: &View, at: usize, len: u32) -> Option<PlainFrame> {
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
    Some(PlainFrame {
        destination_mac: Mac::ZERO,
        source_mac: Mac::ZERO,
        family: IPV4,
        source: Address::ipv4(header.be_bytes4(ipv4::field::SOURCE)),
        destination: Address::ipv4(header.be_bytes4(ipv4::field::DESTINATION)),
        tos: header.byte(ipv4::field::TOS),
        ttl: header.byte(ipv4::field::TTL),
        protocol,
        ports: header.be32(IPV4_LEN),
    })
}

#[inline(always)]
fn parse_ipv6(packet: &View, at: usize, len: u32) -> Option<PlainFrame> {
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
    Some(PlainFrame {
        destination_mac: Mac::ZERO,
        source_mac: Mac::ZERO,
        family: IPV6,
        source: Address::read_ipv6(&header, ipv6::field::SOURCE),
        destination: Address::read_ipv6(&header, ipv6::field::DESTINATION),
        tos: (version_class >> ipv6::CLASS_SHIFT) as u8,
        ttl: header.byte(ipv6::field::HOP_LIMIT),
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
