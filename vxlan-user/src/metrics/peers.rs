//! Renders the families of peers and of the paths to them: what is declared, what the data plane
//! has observed, and what the prober reports.

use std::{collections::HashMap, fmt::Display};

use super::{
    families::*,
    snapshot::Snapshot,
    text::{Page, Samples},
};
use crate::{
    nat,
    observation::ObservedData,
    probe::{LivenessSource, PerDirection, Report},
    state,
};

pub(super) fn render(page: &mut Page, snapshot: &Snapshot) {
    declared(page, snapshot);
    observed(page, snapshot);
    reported(page, snapshot);
    probed(page, snapshot);
}

/// Returns the peers with what the data plane has observed of them.
fn peers(snapshot: &Snapshot) -> impl Iterator<Item = (&state::PeerRecord, &ObservedData)> {
    snapshot.state.peers.iter().zip(&snapshot.observed)
}

fn declared(page: &mut Page, snapshot: &Snapshot) {
    let mut info = Samples::new(&PEER_INFO);
    let reports: HashMap<&str, &Report> =
        snapshot.reports.iter().map(|report| (report.peer.as_str(), report)).collect();
    for (peer, data) in peers(snapshot) {
        let report = reports.get(peer.name.as_str());
        let endpoint = peer.endpoint.map_or_else(String::new, |at| at.to_string());
        let private = peer.private_address.map_or_else(String::new, |at| at.to_string());
        let in_probes = || Some(report?.theirs?.seen.source.ip());
        let observed = data.mapping.map(|mapping| mapping.address).or_else(in_probes);
        let observed = observed.map_or_else(String::new, |at| at.to_string());
        let nat = report.map_or(nat::NatVerdict::Unknown, |report| report.nat).label();
        info.add(&[&*peer.name, &endpoint, &private, &observed, nat], 1);
    }
    page.add(info);
}

fn observed(page: &mut Page, snapshot: &Snapshot) {
    let mut mappings = Samples::new(&MAPPINGS);
    let mut changed = Samples::new(&MAPPING_CHANGED);
    let mut last_seen = Samples::new(&LAST_SEEN);
    for (peer, data) in peers(snapshot) {
        let name = peer.name.as_str();
        mappings.add(&[name], data.mapping.map_or(0, |mapping| mapping.mappings));
        if let Some(mapping) = data.mapping {
            changed.add(&[name], snapshot.before(f64::from(mapping.changed)));
        }
        if let Some(ago) = data.last_seen {
            last_seen.add(&[name, "data"], snapshot.before(f64::from(ago)));
        }
    }
    for report in snapshot.reports.iter() {
        let kind = match report.liveness.by {
            LivenessSource::Probes => "probe",
            LivenessSource::InnerEcho { .. } => "echo",
            LivenessSource::Nothing => continue,
        };
        if let Some(ago) = report.liveness.last_seen {
            last_seen.add(&[report.peer.as_str(), kind], snapshot.before(ago));
        }
    }
    [mappings, changed, last_seen].into_iter().for_each(|family| page.add(family));
}

/// Renders what is known of any peer, with a key or without.
fn reported(page: &mut Page, snapshot: &Snapshot) {
    let mut up = Samples::new(&PEER_UP);
    let mut loss = Samples::new(&PROBE_LOSS);
    let mut hops = Samples::new(&PATH_HOPS);
    let mut mtus = Samples::new(&PATH_MTU);
    for (peer, mtu) in snapshot.state.peers.iter().zip(&snapshot.path_mtus) {
        mtus.add(&[peer.name.as_str(), "tx"], mtu);
    }
    for report in snapshot.reports.iter() {
        let name = report.peer.as_str();
        if let Some(lives) = report.liveness.up {
            up.add(&[name], u8::from(lives));
        }
        both(&mut loss, name, report.loss);
        both(&mut hops, name, report.hops);
        both(&mut mtus, name, PerDirection { tx: None, ..report.path_mtu });
    }
    [up, loss, hops, mtus].into_iter().for_each(|family| page.add(family));
}

fn both<T: Display>(samples: &mut Samples, peer: &str, values: PerDirection<T>) {
    for (direction, value) in [("tx", values.tx), ("rx", values.rx)] {
        if let Some(value) = value {
            samples.add(&[peer, direction], value);
        }
    }
}

/// Renders what is known only of peers with a key.
fn probed(page: &mut Page, snapshot: &Snapshot) {
    let mut sent = Samples::new(&PROBES_SENT);
    let mut lost = Samples::new(&PROBES_LOST);
    let mut received = Samples::new(&PROBES_RECEIVED);
    let mut refused = Samples::new(&PROBES_REFUSED);
    let mut moves = Samples::new(&MAPPING_CHANGES);
    for report in
        snapshot.reports.iter().filter(|report| report.liveness.by == LivenessSource::Probes)
    {
        let name = report.peer.as_str();
        sent.add(&[name], report.probes.sent);
        lost.add(&[name], report.probes.lost);
        received.add(&[name], report.probes.received);
        moves.add(&[name], report.mapping_changes);
        for (reason, probes) in &report.probes.refused {
            refused.add(&[name, reason], probes);
        }
    }
    [sent, lost, received, refused, moves].into_iter().for_each(|family| page.add(family));
}
