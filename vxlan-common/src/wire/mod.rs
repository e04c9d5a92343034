//! The layout of headers on the wire: one file per protocol, each with the offsets of the header's
//! fields by name, in bytes from the start of that header, and the protocol's numbers.
//!
//! Every offset and number has one home here, which the BPF programs, the daemon's raw sockets and
//! its readers of ICMP messages share. Decisions about frames are made in
//! [`inner`](crate::inner) and [`outer`](crate::outer).

pub mod arp;
pub mod ethernet;
pub mod icmp;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
pub mod ndp;
pub mod tcp;
pub mod udp;
pub mod vxlan;

pub use ethernet::HEADER_LEN as ETH_LEN;
pub use ipv4::HEADER_LEN as IPV4_LEN;
pub use ipv6::HEADER_LEN as IPV6_LEN;
pub use udp::HEADER_LEN as UDP_LEN;
pub use vxlan::HEADER_LEN as VXLAN_LEN;

/// Index of the 16-bit word that begins at byte `offset`, in a header that is written in words.
#[inline(always)]
pub const fn word(offset: usize) -> usize {
    assert!(offset.is_multiple_of(2), "a word begins at an even offset");
    offset / 2
}

/// Reads the 16-bit number in network order at `offset`. `None`: the bytes end before it does.
pub fn be16(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_be_bytes(array(bytes, offset)?))
}

/// Reads the 32-bit number in network order at `offset`. `None`: the bytes end before it does.
pub fn be32(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_be_bytes(array(bytes, offset)?))
}

/// Copies the `N` bytes at `offset`. `None`: the bytes end before them.
pub fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_network_order_and_never_past_the_end() {
        let bytes = [0x12, 0x34, 0x56, 0x78, 0x9a];
        assert_eq!((be16(&bytes, 3), be16(&bytes, 4)), (Some(0x789a), None));
        assert_eq!((be32(&bytes, 1), be32(&bytes, 2)), (Some(0x3456_789a), None));
        assert_eq!((array(&bytes, 4), array::<1>(&bytes, 6)), (Some([0x9a]), None));
    }
}
