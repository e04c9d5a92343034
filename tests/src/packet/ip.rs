//! An IP header of either family, for tables that run over both.

use std::net::IpAddr;

use super::{Ipv4, Ipv6};

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
