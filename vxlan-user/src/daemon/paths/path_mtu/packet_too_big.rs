//! Decides which ICMP messages about packets that are too big are believed. Pure: bytes in, a
//! report out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use vxlan_common::{
    addr::IPV6,
    wire::{IPV4_LEN, IPV6_LEN, UDP_LEN, array, be16, be32, icmp, ip, ipv4, ipv6, udp, vxlan},
};

use crate::plan::{Plan, entry_endpoint};

/// MTUs that links really have, for routers that do not report theirs (RFC 1191, section 7).
const PLATEAUS: [u32; 8] = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508];

/// Type and code of the messages that are read here.
const V4_TYPE_CODE: [u8; 2] = [icmp::DESTINATION_UNREACHABLE, icmp::FRAGMENTATION_NEEDED];
const V6_TYPE_CODE: [u8; 2] = [icmp::V6_PACKET_TOO_BIG, 0];

/// What the outer headers of the packets of this host hold.
#[derive(Debug)]
pub(in crate::daemon) struct OwnPackets {
    /// Where packets leave from, and what a NAT makes of that.
    pub(super) addresses: Vec<IpAddr>,
    /// The source port, unless it is made from the flow.
    pub(super) fixed_source_port: Option<u16>,
    pub(super) vnis: Vec<[u8; 3]>,
    /// Where packets are sent.
    pub(super) endpoints: Vec<SocketAddr>,
}

/// The report of a believable message.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::daemon) struct PacketTooBig {
    pub(in crate::daemon) endpoint: SocketAddr,
    pub(in crate::daemon) mtu: u32,
}

impl OwnPackets {
    /// Collects the fields from the plan.
    pub(in crate::daemon) fn from_plan(plan: &Plan) -> Self {
        let settings = &plan.settings;
        let v4 = [settings.address, settings.public_address].map(Ipv4Addr::from);
        let v6 = [settings.address6, settings.public_address6].map(|at| at.to_ip(IPV6));
        let addresses = v4.into_iter().map(IpAddr::V4).chain(v6);
        let port = u16::from_be_bytes(settings.port);
        Self {
            addresses: addresses.filter(|address| !address.is_unspecified()).collect(),
            fixed_source_port: (settings.fixed_source_port != 0).then_some(port),
            vnis: plan.networks.iter().map(|network| network.vni).collect(),
            // An endpoint that is not learned yet is unspecified, and no packet goes there.
            endpoints: plan.peers.iter().map(entry_endpoint).collect(),
        }
    }

    /// Parses a message that begins with its ICMP header. A sender that knows the outer addresses
    /// and a VNI can forge a believable message (over IPv4 also without the VNI, because not every
    /// router quotes as much), and can then lower the path MTU of that peer, within limits.
    pub(in crate::daemon) fn parse(&self, message: &[u8], ipv6: bool) -> Option<PacketTooBig> {
        let quoted = message.get(icmp::HEADER_LEN..)?;
        if ipv6 {
            let mtu = be32(message, icmp::field::PACKET_TOO_BIG_MTU)?;
            let endpoint = self.parse_quoted_v6(quoted)?;
            let length = IPV6_LEN as u32 + u32::from(be16(quoted, ipv6::field::PAYLOAD_LEN)?);
            // RFC 8201, section 4: a message with an MTU below the minimum must be discarded.
            let possible = mtu >= ipv6::MIN_MTU && length > mtu;
            return (is_packet_too_big(message, true) && possible)
                .then_some(PacketTooBig { endpoint, mtu });
        }
        if !is_packet_too_big(message, false) || !checksum_is_right(message) {
            return None;
        }
        let endpoint = self.parse_quoted_v4(quoted)?;
        let reported = u32::from(be16(message, icmp::field::NEXT_HOP_MTU)?);
        let length = u32::from(be16(quoted, ipv4::field::TOTAL_LEN)?);
        let mtu = if reported == 0 { plateau_below(length) } else { reported };
        // A packet that fits was not dropped for its length.
        if length <= mtu {
            return None;
        }
        Some(PacketTooBig { endpoint, mtu: mtu.max(ipv4::MIN_RECEIVABLE) })
    }

