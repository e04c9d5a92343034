//! The Internet checksum, RFC 1071, in its plainest form.

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
