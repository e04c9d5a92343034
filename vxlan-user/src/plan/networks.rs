//! Networks and their members: entries, flood lists, routes, declared FDB entries, tags.

use std::{collections::HashSet, net::IpAddr};

use ipnet::IpNet;
use vxlan_common::{
    addr::{Address, Mac},
    table::{
        FdbEntry, FdbKey, FloodList, LOCAL, LOCAL_STATIONS, MAX_FLOOD_MEMBERS, MemberEntry,
        NetworkAddress, NetworkEntry, Owner, RateLimit, TaggedMember,
    },
    wire::ETH_LEN,
};

use super::{
    address::{directed_broadcast, family_address, network_address, vni_bytes},
    contents::{Plan, RouteEntry},
    facts::{OverlayFacts, RedirectTarget},
    peer::{self, BURST},
    secrets::secret_mac,
    slots::Slots,
};
use crate::config::{self, Config, NestedTunnels, UnknownUnicast, UnspecifiedSource};

/// The index of an overlay interface that does not exist yet. No interface has it.
const NOT_MADE: u32 = 0;
/// What a veth pair carries beside its MTU.
const LINK_LEN: u32 = ETH_LEN as u32;

impl Plan {
    /// Adds a network and its members. Its overlay interface is filled in by
    /// [`Plan::set_overlays`].
    pub(super) fn add_network(
        &mut self,
        config: &Config,
        network: &config::Network,
        slots: &mut Slots,
    ) {
        let index = self.networks.len() as u32;
        let number = network.vni.value.get();
        let vni = vni_bytes(network.vni.value);
        let slot = slots.assign(None, Some(number));
        self.names.networks.push(number);
        let pass = match network.nested_tunnels {
            NestedTunnels::Pass => NetworkEntry::PASS_NESTED,
            NestedTunnels::Drop => 0,
        };
        let flood = match network.unknown_unicast {
            UnknownUnicast::Flood => NetworkEntry::FLOOD_UNKNOWN,
            UnknownUnicast::Drop => 0,
        };
        let unspecified = match network.unspecified_source {
            UnspecifiedSource::Pass => NetworkEntry::PASS_UNSPECIFIED,
            UnspecifiedSource::Drop => 0,
        };
        let stations = if network.stations { NetworkEntry::STATIONS } else { 0 };
        self.networks.push(NetworkEntry {
            ifindex: NOT_MADE,
            slot,
            vni,
            flags: pass | flood | unspecified | stations,
            mac: Mac::ZERO,
            address: icmp_source(network, true).first(),
            address6: icmp_source(network, false),
            port: 0,
            max_redirected: 0,
            bum_limit: RateLimit::per_second(network.broadcast_rate.into(), BURST, 1),
        });

        let mut flood_list = FloodList { len: 0, members: [0; MAX_FLOOD_MEMBERS] };
        for member in &network.members {
            if let Some(listed) = flood_list.members.get_mut(flood_list.len as usize) {
                *listed = self.members.len() as u32;
                flood_list.len += 1;
            }
            self.add_member(config, network, member, index, slots);
        }
        self.flood_lists.push(flood_list);
        self.add_local_routes(network);
    }

    /// Adds the prefixes that belong to this host. A prefix in `allowed_ips` of a member stays the
    /// member's, also if the same prefix belongs to this host.
    fn add_local_routes(&mut self, network: &config::Network) {
        let vni = vni_bytes(network.vni.value);
        let in_network = self.routes.iter().filter(|route| route.address.vni == vni);
        let mut taken: HashSet<_> = in_network.map(|at| (at.bits, at.address)).collect();
        let own = network.addresses.iter().map(|at| IpNet::from(at.value.addr()));
        let broadcasts = network.addresses.iter().filter_map(|at| directed_broadcast(at.value));
        let behind = if network.stations { LOCAL_STATIONS } else { LOCAL };
        let local = own.chain(broadcasts).map(|prefix| (prefix, LOCAL));
        let local_ips = network.local_ips.iter().map(|prefix| (*prefix, behind));
        for (prefix, owner) in local.chain(local_ips) {
            let entry = route_entry(vni, prefix, owner);
            if taken.insert((entry.bits, entry.address)) {
                self.routes.push(entry);
            }
        }
    }

