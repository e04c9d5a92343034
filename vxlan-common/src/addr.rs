//! Addresses as keys and values hold them: wire bytes in four-byte alignment, so that programs move
//! them in words.

use crate::bytes::HeaderWindow;

/// Family of an [`Address`]: IPv4. The address is in the first four bytes, the others are zero.
pub const IPV4: u8 = 4;
/// Family of an [`Address`]: IPv6. The address is all sixteen bytes.
pub const IPV6: u8 = 6;

/// An IP address in network order, left-aligned. Its family is stored beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C, align(4))]
pub struct Address(pub [[u8; 4]; 4]);

impl Address {
    /// All zero: unspecified, in both families.
    pub const ZERO: Self = Self([[0; 4]; 4]);

    /// An IPv4 address.
    #[inline(always)]
    pub const fn ipv4(octets: [u8; 4]) -> Self {
        Self([octets, [0; 4], [0; 4], [0; 4]])
    }

    /// An IPv6 address.
    pub const fn ipv6(o: [u8; 16]) -> Self {
        Self([
            [o[0], o[1], o[2], o[3]],
            [o[4], o[5], o[6], o[7]],
            [o[8], o[9], o[10], o[11]],
            [o[12], o[13], o[14], o[15]],
        ])
    }

    /// The IPv6 address at `at` of a window.
    #[inline(always)]
    pub fn read_ipv6(window: &impl HeaderWindow, at: usize) -> Self {
        Self([
            window.be_bytes4(at),
            window.be_bytes4(at + 4),
            window.be_bytes4(at + 8),
            window.be_bytes4(at + 12),
        ])
    }

    /// Converts to the standard library's type; `family` says which part of the address is used.
    #[cfg(feature = "user")]
    pub fn to_ip(&self, family: u8) -> core::net::IpAddr {
        let mut octets = [0; 16];
        octets.copy_from_slice(self.0.as_flattened());
        if family == IPV6 { octets.into() } else { self.first().into() }
    }

    /// The first four bytes: the whole of an IPv4 address.
    #[inline(always)]
    pub const fn first(&self) -> [u8; 4] {
        self.0[0]
    }

    /// The addresses are equal. Compares words, which in BPF is cheaper than `==` on bytes.
    #[inline(always)]
    pub const fn equals(&self, other: &Self) -> bool {
        let (a, b) = (self, other);
        a.be32(0) == b.be32(0)
            && a.be32(1) == b.be32(1)
            && a.be32(2) == b.be32(2)
            && a.be32(3) == b.be32(3)
    }

    /// All words in one, for hashes: of an IPv4 address, the address.
    #[inline(always)]
    pub const fn folded(&self) -> u32 {
        self.be32(0) ^ self.be32(1) ^ self.be32(2) ^ self.be32(3)
    }

    /// The 16-bit word `at` 0 to 7, as on the wire.
    #[inline(always)]
    pub const fn net16(&self, at: usize) -> u16 {
        let [a, b, c, d] = self.0[at / 2];
        if at & 1 == 0 { u16::from_ne_bytes([a, b]) } else { u16::from_ne_bytes([c, d]) }
    }

    /// The 32-bit word `at` 0 to 3, as a number.
    #[inline(always)]
    pub const fn be32(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.0[at])
    }
}

/// A MAC address, padded with two zero bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C, align(4))]
pub struct Mac {
    head: [u8; 4],
    tail: [u8; 4],
}

impl Mac {
    /// All zero: no MAC address.
    pub const ZERO: Self = Self::new([0; 6]);
    /// All ones.
    pub const BROADCAST: Self = Self::new([0xff; 6]);

    /// A MAC address from its six bytes.
    pub const fn new(m: [u8; 6]) -> Self {
        Self { head: [m[0], m[1], m[2], m[3]], tail: [m[4], m[5], 0, 0] }
    }

    /// The MAC address at `at` of a window.
    #[inline(always)]
    pub fn read(window: &impl HeaderWindow, at: usize) -> Self {
        let [e, f] = window.be_bytes2(at + 4);
        Self { head: window.be_bytes4(at), tail: [e, f, 0, 0] }
    }

    /// The six bytes.
    #[inline(always)]
    pub const fn octets(&self) -> [u8; 6] {
        let (h, t) = (self.head, self.tail);
        [h[0], h[1], h[2], h[3], t[0], t[1]]
    }

    /// The MAC address at the start of an [`Address`] whose other bytes are zero.
    #[inline(always)]
    pub const fn padded(&self) -> Address {
        Address([self.head, self.tail, [0; 4], [0; 4]])
    }

    /// The 16-bit word `at` 0 to 2, as on the wire.
    #[inline(always)]
    pub const fn net16(&self, at: usize) -> u16 {
        let [a, b, c, d] = self.head;
        let [e, f, _, _] = self.tail;
        match at {
            0 => u16::from_ne_bytes([a, b]),
            1 => u16::from_ne_bytes([c, d]),
            _ => u16::from_ne_bytes([e, f]),
        }
    }

    /// The MAC address as two words, which are cheaper to compare than bytes.
    #[inline(always)]
    const fn words(&self) -> (u32, u32) {
        (u32::from_ne_bytes(self.head), u32::from_ne_bytes(self.tail))
    }

    /// The MAC addresses are equal.
    #[inline(always)]
    pub const fn equals(&self, other: &Self) -> bool {
        let (a, b) = (self.words(), other.words());
        a.0 == b.0 && a.1 == b.1
    }

    /// The MAC address is multicast or broadcast (IEEE 802: the I/G bit).
    #[inline(always)]
    pub const fn is_group(&self) -> bool {
        self.head[0] & 1 != 0
    }

    /// The last byte.
    #[inline(always)]
    pub const fn last(&self) -> u8 {
        self.tail[1]
    }

    /// The same address with another last byte.
    #[inline(always)]
    pub const fn with_last(&self, last: u8) -> Self {
        Self { head: self.head, tail: [self.tail[0], last, 0, 0] }
    }
}

const _: () = assert!(size_of::<Address>() == 16 && size_of::<Mac>() == 8);

#[cfg(feature = "user")]
// SAFETY: repr(C) of bytes that fill its size: no padding, every bit pattern is a value.
unsafe impl aya::Pod for Mac {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Bytes as _;

    #[test]
    fn a_mac_survives_writing_and_reading() {
        let packet: &[u8] = &[9, 2, 0, 0, 0x44, 1, 0xfe, 9];
        let mac = packet.window::<8>(0).map(|window| Mac::read(&window, 1));
        assert_eq!(mac, Some(Mac::new([2, 0, 0, 0x44, 1, 0xfe])));
        assert_eq!(mac.map(|mac| mac.octets()), Some([2, 0, 0, 0x44, 1, 0xfe]));
    }

    #[test]
    fn every_byte_of_a_mac_counts() {
        let base = Mac::new([2, 3, 4, 5, 6, 7]);
        assert!(base.equals(&Mac::new([2, 3, 4, 5, 6, 7])));
        for at in 0..6 {
            let mut other = base.octets();
            other[at] ^= 0x80;
            assert!(!base.equals(&Mac::new(other)), "byte {at}");
        }
        assert!(base.with_last(9).equals(&Mac::new([2, 3, 4, 5, 6, 9])));
    }
}
