//! ICMP, RFC 792, and ICMPv6, RFC 4443, with the messages of neighbour discovery, RFC 4861.

use std::net::Ipv6Addr;

use bytes::{BufMut as _, BytesMut};

use super::{
    Mac,
    checksum::{Checksum, set_u16},
    header::header,
};

header!(
    /// ICMP inside IPv4, ICMPv6 inside IPv6: the checksum follows the layer outside.
    Icmp {
        kind: u8,
        code: u8,
        /// What follows the checksum.
        body: Vec<u8>,
        checksum: Checksum,
    }
);

impl Icmp {
    pub fn new(kind: u8, code: u8, body: Vec<u8>) -> Self {
        Self { kind, code, body, checksum: Checksum::Right }
    }

    pub fn echo_request(id: u16, sequence: u16) -> Self {
        Self::new(8, 0, [id.to_be_bytes(), sequence.to_be_bytes()].concat())
    }

    pub fn echo_reply(id: u16, sequence: u16) -> Self {
        Self::echo_request(id, sequence).kind(0)
    }

    pub fn echo_request_v6(id: u16, sequence: u16) -> Self {
        Self::echo_request(id, sequence).kind(128)
    }

    pub fn echo_reply_v6(id: u16, sequence: u16) -> Self {
        Self::echo_request(id, sequence).kind(129)
    }

    /// Who has `target`? With the sender's MAC as an option.
    pub fn neighbour_solicitation(target: Ipv6Addr, mac: Mac) -> Self {
        let body = [&[0; 4][..], &target.octets(), &[1, 1], &mac].concat();
        Self::new(135, 0, body)
    }

    /// `target` is at `mac`: solicited, overriding.
    pub fn neighbour_advertisement(target: Ipv6Addr, mac: Mac) -> Self {
        let body = [&[0x60, 0, 0, 0][..], &target.octets(), &[2, 1], &mac].concat();
        Self::new(136, 0, body)
    }

    /// `pseudo` makes the pseudo header for a length: ICMPv6 has one, ICMP has none.
    pub(super) fn header(&self, pseudo: impl Fn(usize) -> Vec<u8>, inside: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        out.put_u8(self.kind);
        out.put_u8(self.code);
        out.put_u16(0);
        out.put_slice(&self.body);
        let pseudo = pseudo(out.len() + inside.len());
        let checksum = self.checksum.over(&[&pseudo, &out, inside]);
        set_u16(&mut out, 2, checksum);
        out
    }
}
