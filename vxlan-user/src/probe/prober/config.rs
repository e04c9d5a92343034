//! What the prober of a peer is configured with.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::{
    nat::SourcePorts,
    probe::{
        dplpmtud::{BASE_PLPMTU_IPV4, BASE_PLPMTU_IPV6},
        key::{Key, NameId},
    },
};

/// The configuration of a prober.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProberConfig {
    /// Name of the peer, for reports.
    pub peer: String,
    /// This host.
    pub local: NameId,
    pub remote: NameId,
    pub key: Key,
    /// Random for each start of the daemon, and not zero.
    pub session: u64,
    /// Time between two requests.
    pub interval: Duration,
    /// Longest time between two requests where a NAT has a mapping to keep.
    pub keepalive: Duration,
    /// VNI of probes, in network order.
    pub vni: [u8; 3],
    /// The UDP port of VXLAN.
    pub port: u16,
    /// Data is sent from `port`, not from a port that is computed from the flow hash.
    pub fixed_source_port: bool,
    /// Addresses of the underlay interface: at least one of each family in use.
    pub addresses: Vec<IpAddr>,
    /// The addresses that peers send to instead; at most one of each family.
    pub public_addresses: Vec<IpAddr>,
    /// The addresses of the interface of the peer; at most one of each family.
    pub private_addresses: Vec<IpAddr>,
    /// The ports that the peer sends data from.
    pub ports: SourcePorts,
    /// TTL or hop limit of probes.
    pub ttl: u8,
    /// TOS or traffic class of probes.
    pub tos: u8,
    /// The endpoint is learned from probes.
    pub learned: bool,
    /// Absent: not learned yet; or, if it is declared, there is no route to the peer.
    pub endpoint: Option<SocketAddr>,
    /// MTU of the route to the peer, in bytes.
    pub mtu: u16,
}

impl ProberConfig {
    /// Returns whether a prober with this configuration can go on under another one. Session,
    /// endpoint and MTU are left out, since a prober is informed of their changes.
    pub(super) fn continues(&self, other: &Self) -> bool {
        let Self { session, endpoint, mtu, .. } = *self;
        *self == Self { session, endpoint, mtu, ..other.clone() }
    }

    /// Returns our address of the family of another address.
    pub(super) fn address_for(&self, other: IpAddr) -> Option<IpAddr> {
        of_family(&self.addresses, other)
    }

    /// Returns BASE_PLPMTU for an endpoint; without one, for the family that it will have.
    pub(super) fn base_plpmtu(&self, endpoint: Option<SocketAddr>) -> u16 {
        let address = endpoint.map(|at| at.ip()).or_else(|| self.addresses.first().copied());
        match address {
            Some(IpAddr::V6(_)) => BASE_PLPMTU_IPV6,
            Some(IpAddr::V4(_)) | None => BASE_PLPMTU_IPV4,
        }
    }
}

/// Returns the first address of the family of another address.
pub(super) fn of_family(addresses: &[IpAddr], other: IpAddr) -> Option<IpAddr> {
    addresses.iter().copied().find(|address| address.is_ipv4() == other.is_ipv4())
}
