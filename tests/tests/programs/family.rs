//! The family of the underlay as a parameter of a table: each host's outer addresses, this host
//! with its configuration, and outer headers.
//!
//! Over IPv4, this host has that family alone (`gcp` of `world`). Over IPv6, it has both: `aws` is
//! preferably reached over IPv6 and may come over IPv4, `office` and `lone` have IPv6 alone. Inner
//! addresses are the same.

use std::net::IpAddr;

use vxlan_tests::packet::{Ip, Packet};

use crate::{
    bench::{Bench, GCP, Host},
    world::*,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// Makes two tests of each function that takes a [`Family`], so that a failure says which it was.
macro_rules! over_both_families {
    ($($table:ident),+ $(,)?) => {
        mod over_ipv4 {
            $(#[test]
            fn $table() {
                super::$table($crate::family::Family::V4);
            })+
        }
        mod over_ipv6 {
            $(#[test]
            fn $table() {
                super::$table($crate::family::Family::V6);
            })+
        }
    };
}
pub(crate) use over_both_families;

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(crate) fn pick<T>(self, v4: T, v6: T) -> T {
        match self {
            Self::V4 => v4,
            Self::V6 => v6,
        }
    }

    fn address(self, v4: impl Into<IpAddr>, v6: impl Into<IpAddr>) -> IpAddr {
        self.pick(v4.into(), v6.into())
    }

    pub(crate) fn name(self) -> &'static str {
        self.pick("IPv4", "IPv6")
    }

    pub(crate) fn gcp_private(self) -> IpAddr {
        self.address(GCP_PRIVATE, GCP_PRIVATE6)
    }

    pub(crate) fn gcp_public(self) -> IpAddr {
        self.address(GCP_PUBLIC, GCP_PUBLIC6)
    }

    pub(crate) fn aws_private(self) -> IpAddr {
        self.address(AWS_PRIVATE, AWS_PRIVATE6)
    }

    pub(crate) fn aws_public(self) -> IpAddr {
        self.address(AWS_PUBLIC, AWS_PUBLIC6)
    }

    pub(crate) fn office(self) -> IpAddr {
        self.address(OFFICE, OFFICE6)
    }

    pub(crate) fn lone(self) -> IpAddr {
        self.address(LONE, LONE6)
    }

    pub(crate) fn stranger(self) -> IpAddr {
        self.address(STRANGER, STRANGER6)
    }

    pub(crate) fn unspecified(self) -> IpAddr {
        self.address([0; 4], [0; 16])
    }

    /// Bytes of the outer IP header.
    pub(crate) fn header(self) -> usize {
        self.pick(20, 40)
    }

    /// Where the outer UDP header begins in a packet.
    pub(crate) fn udp_at(self) -> usize {
        14 + self.header()
    }

    /// The outer UDP checksum of a packet.
    pub(crate) fn udp_checksum(self, packet: &[u8]) -> [u8; 2] {
        let at = self.udp_at() + 6;
        [packet[at], packet[at + 1]]
    }

    /// Inner frame, Ethernet header included, that fills the underlay: beside it come the outer IP
    /// header, UDP and VXLAN.
    pub(crate) fn largest_frame(self) -> usize {
        UNDERLAY_MTU as usize - self.header() - 8 - 8
    }

    /// The configuration of this host with its public addresses; `underlay` are further keys of
    /// that section.
    pub(crate) fn text(self, underlay: &str) -> String {
        match self {
            Self::V4 => gcp(&format!("{underlay}\n{PUBLIC}")),
            Self::V6 => gcp6(&format!("{underlay}\n{PUBLIC6}")),
        }
    }

    pub(crate) fn host(self) -> Host {
        self.pick(GCP, GCP6)
    }

    /// This host as in the design.
    pub(crate) fn bench(self) -> Bench {
        self.bench_with("")
    }

    /// This host with further keys of `[underlay]`.
    pub(crate) fn bench_with(self, underlay: &str) -> Bench {
        Bench::new(&self.text(underlay), self.host())
    }

    /// The outer IP header of a packet from `aws` as it arrives without a NAT in front of this
    /// host.
    pub(crate) fn outer_ip(self) -> Ip {
        Ip::new(self.aws_public(), self.gcp_public())
    }

    /// The usual packet from `aws` in network 43.
    pub(crate) fn sent_by_aws(self, inner: &Packet) -> Packet {
        wrap(self.outer_ip(), outer_udp(), vxlan(), inner)
    }
}

pub(crate) const GCP6: Host = Host {
    v4: Some(GCP_PRIVATE),
    v6: Some(GCP_PRIVATE6),
    overlays: &[(1, GCP_MAC), (9_999, OTHER_MAC)],
};

/// With public addresses of both families.
pub(crate) const PUBLIC6: &str = r#"public_address = ["203.0.113.10", "2001:db8:b::10"]"#;

/// The configuration where the underlay has both families; `underlay` are further keys of that
/// section.
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
