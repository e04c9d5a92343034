//! Reads the packet that an ICMP message quotes, as far as it is one that `encap` or the prober can
//! have made: bytes in, fields out. Which of the fields are this host's is decided in
//! [`packet_too_big`](super::packet_too_big).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use vxlan_common::{
    bytes::Bytes as _,
    inner::{self, Inner, InnerError},
    outer,
    wire::{
        ETH_LEN, IPV4_LEN, IPV6_LEN, UDP_LEN, VXLAN_LEN, array, be16, ip, ipv4, ipv6, ndp, udp,
    },
};

/// As many bytes of a frame as its parser looks at, at most: a quotation with fewer may end within
/// a header.
const MAX_PARSED: usize = ETH_LEN + IPV6_LEN + ndp::MESSAGE_LEN;

/// The headers of a quoted packet.
#[derive(Debug)]
pub(super) struct Quotation<'a> {
    pub(super) source: IpAddr,
    /// Where the packet was sent to.
    pub(super) endpoint: SocketAddr,
    pub(super) source_port: u16,
    /// Length of the packet, from its IP header on.
    pub(super) length: u32,
    /// The rest. `None`: it is not quoted.
    pub(super) tunnel: Option<QuotedTunnel<'a>>,
}

/// What is quoted from the VXLAN header on.
#[derive(Debug)]
pub(super) struct QuotedTunnel<'a> {
    pub(super) vni: [u8; 3],
    /// The beginning of the inner frame.
    frame: &'a [u8],
    /// Length of the whole frame.
    frame_len: u16,
}

impl<'a> Quotation<'a> {
    /// Reads a quotation, which begins with an IP header. `None`: no packet of this program has
    /// such headers. The IPv4 identification is not looked at: the kernel numbers the segments of a
    /// GSO packet.
    pub(super) fn parse(quoted: &'a [u8], ipv6: bool) -> Option<Self> {
        let (source, destination, length, header_len): (IpAddr, IpAddr, _, _) = if ipv6 {
            if *quoted.first()? >> 4 != ipv6::VERSION
                || *quoted.get(ipv6::field::NEXT_HEADER)? != ip::PROTOCOL_UDP
            {
                return None;
            }
            (
                Ipv6Addr::from(array::<16>(quoted, ipv6::field::SOURCE)?).into(),
                Ipv6Addr::from(array::<16>(quoted, ipv6::field::DESTINATION)?).into(),
                IPV6_LEN as u32 + u32::from(be16(quoted, ipv6::field::PAYLOAD_LEN)?),
                IPV6_LEN,
            )
        } else {
            if *quoted.first()? != ipv4::VERSION_IHL
                || be16(quoted, ipv4::field::FRAGMENT)? != ipv4::DONT_FRAGMENT
                || *quoted.get(ipv4::field::PROTOCOL)? != ip::PROTOCOL_UDP
            {
                return None;
            }
            (
                Ipv4Addr::from(array::<4>(quoted, ipv4::field::SOURCE)?).into(),
                Ipv4Addr::from(array::<4>(quoted, ipv4::field::DESTINATION)?).into(),
                u32::from(be16(quoted, ipv4::field::TOTAL_LEN)?),
                IPV4_LEN,
            )
        };
        let udp = quoted.get(header_len..)?;
        // The first 8 bytes behind the IP header are quoted always (RFC 792).
        let udp_len = be16(udp, udp::field::LEN)?;
        if u32::from(udp_len) + header_len as u32 != length {
            return None;
        }
        Some(Self {
            source,
            endpoint: SocketAddr::new(destination, be16(udp, udp::field::DESTINATION_PORT)?),
            source_port: be16(udp, udp::field::SOURCE_PORT)?,
            length,
            tunnel: QuotedTunnel::parse(udp.get(UDP_LEN..)?, udp_len)?,
        })
    }
}

impl<'a> QuotedTunnel<'a> {
    /// Reads what is quoted behind the UDP header. `None`: no packet of this program has such
    /// headers. `Some(None)`: the VXLAN header is not quoted.
    fn parse(quoted: &'a [u8], udp_len: u16) -> Option<Option<Self>> {
        let Some(header) = quoted.window::<VXLAN_LEN>(0) else { return Some(None) };
        let vni = outer::vni(&header, false).ok()?;
        let frame = quoted.get(VXLAN_LEN..)?;
        let frame_len = outer::inner_len(udp_len, udp_len).ok()?;
        Some(Some(Self { vni, frame, frame_len }))
    }

    /// Reads the inner headers. `None`: `encap` sends no such frame. `Some(None)`: they are not
    /// quoted as far as they would be read.
    pub(super) fn inner(&self) -> Option<Option<Inner>> {
        match inner::parse(self.frame, 0, self.frame_len.into()) {
            Ok(inner) => Some(Some(inner)),
            Err(InnerError::Malformed) if self.frame.len() < MAX_PARSED => Some(None),
            Err(InnerError::Malformed | InnerError::Protocol) => None,
        }
    }
}
