//! An overlay interface as it shall be, and which wishes cannot be met. Reads and changes nothing.

use std::{collections::HashSet, net::IpAddr};

use ipnet::IpNet;
use vxlan_common::wire::ipv6;

use super::{error::HostError, link::MAX_NAME};

/// The overlay interface of one network, as it shall be.
#[derive(Debug, Clone, Default)]
pub struct OverlaySpec {
    pub name: String,
    pub hidden_name: String,
    pub vni: u32,
    /// Of a new interface.
    pub mac: [u8; 6],
    pub mtu: u32,
    /// The first of each family becomes the primary one.
    pub addresses: Vec<IpNet>,
    /// Whether the interface speaks IPv6. If not, it also gets no link-local address.
    pub ipv6: bool,
    /// Whether this host answers ARP requests for addresses that it routes elsewhere.
    pub proxy_arp: bool,
    /// Routes straight through the interface.
    pub routes: Vec<RouteSpec>,
    /// The paths are not known yet: routes keep the MTU that they have.
    pub any_route_mtu: bool,
    /// Whether each route has a blackhole beside it, which counts while the interface is away.
    pub blackholes: bool,
    /// Whether programs will be attached by filters, which need a clsact qdisc. Added while the
    /// interface is down it takes no time.
    pub clsact: bool,
    pub made: Made,
}

/// What was made of an overlay interface before, by record. What is not in it belongs to somebody
/// else, and stays.
#[derive(Debug, Clone, Default)]
pub struct Made {
    /// `None`: not known, so that the interface keeps the address that it has.
    pub mac: Option<[u8; 6]>,
    pub addresses: Vec<IpNet>,
    pub routes: Vec<IpNet>,
    /// `proxy_arp` was switched on.
    pub proxy_arp: bool,
    /// The index of the interface. It is then ours also if somebody has taken its mark away.
    pub ifindex: Option<u32>,
}

/// A route that shall lead straight through an overlay interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteSpec {
    pub prefix: IpNet,
    /// What the kernel shall prefer as source address.
    pub source: Option<IpAddr>,
    /// Where packets may be shorter than on the interface.
    pub mtu: Option<u32>,
}

/// Names the overlay interface of a network for as long as its own name is another's.
pub fn set_aside_name(vni: u32) -> String {
    format!("vxold{vni}")
}

/// Names the hidden port of a network, so that anyone who knows the VNI finds the port again.
pub fn hidden_name(vni: u32) -> String {
    format!("vxport{vni}")
}

/// Refuses what the kernel would refuse only half-way, or with a number instead of a reason.
pub(super) fn validate(spec: &OverlaySpec) -> Result<(), HostError> {
    let refuse = |name: &str, problem: String| {
        Err(HostError::InvalidSpec { name: name.to_owned(), problem })
    };
    for name in [&spec.name, &spec.hidden_name] {
        let allowed = |c: char| !c.is_whitespace() && !c.is_control() && c != '/' && c != ':';
        let reserved = matches!(name.as_str(), "" | "." | "..");
        if reserved || name.len() > MAX_NAME || !name.chars().all(allowed) {
            let problem = format!(
                "not a possible interface name; write 1 to {MAX_NAME} bytes without space, / or :"
            );
            return refuse(name, problem);
        }
    }
    if spec.name == spec.hidden_name {
        let problem = "the hidden port has the same name; give it another".to_owned();
        return refuse(&spec.name, problem);
    }
    let v6 = spec.addresses.iter().find(|net| net.addr().is_ipv6());
    if let Some(address) = v6.filter(|_| !spec.ipv6) {
        let problem = format!("address {address} is IPv6, but this interface carries IPv4 only");
        return refuse(&spec.name, problem);
    }
    if spec.ipv6 && spec.mtu < ipv6::MIN_MTU {
        let problem = format!(
            "MTU {} is too small for IPv6; use at least {}, or no IPv6 addresses",
            spec.mtu,
            ipv6::MIN_MTU
        );
        return refuse(&spec.name, problem);
    }
    let mut seen = HashSet::new();
    match spec.addresses.iter().find(|net| !seen.insert(net.addr())) {
        Some(twice) => refuse(&spec.name, format!("address {twice} is given twice; give it once")),
        None => Ok(()),
    }
}
