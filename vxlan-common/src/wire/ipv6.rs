//! The IPv6 header (RFC 8200 section 3) and its extension headers (section 4).

/// Offsets of the header's fields.
pub mod field {
    /// Version (4 bits), traffic class (8 bits) and flow label (20 bits), 4 bytes.
    pub const VERSION_CLASS_LABEL: usize = 0;
    /// Length of what follows the header, 2 bytes.
    pub const PAYLOAD_LEN: usize = 4;
    /// Type of the header that follows ([`crate::wire::ip`] or an extension), 1 byte.
    pub const NEXT_HEADER: usize = 6;
    /// Hop limit, 1 byte.
    pub const HOP_LIMIT: usize = 7;
    /// Source address, 16 bytes.
    pub const SOURCE: usize = 8;
    /// Destination address, 16 bytes.
    pub const DESTINATION: usize = 24;
}

/// Offsets in an extension header that tells its length (RFC 8200 sections 4.3, 4.4, 4.6).
pub mod extension {
    /// Type of the header that follows, 1 byte.
    pub const NEXT_HEADER: usize = 0;
    /// Length in units of 8 bytes without the first 8, 1 byte.
    pub const LEN: usize = 1;
    /// The unit of that length, which is also the length of the shortest such header.
    pub const UNIT: usize = 8;
}

/// Offsets in a fragment header (RFC 8200 section 4.5).
pub mod fragment {
    /// Type of the header that follows in the fragmented packet, 1 byte.
    pub const NEXT_HEADER: usize = 0;
    /// Fragment offset (13 bits), two reserved bits and flag M, 2 bytes.
    pub const OFFSET_M: usize = 2;
    /// Length of the header.
    pub const HEADER_LEN: usize = 8;
    /// The fragment offset in `OFFSET_M`; not zero in every fragment but the first.
    pub const OFFSET_MASK: u16 = 0xfff8;
}

/// Length of the header without extensions.
pub const HEADER_LEN: usize = 40;
/// Length of an address.
pub const ADDRESS_LEN: usize = 16;
/// The version, in the high four bits of the first byte.
pub const VERSION: u8 = 6;
/// Bits by which the traffic class is shifted in the first 16 bits of the header.
pub const CLASS_SHIFT: u32 = 4;
/// The flow label in the first 32 bits of the header.
pub const FLOW_LABEL_MASK: u32 = 0xf_ffff;

/// The smallest MTU of a link (RFC 8200 section 5).
pub const MIN_MTU: u32 = 1280;

/// Hop-by-hop options (RFC 8200 section 4.3).
pub const NEXT_HOP_BY_HOP: u8 = 0;
/// Routing header (RFC 8200 section 4.4).
pub const NEXT_ROUTING: u8 = 43;
/// Fragment header (RFC 8200 section 4.5).
pub const NEXT_FRAGMENT: u8 = 44;
/// Authentication header (RFC 4302).
pub const NEXT_AUTHENTICATION: u8 = 51;
/// Destination options (RFC 8200 section 4.6).
pub const NEXT_DESTINATION_OPTIONS: u8 = 60;
/// Mobility header (RFC 6275).
pub const NEXT_MOBILITY: u8 = 135;
/// Host identity protocol (RFC 7401).
pub const NEXT_HIP: u8 = 139;
/// Shim6 (RFC 5533).
pub const NEXT_SHIM6: u8 = 140;
