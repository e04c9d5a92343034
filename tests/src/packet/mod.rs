//! Raw frames, layer by layer, right or wrong on purpose:
//!
//! ```
//! use vxlan_tests::packet::*;
//! let (a, b) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
//! let frame = Packet::new()
//!     .with(Eth::new(b, a))
//!     .with(Ipv4::new([203, 0, 113, 2], [203, 0, 113, 1]))
//!     .with(Udp::vxlan(49152))
//!     .with(Vxlan::new(43))
//!     .with(Eth::new(b, a))
//!     .with(Ipv4::new([192, 168, 44, 1], [192, 168, 43, 1]))
//!     .with(Icmp::echo_request(7, 1))
//!     .payload(b"hello")
//!     .build();
//! assert_eq!(frame.len(), 14 + 20 + 8 + 8 + 14 + 20 + 8 + 5);
//! ```
//!
//! Lengths, protocol numbers and checksums follow from the layers unless a field says otherwise.
//! All of it, checksums included, is code of its own: sharing the product's would hide its
//! mistakes.

mod arp;
mod checksum;
mod diff;
mod dissect;
mod ethernet;
pub mod flags;
mod header;
mod icmp;
mod ip;
mod ipv4;
mod ipv6;
mod layer;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;
mod vxlan;

use bytes::BytesMut;

pub use arp::Arp;
pub use checksum::{Checksum, internet_checksum, ones_complement_sum};
pub use diff::{assert_frames_equal, diff, hex};
pub use dissect::{Field, fields};
pub use ethernet::{Eth, Vlan};
pub use icmp::Icmp;
pub use ip::Ip;
pub use ipv4::Ipv4;
pub use ipv6::Ipv6;
pub use layer::Layer;
pub use tcp::Tcp;
pub use udp::Udp;
pub use vxlan::Vxlan;

pub type Mac = [u8; 6];

pub const ETHERTYPE_IPV4: u16 = 0x0800;
pub const ETHERTYPE_ARP: u16 = 0x0806;
pub const ETHERTYPE_VLAN: u16 = 0x8100;
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// "Local experimental": what an Ethernet header says of a payload that is no protocol.
pub const ETHERTYPE_NONE: u16 = 0x88b5;
pub const PROTOCOL_ICMP: u8 = 1;
pub const PROTOCOL_TCP: u8 = 6;
pub const PROTOCOL_UDP: u8 = 17;
pub const PROTOCOL_ICMPV6: u8 = 58;
/// "Use for experimentation": what an IP header says of a payload that is no protocol.
pub const PROTOCOL_NONE: u8 = 253;
pub const VXLAN_PORT: u16 = 4789;
pub const BROADCAST: Mac = [0xff; 6];

/// Layers from the outermost to the innermost.
#[derive(Debug, Clone, Default)]
pub struct Packet {
    layers: Vec<Layer>,
}

impl Packet {
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a layer inside those already there.
    pub fn with(mut self, layer: impl Into<Layer>) -> Self {
        self.layers.push(layer.into());
        self
    }

    /// Bytes as they are, inside the layers already there.
    pub fn payload(self, bytes: &[u8]) -> Self {
        self.with(Layer::Bytes(bytes.to_vec()))
    }

    /// All of another packet's layers inside those already there.
    pub fn carrying(mut self, inner: Self) -> Self {
        self.layers.extend(inner.layers);
        self
    }

    pub fn build(&self) -> BytesMut {
        let mut frame = BytesMut::new();
        for (index, layer) in self.layers.iter().enumerate().rev() {
            let outside = index.checked_sub(1).and_then(|index| self.layers.get(index));
            frame = layer.wrap(outside, self.layers.get(index + 1), &frame);
        }
        frame
    }
}
