//! Checks whether the networks of the configuration fit this host: MTUs, names of interfaces,
//! routes.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use ipnet::IpNet;
use vxlan_common::wire::ipv6::MIN_MTU as MIN_IPV6_MTU;

use super::{result::Preflight, settings, underlay_conflicts};
use crate::{
    config::{self, Config, RouteTable, UnknownVni},
    host::{Host, HostView, KernelVxlan, Made, hidden_name},
    plan::{default_overlay_mtu, overhead},
    state::{HostState, NetworkRecord},
};

/// Checks for everything that would make a start fail half-way. Returns what is valid but may not
/// be intended.
pub(in crate::daemon) async fn check(
    preflight: &Preflight,
    host: &Host,
) -> anyhow::Result<Vec<String>> {
    let (config, underlay) = (&preflight.config, &preflight.underlay);
    check_mtus(preflight)?;
    settings::check_ipv6(config)?;
    check_conflicts(config)?;
    let view = host.view(false).await?;
    let gateways = view.gateways(underlay.ifindex);
    let mut warnings = underlay_conflicts::check(config, underlay, &gateways)?;
    check_names(preflight, &view)?;
    check_routes(preflight, &view)?;
    warnings.extend(repeated_addresses(config));
    warnings.extend(settings::warnings(config));
    warnings.extend(foreign_vxlans(config, host).await?);
    Ok(warnings)
}

/// Refuses a declared MTU that does not fit, with which every full packet would be lost.
fn check_mtus(preflight: &Preflight) -> Result<(), config::ConfigError> {
    let config = &preflight.config;
    for network in &config.networks {
        let largest = default_overlay_mtu(config, network, &preflight.facts);
        if let Some(mtu) = network.mtu.filter(|at| at.value > largest) {
            let message = format!(
                "mtu = {} does not fit: {} has {} bytes, of which the outer headers take {}. Write \
                 {largest} or less, or leave the key out.",
                mtu.value,
                preflight.underlay.name,
                preflight.underlay.mtu,
                overhead(config, network, &preflight.facts)
            );
            return Err(config.error(&mtu, message));
        }
        if network.mtu.is_none() && network.has_ipv6() && largest < MIN_IPV6_MTU {
            let underlay = &preflight.underlay;
            let message = format!(
                "network {} has IPv6, which needs {MIN_IPV6_MTU} bytes, and the {} bytes of {name} \
                 leave {largest}. Raise the MTU of {name}, or take the IPv6 prefixes out.",
                network.vni.value,
                underlay.mtu,
                name = underlay.name
            );
            return Err(config.error(&network.interface, message));
        }
    }
    Ok(())
}

/// Refuses routes that would lead the tunnel into itself, or replace each other.
fn check_conflicts(config: &Config) -> Result<(), config::ConfigError> {
    let routed = config.networks.iter().filter(|at| at.route_table.value == RouteTable::Main);
    let mut taken: HashMap<IpNet, config::Vni> = HashMap::new();
    // The kernel makes a route for the network of each address.
    let mut connected: HashMap<IpNet, config::Vni> = HashMap::new();
    for network in &config.networks {
        for address in &network.addresses {
            connected.entry(address.value.trunc()).or_insert(network.vni.value);
        }
    }
    let endpoints: BTreeMap<IpAddr, &config::Peer> = config
        .peers
        .iter()
        .flat_map(|peer| peer.endpoints.iter().map(move |endpoint| (endpoint.value.ip(), peer)))
        .collect();
    for network in routed {
        let vni = network.vni.value;
        for prefix in network.prefixes() {
            let mut inside = endpoints.range(prefix.value.network()..=prefix.value.broadcast());
            if let Some((endpoint, peer)) = inside.next() {
                let message = format!(
                    "allowed_ips \"{}\" holds the endpoint {endpoint} of peer \"{}\": a route \
                     for it would lead the tunnel into itself. Write route_table = \"off\" in \
                     network {vni} and route by hand what shall go through it.",
                    prefix.value, peer.name
                );
                return Err(config.error(prefix, message));
            }
            if let Some(other) = connected.get(&prefix.value).filter(|other| **other != vni) {
                let message = format!(
                    "allowed_ips \"{}\" is the network of this host's own addresses in network \
                     {other}, and the host has one route for it. Write narrower prefixes, or \
                     route_table = \"off\" in network {vni}.",
                    prefix.value
                );
                return Err(config.error(prefix, message));
            }
            if let Some(other) = taken.insert(prefix.value, vni).filter(|other| *other != vni) {
                let message = format!(
                    "allowed_ips \"{}\" is in network {other} too, and the host has one route for \
                     it. Write route_table = \"off\" in one of the two networks.",
                    prefix.value
                );
                return Err(config.error(prefix, message));
            }
        }
    }
    Ok(())
}

