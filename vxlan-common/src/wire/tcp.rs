//! The TCP header (RFC 9293 section 3.1) and its options (section 3.2).

/// Offsets of the header's fields.
pub mod field {
    /// Source port, 2 bytes; source and destination port together are 4.
    pub const SOURCE_PORT: usize = 0;
    /// Destination port, 2 bytes.
    pub const DESTINATION_PORT: usize = 2;
    /// Header length in 32-bit words, in the high four bits; 1 byte.
    pub const DATA_OFFSET: usize = 12;
    /// Flags, 1 byte.
    pub const FLAGS: usize = 13;
    /// Checksum over pseudo-header, header and data, 2 bytes.
    pub const CHECKSUM: usize = 16;
}

/// Offsets in an option that is longer than its kind.
pub mod option {
    /// Kind, 1 byte.
    pub const KIND: usize = 0;
    /// Length with kind and length, 1 byte.
    pub const LEN: usize = 1;
    /// Value of the option "maximum segment size", 2 bytes.
    pub const MSS_VALUE: usize = 2;
}

/// Length of a header without options.
pub const HEADER_LEN: usize = 20;
/// Length of a header with as many options as the data offset can express.
pub const MAX_HEADER_LEN: usize = 60;
/// The most bytes of options.
pub const MAX_OPTIONS_LEN: usize = MAX_HEADER_LEN - HEADER_LEN;
/// Flag SYN.
pub const FLAG_SYN: u8 = 0x02;
/// Option kind: end of the list.
pub const OPTION_END: u8 = 0;
/// Option kind: no operation.
pub const OPTION_NOP: u8 = 1;
/// Option kind: maximum segment size.
pub const OPTION_MSS: u8 = 2;
/// Length of the option "maximum segment size".
pub const OPTION_MSS_LEN: u8 = 4;
