//! Tests of the verdict: tables of evidence and what follows from it, and any evidence at random.

mod arbitrary;
mod broken;
mod plain;
mod rewritten;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use vxlan_common::reason::RxDrop;

use super::{
    DataCounts, DataEvidence, DeclaredFacts, Evidence, NatVerdict, PeerReport, ProbeEvidence,
    SourcePorts, UnsolicitedCounts, assess, mapping_varies, verdict,
};
use crate::observation::{
    DataMapping, Delivery, DeliveryCounts, LostData, OuterHeader, Rewrite, UdpChecksum,
};

const OURS: &str = "10.0.0.2:4789";
const OURS_PUBLIC: &str = "203.0.113.10:4789";
const AWS: &str = "10.0.0.119:4789";
const AWS_PUBLIC: &str = "198.51.100.20:4789";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn header(source: &str, destination: &str, checksum: UdpChecksum) -> OuterHeader {
    OuterHeader {
        source: at(source),
        destination: at(destination),
        ttl: 64,
        tos: 0,
        length: 338,
        checksum,
        dont_fragment: true,
    }
}

/// From `a` to `b`, seen as from `c` to `d`.
fn rewrite([a, b, c, d]: [&str; 4]) -> Option<Rewrite> {
    let zero = UdpChecksum::Zero;
    Some(Rewrite { sent: header(a, b, zero), seen: header(c, d, zero) })
}

/// A peer with a key and a declared endpoint; everything works, nothing has been counted.
fn keyed() -> Evidence {
    let mut evidence = unkeyed();
    evidence.probes = Some(ProbeEvidence::default());
    evidence
}

fn unkeyed() -> Evidence {
    Evidence {
        peer: "aws".into(),
        interval: Duration::from_secs(5),
        facts: DeclaredFacts {
            endpoint: Some(at(AWS_PUBLIC)),
            learned: false,
            private: None,
            public: None,
            ports: SourcePorts::Flow,
        },
        data: DataEvidence::default(),
        probes: None,
        delivery: Delivery::default(),
        drops: Vec::new(),
    }
}

