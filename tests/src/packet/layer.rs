//! One layer of a frame, and how it is written around what it carries.

use bytes::BytesMut;

use super::{Arp, Eth, Icmp, Ipv4, Ipv6, Tcp, Udp, Vlan, Vxlan};

/// Gives a struct one chainable method per field.
macro_rules! layer {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl $name {
            $($(#[$field_doc])*
            pub fn $field(mut self, $field: $type) -> Self {
                self.$field = $field;
                self
            })*
        }

        impl From<$name> for $crate::packet::Layer {
            fn from(layer: $name) -> Self {
                Self::$name(layer)
            }
        }
    };
}
pub(super) use layer;

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

impl Layer {
    /// Writes this layer around `inside`. The neighbours settle types and pseudo headers.
    pub(super) fn wrap(
        &self,
        outside: Option<&Self>,
        next: Option<&Self>,
        inside: &[u8],
    ) -> BytesMut {
        let mut out = match self {
            Self::Eth(eth) => eth.header(next),
            Self::Vlan(vlan) => vlan.header(next),
            Self::Ipv4(ip) => ip.header(next, inside.len()),
            Self::Ipv6(ip) => ip.header(next, inside.len()),
            Self::Udp(udp) => udp.header(outside, inside),
            Self::Tcp(tcp) => tcp.header(outside, inside),
            Self::Icmp(icmp) => icmp.header(outside, inside),
            Self::Arp(arp) => arp.header(),
            Self::Vxlan(vxlan) => vxlan.header(),
            Self::Bytes(bytes) => bytes[..].into(),
        };
        out.extend_from_slice(inside);
        out
    }
}