/// Lists addresses that this host has in more than one network.
fn repeated_addresses(config: &Config) -> Vec<String> {
    let mut owners: HashMap<IpAddr, config::Vni> = HashMap::new();
    let mut warnings = Vec::new();
    for network in &config.networks {
        for address in &network.addresses {
            let (address, vni) = (address.value.addr(), network.vni.value);
            if let Some(other) = owners.insert(address, vni).filter(|other| *other != vni) {
                warnings.push(format!(
                    "addresses: {address} is this host's in networks {other} and {vni}: for what \
                     is in both, the kernel has one route, to one of the two"
                ));
            }
        }
    }
    warnings
}

/// Lists `vxlan` devices of the kernel that would get nothing any more.
async fn foreign_vxlans(config: &Config, host: &Host) -> anyhow::Result<Vec<String>> {
    let port = config.underlay.port.value;
    let mut warnings = Vec::new();
    for device in host.kernel_vxlans().await?.iter().filter(|device| device.port == port) {
        let KernelVxlan { name, vni, .. } = device;
        let taken = config.networks.iter().any(|network| network.vni.value.get() == *vni);
        if taken {
            warnings.push(format!(
                "device {name} (VNI {vni}) receives on port {port} too, and network {vni} takes \
                 its packets away: give one of the two another VNI"
            ));
        } else if config.underlay.unknown_vni == UnknownVni::Drop {
            warnings.push(format!(
                "device {name} (VNI {vni}) receives on port {port} too, and would get nothing any \
                 more: packets of other VNIs are dropped. Write unknown_vni = \"pass\" in \
                 [underlay]"
            ));
        }
    }
    Ok(warnings)
}

/// Refuses a name that a foreign device has, or that two of our own would have.
fn check_names(preflight: &Preflight, view: &HostView) -> anyhow::Result<()> {
    let previous = preflight.previous.as_ref();
    let networks = &preflight.config.networks;
    let hidden: HashMap<String, config::Vni> =
        networks.iter().map(|at| (hidden_name(at.vni.value.get()), at.vni.value)).collect();
    for interface in networks.iter().map(|network| &network.interface) {
        if let Some(vni) = hidden.get(&interface.value) {
            let message = format!(
                "interface = \"{interface}\" is the name of the other end of the overlay interface \
                 of network {vni}, its hidden port. Write another name."
            );
            return Err(preflight.config.error(interface, message).into());
        }
    }
    for network in &preflight.config.networks {
        let (interface, vni) = (&network.interface, network.vni.value.get());
        let hidden = hidden_name(vni);
        let record = previous.and_then(|state| state.networks.iter().find(|old| old.vni == vni));
        let made = record.map_or_else(Made::default, NetworkRecord::made);
        for name in [interface.value.as_str(), &hidden] {
            let recorded = previous.is_some_and(|state| is_recorded(state, name));
            if let Err(error) = view.check_name(name, vni, &made, recorded) {
                let message = format!("network.interface: {error}.");
                return Err(preflight.config.error(interface, message).into());
            }
        }
    }
    Ok(())
}

/// Returns whether the record has an interface of this name: a previous run has made it.
fn is_recorded(state: &HostState, name: &str) -> bool {
    state.networks.iter().any(|network| network.interface == name || network.hidden == name)
}

/// Refuses a prefix that a foreign route has.
fn check_routes(preflight: &Preflight, view: &HostView) -> anyhow::Result<()> {
    let previous = preflight.previous.iter().flat_map(|state| &state.networks);
    let recorded = previous.filter_map(|record| view.overlay_ifindex(record.vni, &record.made()));
    let marked = view.marked_vnis().filter_map(|vni| view.overlay_ifindex(vni, &Made::default()));
    let own_overlays: Vec<u32> = marked.chain(recorded).collect();
    let config = &preflight.config;
    for network in config.networks.iter().filter(|at| at.route_table.value == RouteTable::Main) {
        for prefix in network.prefixes() {
            if let Some(error) = view.conflict(prefix.value, &own_overlays) {
                return Err(config.error(prefix, format!("{error}.")).into());
            }
        }
    }
    Ok(())
}
