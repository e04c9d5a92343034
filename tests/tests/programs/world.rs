//! The hosts of the tables: configuration, addresses and frames that are right. A table takes one
//! of these and changes what it is about.
//!
//! This host is `gcp`. `aws` is behind a 1:1 NAT and a member of network 43; `office` has one
//! address and is a member of both networks; to `lone`, a member of network 43, there is no route.

use std::net::{Ipv4Addr, Ipv6Addr};

use vxlan_tests::packet::{Eth, Icmp, Ipv4, Ipv6, Layer, Mac, Packet, Udp, Vxlan};

use crate::deltas::Who;

pub(crate) const GCP_PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub(crate) const GCP_PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
pub(crate) const AWS_PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 119);
pub(crate) const AWS_PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 20);
pub(crate) const OFFICE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 30);
pub(crate) const LONE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 40);
/// No peer's.
pub(crate) const STRANGER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 66);

pub(crate) const GCP_PRIVATE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 2);
/// More than one bit from the private one.
pub(crate) const GCP_PUBLIC6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xb, 0, 0, 0, 0, 0x10);
pub(crate) const AWS_PRIVATE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 0x119);
pub(crate) const AWS_PUBLIC6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 0x20);
pub(crate) const OFFICE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 0x33);
pub(crate) const LONE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 0x40);
pub(crate) const STRANGER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 0x66);

/// The network that most rows are in.
pub(crate) const VNI: u32 = 43;
/// The other one; none of its three bytes is zero.
pub(crate) const OTHER_VNI: u32 = 0x12_3456;
/// No network of this host.
pub(crate) const UNKNOWN_VNI: u32 = 44;

/// `aws` in the network that most rows are in: whom most packets are counted for.
pub(crate) const AWS_43: Who = Who::Member("aws", VNI);
pub(crate) const OFFICE_43: Who = Who::Member("office", VNI);
pub(crate) const LONE_43: Who = Who::Member("lone", VNI);
/// `aws`, where the network does not count.
pub(crate) const AWS: Who = Who::Peer("aws");
/// The network that most rows are in, where the peer does not count.
pub(crate) const NETWORK: Who = Who::Network(VNI);

/// Overlay interface of network 43.
pub(crate) const GCP_MAC: Mac = [2, 0, 0, 0, 0x43, 1];
/// Overlay interface of the other network.
pub(crate) const OTHER_MAC: Mac = [2, 0, 0, 0, 0x56, 1];
pub(crate) const AWS_MAC: Mac = [2, 0, 0, 0, 0x44, 1];
/// Declared in the configuration.
pub(crate) const OFFICE_MAC: Mac = [2, 0, 0, 0, 0x45, 1];
/// Nobody's.
pub(crate) const STRANGE_MAC: Mac = [2, 0, 0, 0, 0x66, 1];

pub(crate) const GCP_HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 43, 1);
pub(crate) const AWS_HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 44, 1);
pub(crate) const OFFICE_HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 45, 1);
pub(crate) const LONE_HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 46, 1);
/// In nobody's prefix.
pub(crate) const NOWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
pub(crate) const GCP_OTHER_HOST: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 1);
pub(crate) const OFFICE_OTHER_HOST: Ipv4Addr = Ipv4Addr::new(172, 31, 1, 1);

pub(crate) const GCP_HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x43, 0, 0, 0, 0, 1);
pub(crate) const AWS_HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x44, 0, 0, 0, 0, 1);
pub(crate) const LONE_HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x46, 0, 0, 0, 0, 1);
pub(crate) const AWS_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x44, 1);
pub(crate) const GCP_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x43, 1);
pub(crate) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
pub(crate) const ALL_NODES_MAC: Mac = [0x33, 0x33, 0, 0, 0, 1];
/// Solicited-node address of `GCP_HOST6`, `AWS_HOST6` and `LONE_HOST6` (RFC 4291 section 2.7.1).
pub(crate) const SOLICITED: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 1);
pub(crate) const SOLICITED_MAC: Mac = [0x33, 0x33, 0xff, 0, 0, 1];

/// MTU of the underlay interface.
pub(crate) const UNDERLAY_MTU: u32 = 1460;
/// Inner frame, Ethernet header included, that fills it: 36 bytes are outer IPv4, UDP and VXLAN.
pub(crate) const LARGEST_FRAME: usize = 1460 - 36;

