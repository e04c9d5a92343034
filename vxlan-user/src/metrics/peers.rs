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
    probe::{PerDirection, Report},
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
    snapshot.state.peers.iter().map(|peer| &**peer).zip(&snapshot.observed)
}

fn declared(page: &mut Page, snapshot: &Snapshot) {
    let mut info = Samples::new(&PEER_INFO);
    let reports: HashMap<&str, &Report> =
        snapshot.reports.iter().map(|report| (report.peer.as_str(), &**report)).collect();
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
        let last_reply = report.overlay.and_then(|overlay| overlay.last_reply);
        for (kind, ago) in [("probe", report.last_probe), ("echo", last_reply)] {
            if let Some(ago) = ago {
                last_seen.add(&[report.peer.as_str(), kind], snapshot.before(ago));
            }
        }
    }
    [mappings, changed, last_seen].into_iter().for_each(|family| page.add(family));
}

/// Renders what is known of any peer, with a key or without.
fn reported(page: &mut Page, snapshot: &Snapshot) {
    let mut up = Samples::new(&PEER_UP);
    let mut probes = Samples::new(&PROBES_OK);
    let mut overlay = Samples::new(&OVERLAY_ANSWERS);
    let mut lost = Samples::new(&DATA_LOST);
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
        if let Some(ok) = report.probes_ok {
            probes.add(&[name], u8::from(ok));
        }
        if let Some(answers) = report.overlay.and_then(|overlay| overlay.answers) {
            overlay.add(&[name], u8::from(answers));
        }
        let reported = report.reported;
        let [tx, rx] = [reported.tx_lost, reported.rx_lost].map(|lost| lost.map(u8::from));
        both(&mut lost, name, PerDirection { tx, rx });
        both(&mut loss, name, report.loss);
        both(&mut hops, name, report.hops);
        both(&mut mtus, name, PerDirection { tx: None, ..report.path_mtu });
    }
    [up, probes, overlay, lost, loss, hops, mtus].into_iter().for_each(|family| page.add(family));
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
    let mut peer_received = Samples::new(&PEER_RECEIVED);
    let mut peer_sent = Samples::new(&PEER_SENT);
    for report in snapshot.reports.iter().filter(|report| report.keyed) {
        let name = report.peer.as_str();
        sent.add(&[name], report.probes.sent);
        lost.add(&[name], report.probes.lost);
        received.add(&[name], report.probes.received);
        moves.add(&[name], report.mapping_changes);
        if let Some(packets) = report.reported.received {
            peer_received.add(&[name], packets);
        }
        if let Some(packets) = report.reported.sent {
            peer_sent.add(&[name], packets);
        }
        for (reason, probes) in &report.probes.refused {
            refused.add(&[name, reason], probes);
        }
    }
    let families = [sent, lost, received, refused, moves, peer_received, peer_sent];
    families.into_iter().for_each(|family| page.add(family));
}
