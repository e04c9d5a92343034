//! Which news of the kernel concerns what the daemon has made on the host. Pure: indices of what
//! was made, so that the cost of an event does not depend on the number of networks.

use std::collections::HashSet;

use ipnet::IpNet;

use crate::{
    host::{HostEvent, Overlay},
    state::NetworkRecord,
};

/// Interfaces and prefixes of all networks.
#[derive(Debug, Default)]
pub(super) struct Watched {
    ifindexes: HashSet<u32>,
    names: HashSet<String>,
    prefixes: HashSet<IpNet>,
}

impl Watched {
    pub(super) fn new(networks: &[NetworkRecord]) -> Self {
        let mut watched = Self::default();
        for network in networks {
            watched.ifindexes.insert(network.ifindex);
            watched.names.extend([network.interface.clone(), network.hidden.clone()]);
            watched.prefixes.extend(network.routes.iter().map(IpNet::trunc));
        }
        watched
    }

    /// Adds both ends of a pair, which may have other names by now.
    pub(super) fn add(&mut self, overlay: &Overlay) {
        self.ifindexes.extend([overlay.ifindex, overlay.hidden_ifindex]);
    }

    pub(super) fn concerns(&self, event: &HostEvent) -> bool {
        match event {
            HostEvent::Overrun => true,
            HostEvent::Link { ifindex, name, .. } | HostEvent::LinkRemoved { ifindex, name } => {
                self.ifindexes.contains(ifindex) || self.names.contains(name)
            }
            HostEvent::Address { ifindex, .. }
            | HostEvent::AddressRemoved { ifindex, .. }
            | HostEvent::TrafficControl { ifindex } => self.ifindexes.contains(ifindex),
            HostEvent::Route(route) | HostEvent::RouteRemoved(route) => {
                self.prefixes.contains(&route.prefix)
                    || route.ifindex.is_some_and(|ifindex| self.ifindexes.contains(&ifindex))
            }
            HostEvent::Neighbour(_) | HostEvent::NeighbourRemoved { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> NetworkRecord {
        NetworkRecord {
            vni: 43,
            interface: "vxlan43".to_owned(),
            hidden: "vxport43".to_owned(),
            ifindex: 7,
            mtu: 1450,
            mac: None,
            addresses: Vec::new(),
            routes: vec!["192.0.2.1/24".parse().unwrap()],
            blackholes: true,
            proxy_arp: false,
            tc: None,
            lost: None,
        }
    }

    fn removed(ifindex: u32, name: &str) -> HostEvent {
        HostEvent::LinkRemoved { ifindex, name: name.to_owned() }
    }

    #[test]
    fn what_was_made_is_watched_by_index_name_and_prefix() {
        let mut watched = Watched::new(&[network()]);
        watched.add(&Overlay { ifindex: 7, hidden_ifindex: 8, mac: [2; 6] });
        let address = |ifindex| HostEvent::AddressRemoved {
            ifindex,
            address: "198.51.100.1/24".parse().unwrap(),
        };
        for event in [
            removed(7, "renamed"),
            removed(8, "renamed"),
            removed(9, "vxlan43"),
            removed(9, "vxport43"),
            address(7),
            HostEvent::TrafficControl { ifindex: 8 },
            HostEvent::Overrun,
        ] {
            assert!(watched.concerns(&event), "{event:?}");
        }
        for event in [removed(9, "eth0"), address(9)] {
            assert!(!watched.concerns(&event), "{event:?}");
        }
    }
}
