//! `vxlan show`: peers, networks, drops. Reads the pinned tables, so it also works while no daemon
//! runs.

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use vxlan_common::counters::{Counters, NatField};

use super::table::Table;
use crate::{
    daemon::Places,
    dataplane::Reader,
    metrics::{Snapshot, Source},
};

#[derive(Debug, Args)]
pub(super) struct Show {
    /// What to show.
    #[arg(value_enum, default_value_t = What::Peers)]
    what: What,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Drops: also the reasons that never happened.
    #[arg(long)]
    all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Traffic and NAT rewrites by peer and network.
    Peers,
    /// Networks with their interfaces and members.
    Networks,
    /// Dropped packets by reason, peer and network.
    Drops,
}

pub(super) fn show(places: &Places, args: &Show) -> anyhow::Result<ExitCode> {
    let Some(state) = places.run_dir.load()? else {
        bail!(
            "no data plane was started here. Start one with `vxlan run`, or name its run directory \
             with --run-dir"
        );
    };
    let snapshot = Source::new(Reader::open(&places.pins)?, state).snapshot()?;
    if args.json {
        let value = match args.what {
            What::Peers => peers_json(&snapshot),
            What::Networks => networks_json(&snapshot),
            What::Drops => drops_json(&snapshot, args.all),
        };
        println!("{value:#}");
    } else {
        let text = match args.what {
            What::Peers => peers(&snapshot),
            What::Networks => networks(&snapshot),
            What::Drops => drops(&snapshot, args.all),
        };
        print!("{text}");
    }
    Ok(ExitCode::SUCCESS)
}

fn dropped_by_link(snapshot: &Snapshot) -> BTreeMap<(String, u32), u64> {
    let mut sums = BTreeMap::new();
    for drop in &snapshot.drops {
        if let (Some(peer), Some(vni)) = (&drop.peer, drop.vni) {
            *sums.entry((peer.clone(), vni)).or_default() += drop.packets;
        }
    }
    sums
}

fn peers(snapshot: &Snapshot) -> String {
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
        "NAT DST",
    ];
    let mut table = Table::new(&header);
    let dropped = dropped_by_link(snapshot);
    for link in &snapshot.links {
        let index = snapshot.state.peers.iter().position(|peer| peer.name == link.peer);
        let peer = index.and_then(|index| snapshot.state.peers.get(index));
        let path_mtu = index.and_then(|index| snapshot.path_mtus.get(index));
        let c = &link.counters;
        let drops = dropped.get(&(link.peer.clone(), link.vni)).copied().unwrap_or(0);
        table.row(vec![
            link.peer.clone(),
            peer.and_then(|peer| peer.endpoint)
                .map_or_else(|| "-".to_owned(), |endpoint| endpoint.to_string()),
            peer.and_then(|peer| peer.private_address)
                .map_or_else(|| "-".to_owned(), |address| address.to_string()),
            path_mtu.map_or_else(|| "-".to_owned(), u32::to_string),
            link.vni.to_string(),
            c.rx_packets.to_string(),
            c.rx_bytes.to_string(),
            c.tx_packets.to_string(),
            c.tx_bytes.to_string(),
            drops.to_string(),
            c.nat[NatField::SrcAddress as usize].to_string(),
            c.nat[NatField::DstAddress as usize].to_string(),
        ]);
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

fn peers_json(snapshot: &Snapshot) -> Value {
    let dropped = dropped_by_link(snapshot);
    let peers = snapshot.state.peers.iter().zip(&snapshot.path_mtus).map(|(peer, path_mtu)| {
        let networks = snapshot.links.iter().filter(|link| link.peer == peer.name).map(|link| {
            let mut value = counters_json(&link.counters);
            value["vni"] = link.vni.into();
            let drops = dropped.get(&(link.peer.clone(), link.vni)).copied().unwrap_or(0);
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

fn member_names(snapshot: &Snapshot, network: usize) -> Vec<(&str, Vec<String>)> {
    let members = snapshot.state.members.iter().filter(|member| member.network == network);
    let named = members.filter_map(|member| {
        let peer = snapshot.state.peers.get(member.peer)?;
        Some((peer.name.as_str(), member.allowed_ips.iter().map(ToString::to_string).collect()))
    });
    named.collect()
}

fn networks(snapshot: &Snapshot) -> String {
    let mut table = Table::new(&["VNI", "INTERFACE", "MTU", "ADDRESSES", "MEMBERS"]);
    for (index, network) in snapshot.state.networks.iter().enumerate() {
        let addresses: Vec<_> = network.addresses.iter().map(ToString::to_string).collect();
        let members = member_names(snapshot, index);
        let members: Vec<_> =
            members.iter().map(|(name, ips)| format!("{name} ({})", ips.join(" "))).collect();
        table.row(vec![
            network.vni.to_string(),
            network.interface.clone(),
            network.mtu.to_string(),
            addresses.join(" "),
            members.join(", "),
        ]);
    }
    let underlay = &snapshot.state.underlay;
    let xdp = underlay.xdp.as_ref().map_or("not attached", |xdp| xdp.mode.label());
    let addresses: Vec<_> = underlay.addresses.iter().map(ToString::to_string).collect();
    let addresses = addresses.join(" and ");
    let underlay = format!("underlay {}, {addresses}, XDP {xdp}\n", underlay.interface);
    underlay + &table.render("no networks")
}

fn networks_json(snapshot: &Snapshot) -> Value {
    let networks = snapshot.state.networks.iter().enumerate().map(|(index, network)| {
        let members = member_names(snapshot, index);
        let members: Vec<_> =
            members.iter().map(|(peer, ips)| json!({ "peer": peer, "allowed_ips": ips })).collect();
        json!({
            "vni": network.vni,
            "interface": network.interface,
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

fn drops(snapshot: &Snapshot, all: bool) -> String {
    let mut table = Table::new(&["PACKETS", "DIRECTION", "REASON", "PEER", "VNI", "WHAT IT WAS"]);
    let mut drops: Vec<_> = snapshot.drops.iter().filter(|drop| all || drop.packets != 0).collect();
    drops.sort_by_key(|drop| std::cmp::Reverse(drop.packets));
    for drop in drops {
        table.row(vec![
            drop.packets.to_string(),
            drop.reason.direction().to_owned(),
            drop.reason.label().to_owned(),
            drop.peer.clone().unwrap_or_else(|| "-".to_owned()),
            drop.vni.map_or_else(|| "-".to_owned(), |vni| vni.to_string()),
            drop.reason.meaning().trim().to_owned(),
        ]);
    }
    table.render("nothing was dropped")
}

fn drops_json(snapshot: &Snapshot, all: bool) -> Value {
    let drops = snapshot.drops.iter().filter(|drop| all || drop.packets != 0).map(|drop| {
        json!({
            "direction": drop.reason.direction(),
            "reason": drop.reason.label(),
            "peer": drop.peer,
            "vni": drop.vni,
            "packets": drop.packets,
        })
    });
    json!({ "node": snapshot.state.node, "drops": drops.collect::<Vec<_>>() })
}