/// The configuration of `gcp`; `underlay` are further keys of that section.
/// Source ports are as they may be: tables about them have their own.
pub(crate) fn gcp(underlay: &str) -> String {
    format!(
        r#"
        [node]
        name = "gcp"
        [underlay]
        interface = "ens4"
        address = "10.0.0.2"
        {underlay}
        [[peer]]
        name = "aws"
        source_port = "any"
        endpoint = "198.51.100.20"
        private_address = "10.0.0.119"
        accept_private = true
        [[peer]]
        name = "office"
        source_port = "any"
        endpoint = "198.51.100.30:8472"
        [[peer]]
        name = "lone"
        source_port = "any"
        endpoint = "198.51.100.40"
        [[network]]
        vni = 43
        interface = "vxlan43"
        addresses = ["192.168.43.1/24", "2001:db8:43::1/64"]
        unknown_unicast = "drop"
        [[network.member]]
        peer = "aws"
        allowed_ips = ["192.168.44.0/24", "2001:db8:44::/64"]
        [[network.member]]
        peer = "office"
        allowed_ips = ["192.168.45.0/24"]
        mac = "02:00:00:00:45:01"
        [[network.member]]
        peer = "lone"
        allowed_ips = ["192.168.46.0/24", "2001:db8:46::/64"]
        [[network]]
        vni = 1193046
        interface = "vxlan1193046"
        addresses = ["172.31.0.1/24"]
        unknown_unicast = "drop"
        [[network.member]]
        peer = "office"
        allowed_ips = ["172.31.1.0/24"]
        "#
    )
}

/// The same with other keys of a peer instead of `source_port = "any"`.
pub(crate) fn with_peer(text: &str, peer: &str, keys: &str) -> String {
    let usual = format!("name = \"{peer}\"\n        source_port = \"any\"");
    assert!(text.contains(&usual), "{peer}");
    text.replacen(&usual, &format!("name = \"{peer}\"\n{keys}"), 1)
}

/// `gcp` as in the design: peers send to its public address.
pub(crate) const PUBLIC: &str = "public_address = \"203.0.113.10\"";
/// The same where the driver has no XDP metadata.
pub(crate) const PUBLIC_MAC_TAG: &str = "public_address = \"203.0.113.10\"\ntag = \"mac\"";

/// The outer IPv4 header of a packet from `aws` as it arrives without a NAT in front of this host.
pub(crate) fn outer_ip() -> Ipv4 {
    Ipv4::new(AWS_PUBLIC, GCP_PUBLIC)
}

/// The same over IPv6.
pub(crate) fn outer_ip6() -> Ipv6 {
    Ipv6::new(AWS_PUBLIC6, GCP_PUBLIC6)
}

pub(crate) fn outer_udp() -> Udp {
    Udp::vxlan(50_000)
}

pub(crate) fn vxlan() -> Vxlan {
    Vxlan::new(VNI)
}

/// The underlay's Ethernet header.
pub(crate) fn outer_eth() -> Eth {
    Eth::new([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1])
}

/// A whole packet on the underlay.
pub(crate) fn wrap(ip: impl Into<Layer>, udp: Udp, vxlan: Vxlan, inner: &Packet) -> Packet {
    Packet::new().with(outer_eth()).with(ip).with(udp).with(vxlan).carrying(inner.clone())
}

/// The usual packet from `aws` in network 43.
pub(crate) fn from_aws(inner: &Packet) -> Packet {
    wrap(outer_ip(), outer_udp(), vxlan(), inner)
}

/// The usual packet from `office` in network 43.
pub(crate) fn from_office(inner: &Packet) -> Packet {
    wrap(outer_ip().src(OFFICE), outer_udp(), vxlan(), inner)
}

/// Ethernet from `aws` to this host.
pub(crate) fn eth() -> Eth {
    Eth::new(GCP_MAC, AWS_MAC)
}

/// IPv4 from `aws` to this host.
pub(crate) fn ipv4() -> Ipv4 {
    Ipv4::new(AWS_HOST, GCP_HOST)
}

/// IPv6 from `aws` to this host.
pub(crate) fn ipv6() -> Ipv6 {
    Ipv6::new(AWS_HOST6, GCP_HOST6)
}

/// A ping from `aws` to this host.
pub(crate) fn ping() -> Packet {
    Packet::new().with(eth()).with(ipv4()).with(Icmp::echo_request(7, 1)).payload(b"payload")
}

/// A ping from this host to `aws`.
pub(crate) fn ping_out() -> Packet {
    let ip = Ipv4::new(GCP_HOST, AWS_HOST);
    Packet::new().with(eth_out()).with(ip).with(Icmp::echo_request(7, 1)).payload(b"payload")
}

/// Ethernet from this host to `aws`.
pub(crate) fn eth_out() -> Eth {
    Eth::new(AWS_MAC, GCP_MAC)
}
