//! The UDP header, RFC 768.

use bytes::{BufMut as _, BytesMut};

use super::{
    VXLAN_PORT,
    checksum::{Checksum, set_u16},
    header::header,
};

header!(Udp {
    src_port: u16,
    dst_port: u16,
    /// From what it carries when `None`.
    length: Option<u16>,
    checksum: Checksum,
});

impl Udp {
    /// Source first, as on the wire.
    pub fn new(src_port: u16, dst_port: u16) -> Self {
        Self { src_port, dst_port, length: None, checksum: Checksum::Right }
    }

    /// As VXLAN senders write it: to port 4789, without a checksum.
    pub fn vxlan(src_port: u16) -> Self {
        Self { checksum: Checksum::Zero, ..Self::new(src_port, VXLAN_PORT) }
    }

    /// `pseudo` makes the pseudo header for a length.
    pub(super) fn header(&self, pseudo: impl Fn(usize) -> Vec<u8>, inside: &[u8]) -> BytesMut {
        let length = 8 + inside.len();
        let mut out = BytesMut::new();
        out.put_u16(self.src_port);
        out.put_u16(self.dst_port);
        out.put_u16(self.length.unwrap_or(length as u16));
        out.put_u16(0);
        let pseudo = pseudo(length);
        let mut checksum = self.checksum.over(&[&pseudo, &out, inside]);
        if self.checksum == Checksum::Right && checksum == 0 {
            checksum = 0xffff; // 0 would say "no checksum"
        }
        set_u16(&mut out, 6, checksum);
        out
    }
}
