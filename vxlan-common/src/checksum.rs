//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

use crate::{bytes::HeaderWindow, wire::IPV4_LEN};

/// One's complement sum of 16-bit words, not yet folded.
#[inline(always)]
pub const fn sum<const N: usize>(bytes: &[u8; N]) -> u32 {
    let mut total = 0u32;
    let mut i = 0;
    while i + 1 < N {
        total += u16::from_be_bytes([bytes[i], bytes[i + 1]]) as u32;
        i += 2;
    }
    if i < N {
        total += (bytes[i] as u32) << 8;
    }
    total
}

/// Folds the carries of a sum of fewer than 65,536 words into 16 bits.
#[inline(always)]
pub const fn fold(mut sum: u32) -> u16 {
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// Checksum of an IPv4 header without options. With the checksum field zero it is the value to
/// store; over a header that carries a right checksum it is 0.
#[inline(always)]
pub const fn ipv4_header(header: &[u8; IPV4_LEN]) -> u16 {
    !fold(sum(header))
}

/// [`ipv4_header`] over a received header.
#[inline(always)]
pub fn ipv4_window(header: &impl HeaderWindow) -> u16 {
    // In words as they are in memory: the sum is the same for either order of bytes, swapped like
    // each of its words (RFC 1071 section 2).
    let mut total = 0_u64;
    let mut at = 0;
    while at < IPV4_LEN {
        total += u64::from(u32::from_ne_bytes(header.be_bytes4(at)));
        at += 4;
    }
    let halves = (total & 0xffff) + (total >> 16 & 0xffff) + (total >> 32);
    !fold(halves as u32).to_be()
}

/// The checksum after one 16-bit word changed: `HC' = ~(~HC + ~m + m')` (RFC 1624 equation 3).
#[inline(always)]
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    !fold(!checksum as u32 + !old as u32 + new as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Bytes as _;

    #[test]
    fn rfc1071_section_3_example() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(sum(&bytes), 0x2ddf0);
        assert_eq!(fold(sum(&bytes)), 0xddf2);
    }

    #[test]
    fn an_odd_last_byte_is_the_high_half_of_a_word() {
        assert_eq!(sum(&[0x12, 0x34, 0x56]), 0x1234 + 0x5600);
    }

    #[test]
    fn rfc1624_section_4_example() {
        // The case that equation 4 of the same RFC gets wrong: the result must be 0x0000.
        assert_eq!(update(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn a_header_with_its_checksum_in_place_sums_to_zero() {
        let mut header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0x00, 0x00, 0xc0, 0xa8,
            0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7,
        ];
        let checksum = ipv4_header(&header);
        assert_eq!(checksum, 0xb861);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        assert_eq!(ipv4_header(&header), 0);
        header[8] -= 1;
        assert_ne!(ipv4_header(&header), 0);
    }

    #[test]
    fn a_received_header_sums_to_the_same() {
        for byte in 0..IPV4_LEN {
            for value in [0x00, 0x01, 0x7f, 0xfe, 0xff] {
                let mut header = [0xff; IPV4_LEN];
                header[byte] = value;
                let window = header[..].window::<IPV4_LEN>(0).expect("is there");
                assert_eq!(ipv4_window(&window), ipv4_header(&header), "{header:x?}");
            }
        }
    }

    #[test]
    fn update_agrees_with_a_full_sum_for_every_tos() {
        let mut header =
            [0x45, 0, 0, 84, 0x12, 0x34, 0x40, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        let before = ipv4_header(&header);
        for tos in 0..=255u8 {
            header[1] = tos;
            assert_eq!(update(before, 0x4500, 0x4500 | u16::from(tos)), ipv4_header(&header));
        }
    }
}
