//! The Ethernet header and the 802.1Q tag.

use bytes::{BufMut as _, BytesMut};

use super::{
    ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_NONE, ETHERTYPE_VLAN, Mac,
    layer::{Layer, layer},
};

layer!(Eth {
    dst: Mac,
    src: Mac,
    /// From the next layer when `None`.
    ethertype: Option<u16>,
});

impl Eth {
    /// Destination first, as on the wire.
    pub fn new(dst: Mac, src: Mac) -> Self {
        Self { dst, src, ethertype: None }
    }

    pub(super) fn header(&self, next: Option<&Layer>) -> BytesMut {
        let mut out = BytesMut::new();
        out.put_slice(&self.dst);
        out.put_slice(&self.src);
        out.put_u16(self.ethertype.unwrap_or_else(|| ethertype(next)));
        out
    }
}

layer!(
    /// An 802.1Q tag; goes between [`Eth`] and what it tags.
    Vlan {
        id: u16,
        /// From the next layer when `None`.
        ethertype: Option<u16>,
    }
);

impl Vlan {
    pub fn new(id: u16) -> Self {
        Self { id, ethertype: None }
    }

    pub(super) fn header(&self, next: Option<&Layer>) -> BytesMut {
        let mut out = BytesMut::new();
        out.put_u16(self.id);
        out.put_u16(self.ethertype.unwrap_or_else(|| ethertype(next)));
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