    fn parse_quoted_v4(&self, quoted: &[u8]) -> Option<SocketAddr> {
        // Every packet of this host has identification zero and DF.
        let never_fragmented = be16(quoted, ipv4::field::IDENTIFICATION)? == 0
            && be16(quoted, ipv4::field::FRAGMENT)? == ipv4::DONT_FRAGMENT;
        if quoted[ipv4::field::VERSION_IHL] != ipv4::VERSION_IHL
            || !never_fragmented
            || *quoted.get(ipv4::field::PROTOCOL)? != ip::PROTOCOL_UDP
        {
            return None;
        }
        let source = Ipv4Addr::from(array::<4>(quoted, ipv4::field::SOURCE)?);
        let destination = Ipv4Addr::from(array::<4>(quoted, ipv4::field::DESTINATION)?);
        self.parse_quoted_udp(source.into(), destination.into(), quoted.get(IPV4_LEN..)?, false)
    }

    fn parse_quoted_v6(&self, quoted: &[u8]) -> Option<SocketAddr> {
        if *quoted.first()? >> 4 != ipv6::VERSION
            || *quoted.get(ipv6::field::NEXT_HEADER)? != ip::PROTOCOL_UDP
        {
            return None;
        }
        let source = Ipv6Addr::from(array::<16>(quoted, ipv6::field::SOURCE)?);
        let destination = Ipv6Addr::from(array::<16>(quoted, ipv6::field::DESTINATION)?);
        // An IPv6 router quotes as much as fits (RFC 4443, section 2.4).
        self.parse_quoted_udp(source.into(), destination.into(), quoted.get(IPV6_LEN..)?, true)
    }

    /// Parses a quotation from its UDP header on, of which the ports must be there, and with
    /// `whole` the VXLAN header too.
    fn parse_quoted_udp(
        &self,
        from: IpAddr,
        to: IpAddr,
        udp: &[u8],
        whole: bool,
    ) -> Option<SocketAddr> {
        let source_port = be16(udp, udp::field::SOURCE_PORT)?;
        let endpoint = SocketAddr::new(to, be16(udp, udp::field::DESTINATION_PORT)?);
        let is_source_port = match self.fixed_source_port {
            Some(port) => source_port == port,
            None => source_port >= udp::FIRST_DYNAMIC_PORT,
        };
        let vni = array(udp, UDP_LEN + vxlan::field::VNI);
        let is_vni = vni.map_or(!whole, |vni| self.vnis.contains(&vni));
        let is_own = self.addresses.contains(&from) && self.endpoints.contains(&endpoint);
        (is_own && is_source_port && is_vni).then_some(endpoint)
    }
}

/// Returns whether a message, which begins with its ICMP header, is of the type and code that
/// [`OwnPackets::parse`] reads.
pub(in crate::daemon) fn is_packet_too_big(message: &[u8], ipv6: bool) -> bool {
    message.starts_with(if ipv6 { &V6_TYPE_CODE } else { &V4_TYPE_CODE })
}

/// Verifies the checksum of an ICMP message, which the kernel does not do for raw sockets. With the
/// checksum in place, the words of a message sum up to all ones (RFC 1071).
fn checksum_is_right(message: &[u8]) -> bool {
    let word = |pair: &[u8]| u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u64::from(*low));
    let sum: u64 = message.chunks(2).map(word).sum();
    sum != 0 && sum.is_multiple_of(0xffff)
}

/// Returns the next smaller MTU that links really have, for a packet of this length.
fn plateau_below(length: u32) -> u32 {
    PLATEAUS.into_iter().find(|plateau| *plateau < length).unwrap_or(ipv4::MIN_RECEIVABLE)
}
