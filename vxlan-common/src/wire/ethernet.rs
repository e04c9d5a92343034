//! Ethernet II framing (IEEE 802.3 clause 3.2.6) without tags, and the EtherTypes in use.

/// Offsets of the header's fields.
pub mod field {
    /// Destination MAC address, 6 bytes.
    pub const DESTINATION: usize = 0;
    /// Source MAC address, 6 bytes.
    pub const SOURCE: usize = 6;
    /// EtherType, 2 bytes.
    pub const ETHERTYPE: usize = 12;
}

/// Length of the header.
pub const HEADER_LEN: usize = 14;
/// Length of a MAC address.
pub const MAC_LEN: usize = 6;

/// EtherType of IPv4 (RFC 894).
pub const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
/// EtherType of ARP (RFC 826).
pub const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
/// EtherType of IPv6 (RFC 2464 section 3).
pub const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
/// EtherType of an 802.1Q tag.
pub const ETHERTYPE_VLAN: [u8; 2] = [0x81, 0x00];
/// The first of two EtherTypes for local experiments (IEEE 802 clause 9.2.4): a probe's.
pub const ETHERTYPE_EXPERIMENTAL: [u8; 2] = [0x88, 0xb5];
