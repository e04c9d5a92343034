//! `vxlan show peers`: traffic, drops and NAT rewrites by peer and network; and from the daemon, if
//! one runs, how each peer is and what it has got.

use std::collections::HashMap;

use serde_json::{Value, json};
use vxlan_common::counters::{Counters, NatField};

use crate::{cli::table::Table, metrics::Snapshot, nat::NatVerdict, probe::Report};

/// The dropped packets of the peers, in both directions.
struct Drops<'a> {
    /// By peer and network of the peer.
    members: HashMap<(&'a str, u32), u64>,
    /// By peer: those of none of its networks.
    outside: HashMap<&'a str, u64>,
}

impl<'a> Drops<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let members = snapshot.traffic.iter().map(|at| ((at.peer.as_str(), at.vni), 0));
        let mut sums = Self { members: members.collect(), outside: HashMap::new() };
        for drop in &snapshot.drops {
            let Some(peer) = drop.peer.as_deref() else { continue };
            match drop.vni.and_then(|vni| sums.members.get_mut(&(peer, vni))) {
                Some(sum) => *sum += drop.packets,
                None => *sums.outside.entry(peer).or_default() += drop.packets,
            }
        }
        sums
    }

    fn of_member(&self, peer: &str, vni: u32) -> u64 {
        self.members.get(&(peer, vni)).copied().unwrap_or(0)
    }

    fn outside(&self, peer: &str) -> u64 {
        self.outside.get(peer).copied().unwrap_or(0)
    }
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
        "PEER GOT",
        "STATE",
    ];
    let mut table = Table::new(&header);
    let dropped = Drops::new(snapshot);
    let networks = snapshot.by_peer();
    let paths = snapshot.state.peers.iter().zip(&snapshot.path_mtus);
    let paths: HashMap<&str, _> =
        paths.map(|(peer, mtu)| (peer.name.as_str(), (peer, mtu))).collect();
    let reports: HashMap<&str, &Report> =
        snapshot.reports.iter().map(|report| (report.peer.as_str(), &**report)).collect();
    for member in &snapshot.traffic {
        let (peer, path_mtu) = paths.get(member.peer.as_str()).copied().unzip();
        let c = &member.counters;
        let name = member.peer.as_str();
        // The rows of a peer add up to all of its drops: those of none of its networks are in its
        // only row, or have one.
        let outside = dropped.outside(name);
        let of_peer = networks.get(name).map_or(&[][..], Vec::as_slice);
        let mut drops = dropped.of_member(name, member.vni);
        if of_peer.len() == 1 {
            drops += outside;
        }
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
        let report = reports.get(name).copied();
        // A peer counts what it got in all networks together.
        let is_first = of_peer.first().is_some_and(|first| first.vni == member.vni);
        let received = report.and_then(|report| report.reported.received).filter(|_| is_first);
        row.push(received.map_or_else(|| "-".to_owned(), |packets| packets.to_string()));
        row.push(report.map_or("-", |report| state(report, member.vni)).to_owned());
        table.row(row);
        let is_last = of_peer.last().is_some_and(|last| last.vni == member.vni);
        if of_peer.len() > 1 && is_last && outside != 0 {
            let mut row = vec!["-".to_owned(); header.len()];
            row[0].clone_from(&member.peer);
            row[9] = outside.to_string();
            table.row(row);
        }
    }
    table.render("no peer is a member of any network")
}

/// Returns how a peer is in a network, in a word.
fn state(report: &Report, vni: u32) -> &'static str {
    let here = report.lost_networks.is_empty() || report.lost_networks.contains(&vni);
    match (report.nat, report.liveness.up) {
        (NatVerdict::DataLost, _) if here => report.nat.label(),
        (NatVerdict::Unidirectional, _) => report.nat.label(),
        (_, Some(true)) => "up",
        (_, Some(false)) => "down",
        (_, None) => "-",
    }
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
    let dropped = Drops::new(snapshot);
    let members = snapshot.by_peer();
    let reports: HashMap<&str, &Report> =
        snapshot.reports.iter().map(|report| (report.peer.as_str(), &**report)).collect();
    let peers = snapshot.state.peers.iter().zip(&snapshot.path_mtus).map(|(peer, path_mtu)| {
        let networks = members.get(peer.name.as_str()).into_iter().flatten().map(|member| {
            let mut value = counters_json(&member.counters);
            value["vni"] = member.vni.into();
            value["drops"] = dropped.of_member(&member.peer, member.vni).into();
            value
        });
        let in_networks: u64 = members
            .get(peer.name.as_str())
            .into_iter()
            .flatten()
            .map(|member| dropped.of_member(&member.peer, member.vni))
            .sum();
        let report = reports.get(peer.name.as_str());
        json!({
            "peer": peer.name,
            "up": report.and_then(|report| report.liveness.up),
            "verdict": report.map(|report| report.nat.label()),
            "reported": report.map(|report| report.reported),
            "endpoint": peer.endpoint,
            "private_address": peer.private_address,
            "endpoints": peer.endpoints,
            "private_addresses": peer.private_addresses,
            "path_mtu": path_mtu,
            "drops": in_networks + dropped.outside(&peer.name),
            "networks": networks.collect::<Vec<_>>(),
        })
    });
    json!({ "node": snapshot.state.node, "peers": peers.collect::<Vec<_>>() })
}
