//! The TCP header, RFC 9293 section 3.1.

use bytes::{BufMut as _, BytesMut};

use super::{
    checksum::{Checksum, set_u16},
    flags,
    header::header,
};

header!(Tcp {
    src_port: u16,
    dst_port: u16,
    seq: u32,
    ack: u32,
    /// See [`flags`].
    flags: u8,
    window: u16,
    /// A multiple of four bytes.
    options: Vec<u8>,
    checksum: Checksum,
});

impl Tcp {
    /// Source first, as on the wire. A segment in the middle of a connection.
    pub fn new(src_port: u16, dst_port: u16) -> Self {
        Self {
            src_port,
            dst_port,
            seq: 1,
            ack: 1,
            flags: flags::ACK,
            window: 0xffff,
            options: Vec::new(),
            checksum: Checksum::Right,
        }
    }

    /// `pseudo` makes the pseudo header for a length.
    pub(super) fn header(&self, pseudo: impl Fn(usize) -> Vec<u8>, inside: &[u8]) -> BytesMut {
        let length = 20 + self.options.len();
        let mut out = BytesMut::new();
        out.put_u16(self.src_port);
        out.put_u16(self.dst_port);
        out.put_u32(self.seq);
        out.put_u32(self.ack);
        out.put_u8(((length / 4) << 4) as u8);
        out.put_u8(self.flags);
        out.put_u16(self.window);
        out.put_u32(0);
        out.put_slice(&self.options);
        let pseudo = pseudo(length + inside.len());
        let checksum = self.checksum.over(&[&pseudo, &out, inside]);
        set_u16(&mut out, 16, checksum);
        out
    }
}
