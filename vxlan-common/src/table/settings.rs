//! Settings that apply to every packet.

use crate::{abi::abi, addr::Address};

/// Settings that apply to every packet. One entry, written by the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct GlobalSettings {
    /// Proves to `deliver` that `decap` wrote the tag. Random: drawn at the first start, and
    /// inherited by later generations until `vxlan down`.
    pub secret: [u8; 8],
    /// The underlay interface's own IPv4 address; zero where it has none.
    pub address: [u8; 4],
    /// The IPv4 address that peers send to when a 1:1 NAT is in front; zero where there is none.
    pub public_address: [u8; 4],
    /// The underlay interface's own IPv6 address; zero where it has none.
    pub address6: Address,
    /// The IPv6 address that peers send to when a 1:1 NAT is in front; zero where there is none.
    pub public_address6: Address,
    /// UDP destination port of VXLAN, network order.
    pub port: [u8; 2],
    /// [`TAG_METADATA`], [`TAG_MAC`] or [`TAG_AUTO`].
    pub tag: u8,
    /// 1: packets with a VNI of no network are left to the host, for another VXLAN user.
    pub pass_unknown_vni: u8,
    /// 1: send from the VXLAN port instead of a port from the flow hash.
    pub fixed_source_port: u8,
    /// 1: reserved bits of a received VXLAN header are ignored (RFC 7348); 0: such packets are
    /// refused.
    pub ignore_reserved_bits: u8,
    /// 1: the UDP checksum of a received packet is ignored; 0: it must be right if it is not zero.
    pub ignore_udp_checksum: u8,
    /// Outer time to live; 0: the inner one.
    pub ttl: u8,
    /// Outer DSCP, 0 to 63; [`DSCP_INHERIT`]: the inner one.
    pub dscp: u8,
    /// 1: packets of `probe_vni` are probes.
    pub probes: u8,
    /// VNI of probes, network order.
    pub probe_vni: [u8; 3],
    /// Zero.
    pub pad: [u8; 3],
    /// The interface by which packets leave that the kernel must cut up; 0: there is none.
    pub segmenter: u32,
}

/// For [`GlobalSettings::dscp`].
pub const DSCP_INHERIT: u8 = 0xff;

abi! {
    GlobalSettings: 68,
}
