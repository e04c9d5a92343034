//! Tests of the rendered page: which families and samples a peer has.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use crate::{
    metrics::{Family, MetricKind, RttHistogram, Snapshot},
    nat::NatVerdict,
    observation::{DataMapping, ObservedData, ReportedData},
    probe::{Liveness, LivenessSource, OverlayEcho, PerDirection, ProbeCounts, Report, sample},
    state::{self, HostState, UnderlayRecord},
};

fn peer(name: &str) -> state::PeerRecord {
    let endpoint = "198.51.100.20:4789".parse().expect("an endpoint");
    state::PeerRecord {
        name: name.to_owned(),
        endpoint: Some(endpoint),
        private_address: None,
        endpoints: vec![endpoint],
        private_addresses: Vec::new(),
        learned: None,
    }
}

/// Three peers: one with a key, one that echo requests are sent to, one of which nothing is
/// known.
fn snapshot(reports: Vec<Report>) -> Snapshot {
    let names = ["keyed", "echo", "nothing"];
    let address = [192, 0, 2, 1].into();
    Snapshot {
        state: HostState {
            node: "here".to_owned(),
            secret: String::new(),
            underlay: UnderlayRecord {
                hooks: state::HooksRecord::default(),
                interface: "eth0".to_owned(),
                address,
                addresses: vec![address],
                home: Vec::new(),
                xdp: None,
                tc: None,
                lost: None,
            },
            peers: names.map(|name| peer(name).into()).to_vec(),
            networks: Vec::new(),
            members: Vec::new().into(),
            narrow_paths: Vec::new(),
            generations: Vec::new(),
            entries: Vec::new(),
        },
        longest_turn: Some(Duration::from_millis(7)),
        lost_lines: Some(0),
        reload: None,
        traffic: Vec::new(),
        drops: Vec::new(),
        usage: Vec::new(),
        path_mtus: vec![1500; 3],
        observed: vec![ObservedData::default(); 3],
        reports: reports.into_iter().map(Arc::new).collect(),
        round_trips: Some(RttHistogram::new(["keyed"]).expect("a histogram")),
        at: UNIX_EPOCH + Duration::from_secs(1_000_000),
    }
}

fn page(snapshot: &Snapshot) -> String {
    crate::metrics::render(snapshot).expect("a page")
}

/// Returns the samples whose name begins like this.
fn samples<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let is_it = |line: &&str| line.starts_with(name) && !line.starts_with('#');
    page.lines().filter(is_it).collect()
}

fn at_the_start() -> Vec<Report> {
    let by = |by, peer| Report {
        keyed: false,
        liveness: Liveness { by, up: None, last_seen: None },
        ..sample(peer)
    };
    let refused = vec![("replayed".into(), 0)];
    let probes = ProbeCounts { refused, ..ProbeCounts::default() };
    let echo = LivenessSource::InnerEcho { address: [192, 168, 45, 1].into() };
    vec![
        Report { probes, ..sample("keyed") },
        by(echo, "echo"),
        by(LivenessSource::Nothing, "nothing"),
    ]
}

#[test]
fn a_peer_with_a_key_has_its_counters_at_zero_and_nobody_else_has_any() {
    let page = page(&snapshot(at_the_start()));
    for family in Family::ALL.iter().filter(|family| family.only_where_known) {
        let found = samples(&page, family.name);
        let expected: &[String] = match family.kind {
            // The peer's own counters are known once it reports them.
            MetricKind::Counter if family.name.starts_with("vxlan_peer_") => &[],
            MetricKind::Counter if family.labels.len() == 1 => {
                &[format!("{}{{peer=\"keyed\"}} 0", family.name)]
            }
            MetricKind::Counter => {
                &[format!("{}{{peer=\"keyed\",reason=\"replayed\"}} 0", family.name)]
            }
            MetricKind::Gauge => &[],
            // 12 buckets and the last, sum and count.
            MetricKind::Histogram => {
                assert_eq!(found.len(), 15, "{found:?}");
                assert!(found.iter().all(|line| line.ends_with(" 0")), "{found:?}");
                continue;
            }
        };
        assert_eq!(found, expected, "{}", family.name);
    }
    let nothing_known: [(&str, usize); 2] =
        [("vxlan_nat_mappings", 3), ("vxlan_path_mtu_bytes", 3)];
    for (name, count) in nothing_known {
        assert_eq!(samples(&page, &format!("{name}{{")).len(), count, "{page}");
    }
}

