//! `vxlan show peers`: traffic, drops and NAT rewrites by peer and network.

use std::collections::HashMap;

use serde_json::{Value, json};
use vxlan_common::counters::{Counters, NatField};

use crate::{cli::table::Table, metrics::Snapshot};

/// Sums the dropped packets by peer and VNI.
fn dropped_by_member(snapshot: &Snapshot) -> HashMap<(&str, u32), u64> {
    let mut sums = HashMap::new();
    for drop in &snapshot.drops {
        if let (Some(peer), Some(vni)) = (&drop.peer, drop.vni) {
            *sums.entry((&**peer, vni)).or_default() += drop.packets;
        }
    }
    sums
}

pub(super) fn table(snapshot: &Snapshot) -> String {
    let header = [
        "PEER",
        "ENDPOINT",
        "PRIVATE",
        "PATH MTU",
        "VNI",
        "RX PACKETS",
        "RX BYTES",
        "TX PACKETS",
        "TX BYTES",
        "DROPS",
        "NAT SRC",
        "NAT SPORT",
        "NAT DST",
        "NAT CSUM",
    ];
    let mut table = Table::new(&header);
    let dropped = dropped_by_member(snapshot);
    let paths = snapshot.state.peers.iter().zip(&snapshot.path_mtus);
    let paths: HashMap<&str, _> =
        paths.map(|(peer, mtu)| (peer.name.as_str(), (peer, mtu))).collect();
    for member in &snapshot.traffic {
        let (peer, path_mtu) = paths.get(member.peer.as_str()).copied().unzip();
        let c = &member.counters;
        let drops = dropped.get(&(member.peer.as_str(), member.vni)).copied().unwrap_or(0);
        let nat = NatField::ALL.map(|field| c.nat[field as usize].to_string());
        let mut row = vec![
            member.peer.clone(),
            peer.and_then(|peer| peer.endpoint)
                .map_or_else(|| "-".to_owned(), |endpoint| endpoint.to_string()),
            peer.and_then(|peer| peer.private_address)
                .map_or_else(|| "-".to_owned(), |address| address.to_string()),
            path_mtu.map_or_else(|| "-".to_owned(), u32::to_string),
            member.vni.to_string(),
            c.rx_packets.to_string(),
            c.rx_bytes.to_string(),
            c.tx_packets.to_string(),
            c.tx_bytes.to_string(),
            drops.to_string(),
        ];
        row.extend(nat);
        table.row(row);
    }
    table.render("no peer is a member of any network")
}

fn counters_json(c: &Counters) -> Value {
    let nat: serde_json::Map<String, Value> = NatField::ALL
        .iter()
        .map(|field| (field.label().into(), c.nat[*field as usize].into()))
        .collect();
    json!({
        "rx": { "packets": c.rx_packets, "bytes": c.rx_bytes },
        "tx": { "packets": c.tx_packets, "bytes": c.tx_bytes },
        "nat_rewritten": nat,
    })
}

pub(super) fn json(snapshot: &Snapshot) -> Value {
    let dropped = dropped_by_member(snapshot);
    let members = snapshot.by_peer();
    let peers = snapshot.state.peers.iter().zip(&snapshot.path_mtus).map(|(peer, path_mtu)| {
        let networks = members.get(peer.name.as_str()).into_iter().flatten().map(|member| {
            let mut value = counters_json(&member.counters);
            value["vni"] = member.vni.into();
            let drops = dropped.get(&(member.peer.as_str(), member.vni)).copied().unwrap_or(0);
            value["drops"] = drops.into();
            value
        });
        json!({
            "peer": peer.name,
            "endpoint": peer.endpoint,
            "private_address": peer.private_address,
            "endpoints": peer.endpoints,
            "private_addresses": peer.private_addresses,
            "path_mtu": path_mtu,
            "networks": networks.collect::<Vec<_>>(),
        })
    });
    json!({ "node": snapshot.state.node, "peers": peers.collect::<Vec<_>>() })
}
