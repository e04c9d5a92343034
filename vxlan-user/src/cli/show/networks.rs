//! `vxlan show networks`: the networks with their interfaces and members, and the underlay.

use serde_json::{Value, json};

use crate::{cli::table::Table, metrics::Snapshot, state::NetworkRecord};

/// Returns the peer and the `allowed_ips` of each member of a network.
fn member_names(snapshot: &Snapshot, network: usize) -> Vec<(&str, Vec<String>)> {
    let members = snapshot.state.members.iter().filter(|member| member.network == network);
    let named = members.filter_map(|member| {
        let peer = snapshot.state.peers.get(member.peer)?;
        Some((peer.name.as_str(), member.allowed_ips.iter().map(ToString::to_string).collect()))
    });
    named.collect()
}

/// Returns whether packets of a network can pass: only a daemon keeps watch over that.
fn state(network: &NetworkRecord, watched: bool) -> &'static str {
    match (&network.lost, watched) {
        (Some(_), true) => "down",
        (None, true) => "up",
        (_, false) => "unknown",
    }
}

/// `watched`: a daemon is running.
pub(super) fn table(snapshot: &Snapshot, watched: bool) -> String {
    let mut table = Table::new(&["VNI", "INTERFACE", "STATE", "MTU", "ADDRESSES", "MEMBERS"]);
    let mut reasons = String::new();
    for (index, network) in snapshot.state.networks.iter().enumerate() {
        let addresses: Vec<_> = network.addresses.iter().map(ToString::to_string).collect();
        let members = member_names(snapshot, index);
        let members: Vec<_> =
            members.iter().map(|(name, ips)| format!("{name} ({})", ips.join(" "))).collect();
        table.row(vec![
            network.vni.to_string(),
            network.interface.clone(),
            state(network, watched).to_owned(),
            network.mtu.to_string(),
            addresses.join(" "),
            members.join(", "),
        ]);
        if let Some(reason) = network.lost.as_ref().filter(|_| watched) {
            reasons += &format!("network {}: {reason}\n", network.vni);
        }
    }
    let underlay = &snapshot.state.underlay;
    let xdp = underlay.xdp.as_ref().map_or("not attached", |xdp| xdp.mode.label());
    let addresses: Vec<_> = underlay.addresses.iter().map(ToString::to_string).collect();
    let addresses = addresses.join(" and ");
    let lost = underlay.lost.as_ref().map(|reason| format!("{reason}\n")).unwrap_or_default();
    let underlay = format!("underlay {}, {addresses}, XDP {xdp}\n{lost}", underlay.interface);
    underlay + &reasons + &table.render("no networks")
}

pub(super) fn json(snapshot: &Snapshot, watched: bool) -> Value {
    let networks = snapshot.state.networks.iter().enumerate().map(|(index, network)| {
        let members = member_names(snapshot, index);
        let members: Vec<_> =
            members.iter().map(|(peer, ips)| json!({ "peer": peer, "allowed_ips": ips })).collect();
        json!({
            "vni": network.vni,
            "interface": network.interface,
            "state": state(network, watched),
            "reason": network.lost.as_ref().filter(|_| watched),
            "mtu": network.mtu,
            "addresses": network.addresses,
            "routes": network.routes,
            "members": members,
        })
    });
    json!({
        "node": snapshot.state.node,
        "underlay": snapshot.state.underlay,
        "networks": networks.collect::<Vec<_>>(),
    })
}
