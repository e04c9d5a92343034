//! Addresses and numbers as the tables hold them: bytes in network order, one shape for both
//! families.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use vxlan_common::{
    addr::{Address, IPV4, IPV6},
    table::{NetworkAddress, OuterAddress, PeerEntry},
};

use crate::config::Vni;

/// Converts an address to bytes. Zero means no address to the programs.
pub(super) fn ipv4_bytes(address: Option<Ipv4Addr>) -> [u8; 4] {
    address.map_or([0; 4], |address| address.octets())
}

/// Converts an address to the form of the tables. Zero means no address to the programs.
pub(super) fn ipv6_address(address: Option<Ipv6Addr>) -> Address {
    address.map_or(Address::ZERO, |address| Address::ipv6(address.octets()))
}

/// Splits an address into family and address, as tables for both families hold them.
pub(super) fn family_address(address: IpAddr) -> (u8, Address) {
    match address {
        IpAddr::V4(address) => (IPV4, Address::ipv4(address.octets())),
        IpAddr::V6(address) => (IPV6, Address::ipv6(address.octets())),
    }
}

/// Makes the key of an address within the network of a VNI.
pub(super) fn network_address(vni: [u8; 3], address: IpAddr) -> NetworkAddress {
    let (family, address) = family_address(address);
    NetworkAddress { vni, family, address }
}

/// Makes the key of an address in an outer header.
pub(super) fn outer_address(address: IpAddr) -> OuterAddress {
    let (family, address) = family_address(address);
    OuterAddress { pad: [0; 3], family, address }
}

/// Returns a VNI in network order.
pub(super) fn vni_bytes(vni: Vni) -> [u8; 3] {
    low_bytes(vni.get())
}

/// Returns the low 24 bits of a number, in network order.
pub(super) fn low_bytes(number: u32) -> [u8; 3] {
    let [_, a, b, c] = number.to_be_bytes();
    [a, b, c]
}

/// Returns the address and port that an entry sends to: unspecified, with port 0, while the
/// endpoint of the peer is not learned yet.
pub fn entry_endpoint(entry: &PeerEntry) -> SocketAddr {
    SocketAddr::new(entry.endpoint.to_ip(entry.family), u16::from_be_bytes(entry.port))
}

/// Returns the IPv4 broadcast address of an interface's own network. Networks of one or two
/// addresses have none (RFC 3021).
pub(super) fn directed_broadcast(own: IpNet) -> Option<IpNet> {
    match own {
        IpNet::V4(own) if own.prefix_len() < 31 => Some(IpNet::from(IpAddr::V4(own.broadcast()))),
        IpNet::V4(_) | IpNet::V6(_) => None,
    }
}
