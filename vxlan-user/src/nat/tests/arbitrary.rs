//! Any evidence at random: the verdict on it has a reason, and is always the same.

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

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
        assert_eq!(assessment.verdict, verdict(&evidence), "without sentences");
    }
}
