//! The outer header of a probe, as its sender wrote it and as its receiver saw it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The outer header of one probe at both ends of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrite {
    pub sent: OuterHeader,
    pub seen: OuterHeader,
}

/// An outer header: IP and UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OuterHeader {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub ttl: u8,
    pub tos: u8,
    /// Length of the IP packet, in bytes.
    pub length: u16,
    pub checksum: UdpChecksum,
    /// The packet is IPv4 with DF, or IPv6.
    pub dont_fragment: bool,
}

/// The state of a UDP checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UdpChecksum {
    Zero,
    Right,
    Wrong,
}
