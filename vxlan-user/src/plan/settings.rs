//! The settings that hold for the whole data plane.

use vxlan_common::table::{DSCP_INHERIT, GlobalSettings, TAG_AUTO, TAG_MAC, TAG_METADATA};

use super::{
    address::{ipv4_bytes, ipv6_address, low_bytes},
    facts::UnderlayFacts,
    secrets::Secrets,
    slots::Inherited,
};
use crate::config::{
    Config, OuterField, ReservedBits, SourcePort, TagMode, UdpChecksumPolicy, UnknownVni,
};

/// Computes the settings from the configuration and the underlay's addresses.
pub(super) fn settings(
    config: &Config,
    underlay: &UnderlayFacts,
    inherited: &Inherited,
    secrets: &mut impl Secrets,
) -> GlobalSettings {
    let public = &config.underlay.public_address;
    GlobalSettings {
        secret: inherited.secret.unwrap_or_else(|| secrets.bytes()),
        address: ipv4_bytes(underlay.v4),
        public_address: ipv4_bytes(public.v4.map(|at| at.value)),
        address6: ipv6_address(underlay.v6),
        public_address6: ipv6_address(public.v6.map(|at| at.value)),
        port: config.underlay.port.value.to_be_bytes(),
        tag: match config.underlay.tag.value {
            TagMode::Auto => inherited.tag.unwrap_or(TAG_AUTO),
            TagMode::Metadata => TAG_METADATA,
            TagMode::Mac => TAG_MAC,
        },
        pass_unknown_vni: u8::from(config.underlay.unknown_vni == UnknownVni::Pass),
        fixed_source_port: u8::from(config.underlay.source_port.value == SourcePort::Fixed),
        ignore_reserved_bits: u8::from(config.underlay.reserved_bits == ReservedBits::Ignore),
        ignore_udp_checksum: u8::from(config.underlay.udp_checksum == UdpChecksumPolicy::Ignore),
        ttl: field(config.underlay.ttl, 0),
        dscp: field(config.underlay.dscp, DSCP_INHERIT),
        probes: u8::from(config.probes()),
        probe_vni: low_bytes(config.probe.vni.value),
        pad: [0; 3],
        // Made once the programs are in force.
        segmenter: 0,
    }
}

/// Returns the settings with the addresses that the underlay interface has now.
pub fn with_addresses(settings: &GlobalSettings, underlay: &UnderlayFacts) -> GlobalSettings {
    GlobalSettings {
        address: ipv4_bytes(underlay.v4),
        address6: ipv6_address(underlay.v6),
        ..*settings
    }
}

/// Returns the value of a header field in the settings, where `inherit` stands for the inner one.
fn field(value: OuterField, inherit: u8) -> u8 {
    match value {
        OuterField::Fixed(value) => value,
        OuterField::Inherit => inherit,
    }
}
