//! The IPv4 header, RFC 791.

use std::net::Ipv4Addr;

use bytes::{BufMut as _, BytesMut};

use super::{
    checksum::{Checksum, set_u16},
    flags,
    header::header,
};

header!(Ipv4 {
    src: Ipv4Addr,
    dst: Ipv4Addr,
    /// DSCP and ECN.
    tos: u8,
    id: u16,
    /// Flags and fragment offset, see [`flags`].
    fragment: u16,
    ttl: u8,
    /// From the next layer when `None`.
    protocol: Option<u8>,
    /// A multiple of four bytes.
    options: Vec<u8>,
    /// Version and header length as one byte; from the options when `None`.
    version_ihl: Option<u8>,
    /// From what it carries when `None`.
    total_length: Option<u16>,
    checksum: Checksum,
});

impl Ipv4 {
    /// Source first, as on the wire. DF is set, as in what a TCP or VXLAN sender emits.
    pub fn new(src: impl Into<Ipv4Addr>, dst: impl Into<Ipv4Addr>) -> Self {
        Self {
            src: src.into(),
            dst: dst.into(),
            tos: 0,
            id: 0,
            fragment: flags::DF,
            ttl: 64,
            protocol: None,
            options: Vec::new(),
            version_ihl: None,
            total_length: None,
            checksum: Checksum::Right,
        }
    }

    /// `next` is the protocol number of the next layer, `carried` the bytes behind the header.
    pub(super) fn header(&self, next: u8, carried: usize) -> BytesMut {
        let length = 20 + self.options.len();
        let mut out = BytesMut::new();
        out.put_u8(self.version_ihl.unwrap_or(0x40 | (length / 4) as u8));
        out.put_u8(self.tos);
        out.put_u16(self.total_length.unwrap_or((length + carried) as u16));
        out.put_u16(self.id);
        out.put_u16(self.fragment);
        out.put_u8(self.ttl);
        out.put_u8(self.protocol.unwrap_or(next));
        out.put_u16(0);
        out.put_slice(&self.src.octets());
        out.put_slice(&self.dst.octets());
        out.put_slice(&self.options);
        let checksum = self.checksum.over(&[&out]);
        set_u16(&mut out, 10, checksum);
        out
    }
}
