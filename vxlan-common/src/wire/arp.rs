//! ARP for IPv4 over Ethernet (RFC 826).

/// Offsets of the packet's fields, with the lengths that Ethernet and IPv4 give them.
pub mod field {
    /// Hardware type, 2 bytes.
    pub const HARDWARE_TYPE: usize = 0;
    /// Protocol type, 2 bytes: an EtherType.
    pub const PROTOCOL_TYPE: usize = 2;
    /// Lengths of a hardware and of a protocol address, 1 byte each.
    pub const ADDRESS_LENS: usize = 4;
    /// Operation, 2 bytes.
    pub const OPERATION: usize = 6;
    /// MAC address of the sender, 6 bytes.
    pub const SENDER_MAC: usize = 8;
    /// IPv4 address of the sender, 4 bytes.
    pub const SENDER_ADDRESS: usize = 14;
    /// MAC address of the target, 6 bytes.
    pub const TARGET_MAC: usize = 18;
    /// IPv4 address of the target, 4 bytes.
    pub const TARGET_ADDRESS: usize = 24;
}

/// Length of the packet.
pub const PACKET_LEN: usize = 28;
/// Hardware type of Ethernet.
pub const HARDWARE_ETHERNET: u16 = 1;
/// Protocol type of IPv4.
pub const PROTOCOL_IPV4: u16 = 0x0800;
/// Six bytes of MAC address, four of IPv4 address.
pub const ETHERNET_IPV4_LENS: u16 = 0x0604;
/// Operation: request.
pub const REQUEST: u16 = 1;
/// Operation: reply.
pub const REPLY: u16 = 2;
