//! What `--log trace` has of a dropped packet besides the reason. The daemon knows the names for
//! the numbers (`vxlan-user/src/daemon/serve/program_log.rs`).

use vxlan_common::{
    bytes::{Bytes as _, HeaderWindow},
    wire::{
        ETH_LEN, IPV4_LEN, IPV6_LEN,
        ethernet::{self, ETHERTYPE_IPV4, ETHERTYPE_IPV6},
        ipv4, ipv6,
    },
};

use crate::packet::View;

/// The bytes of an IPv6 address; an IPv4 address is mapped (RFC 4291, section 2.5.5.2).
type AddressBytes = [u8; 16];

/// Returns source and destination in the first IP header of a frame, all zero if there is none.
#[inline(always)]
pub(crate) fn addresses(frame: &View) -> (AddressBytes, AddressBytes) {
    let none = ([0; 16], [0; 16]);
    let Some(header) = frame.window::<{ ETH_LEN + IPV4_LEN }>(0) else { return none };
    let mapped = |at| {
        let [a, b, c, d] = header.be_bytes4(ETH_LEN + at);
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
    };
    match header.be_bytes2(ethernet::field::ETHERTYPE) {
        ETHERTYPE_IPV4 => (mapped(ipv4::field::SOURCE), mapped(ipv4::field::DESTINATION)),
        ETHERTYPE_IPV6 => match frame.window::<{ ETH_LEN + IPV6_LEN }>(0) {
            Some(header) => {
                (whole(&header, ipv6::field::SOURCE), whole(&header, ipv6::field::DESTINATION))
            }
            None => none,
        },
        _ => none,
    }
}

#[inline(always)]
fn whole(header: &impl HeaderWindow, at: usize) -> AddressBytes {
    let word = |number: usize| header.be_bytes4(ETH_LEN + at + number * 4);
    let ([a, b, c, d], [e, f, g, h]) = (word(0), word(1));
    let ([i, j, k, l], [m, n, o, p]) = (word(2), word(3));
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}
