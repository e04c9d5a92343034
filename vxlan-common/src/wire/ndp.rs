//! IPv6 neighbour discovery (RFC 4861), and the other ICMPv6 messages that stay on their link.

/// Offsets in a neighbour solicitation or advertisement (RFC 4861 sections 4.3 and 4.4), from the
/// start of the ICMPv6 header.
pub mod field {
    /// Flags of an advertisement, and reserved bits behind them; 4 bytes.
    pub const FLAGS: usize = 4;
    /// The address that is asked for or advertised, 16 bytes.
    pub const TARGET: usize = 8;
    /// The first option: type and length of 1 byte each, then its data.
    pub const OPTIONS: usize = 24;
}

/// Length of a solicitation or advertisement without options.
pub const MESSAGE_LEN: usize = 24;
/// Length of a link-layer address option for Ethernet (RFC 4861 section 4.6.1).
pub const LINK_LAYER_OPTION_LEN: usize = 8;
/// Hop limit of every message: a router would have lowered it (RFC 4861 section 7.1).
pub const HOP_LIMIT: u8 = 255;

/// ICMPv6 type: neighbour solicitation.
pub const SOLICITATION: u8 = 135;
/// ICMPv6 type: neighbour advertisement.
pub const ADVERTISEMENT: u8 = 136;
/// Flags S and O of an advertisement, in the first 16 bits of the field: solicited, override.
pub const SOLICITED_OVERRIDE: u16 = 0x6000;
/// Type and length of the option "source link-layer address".
pub const SOURCE_LINK_LAYER: u16 = 0x0101;
/// Type and length of the option "target link-layer address".
pub const TARGET_LINK_LAYER: u16 = 0x0201;

/// ICMPv6 types 130 to 134: listener query, report and done (RFC 2710), router solicitation and
/// advertisement (RFC 4861 sections 4.1 and 4.2).
pub const LISTENER_QUERY: u8 = 130;
/// The last of the range that [`LISTENER_QUERY`] begins.
pub const ROUTER_ADVERTISEMENT: u8 = 134;
/// ICMPv6 type: redirect (RFC 4861 section 4.5).
pub const REDIRECT: u8 = 137;
/// ICMPv6 type: listener report of version 2 (RFC 3810).
pub const LISTENER_REPORT_V2: u8 = 143;
