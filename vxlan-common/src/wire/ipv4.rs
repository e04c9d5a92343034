//! The IPv4 header (RFC 791 section 3.1).

/// Offsets of the header's fields.
pub mod field {
    /// Version in the high four bits, header length in 32-bit words in the low four.
    pub const VERSION_IHL: usize = 0;
    /// DSCP and ECN (RFC 2474, RFC 3168), formerly type of service; 1 byte.
    pub const TOS: usize = 1;
    /// Length of header and payload, 2 bytes.
    pub const TOTAL_LEN: usize = 2;
    /// Identification, 2 bytes.
    pub const IDENTIFICATION: usize = 4;
    /// Three flags and the fragment offset in units of 8 bytes, 2 bytes.
    pub const FRAGMENT: usize = 6;
    /// Time to live, 1 byte.
    pub const TTL: usize = 8;
    /// Protocol of the payload ([`crate::wire::ip`]), 1 byte.
    pub const PROTOCOL: usize = 9;
    /// Header checksum, 2 bytes.
    pub const CHECKSUM: usize = 10;
    /// Source address, 4 bytes.
    pub const SOURCE: usize = 12;
    /// Destination address, 4 bytes.
    pub const DESTINATION: usize = 16;
}

/// Length of a header without options.
pub const HEADER_LEN: usize = 20;
/// Length of a header with as many options as the length field can express.
pub const MAX_HEADER_LEN: usize = 60;
/// Length of an address.
pub const ADDRESS_LEN: usize = 4;

/// The version, in the high four bits of the first byte.
pub const VERSION: u8 = 4;
/// The first byte of a header without options.
pub const VERSION_IHL: u8 = VERSION << 4 | (HEADER_LEN / 4) as u8;
/// The low four bits of the first byte: header length in 32-bit words.
pub const IHL_MASK: u8 = 0x0f;

/// Flag DF in the fragment field: no router may fragment the packet.
pub const DONT_FRAGMENT: u16 = 0x4000;
/// Flag MF in the fragment field: another fragment follows.
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// Fragment offset in the fragment field; not zero in every fragment but the first.
pub const FRAGMENT_OFFSET_MASK: u16 = 0x1fff;

/// Length of a packet that every host must be able to receive, in bytes (RFC 791 section 3.1, RFC
/// 1122 section 3.3.2).
pub const MIN_RECEIVABLE: u32 = 576;
