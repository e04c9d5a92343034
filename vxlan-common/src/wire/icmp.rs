//! ICMP (RFC 792) and ICMPv6 (RFC 4443): the common header, and the messages in use. Neighbour
//! discovery has a file of its own, [`ndp`](super::ndp).

/// Offsets of the header's fields, the same in both protocols.
pub mod field {
    /// Message type, 1 byte.
    pub const TYPE: usize = 0;
    /// Message code, 1 byte.
    pub const CODE: usize = 1;
    /// Checksum, 2 bytes.
    pub const CHECKSUM: usize = 2;
    /// Unused in "fragmentation needed" (RFC 1191 section 4), 2 bytes.
    pub const UNUSED: usize = 4;
    /// Identifier of an echo message, 2 bytes.
    pub const ECHO_IDENTIFIER: usize = 4;
    /// Sequence number of an echo message, 2 bytes.
    pub const ECHO_SEQUENCE: usize = 6;
    /// MTU of the next hop in "fragmentation needed" (RFC 1191 section 4), 2 bytes.
    pub const NEXT_HOP_MTU: usize = 6;
    /// MTU in ICMPv6 "packet too big" (RFC 4443 section 3.2), 4 bytes.
    pub const PACKET_TOO_BIG_MTU: usize = 4;
}

/// Length of the header, behind which an error quotes the packet that it is about.
pub const HEADER_LEN: usize = 8;

/// ICMP type: echo reply.
pub const ECHO_REPLY: u8 = 0;
/// ICMP type: destination unreachable.
pub const DESTINATION_UNREACHABLE: u8 = 3;
/// ICMP type: source quench (deprecated by RFC 6633).
pub const SOURCE_QUENCH: u8 = 4;
/// ICMP type: redirect.
pub const REDIRECT: u8 = 5;
/// ICMP type: echo.
pub const ECHO_REQUEST: u8 = 8;
/// ICMP type: time exceeded.
pub const TIME_EXCEEDED: u8 = 11;
/// ICMP type: parameter problem.
pub const PARAMETER_PROBLEM: u8 = 12;
/// Code of [`DESTINATION_UNREACHABLE`]: fragmentation needed and DF set.
pub const FRAGMENTATION_NEEDED: u8 = 4;

/// ICMPv6 type: packet too big. Its code is 0.
pub const V6_PACKET_TOO_BIG: u8 = 2;
/// The first ICMPv6 type that is no error (RFC 4443 section 2.1).
pub const V6_FIRST_INFORMATIONAL: u8 = 128;
/// ICMPv6 type: echo request.
pub const V6_ECHO_REQUEST: u8 = 128;
/// ICMPv6 type: echo reply.
pub const V6_ECHO_REPLY: u8 = 129;
