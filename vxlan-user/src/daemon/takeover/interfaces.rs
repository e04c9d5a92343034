//! Makes the overlay interfaces and their routes.

use ipnet::IpNet;

use super::changes::Changes;
use crate::{
    config::{self, RouteTable},
    daemon::{interrupt::Interrupt, preflight::Preflight},
    host::{Host, OverlaySpec, WantedRoute, hidden_name},
    plan::{OverlayFacts, overlay_mac},
    state::HostState,
};

/// Makes or adopts the overlay interface of every network.
pub(super) async fn make_overlays(
    host: &Host,
    interrupt: Option<&Interrupt>,
    preflight: &Preflight,
    state: &mut HostState,
    changes: &mut Changes,
) -> anyhow::Result<Vec<OverlayFacts>> {
    let mut overlays = Vec::new();
    for (index, network) in preflight.config.networks.iter().enumerate() {
        interrupt.map_or(Ok(()), Interrupt::check)?;
        let vni = network.vni.value.get();
        let spec = OverlaySpec {
            name: network.interface.value.clone(),
            hidden_name: hidden_name(vni),
            vni,
            mac: state.networks[index]
                .mac
                .unwrap_or_else(|| overlay_mac(&state.secret, preflight.underlay.mac, vni)),
            mtu: preflight.overlay_mtu(network),
            addresses: network.addresses.iter().map(|at| at.value).collect(),
            ipv6: network.has_ipv6(),
            proxy_arp: routes_beyond_link(network),
        };
        let overlay = host.create_overlay(&spec).await?;
        if !overlay.adopted {
            changes.overlays.push(spec.name);
        }
        state.networks[index].ifindex = overlay.ifindex;
        state.networks[index].mac.get_or_insert(overlay.mac);
        overlays.push(OverlayFacts { ifindex: overlay.ifindex, mac: overlay.mac });
    }
    Ok(overlays)
}

/// Makes the routes to the prefixes behind members.
pub(super) async fn make_routes(
    host: &Host,
    preflight: &Preflight,
    state: &mut HostState,
    changes: &mut Changes,
) -> anyhow::Result<()> {
    let mut wanted = Vec::new();
    for (network, state) in preflight.config.networks.iter().zip(&mut state.networks) {
        if network.route_table.value == RouteTable::Off {
            continue;
        }
        for prefix in network.prefixes() {
            let (prefix, source) = (prefix.value, source_for(network, prefix.value));
            wanted.push(WantedRoute { prefix, ifindex: state.ifindex, source });
            state.routes.push(prefix);
        }
    }
    Ok(host.add_routes(&wanted, &mut changes.routes).await?)
}

/// Returns whether this host has IPv4 prefixes behind it that its own interface addresses do not
/// cover. The routes of peers have these prefixes on the link, so that peers send ARP requests for
/// their hosts, which this host must answer.
fn routes_beyond_link(network: &config::Network) -> bool {
    let on_link =
        |prefix: &IpNet| network.addresses.iter().any(|own| own.value.trunc().contains(prefix));
    let mut ipv4 = network.local_ips.iter().filter(|prefix| prefix.addr().is_ipv4());
    !network.addresses.is_empty() && ipv4.any(|prefix| !on_link(prefix))
}

/// Chooses the source address of a route: the address of this host in the network, of the family of
/// the prefix. Peers accept no other source.
fn source_for(network: &config::Network, prefix: IpNet) -> Option<std::net::IpAddr> {
    let addresses = network.addresses.iter().map(|at| at.value.addr());
    addresses.into_iter().find(|address| address.is_ipv4() == prefix.addr().is_ipv4())
}
