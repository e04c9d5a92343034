//! The hash of a frame's flow, which outer source port and flow label are made of. Part of the
//! protocol: two hosts must come to the same number.

use super::{
    bytes::{be32, octets},
    inner::{FrameKind, Inner, TCP, UDP},
};

pub(super) fn hash(inner: &Inner<'_>) -> u32 {
    match &inner.kind {
        FrameKind::Arp(_) => mixed(0, 0, left(&inner.src), left(&inner.dst)),
        FrameKind::Ip(ip) => {
            let with_ports = matches!(ip.protocol, TCP | UDP) && !ip.is_fragment();
            let ports = if with_ports { be32(ip.payload(), 0).unwrap_or(0) } else { 0 };
            mixed(ip.protocol, ports, left(&octets(ip.src)), left(&octets(ip.dst)))
        }
    }
}

/// The bytes of an address, left in 16.
fn left(address: &[u8]) -> [u8; 16] {
    let mut words = [0; 16];
    words[..address.len()].copy_from_slice(address);
    words
}

fn mixed(protocol: u8, ports: u32, src: [u8; 16], dst: [u8; 16]) -> u32 {
    let mut state = mix(protocol.into(), ports.into());
    for (s, d) in src.chunks(4).zip(dst.chunks(4)) {
        let word = |bytes| u64::from(be32(bytes, 0).unwrap_or(0));
        state = mix(state, word(s) << 32 | word(d));
    }
    state as u32
}

fn mix(state: u64, word: u64) -> u64 {
    let s = (state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    s ^ (s >> 32)
}

/// 49152 and up: the dynamic ports of RFC 6335, as RFC 7348, section 5 would have it.
pub(super) fn source_port(hash: u32) -> u16 {
    49_152 + (hash % 16_384) as u16
}

#[cfg(test)]
mod tests {
    use super::{hash, source_port};
    use crate::{
        model::inner::Inner,
        packet::{Eth, Ipv4, Packet, Tcp},
    };

    /// The number that two hosts have agreed on.
    #[test]
    fn a_flow_with_its_known_port() {
        let frame = Packet::new()
            .with(Eth::new([2; 6], [4; 6]))
            .with(Ipv4::new([192, 168, 43, 1], [192, 168, 44, 1]))
            .with(Tcp::new(40_000, 443))
            .build();
        let inner = Inner::read(&frame).expect("is a frame");
        assert_eq!(source_port(hash(&inner)), 51_586);
    }
}