/// Changes evidence.
type Change = fn(&mut Evidence);
/// The case, the evidence, the verdict, and parts of the sentences that explain it.
type Row = (&'static str, fn() -> Evidence, Change, NatVerdict, &'static [&'static str]);

fn probes(evidence: &mut Evidence) -> &mut ProbeEvidence {
    evidence.probes.as_mut().unwrap()
}

/// Requests and answers both ways, nothing rewritten.
fn alive(evidence: &mut Evidence) {
    let none = rewrite([OURS_PUBLIC, AWS_PUBLIC, OURS_PUBLIC, AWS_PUBLIC]);
    let back = rewrite([AWS_PUBLIC, OURS_PUBLIC, AWS_PUBLIC, OURS_PUBLIC]);
    *probes(evidence) = ProbeEvidence {
        ours: none,
        theirs: back,
        sent: 10,
        answered: 10,
        since_reply: Duration::from_secs(2),
        last_seen: Some(Duration::from_secs(1)),
        proven: 3,
        received: 9,
        reported: Some(PeerReport { received: 9, highest: 9 }),
        ..ProbeEvidence::default()
    };
}

/// 1:1 NAT in front of us.
fn near(evidence: &mut Evidence) {
    alive(evidence);
    let probes = probes(evidence);
    probes.ours = rewrite([OURS, AWS_PUBLIC, OURS_PUBLIC, AWS_PUBLIC]);
    probes.theirs = rewrite([AWS_PUBLIC, OURS_PUBLIC, AWS_PUBLIC, OURS]);
}

/// 1:1 NAT in front of the peer.
fn far(evidence: &mut Evidence) {
    alive(evidence);
    let probes = probes(evidence);
    probes.ours = rewrite([OURS_PUBLIC, AWS_PUBLIC, OURS_PUBLIC, AWS]);
    probes.theirs = rewrite([AWS, OURS_PUBLIC, AWS_PUBLIC, OURS_PUBLIC]);
}

/// 1:1 NAT in front of both.
fn both(evidence: &mut Evidence) {
    alive(evidence);
    let probes = probes(evidence);
    probes.ours = rewrite([OURS, AWS_PUBLIC, OURS_PUBLIC, AWS]);
    probes.theirs = rewrite([AWS, OURS_PUBLIC, AWS_PUBLIC, OURS]);
}

/// The peer is behind NAPT.
fn far_napt(evidence: &mut Evidence) {
    alive(evidence);
    probes(evidence).theirs = rewrite([AWS, OURS_PUBLIC, "198.51.100.20:1024", OURS_PUBLIC]);
    evidence.facts.learned = true;
}

/// No request is answered any more.
fn deaf(evidence: &mut Evidence) {
    let probes = probes(evidence);
    probes.sent = 14;
    probes.unanswered = 4;
    probes.since_reply = Duration::from_secs(20);
    probes.last_seen = Some(Duration::from_secs(20));
    probes.ours_ago = Duration::from_secs(20);
    probes.theirs_ago = Duration::from_secs(21);
    probes.proven = 0;
}

fn unsolicited(evidence: &mut Evidence, sent: u64, answered: u64, received: u64) {
    let probes = probes(evidence);
    probes.unsolicited = UnsolicitedCounts { sent, answered, received };
    probes.answered = 20;
    probes.received = 20;
}

fn data(evidence: &mut Evidence, change: fn(&mut DataCounts)) {
    let data = &mut evidence.data;
    for counts in [&mut data.total, &mut data.recent] {
        counts.received = 100;
        counts.sent = 100;
        change(counts);
    }
    data.mapping = Some(DataMapping {
        address: at(AWS_PUBLIC).ip(),
        port: None,
        ttl: 60,
        mappings: 1,
        changes: 0,
        changed: 9,
    });
}

fn rows() -> impl Iterator<Item = &'static Row> {
    [plain::ROWS, rewritten::ROWS, broken::ROWS].into_iter().flatten()
}

#[test]
fn every_row() {
    for (name, base, change, expected, sentences) in rows() {
        let mut evidence = base();
        change(&mut evidence);
        let assessment = assess(&evidence);
        assert_eq!(assessment.verdict, *expected, "{name}: {:#?}", assessment.evidence);
        for wanted in *sentences {
            let found = assessment.evidence.iter().any(|sentence| sentence.contains(wanted));
            assert!(found, "{name}: no {wanted:?} in {:#?}", assessment.evidence);
        }
        // What is rewritten comes before what it amounts to; else the reason is the first.
        let rewritten = [NatVerdict::OneToOne, NatVerdict::PortPreservingNapt, NatVerdict::Napt]
            .contains(expected);
        if let Some(first) = sentences.first().filter(|_| !rewritten) {
            assert!(
                assessment.evidence[0].contains(first),
                "{name}: {first:?} is not first in {:#?}",
                assessment.evidence
            );
        }
    }
}

#[test]
fn every_verdict_has_a_row() {
    assert!(rows().count() >= 40);
    for verdict in NatVerdict::ALL {
        assert!(rows().any(|row| row.3 == *verdict), "{verdict:?}");
    }
}

#[test]
fn a_mapping_for_each_destination_shows_in_two_peers() {
    let to = "192.0.2.9:4789";
    let first = rewrite([OURS, AWS_PUBLIC, "203.0.113.10:1024", AWS_PUBLIC]);
    let second = rewrite([OURS, to, "203.0.113.10:1025", to]);
    let inside = rewrite([OURS, "10.0.0.9:4789", OURS, "10.0.0.9:4789"]);
    let other_port = rewrite(["10.0.0.2:50000", to, "203.0.113.10:1025", to]);
    assert_eq!(mapping_varies(&[first, None, second]), [true, false, true]);
    assert_eq!(mapping_varies(&[first, first]), [false, false]);
    assert_eq!(mapping_varies(&[first, inside]), [false, false]);
    assert_eq!(mapping_varies(&[first, other_port]), [false, false]);
    assert_eq!(mapping_varies(&[first, inside, second]), [true, false, true]);
}
