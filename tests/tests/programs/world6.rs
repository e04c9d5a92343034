//! The same hosts where the underlay has both families: `aws` is preferably reached over IPv6 and may
//! come over IPv4, `office` and `lone` have IPv6 alone. Inner addresses are those of `world`.

use std::net::Ipv6Addr;

use vxlan_tests::packet::{Ipv6, Packet};

use crate::{
    bench::{Bench, Host},
    world::*,
};

pub(crate) const GCP_PRIVATE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 2);
/// More than one bit from the private one.
pub(crate) const GCP_PUBLIC6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xb, 0, 0, 0, 0, 0x10);
pub(crate) const AWS_PRIVATE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 0x119);
pub(crate) const AWS_PUBLIC6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 0x20);
pub(crate) const OFFICE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 0x33);
pub(crate) const STRANGER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 0x66);

/// Inner frame, Ethernet header included, that fills the underlay: 56 bytes are outer IPv6, UDP and
/// VXLAN.
pub(crate) const LARGEST_FRAME6: usize = 1460 - 56;

pub(crate) const GCP6: Host = Host {
    v4: Some(GCP_PRIVATE),
    v6: Some(GCP_PRIVATE6),
    overlays: &[(1, GCP_MAC), (9_999, OTHER_MAC)],
};

/// With public addresses of both families.
pub(crate) const PUBLIC6: &str = r#"public_address = ["203.0.113.10", "2001:db8:b::10"]"#;

/// The configuration; `underlay` are further keys of that section.
pub(crate) fn gcp6(underlay: &str) -> String {
    let mut text = gcp(underlay);
    for (old, new) in [
        (r#"address = "10.0.0.2""#, r#"address = ["10.0.0.2", "2001:db8:a::2"]"#),
        (
            r#"endpoint = "198.51.100.20""#,
            r#"endpoint = ["[2001:db8:c::20]:4789", "198.51.100.20"]"#,
        ),
        (
            r#"private_address = "10.0.0.119""#,
            r#"private_address = ["2001:db8:a::119", "10.0.0.119"]"#,
        ),
        (r#"endpoint = "198.51.100.30:8472""#, r#"endpoint = "[2001:db8:c::33]:8472""#),
        (r#"endpoint = "198.51.100.40""#, r#"endpoint = "[2001:db8:c::40]""#),
    ] {
        assert!(text.contains(old), "{old}");
        text = text.replacen(old, new, 1);
    }
    text
}

pub(crate) fn bench6() -> Bench {
    Bench::new(&gcp6(PUBLIC6), GCP6)
}

/// The outer IPv6 header of a packet from `aws` as it arrives without a NAT in front of this host.
pub(crate) fn outer_ip6() -> Ipv6 {
    Ipv6::new(AWS_PUBLIC6, GCP_PUBLIC6)
}

/// The usual packet from `aws` in network 43, over IPv6.
pub(crate) fn from_aws6(inner: &Packet) -> Packet {
    wrap(outer_ip6(), outer_udp(), vxlan(), inner)
}
