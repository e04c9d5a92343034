//! The UDP header (RFC 768).

/// Offsets of the header's fields.
pub mod field {
    /// Source port, 2 bytes; source and destination port together are 4.
    pub const SOURCE_PORT: usize = 0;
    /// Destination port, 2 bytes.
    pub const DESTINATION_PORT: usize = 2;
    /// Length of header and data, 2 bytes.
    pub const LEN: usize = 4;
    /// Checksum over pseudo-header, header and data, 2 bytes; zero: there is none.
    pub const CHECKSUM: usize = 6;
}

/// Length of the header.
pub const HEADER_LEN: usize = 8;
/// First port of the dynamic range (RFC 6335 section 6), from which VXLAN source ports are taken
/// (RFC 7348 section 5). The range ends with the last port there is.
pub const FIRST_DYNAMIC_PORT: u16 = 49_152;
