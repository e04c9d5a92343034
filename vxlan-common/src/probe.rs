//! What the programs know of probes, and the record in which they hand a probe to the daemon. The
//! protocol is in `docs/probe-protocol.md`; the daemon authenticates and interprets probes.

use crate::{
    abi::abi,
    addr::Address,
    wire::{ETH_LEN, VXLAN_LEN, ethernet},
};

/// Length of a probe without padding, from behind the inner Ethernet header.
pub const PROBE_LEN: usize = 288;
/// Length of the shortest inner frame that can be a probe.
pub const FRAME_LEN: usize = ETH_LEN + PROBE_LEN;
/// Offset of the tag from the start of the inner frame.
pub const TAG_AT: usize = ETH_LEN + 4;
/// EtherType of a probe's inner frame: the first of the two that IEEE 802 sets aside for local
/// experiments.
pub const ETHERTYPE: [u8; 2] = ethernet::ETHERTYPE_EXPERIMENTAL;

/// Names the key that a probe claims to be authenticated with. Checked before anything else.
pub type ProbeTag = [u8; 8];

/// A received probe, not authenticated yet, with the outer header it arrived in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ReceivedProbe {
    /// Time of receipt, in ns of the kernel's monotonic clock.
    pub at: u64,
    /// Index of the peer that the tag belongs to.
    pub peer: u32,
    /// Length of the IP packet.
    pub length: u32,
    /// Outer source.
    pub source: Address,
    /// Outer destination.
    pub destination: Address,
    /// UDP source port.
    pub source_port: u16,
    /// UDP destination port.
    pub destination_port: u16,
    /// UDP checksum as on the wire.
    pub checksum: [u8; 2],
    /// Of both addresses.
    pub family: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// TOS or traffic class.
    pub tos: u8,
    /// 1: IPv4 with DF, or IPv6.
    pub dont_fragment: u8,
    /// Zero.
    pub pad: [u8; 2],
    /// VXLAN header, inner Ethernet header, and the probe without padding.
    pub bytes: [u8; VXLAN_LEN + FRAME_LEN],
    /// Zero.
    pub pad_end: [u8; 6],
}

abi! {
    ReceivedProbe: 376,
}
