//! The fixed IPv6 header, RFC 8200 section 3. Extension headers are payload.

use std::net::Ipv6Addr;

use bytes::{BufMut as _, BytesMut};

use super::header::header;

header!(Ipv6 {
    src: Ipv6Addr,
    dst: Ipv6Addr,
    /// DSCP and ECN.
    traffic_class: u8,
    flow_label: u32,
    hop_limit: u8,
    /// From the next layer when `None`.
    next_header: Option<u8>,
    /// From what it carries when `None`.
    payload_length: Option<u16>,
});

impl Ipv6 {
    /// Source first, as on the wire.
    pub fn new(src: Ipv6Addr, dst: Ipv6Addr) -> Self {
        Self {
            src,
            dst,
            traffic_class: 0,
            flow_label: 0,
            hop_limit: 64,
            next_header: None,
            payload_length: None,
        }
    }

    /// `next` is the protocol number of the next layer, `carried` the bytes behind the header.
    pub(super) fn header(&self, next: u8, carried: usize) -> BytesMut {
        let class = u32::from(self.traffic_class) << 20;
        let mut out = BytesMut::new();
        out.put_u32(6 << 28 | class | self.flow_label & 0xf_ffff);
        out.put_u16(self.payload_length.unwrap_or(carried as u16));
        out.put_u8(self.next_header.unwrap_or(next));
        out.put_u8(self.hop_limit);
        out.put_slice(&self.src.octets());
        out.put_slice(&self.dst.octets());
        out
    }
}
