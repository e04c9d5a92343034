//! The VXLAN header (RFC 7348 section 5).

/// Offsets of the header's fields.
pub mod field {
    /// Flags, and 24 reserved bits behind them; 4 bytes.
    pub const FLAGS: usize = 0;
    /// VXLAN network identifier, 3 bytes, and a reserved one behind it.
    pub const VNI: usize = 4;
}

/// Length of the header.
pub const HEADER_LEN: usize = 8;
/// IANA's UDP port of VXLAN.
pub const PORT: u16 = 4789;
/// The UDP port that the Linux device takes by default; it predates IANA's assignment.
pub const LINUX_DEFAULT_PORT: u16 = 8472;
/// Flag I in the first byte: the VNI is valid. The other bits of that byte are reserved.
pub const FLAG_I: u8 = 0x08;

/// The UDP destination port is one of VXLAN: IANA's, the earlier default of Linux, or `own`.
#[inline(always)]
pub const fn is_port(port: u16, own: u16) -> bool {
    port == PORT || port == LINUX_DEFAULT_PORT || port == own
}