#[test]
fn everything_that_is_reported_has_its_sample() {
    let mut reports = at_the_start();
    reports[0] = Report {
        nat: NatVerdict::OneToOne,
        liveness: Liveness { by: LivenessSource::Data, up: Some(true), last_seen: Some(3.6) },
        probes_ok: Some(false),
        last_probe: Some(3.6),
        overlay: Some(OverlayEcho {
            address: [192, 168, 43, 1].into(),
            answers: Some(false),
            last_reply: None,
            unanswered: 4,
        }),
        reported: ReportedData {
            received: Some(70),
            sent: Some(80),
            tx_lost: Some(true),
            rx_lost: Some(false),
        },
        loss: PerDirection { tx: Some(0.25), rx: Some(0.0) },
        hops: PerDirection { tx: Some(7), rx: None },
        path_mtu: PerDirection { tx: Some(1460), rx: Some(1400) },
        probes: ProbeCounts {
            sent: 9,
            answered: 6,
            lost: 2,
            received: 5,
            refused: vec![("replayed".into(), 4)],
        },
        mapping_changes: 3,
        ..sample("keyed")
    };
    reports[1].liveness.up = Some(false);
    reports[1].overlay = Some(OverlayEcho {
        address: [192, 168, 45, 1].into(),
        answers: Some(true),
        last_reply: Some(100.0),
        unanswered: 0,
    });
    let mut snapshot = snapshot(reports);
    snapshot.observed[0] = ObservedData {
        mapping: Some(DataMapping {
            address: [198, 51, 100, 21].into(),
            port: Some(1024),
            ttl: 60,
            mappings: 4,
            changes: 8,
            changed: 50,
        }),
        last_seen: Some(10),
    };
    let times = snapshot.round_trips.clone().expect("a histogram");
    times.observe("keyed", 0.0004);
    times.observe("keyed", 1.5);
    let page = page(&snapshot);
    for sample in [
        "vxlan_peer_info{endpoint=\"198.51.100.20:4789\",nat=\"one_to_one\",\
         observed_address=\"198.51.100.21\",peer=\"keyed\",private_address=\"\"} 1",
        "vxlan_peer_up{peer=\"keyed\"} 1",
        "vxlan_peer_up{peer=\"echo\"} 0",
        "vxlan_probes_ok{peer=\"keyed\"} 0",
        "vxlan_peer_overlay_answers{peer=\"keyed\"} 0",
        "vxlan_peer_overlay_answers{peer=\"echo\"} 1",
        "vxlan_peer_received_packets_total{peer=\"keyed\"} 70",
        "vxlan_peer_sent_packets_total{peer=\"keyed\"} 80",
        "vxlan_data_lost{direction=\"tx\",peer=\"keyed\"} 1",
        "vxlan_data_lost{direction=\"rx\",peer=\"keyed\"} 0",
        "vxlan_peer_last_seen_timestamp_seconds{kind=\"data\",peer=\"keyed\"} 999990",
        "vxlan_peer_last_seen_timestamp_seconds{kind=\"probe\",peer=\"keyed\"} 999996",
        "vxlan_peer_last_seen_timestamp_seconds{kind=\"echo\",peer=\"echo\"} 999900",
        "vxlan_probe_rtt_seconds_bucket{peer=\"keyed\",le=\"0.0005\"} 1",
        "vxlan_probe_rtt_seconds_bucket{peer=\"keyed\",le=\"1\"} 1",
        "vxlan_probe_rtt_seconds_bucket{peer=\"keyed\",le=\"2\"} 2",
        "vxlan_probe_rtt_seconds_count{peer=\"keyed\"} 2",
        "vxlan_probes_sent_total{peer=\"keyed\"} 9",
        "vxlan_probes_lost_total{peer=\"keyed\"} 2",
        "vxlan_probes_received_total{peer=\"keyed\"} 5",
        "vxlan_probes_refused_total{peer=\"keyed\",reason=\"replayed\"} 4",
        "vxlan_probe_loss_ratio{direction=\"tx\",peer=\"keyed\"} 0.25",
        "vxlan_probe_loss_ratio{direction=\"rx\",peer=\"keyed\"} 0",
        "vxlan_path_hops{direction=\"tx\",peer=\"keyed\"} 7",
        "vxlan_path_mtu_bytes{direction=\"tx\",peer=\"keyed\"} 1500",
        "vxlan_path_mtu_bytes{direction=\"rx\",peer=\"keyed\"} 1400",
        "vxlan_nat_mapping_changes_total{peer=\"keyed\"} 3",
        "vxlan_nat_mappings{peer=\"keyed\"} 4",
        "vxlan_nat_mapping_changed_timestamp_seconds{peer=\"keyed\"} 999950",
    ] {
        assert!(page.lines().any(|line| line == sample), "{sample}\n{page}");
    }
    assert_eq!(samples(&page, "vxlan_path_hops").len(), 1);
    assert_eq!(samples(&page, "vxlan_peer_up").len(), 2);
}
