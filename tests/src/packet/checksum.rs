//! The Internet checksum, RFC 1071, in its plainest form, and what a checksum field may hold.

use bytes::BytesMut;

/// The one's complement sum of 16-bit words, folded. An odd last byte counts as a high byte.
pub fn ones_complement_sum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    // Parts are joined first, as an odd part shifts the words of the next.
    let bytes = parts.concat();
    for word in bytes.chunks(2) {
        let low = word.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([word[0], low]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// What goes into a checksum field that was zero while summing.
pub fn internet_checksum(parts: &[&[u8]]) -> u16 {
    !ones_complement_sum(parts)
}

/// What a checksum field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    Right,
    Zero,
    /// The right one with one bit turned.
    Wrong,
    Value(u16),
}

impl Checksum {
    /// What stands in the field when the sum is over `parts`.
    pub(super) fn over(self, parts: &[&[u8]]) -> u16 {
        match self {
            Self::Right => internet_checksum(parts),
            Self::Zero => 0,
            Self::Wrong => internet_checksum(parts) ^ 0x0100,
            Self::Value(value) => value,
        }
    }
}

pub(super) fn set_u16(out: &mut BytesMut, at: usize, value: u16) {
    out[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::{internet_checksum, ones_complement_sum};

    #[test]
    fn rfc_1071_section_3_example() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(ones_complement_sum(&[&bytes]), 0xddf2);
        assert_eq!(ones_complement_sum(&[&bytes[..3], &bytes[3..]]), 0xddf2);
        assert_eq!(internet_checksum(&[&bytes]), 0x220d);
    }

    #[test]
    fn an_odd_byte_is_a_high_byte() {
        assert_eq!(ones_complement_sum(&[&[0x12, 0x34, 0x56]]), 0x1234 + 0x5600);
    }
}
