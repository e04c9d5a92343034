//! The Ethernet header and the 802.1Q tag.

use bytes::{BufMut as _, BytesMut};

use super::{Mac, header::header};

header!(Eth {
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

    /// `next` is the EtherType of the next layer.
    pub(super) fn header(&self, next: u16) -> BytesMut {
        let mut out = BytesMut::new();
        out.put_slice(&self.dst);
        out.put_slice(&self.src);
        out.put_u16(self.ethertype.unwrap_or(next));
        out
    }
}

header!(
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

    /// `next` is the EtherType of the next layer.
    pub(super) fn header(&self, next: u16) -> BytesMut {
        let mut out = BytesMut::new();
        out.put_u16(self.id);
        out.put_u16(self.ethertype.unwrap_or(next));
        out
    }
}
