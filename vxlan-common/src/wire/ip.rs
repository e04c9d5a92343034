//! Numbers that IPv4 and IPv6 share: protocols and next headers, as IANA assigns them.

/// ICMP (RFC 792).
pub const PROTOCOL_ICMP: u8 = 1;
/// IPv4 in IP (RFC 2003).
pub const PROTOCOL_IPV4: u8 = 4;
/// TCP (RFC 9293).
pub const PROTOCOL_TCP: u8 = 6;
/// UDP (RFC 768).
pub const PROTOCOL_UDP: u8 = 17;
/// IPv6 in IP (RFC 2473).
pub const PROTOCOL_IPV6: u8 = 41;
/// GRE (RFC 2784).
pub const PROTOCOL_GRE: u8 = 47;
/// ICMPv6 (RFC 4443).
pub const PROTOCOL_ICMPV6: u8 = 58;
