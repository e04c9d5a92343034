//! An IP header of either family, for tables that run over both; and what IPv4 and IPv6 share: the
//! protocol number of what they carry, and the pseudo header of a checksum.

use std::net::IpAddr;

use super::{Ipv4, Ipv6, Layer, PROTOCOL_NONE, PROTOCOL_TCP, PROTOCOL_UDP};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ip {
    V4(Ipv4),
    V6(Ipv6),
}

impl Ip {
    /// Source first, as on the wire.
    ///
    /// # Panics
    /// When the addresses are not of one family.
    pub fn new(src: impl Into<IpAddr>, dst: impl Into<IpAddr>) -> Self {
        match (src.into(), dst.into()) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => Self::V4(Ipv4::new(src, dst)),
            (IpAddr::V6(src), IpAddr::V6(dst)) => Self::V6(Ipv6::new(src, dst)),
            (src, dst) => panic!("{src} and {dst} are not of one family"),
        }
    }

    /// # Panics
    /// When the address is of the other family.
    pub fn src(self, src: impl Into<IpAddr>) -> Self {
        match (self, src.into()) {
            (Self::V4(ip), IpAddr::V4(src)) => Self::V4(ip.src(src)),
            (Self::V6(ip), IpAddr::V6(src)) => Self::V6(ip.src(src)),
            (ip, src) => panic!("{src} is not of the family of {ip:?}"),
        }
    }

    /// # Panics
    /// When the address is of the other family.
    pub fn dst(self, dst: impl Into<IpAddr>) -> Self {
        match (self, dst.into()) {
            (Self::V4(ip), IpAddr::V4(dst)) => Self::V4(ip.dst(dst)),
            (Self::V6(ip), IpAddr::V6(dst)) => Self::V6(ip.dst(dst)),
            (ip, dst) => panic!("{dst} is not of the family of {ip:?}"),
        }
    }

    /// DSCP and ECN: IPv4's type of service, IPv6's traffic class.
    pub fn tos(self, tos: u8) -> Self {
        match self {
            Self::V4(ip) => Self::V4(ip.tos(tos)),
            Self::V6(ip) => Self::V6(ip.traffic_class(tos)),
        }
    }

    /// IPv4's time to live, IPv6's hop limit.
    pub fn ttl(self, ttl: u8) -> Self {
        match self {
            Self::V4(ip) => Self::V4(ip.ttl(ttl)),
            Self::V6(ip) => Self::V6(ip.hop_limit(ttl)),
        }
    }

    /// Claims to carry `length` bytes behind a header without options, whatever is there.
    pub fn carries(self, length: u16) -> Self {
        match self {
            Self::V4(ip) => Self::V4(ip.total_length(Some(length.wrapping_add(20)))),
            Self::V6(ip) => Self::V6(ip.payload_length(Some(length))),
        }
    }
}

impl From<Ip> for Layer {
    fn from(ip: Ip) -> Self {
        match ip {
            Ip::V4(ip) => ip.into(),
            Ip::V6(ip) => ip.into(),
        }
    }
}

/// The protocol number that announces the layer `next`; `icmp` is that of the family's ICMP.
pub(super) fn protocol(next: Option<&Layer>, icmp: u8) -> u8 {
    match next {
        Some(Layer::Udp(_)) => PROTOCOL_UDP,
        Some(Layer::Tcp(_)) => PROTOCOL_TCP,
        Some(Layer::Icmp(_)) => icmp,
        Some(Layer::Ipv4(_)) => 4,
        Some(Layer::Ipv6(_)) => 41,
        _ => PROTOCOL_NONE,
    }
}

/// RFC 768 and 9293 for IPv4, RFC 8200 section 8.1 for IPv6. Empty where no IP header is outside.
pub(super) fn pseudo_header(outside: Option<&Layer>, protocol: u8, length: usize) -> Vec<u8> {
    match outside {
        Some(Layer::Ipv4(ip)) => {
            let length = (length as u16).to_be_bytes();
            [&ip.src.octets()[..], &ip.dst.octets(), &[0, protocol], &length].concat()
        }
        Some(Layer::Ipv6(ip)) => {
            let length = (length as u32).to_be_bytes();
            [&ip.src.octets()[..], &ip.dst.octets(), &length, &[0, 0, 0, protocol]].concat()
        }
        _ => Vec::new(),
    }
}
