//! One layer of a frame, and how it is written around what it carries: types and pseudo headers
//! follow from its neighbours.

use bytes::BytesMut;

use super::{
    Arp, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_NONE, ETHERTYPE_VLAN, Eth, Icmp,
    Ip, Ipv4, Ipv6, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_NONE, PROTOCOL_TCP, PROTOCOL_UDP, Tcp,
    Udp, Vlan, Vxlan,
};

/// One layer of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    Eth(Eth),
    Vlan(Vlan),
    Ipv4(Ipv4),
    Ipv6(Ipv6),
    Udp(Udp),
    Tcp(Tcp),
    Icmp(Icmp),
    Arp(Arp),
    Vxlan(Vxlan),
    Bytes(Vec<u8>),
}

macro_rules! layer_from {
    ($($header:ident)+) => {
        $(impl From<$header> for Layer {
            fn from(header: $header) -> Self {
                Self::$header(header)
            }
        })+
    };
}

layer_from! { Eth Vlan Ipv4 Ipv6 Udp Tcp Icmp Arp Vxlan }

impl From<Ip> for Layer {
    fn from(ip: Ip) -> Self {
        match ip {
            Ip::V4(ip) => ip.into(),
            Ip::V6(ip) => ip.into(),
        }
    }
}

impl Layer {
    /// Writes this layer around `inside`. The neighbours settle types and pseudo headers.
    pub(super) fn wrap(
        &self,
        outside: Option<&Self>,
        next: Option<&Self>,
        inside: &[u8],
    ) -> BytesMut {
        let pseudo = |protocol| move |length| pseudo_header(outside, protocol, length);
        let carried = inside.len();
        let mut out = match self {
            Self::Eth(eth) => eth.header(ethertype(next)),
            Self::Vlan(vlan) => vlan.header(ethertype(next)),
            Self::Ipv4(ip) => ip.header(protocol(next, PROTOCOL_ICMP), carried),
            Self::Ipv6(ip) => ip.header(protocol(next, PROTOCOL_ICMPV6), carried),
            Self::Udp(udp) => udp.header(pseudo(PROTOCOL_UDP), inside),
            Self::Tcp(tcp) => tcp.header(pseudo(PROTOCOL_TCP), inside),
            Self::Icmp(icmp) if matches!(outside, Some(Self::Ipv6(_))) => {
                icmp.header(pseudo(PROTOCOL_ICMPV6), inside)
            }
            Self::Icmp(icmp) => icmp.header(|_| Vec::new(), inside),
            Self::Arp(arp) => arp.header(),
            Self::Vxlan(vxlan) => vxlan.header(),
            Self::Bytes(bytes) => bytes[..].into(),
        };
        out.extend_from_slice(inside);
        out
    }
}

/// The EtherType that announces the layer `next`.
fn ethertype(next: Option<&Layer>) -> u16 {
    match next {
        Some(Layer::Vlan(_)) => ETHERTYPE_VLAN,
        Some(Layer::Ipv4(_)) => ETHERTYPE_IPV4,
        Some(Layer::Ipv6(_)) => ETHERTYPE_IPV6,
        Some(Layer::Arp(_)) => ETHERTYPE_ARP,
        _ => ETHERTYPE_NONE,
    }
}

/// The protocol number that announces the layer `next`; `icmp` is that of the family's ICMP.
fn protocol(next: Option<&Layer>, icmp: u8) -> u8 {
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
fn pseudo_header(outside: Option<&Layer>, protocol: u8, length: usize) -> Vec<u8> {
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