    fn add_member(
        &mut self,
        config: &Config,
        network: &config::Network,
        member: &config::Member,
        network_index: u32,
        slots: &mut Slots,
    ) {
        let index = self.members.len() as u32;
        let vni = vni_bytes(network.vni.value);
        let peer = &config.peers[member.peer];
        let slot = slots.assign(Some(&peer.name.value), Some(network.vni.value.get()));
        self.names.members.push((member.peer as u32, network_index));
        let any_ipv6 = member.allowed_ips.iter().any(|at| at.value.addr().is_ipv6());
        let tag = secret_mac(self.settings.secret, slot);
        let (port_low, port_high, sends) =
            peer::source_ports_and_flags(peer, config.underlay.port.value);
        self.members.push(MemberEntry {
            peer: member.peer as u32,
            network: network_index,
            slot,
            flags: if any_ipv6 { MemberEntry::IPV6 } else { 0 }
                | if peer.is_limited() { MemberEntry::LIMITED } else { 0 }
                | sends,
            max_stations: network.max_stations.value,
            port_low,
            port_high,
            mac: member.mac.map_or(Mac::ZERO, Mac::new),
            tag,
        });
        self.tags.push((tag, TaggedMember { ifindex: NOT_MADE, slot, mac: Mac::ZERO }));
        for at in &member.allowed_ips {
            self.routes.push(route_entry(vni, at.value, index));
        }
        if let Some(mac) = member.mac {
            let key = FdbKey { ifindex: NOT_MADE, mac: Mac::new(mac) };
            self.fdb_entries
                .push((key, FdbEntry { member: index, flags: FdbEntry::STATIC, seen: 0 }));
        }
    }

    /// Fills in the overlay interfaces: one for each network, in the order of the configuration.
    pub fn set_overlays(&mut self, overlays: &[OverlayFacts]) {
        for (network, overlay) in self.networks.iter_mut().zip(overlays) {
            network.ifindex = overlay.ifindex;
            set_redirect(network, overlay.redirect);
            network.mac = Mac::new(overlay.mac);
        }
        self.apply_overlays();
    }

    /// Replaces the overlay interface of one network. Returns the index of the one before.
    pub fn set_overlay(&mut self, index: usize, overlay: OverlayFacts) -> Option<u32> {
        let network = self.networks.get_mut(index)?;
        let before = network.ifindex;
        network.ifindex = overlay.ifindex;
        set_redirect(network, overlay.redirect);
        network.mac = Mac::new(overlay.mac);
        self.apply_overlays();
        Some(before)
    }

    /// Has XDP redirect nothing into the overlay interface of a network any more.
    pub fn keep_from_redirect(&mut self, index: usize) {
        if let Some(network) = self.networks.get_mut(index) {
            set_redirect(network, None);
        }
    }

    /// Has XDP redirect frames for another MTU of a network's pair. Returns whether it redirects
    /// any.
    pub fn set_redirected_mtu(&mut self, index: usize, mtu: u32) -> bool {
        let network = self.networks.get_mut(index).filter(|network| network.port != 0);
        let Some(network) = network else { return false };
        network.max_redirected = mtu + LINK_LEN;
        true
    }

    /// Writes the overlay interfaces of the networks into what refers to them.
    fn apply_overlays(&mut self) {
        let networks = &self.networks;
        let network_of = |member: &MemberEntry| networks.get(member.network as usize);
        for ((_, tagged), member) in self.tags.iter_mut().zip(&self.members) {
            if let Some(network) = network_of(member) {
                tagged.ifindex = network.ifindex;
                tagged.mac = network.mac;
            }
        }
        for (key, entry) in &mut self.fdb_entries {
            let member = self.members.get(entry.member as usize);
            if let Some(network) = member.and_then(network_of) {
                key.ifindex = network.ifindex;
            }
        }
    }
}

fn set_redirect(network: &mut NetworkEntry, to: Option<RedirectTarget>) {
    network.port = to.map_or(0, |to| to.ifindex);
    network.max_redirected = to.map_or(0, |to| to.mtu + LINK_LEN);
}

/// Returns the address that ICMP messages into the overlay come from: the first one of a family on
/// the overlay interface, and for IPv6 one that is not link-local if there is any. Zero: none.
fn icmp_source(network: &config::Network, v4: bool) -> Address {
    let own = || network.addresses.iter().map(|at| at.value.addr()).filter(|at| at.is_ipv4() == v4);
    let on_link = |at: &IpAddr| matches!(at, IpAddr::V6(at) if at.is_unicast_link_local());
    let address = own().find(|at| !on_link(at)).or_else(|| own().next());
    address.map_or(Address::ZERO, |address| family_address(address).1)
}

fn route_entry(vni: [u8; 3], prefix: IpNet, owner: Owner) -> RouteEntry {
    RouteEntry {
        bits: NetworkAddress::FIXED_BITS + u32::from(prefix.prefix_len()),
        address: network_address(vni, prefix.network()),
        owner,
    }
}
