//! Bits of header fields, by name.

/// IPv4: do not fragment.
pub const DF: u16 = 0x4000;
/// IPv4: more fragments follow.
pub const MF: u16 = 0x2000;
/// TCP.
pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;
pub const CWR: u8 = 0x80;
/// VXLAN: the VNI is valid.
pub const VNI: u8 = 0x08;
