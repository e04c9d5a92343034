//! Tests of the verdict: a table of evidence and what follows from it, and any evidence at random.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use vxlan_common::reason::RxDrop;

use super::{
    DataCounts, DataEvidence, DeclaredFacts, Evidence, NatVerdict, PeerReport, ProbeEvidence,
    SourcePorts, UnsolicitedCounts, assess, mapping_varies,
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

const ROWS: &[Row] = &[
    // Unknown.
    (
        "no key, no data",
        unkeyed,
        |_| (),
        NatVerdict::Unknown,
        &["0 data packets of aws came, and there is no key for probes"],
    ),
    (
        "nothing yet",
        keyed,
        |e| probes(e).sent = 1,
        NatVerdict::Unknown,
        &["0 of 1 requests to aws were answered"],
    ),
    (
        "not learned yet",
        keyed,
        |e| {
            e.facts.endpoint = None;
            e.facts.learned = true;
        },
        NatVerdict::Unknown,
        &["0 probes of aws came"],
    ),
    (
        "a declared NAT that nothing shows",
        unkeyed,
        |e| e.facts.private = Some(at(AWS).ip()),
        NatVerdict::Unknown,
        &["0 data packets"],
    ),
    (
        "two without an answer",
        keyed,
        |e| {
            let p = probes(e);
            p.sent = 2;
            p.unanswered = 2;
            p.since_reply = Duration::from_secs(60);
        },
        NatVerdict::Unknown,
        &["0 of 2"],
    ),
    (
        "three without an answer, not for long",
        keyed,
        |e| {
            let p = probes(e);
            p.sent = 3;
            p.unanswered = 3;
            p.since_reply = Duration::from_secs(14);
        },
        NatVerdict::Unknown,
        &["0 of 3"],
    ),
    (
        "only dropped data",
        unkeyed,
        |e| e.data.total.bad_checksum = 7,
        NatVerdict::Unknown,
        &[
            "0 data packets of aws came",
            "7 data packets of aws were dropped for a wrong checksum, 0 lately",
        ],
    ),
    // None.
    (
        "alive",
        keyed,
        alive,
        NatVerdict::None,
        &[
            "our 203.0.113.10:4789 arrives at aws as it is",
            "198.51.100.20:4789 of aws arrives as it is",
        ],
    ),
    (
        "only ours is known",
        keyed,
        |e| {
            alive(e);
            probes(e).theirs = None;
        },
        NatVerdict::None,
        &["our 203.0.113.10:4789 arrives at aws as it is"],
    ),
    (
        "data without a key",
        unkeyed,
        |e| data(e, |_| ()),
        NatVerdict::None,
        &[
            "100 data packets of aws came from 198.51.100.20: as far as they show, none was \
             rewritten",
            "there is no key for aws",
        ],
    ),
    (
        "data that came long ago",
        unkeyed,
        |e| {
            data(e, |_| ());
            e.data.recent = DataCounts::default();
        },
        NatVerdict::None,
        &["100 data packets"],
    ),
    (
        "a NAT that has gone",
        unkeyed,
        |e| {
            data(e, |_| ());
            e.data.total.src_port = 50;
        },
        NatVerdict::None,
        &["none was rewritten"],
    ),
    (
        "unsolicited ones do not pass a firewall",
        keyed,
        |e| {
            alive(e);
            unsolicited(e, 9, 0, 0);
        },
        NatVerdict::None,
        &["arrives at aws as it is"],
    ),
    (
        "a peer whose daemon is stopped",
        keyed,
        |e| {
            alive(e);
            deaf(e);
            data(e, |_| ());
        },
        NatVerdict::None,
        &[
            "probes unanswered, data flows: 4 requests to aws in 20 s, none was answered and none \
             of aws came, but in 15 s 100 data packets came from it, and we sent 100",
            "our 203.0.113.10:4789 arrived at aws as it is, 20 s ago",
        ],
    ),
    (
        "a peer with another key, from the start",
        keyed,
        |e| {
            let p = probes(e);
            p.sent = 9;
            p.unanswered = 9;
            p.since_reply = Duration::from_secs(40);
            data(e, |c| c.sent = 90);
            e.drops = vec![(RxDrop::ProbeDenied, 9)];
        },
        NatVerdict::None,
        &["its daemon may be stopped, or its key_file another one", "9 probe_denied"],
    ),
    // Data is lost.
    (
        "ours is lost",
        keyed,
        |e| {
            both(e);
            e.delivery.tx = Some(LostData {
                sent: 40,
                arrived: 0,
                within: Duration::from_secs(8),
                since: Duration::from_secs(9),
                ago: Duration::from_secs(1),
            });
        },
        NatVerdict::DataLost,
        &[
            "our data is lost: aws has got 0 of the 40 data packets that we sent within 8 s, by \
             its own count",
            "our 10.0.0.2:4789 arrives at aws as 203.0.113.10:4789",
        ],
    ),
    (
        "theirs is dropped here",
        keyed,
        |e| {
            alive(e);
            data(e, |c| c.checksum = 8);
            e.delivery.rx = Some(LostData {
                sent: 40,
                arrived: 1,
                within: Duration::from_secs(8),
                since: Duration::from_secs(60),
                ago: Duration::from_secs(50),
            });
            e.delivery.counts = Some(DeliveryCounts {
                since: Duration::from_secs(70),
                sent: 41,
                peer_received: 41,
                peer_sent: 40,
                received: 1,
            });
            e.drops = vec![(RxDrop::UnknownVni, 38), (RxDrop::EcnError, 1)];
        },
        NatVerdict::DataLost,
        &[
            "data of aws is lost: 1 of the 40 data packets that it has sent within 8 s, 50 s ago",
            "we sent 41, aws got 41; aws sent 40, 1 were delivered here",
            "39 packets of aws were dropped here lately: 38 unknown_vni, 1 ecn_error",
        ],
    ),
    (
        "reports that do not come any more",
        keyed,
        |e| {
            alive(e);
            deaf(e);
            e.delivery.tx = Some(LostData { sent: 40, ..LostData::default() });
        },
        NatVerdict::Blocked,
        &["none was answered, and nothing came from it"],
    ),
    // One to one.
    (
        "near, declared",
        keyed,
        near,
        NatVerdict::OneToOne,
        &[
            "our 10.0.0.2:4789 arrives at aws as 203.0.113.10:4789",
            "what aws sends to 203.0.113.10:4789 arrives at our 10.0.0.2:4789",
            "it is not known yet whether packets that nobody here asked for get in; the endpoint \
             is declared",
        ],
    ),
    (
        "near, proved",
        keyed,
        |e| {
            near(e);
            unsolicited(e, 5, 5, 4);
        },
        NatVerdict::OneToOne,
        &["packets that nobody here asked for get in: 4 came"],
    ),
    (
        "far, declared",
        keyed,
        far,
        NatVerdict::OneToOne,
        &[
            "aws sends from 10.0.0.119:4789, which arrives as 198.51.100.20:4789",
            "what we send to 198.51.100.20:4789 arrives at 10.0.0.119:4789 of aws",
            "not known yet",
        ],
    ),
    (
        "far, proved",
        keyed,
        |e| {
            far(e);
            unsolicited(e, 5, 4, 0);
        },
        NatVerdict::OneToOne,
        &["packets that the peer did not ask for get in: 4 of 5 were answered"],
    ),
    (
        "far, two are too few",
        keyed,
        |e| {
            far(e);
            unsolicited(e, 2, 0, 0);
        },
        NatVerdict::OneToOne,
        &["not known yet"],
    ),
    (
        "far, nothing passes",
        keyed,
        |e| {
            far(e);
            unsolicited(e, 5, 0, 0);
            probes(e).answered = 0;
        },
        NatVerdict::OneToOne,
        &["not known yet"],
    ),
    (
        "far, learned and proved",
        keyed,
        |e| {
            far(e);
            e.facts.learned = true;
            unsolicited(e, 5, 4, 0);
        },
        NatVerdict::OneToOne,
        &["4 of 5 were answered"],
    ),
    (
        "both, proved",
        keyed,
        |e| {
            both(e);
            unsolicited(e, 5, 5, 5);
        },
        NatVerdict::OneToOne,
        &[
            "our 10.0.0.2:4789 arrives at aws as 203.0.113.10:4789",
            "aws sends from 10.0.0.119:4789",
            "5 came",
            "5 of 5 were answered",
        ],
    ),
    (
        "source of data, no key",
        unkeyed,
        |e| {
            data(e, |c| c.src_address = 100);
            e.facts.private = Some(at(AWS).ip());
        },
        NatVerdict::OneToOne,
        &[
            "100 of 100 data packets of aws came from 198.51.100.20 instead of 10.0.0.119",
            "there is no key for aws",
        ],
    ),
    (
        "destination of data, no key",
        unkeyed,
        |e| {
            data(e, |c| c.dst_address = 100);
            e.facts.public = Some(at(OURS_PUBLIC).ip());
        },
        NatVerdict::OneToOne,
        &["100 of 100 data packets of aws came to another address than 203.0.113.10"],
    ),
    (
        "source of data, long ago",
        unkeyed,
        |e| {
            data(e, |c| c.src_address = 100);
            e.data.recent = DataCounts::default();
        },
        NatVerdict::OneToOne,
        &["100 of 100"],
    ),
    (
        "data shows it, probes not yet",
        keyed,
        |e| data(e, |c| c.src_address = 100),
        NatVerdict::OneToOne,
        &["100 of 100"],
    ),
    // NAPT that keeps ports.
    (
        "near, 0 unsolicited come",
        keyed,
        |e| {
            near(e);
            unsolicited(e, 5, 5, 0);
        },
        NatVerdict::PortPreservingNapt,
        &["packets that nobody here asked for do not get in: 0 came, beside 20 other requests"],
    ),
    (
        "far, 0 unsolicited arrive",
        keyed,
        |e| {
            far(e);
            unsolicited(e, 3, 0, 5);
        },
        NatVerdict::PortPreservingNapt,
        &["packets that the peer did not ask for do not get in: 0 of 3 were answered, but 20 \
             other requests were"],
    ),
    (
        "far, learned",
        keyed,
        |e| {
            far(e);
            e.facts.learned = true;
        },
        NatVerdict::PortPreservingNapt,
        &["the endpoint is learned"],
    ),
    (
        "both, one lets nothing in",
        keyed,
        |e| {
            both(e);
            unsolicited(e, 5, 0, 5);
        },
        NatVerdict::PortPreservingNapt,
        &["5 came", "0 of 5 were answered"],
    ),
    (
        "both, the other lets nothing in",
        keyed,
        |e| {
            both(e);
            unsolicited(e, 5, 5, 0);
        },
        NatVerdict::PortPreservingNapt,
        &["0 came", "5 of 5 were answered"],
    ),
    // NAPT.
    (
        "far",
        keyed,
        far_napt,
        NatVerdict::Napt,
        &["aws sends from 10.0.0.119:4789, which arrives as 198.51.100.20:1024"],
    ),
    (
        "near",
        keyed,
        |e| {
            alive(e);
            probes(e).ours = rewrite([OURS, AWS_PUBLIC, "203.0.113.10:1024", AWS_PUBLIC]);
        },
        NatVerdict::Napt,
        &["our 10.0.0.2:4789 arrives at aws as 203.0.113.10:1024"],
    ),
    (
        "the port alone",
        keyed,
        |e| {
            alive(e);
            probes(e).ours = rewrite([OURS_PUBLIC, AWS_PUBLIC, "203.0.113.10:1024", AWS_PUBLIC]);
        },
        NatVerdict::Napt,
        &["203.0.113.10:1024"],
    ),
    (
        "a port that is forwarded",
        keyed,
        |e| {
            alive(e);
            probes(e).ours = rewrite([OURS_PUBLIC, "198.51.100.20:14789", OURS_PUBLIC, AWS]);
        },
        NatVerdict::Napt,
        &["what we send to 198.51.100.20:14789 arrives at 10.0.0.119:4789 of aws"],
    ),
    (
        "data, flow ports",
        unkeyed,
        |e| data(e, |c| c.src_port = 99),
        NatVerdict::Napt,
        &["99 of 100 data packets of aws came from another port instead of that of their flow"],
    ),
    (
        "data, many mappings",
        unkeyed,
        |e| {
            data(e, |c| c.src_port = 99);
            e.data.mapping.as_mut().unwrap().mappings = 300;
        },
        NatVerdict::Napt,
        &["300 mappings"],
    ),
    (
        "data, fixed port",
        unkeyed,
        |e| {
            data(e, |c| c.src_port = 99);
            e.facts.ports = SourcePorts::Fixed(4789);
            e.data.mapping.as_mut().unwrap().port = Some(1024);
        },
        NatVerdict::Napt,
        &["from port 1024 instead of 4789"],
    ),
    (
        "data, a range",
        unkeyed,
        |e| {
            data(e, |c| c.src_port = 99);
            e.facts.ports = SourcePorts::Range(32768, 60999);
        },
        NatVerdict::Napt,
        &["instead of one of 32768 to 60999"],
    ),
    (
        "data shows ports, probes only addresses",
        keyed,
        |e| {
            far(e);
            data(e, |c| c.src_port = 9);
        },
        NatVerdict::Napt,
        &["9 of 100", "10.0.0.119:4789"],
    ),
    // Symmetric.
    (
        "ours",
        keyed,
        |e| {
            near(e);
            probes(e).varies = true;
        },
        NatVerdict::Symmetric,
        &["our address or port differs from peer to peer: our 10.0.0.2:4789 arrives at aws as \
             203.0.113.10:4789"],
    ),
    (
        "the peer's",
        keyed,
        |e| {
            far_napt(e);
            probes(e).peer_varies = true;
        },
        NatVerdict::Symmetric,
        &["aws says that its address or port differs from peer to peer", "198.51.100.20:1024"],
    ),
    // Checksums.
    (
        "our probe, repaired",
        keyed,
        |e| {
            alive(e);
            probes(e).ours.as_mut().unwrap().seen.checksum = UdpChecksum::Right;
        },
        NatVerdict::ChecksumBreaking,
        &["our probes leave with checksum zero and arrive with a right checksum at aws"],
    ),
    (
        "their probe, broken",
        keyed,
        |e| {
            near(e);
            probes(e).theirs.as_mut().unwrap().seen.checksum = UdpChecksum::Wrong;
        },
        NatVerdict::ChecksumBreaking,
        &[
            "probes of aws leave with checksum zero and arrive with a wrong checksum here",
            "our 10.0.0.2:4789 arrives",
        ],
    ),
    (
        "data",
        unkeyed,
        |e| data(e, |c| c.checksum = 8),
        NatVerdict::ChecksumBreaking,
        &["8 data packets of aws came lately, 8 in all"],
    ),
    (
        "data, long ago",
        unkeyed,
        |e| {
            data(e, |_| ());
            e.data.total.checksum = 8;
        },
        NatVerdict::None,
        &["none was rewritten"],
    ),
    (
        "dropped data and no other",
        unkeyed,
        |e| {
            e.data.total.checksum = 8;
            e.data.recent.checksum = 8;
            e.data.recent.bad_checksum = 8;
            e.data.total.bad_checksum = 8;
        },
        NatVerdict::ChecksumBreaking,
        &["8 data packets"],
    ),
    (
        "before symmetric",
        keyed,
        |e| {
            alive(e);
            probes(e).varies = true;
            data(e, |c| c.checksum = 8);
        },
        NatVerdict::ChecksumBreaking,
        &["8 data packets", "differs from peer to peer"],
    ),
    // One way.
    (
        "its requests come",
        keyed,
        |e| {
            alive(e);
            deaf(e);
            let p = probes(e);
            p.last_seen = Some(Duration::from_secs(1));
            p.proven = 3;
        },
        NatVerdict::Unidirectional,
        &[
            "4 requests to aws in 20 s, none was answered, but 3 of its requests came in 15 s",
            "we sent 14, aws saw 9, the latest of them the 9.",
        ],
    ),
    (
        "its requests come, unproven",
        keyed,
        |e| {
            let p = probes(e);
            p.sent = 10;
            p.unanswered = 10;
            p.since_reply = Duration::from_secs(50);
            p.last_seen = Some(Duration::ZERO);
            p.unproven = 3;
        },
        NatVerdict::Unidirectional,
        &["10 requests to aws in 50 s", "0 of its 3 requests bring the token"],
    ),
    (
        "its requests and its data come",
        keyed,
        |e| {
            alive(e);
            deaf(e);
            let p = probes(e);
            p.last_seen = Some(Duration::from_secs(1));
            p.proven = 3;
            data(e, |_| ());
        },
        NatVerdict::Unidirectional,
        &["none was answered, but 3 of its requests came in 15 s"],
    ),
    (
        "its data comes and is dropped",
        keyed,
        |e| {
            deaf(e);
            e.data.recent.bad_checksum = 5;
        },
        NatVerdict::Unidirectional,
        &["5 data packets came from it in 15 s"],
    ),
    (
        "only replies come back",
        keyed,
        |e| {
            alive(e);
            let p = probes(e);
            p.proven = 0;
            p.missed = 12;
        },
        NatVerdict::Unidirectional,
        &["aws answers, and has sent 12 requests of which none came here"],
    ),
    (
        "only replies come back, not for long",
        keyed,
        |e| {
            alive(e);
            let p = probes(e);
            p.proven = 0;
            p.missed = 2;
        },
        NatVerdict::None,
        &[],
    ),
    (
        "before checksums",
        keyed,
        |e| {
            alive(e);
            deaf(e);
            probes(e).last_seen = Some(Duration::ZERO);
            data(e, |c| c.checksum = 8);
        },
        NatVerdict::Unidirectional,
        &["100 data packets came from it", "8 data packets of aws came lately"],
    ),
    // Blocked.
    (
        "from the start",
        keyed,
        |e| {
            let p = probes(e);
            p.sent = 4;
            p.unanswered = 4;
            p.since_reply = Duration::from_secs(17);
        },
        NatVerdict::Blocked,
        &["4 requests to aws in 17 s, none was answered, and nothing came from it"],
    ),
    (
        "after it worked",
        keyed,
        |e| {
            alive(e);
            deaf(e);
        },
        NatVerdict::Blocked,
        &["4 requests to aws in 20 s, none was answered, and nothing came from it"],
    ),
    (
        "after it was one to one",
        keyed,
        |e| {
            both(e);
            deaf(e);
        },
        NatVerdict::Blocked,
        &[
            "none was answered",
            "our 10.0.0.2:4789 arrived at aws as 203.0.113.10:4789, 20 s ago",
            "aws sends from 10.0.0.119:4789, which arrived as 198.51.100.20:4789, 21 s ago",
        ],
    ),
    (
        "before all others",
        keyed,
        |e| {
            both(e);
            deaf(e);
            let p = probes(e);
            p.varies = true;
            p.ours.as_mut().unwrap().seen.checksum = UdpChecksum::Right;
        },
        NatVerdict::Blocked,
        &["none was answered"],
    ),
];

#[test]
fn every_row() {
    for (name, base, change, expected, sentences) in ROWS {
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
    assert!(ROWS.len() >= 40);
    for verdict in NatVerdict::ALL {
        assert!(ROWS.iter().any(|row| row.3 == *verdict), "{verdict:?}");
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

/// Any evidence at all, possible or not.
fn arbitrary(random: &mut StdRng) -> Evidence {
    let address = |random: &mut StdRng| -> SocketAddr {
        let ip: IpAddr = if random.random() {
            std::net::Ipv4Addr::from(random.random::<u32>() & 3).into()
        } else {
            std::net::Ipv6Addr::from(random.random::<u128>() & 3).into()
        };
        SocketAddr::new(ip, random.random_range(0..3))
    };
    let header = |random: &mut StdRng| OuterHeader {
        source: address(random),
        destination: address(random),
        ttl: random.random(),
        tos: random.random(),
        length: random.random(),
        checksum: [UdpChecksum::Zero, UdpChecksum::Right, UdpChecksum::Wrong]
            [random.random_range(0..3)],
        dont_fragment: random.random(),
    };
    let rewrite = |random: &mut StdRng| {
        random.random::<bool>().then(|| Rewrite { sent: header(random), seen: header(random) })
    };
    let count = |random: &mut StdRng| [0, 1, 3, 20, u64::from(u32::MAX)][random.random_range(0..5)];
    let time =
        |random: &mut StdRng| Duration::from_secs([0, 14, 15, 9999][random.random_range(0..4)]);
    let counts = |random: &mut StdRng| DataCounts {
        received: count(random),
        sent: count(random),
        src_address: count(random),
        src_port: count(random),
        dst_address: count(random),
        checksum: count(random),
        bad_checksum: count(random),
    };
    let probed = |random: &mut StdRng| ProbeEvidence {
        ours: rewrite(random),
        ours_ago: time(random),
        theirs: rewrite(random),
        theirs_ago: time(random),
        sent: count(random),
        answered: count(random),
        unanswered: count(random),
        since_reply: time(random),
        last_seen: random.random::<bool>().then(|| time(random)),
        proven: count(random),
        unproven: count(random),
        unproven_report: random.random_bool(0.3).then(|| random.random_range(0..10)),
        reported: random
            .random::<bool>()
            .then(|| PeerReport { received: count(random), highest: count(random) }),
        received: count(random),
        missed: count(random),
        unsolicited: UnsolicitedCounts {
            sent: count(random),
            answered: count(random),
            received: count(random),
        },
        varies: random.random_ratio(1, 8),
        peer_varies: random.random_ratio(1, 8),
    };
    let lost = |random: &mut StdRng| LostData {
        sent: count(random),
        arrived: count(random),
        within: time(random),
        since: time(random),
        ago: time(random),
    };
    let ports = [SourcePorts::Flow, SourcePorts::Fixed(4789), SourcePorts::Range(1, 2)];
    Evidence {
        peer: ["", "aws"][random.random_range(0..2)].into(),
        interval: time(random),
        facts: DeclaredFacts {
            endpoint: random.random::<bool>().then(|| address(random)),
            learned: random.random(),
            private: random.random::<bool>().then(|| address(random).ip()),
            public: random.random::<bool>().then(|| address(random).ip()),
            ports: ports[random.random_range(0..3)],
        },
        data: DataEvidence {
            total: counts(random),
            recent: counts(random),
            mapping: random.random::<bool>().then(|| DataMapping {
                address: address(random).ip(),
                port: random.random::<bool>().then(|| random.random()),
                ttl: random.random(),
                mappings: random.random(),
                changes: random.random(),
                changed: random.random(),
            }),
        },
        probes: random.random::<bool>().then(|| probed(random)),
        delivery: Delivery {
            tx: random.random_ratio(1, 8).then(|| lost(random)),
            rx: random.random_ratio(1, 8).then(|| lost(random)),
            ..Delivery::default()
        },
        drops: if random.random() { vec![(RxDrop::UnknownVni, count(random))] } else { Vec::new() },
    }
}

#[test]
fn any_evidence_is_assessed_with_a_reason() {
    let mut random = StdRng::seed_from_u64(4);
    for _ in 0..100_000 {
        let evidence = arbitrary(&mut random);
        let assessment = assess(&evidence);
        assert!(!assessment.evidence.is_empty(), "{evidence:?}");
        assert!(assessment.evidence.iter().all(|sentence| !sentence.is_empty()), "{assessment:?}");
        // Without probes, nothing is said that only probes can show.
        let by_probes = [
            NatVerdict::PortPreservingNapt,
            NatVerdict::Symmetric,
            NatVerdict::DataLost,
            NatVerdict::Unidirectional,
            NatVerdict::Blocked,
        ];
        if evidence.probes.is_none() && !evidence.facts.learned {
            assert!(!by_probes.contains(&assessment.verdict), "{assessment:?}");
        }
        // A verdict is of the evidence alone.
        assert_eq!(assessment, assess(&evidence));
    }
}
