//! Times how long the metrics page of many peers takes to write: by `metrics::render`, and the same
//! samples as metric families of the `prometheus` crate, encoded by its `TextEncoder`.
//!
//! ```sh
//! AYA_BUILD_SKIP=1 cargo run --release -p vxlan-user --example render_time
//! ```

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use prometheus::{
    Encoder as _, TextEncoder,
    proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType},
};
use vxlan_common::{counters::Counters, reason::DropReason};
use vxlan_user::{
    metrics::{DropCount, Family, MemberTraffic, MetricKind, RttHistogram, Snapshot, render},
    observation::ObservedData,
    probe::{Liveness, LivenessSource, PerDirection, ProbeCounts, ProbeRefusal, Report},
    state::{HostState, PeerRecord, UnderlayRecord},
};

const VNI: u32 = 42;
const ROUNDS: usize = 5;

fn main() {
    for peers in [1_000, 10_000] {
        let snapshot = snapshot(peers);
        let page = render(&snapshot).expect("a page");
        let own = best(|| render(&snapshot).expect("a page").len());
        let samples = families(&page);
        let encoded = best(|| encode(&samples));
        println!(
            "{peers} peers, {} lines, {} bytes: render {own:.1?}, TextEncoder {encoded:.1?}",
            page.lines().count(),
            page.len()
        );
    }
}

/// The shortest of some rounds, after one that is not counted.
fn best(mut round: impl FnMut() -> usize) -> Duration {
    round();
    let times = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        assert!(round() > 0);
        start.elapsed()
    });
    times.min().unwrap_or_default()
}

/// A host with so many peers, all in one network, all with a key.
fn snapshot(peers: usize) -> Snapshot {
    let names: Vec<String> = (0..peers).map(|number| format!("peer-{number:05}")).collect();
    let endpoint = "198.51.100.20:4789".parse().expect("an endpoint");
    let address = "192.0.2.1".parse().expect("an address");
    let counters = Counters { rx_packets: 1 << 40, tx_packets: 1 << 30, ..Counters::ZERO };
    let peer = |name: &String| PeerRecord {
        name: name.clone(),
        endpoint: Some(endpoint),
        private_address: None,
        endpoints: vec![endpoint],
        private_addresses: Vec::new(),
        learned: None,
    };
    let drops = |name: &String| {
        let peer: Arc<str> = Arc::from(name.as_str());
        DropReason::all().map(move |reason| DropCount {
            reason,
            peer: Some(Arc::clone(&peer)),
            vni: Some(VNI),
            packets: 1 << 20,
        })
    };
    let round_trips = RttHistogram::new(names.iter().map(String::as_str)).expect("a histogram");
    Snapshot {
        state: HostState {
            secret: String::new(),
            node: "here".to_owned(),
            underlay: UnderlayRecord {
                hooks: vxlan_user::state::HooksRecord::default(),
                interface: "eth0".to_owned(),
                address,
                addresses: vec![address],
                home: Vec::new(),
                xdp: None,
                tc: None,
                lost: None,
            },
            peers: names.iter().map(|name| peer(name).into()).collect(),
            networks: Vec::new(),
            members: Vec::new().into(),
            narrow_paths: Vec::new(),
            generations: Vec::new(),
            entries: Vec::new(),
        },
        traffic: names
            .iter()
            .map(|name| MemberTraffic { peer: name.clone(), vni: VNI, counters })
            .collect(),
        drops: names.iter().flat_map(drops).collect(),
        usage: Vec::new(),
        path_mtus: vec![1500; peers],
        observed: vec![ObservedData { mapping: None, last_seen: Some(3) }; peers],
        reports: names.iter().map(|name| Arc::new(report(name))).collect(),
        round_trips: Some(round_trips),
        longest_turn: None,
        lost_lines: Some(0),
        reload: None,
        at: SystemTime::now(),
    }
}

fn report(peer: &str) -> Report {
    Report {
        liveness: Liveness { by: LivenessSource::Probes, up: Some(true), last_seen: Some(1.5) },
        loss: PerDirection { tx: Some(0.031_25), rx: Some(0.0) },
        hops: PerDirection { tx: Some(7), rx: Some(8) },
        path_mtu: PerDirection { tx: Some(1500), rx: Some(1500) },
        probes: ProbeCounts {
            sent: 900,
            answered: 899,
            lost: 1,
            received: 900,
            refused: ProbeRefusal::ALL.iter().map(|why| (why.label().into(), 0)).collect(),
        },
        ..Report::empty(peer)
    }
}

/// One sample: labels by name and value, and the value.
type Sample<'a> = (Vec<(&'a str, &'a str)>, f64);

/// The samples of a page by family; those of the histogram as gauges of the same names.
fn families(page: &str) -> Vec<(Family, Vec<Sample<'_>>)> {
    let mut found: Vec<(Family, Vec<Sample<'_>>)> =
        Family::ALL.iter().map(|family| (*family, Vec::new())).collect();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').expect("a sample");
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.trim_end_matches('}').split(',').filter_map(|label| {
            let (label, value) = label.split_once('=')?;
            Some((label, value.trim_matches('"')))
        });
        let family = found.iter_mut().find(|(family, _)| {
            name == family.name
                || family.kind == MetricKind::Histogram && name.starts_with(family.name)
        });
        let samples = &mut family.expect("a family").1;
        samples.push((labels.collect(), value.parse().expect("a value")));
    }
    found
}

/// As a `Collector` of the crate would: a family of protocol objects each, then text.
fn encode(found: &[(Family, Vec<Sample<'_>>)]) -> usize {
    let mut page = Vec::new();
    let families: Vec<MetricFamily> = found
        .iter()
        .filter(|(_, samples)| !samples.is_empty())
        .map(|(family, samples)| {
            let counter = family.kind == MetricKind::Counter;
            let metrics = samples.iter().map(|(labels, value)| {
                let mut metric = Metric::from_label(labels.iter().map(pair).collect());
                if counter {
                    let mut value_of = Counter::default();
                    value_of.set_value(*value);
                    metric.set_counter(value_of);
                } else {
                    let mut value_of = Gauge::default();
                    value_of.set_value(*value);
                    metric.set_gauge(value_of);
                }
                metric
            });
            let mut encoded = MetricFamily::default();
            encoded.set_name(family.name.to_owned());
            encoded.set_help(family.help.to_owned());
            encoded.set_field_type(if counter { MetricType::COUNTER } else { MetricType::GAUGE });
            encoded.set_metric(metrics.collect());
            encoded
        })
        .collect();
    TextEncoder::new().encode(&families, &mut page).expect("a page");
    page.len()
}

fn pair((name, value): &(&str, &str)) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name((*name).to_owned());
    pair.set_value((*value).to_owned());
    pair
}
