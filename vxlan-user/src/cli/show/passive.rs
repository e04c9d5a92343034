//! Reports on NAT while no daemon runs: made from counters and records of the data plane alone.

use vxlan_common::counters::NatField;

use crate::{
    cli::count,
    metrics::{MemberTraffic, Snapshot},
    observation::ObservedData,
    probe::{NatReports, PerDirection, Report},
};

/// Returns a report for each peer, without a verdict.
pub(super) fn reports(snapshot: &Snapshot) -> NatReports {
    let peers = snapshot.state.peers.iter().zip(&snapshot.observed).zip(&snapshot.path_mtus);
    let members = snapshot.by_peer();
    let peers = peers.map(|((peer, observed), path_mtu)| Report {
        evidence: evidence(members.get(peer.name.as_str()).map_or(&[], Vec::as_slice), observed),
        endpoint: peer.endpoint,
        learned: peer.endpoints.is_empty(),
        data: observed.mapping,
        path_mtu: PerDirection { tx: Some(*path_mtu), rx: None },
        ..Report::empty(&peer.name)
    });
    NatReports { node: snapshot.state.node.clone(), peers: peers.collect() }
}

fn evidence(members: &[&MemberTraffic], observed: &ObservedData) -> Vec<String> {
    let mut sentences =
        vec!["No daemon runs, so nobody sends probes, and there is no verdict.".to_owned()];
    let received: u64 = members.iter().map(|member| member.counters.rx_packets).sum();
    let rewritten = |field: NatField| -> u64 {
        members.iter().map(|member| member.counters.nat[field as usize]).sum()
    };
    for field in NatField::ALL {
        let (packets, what) = (rewritten(field), name(field));
        if packets != 0 {
            sentences.push(format!(
                "The {what} was rewritten in {packets} packets; {received} were accepted."
            ));
        }
    }
    if received != 0 && NatField::ALL.into_iter().all(|field| rewritten(field) == 0) {
        sentences.push(format!("Nothing was seen to be rewritten in {received} packets."));
    }
    match observed.mapping {
        None => sentences.push("No data packet came yet.".to_owned()),
        Some(mapping) => {
            let port = mapping.port.map_or_else(
                || "the port it was sent from".to_owned(),
                |port| format!("port {port}"),
            );
            let sources = match mapping.mappings {
                1 => "1 source was seen".to_owned(),
                several => format!("{several} different sources were seen"),
            };
            sentences.push(format!(
                "The latest data packet came from {}, {port}, with TTL {}; {sources}, and {}.",
                mapping.address,
                mapping.ttl,
                count(mapping.changes as usize, "change")
            ));
        }
    }
    sentences
}

fn name(field: NatField) -> &'static str {
    match field {
        NatField::SrcAddress => "source address",
        NatField::SrcPort => "source port",
        NatField::DstAddress => "destination address",
        NatField::Checksum => "checksum",
    }
}
