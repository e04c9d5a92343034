//! `vxlan show nat`: the verdict on the path to each peer, the measurements, and the evidence.

use crate::{
    cli::table::Table,
    observation::DataMapping,
    probe::{Liveness, LivenessSource, NatReports, PerDirection, Report},
};

const HEADER: [&str; 10] = [
    "PEER",
    "VERDICT",
    "SINCE",
    "ENDPOINT",
    "SEEN FROM",
    "WE ARRIVE AS",
    "RTT",
    "LOSS TX/RX",
    "PATH MTU TX/RX",
    "LIVENESS",
];

/// Returns a row for each peer, then the evidence for each.
pub(super) fn table(reports: &NatReports) -> String {
    let mut table = Table::new(&HEADER);
    for report in &reports.peers {
        table.row(row(report));
    }
    let mut text = table.render("no peers");
    for report in reports.peers.iter().filter(|report| !report.evidence.is_empty()) {
        text += &format!("\n{}: {}\n", report.peer, report.nat.label());
        for sentence in &report.evidence {
            text += &format!("  {sentence}\n");
        }
    }
    text
}

fn row(report: &Report) -> Vec<String> {
    let endpoint = report
        .endpoint
        .map(|at| if report.learned { format!("{at} (learned)") } else { at.to_string() });
    let seen = |at: std::net::SocketAddr, ago: Option<f64>| match ago {
        Some(ago) if ago >= report.recent => format!("{at} ({} ago)", duration(ago)),
        _ => at.to_string(),
    };
    let seen_from = report.theirs.map(|theirs| seen(theirs.seen.source, report.theirs_ago));
    let seen_from = seen_from.or_else(|| report.data.as_ref().map(source));
    // Without any observation there is no time since when the verdict holds.
    let observed = report.since > 0.0 || report.liveness.by != LivenessSource::Nothing;
    vec![
        report.peer.clone(),
        report.nat.label().to_owned(),
        or_dash(observed.then(|| duration(report.since))),
        or_dash(endpoint),
        or_dash(seen_from),
        or_dash(report.ours.map(|ours| seen(ours.seen.source, report.ours_ago))),
        or_dash(report.rtt.map(|rtt| format!("{:.1} ms", rtt.smoothed * 1000.0))),
        both(report.loss, |share| format!("{:.0}%", share * 100.0)),
        both(report.path_mtu, |mtu| mtu.to_string()),
        liveness(&report.liveness),
    ]
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

/// Returns `tx/rx`, or a dash alone where neither is known.
fn both<T>(directions: PerDirection<T>, text: impl Fn(T) -> String) -> String {
    let known = directions.tx.is_some() || directions.rx.is_some();
    let (tx, rx) = (or_dash(directions.tx.map(&text)), or_dash(directions.rx.map(&text)));
    if known { format!("{tx}/{rx}") } else { tx }
}

fn source(mapping: &DataMapping) -> String {
    match mapping.port {
        Some(port) => std::net::SocketAddr::new(mapping.address, port).to_string(),
        None => mapping.address.to_string(),
    }
}

fn liveness(liveness: &Liveness) -> String {
    let by = match liveness.by {
        LivenessSource::Probes => "probes".to_owned(),
        LivenessSource::InnerEcho { address } => format!("inner echo to {address}"),
        LivenessSource::Data => "data".to_owned(),
        LivenessSource::Nothing => "nothing".to_owned(),
    };
    let up = liveness.up.map(|up| if up { "up" } else { "down" });
    let last = liveness.last_seen.map(|ago| format!("{} ago", duration(ago)));
    let parts = [up.map(str::to_owned), Some(by), last];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Returns a duration in its two largest units.
fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let first = units.iter().position(|(size, _)| seconds >= *size).unwrap_or(3);
    let mut rest = seconds;
    let mut text = String::new();
    for (size, unit) in units.iter().skip(first).take(2) {
        text += &format!("{}{unit}", rest / size);
        rest %= size;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        nat::NatVerdict,
        observation::{OuterHeader, Rewrite, UdpChecksum},
        probe::{Rtt, sample},
    };

    fn rewrite(sent: &str, seen: &str) -> Rewrite {
        let header = |source: &str| OuterHeader {
            source: source.parse().expect("an address and a port"),
            destination: "203.0.113.10:4789".parse().expect("an address and a port"),
            ttl: 64,
            tos: 0,
            length: 352,
            checksum: UdpChecksum::Zero,
            dont_fragment: true,
        };
        Rewrite { sent: header(sent), seen: header(seen) }
    }

    #[test]
    fn everything_has_its_column_and_evidence_follows() {
        let aws = Report {
            nat: NatVerdict::OneToOne,
            since: 192.7,
            evidence: vec!["First.".to_owned(), "Second.".to_owned()],
            liveness: Liveness { by: LivenessSource::Probes, up: Some(true), last_seen: Some(3.9) },
            endpoint: Some("198.51.100.20:4789".parse().expect("an endpoint")),
            learned: true,
            ours: Some(rewrite("10.128.0.2:50000", "203.0.113.10:50000")),
            theirs: Some(rewrite("10.0.0.119:49999", "198.51.100.20:49999")),
            rtt: Some(Rtt { last: 0.011, smoothed: 0.01234, variation: 0.001, min: 0.01 }),
            loss: PerDirection { tx: Some(0.0), rx: Some(0.025) },
            path_mtu: PerDirection { tx: Some(1500), rx: None },
            ..sample("aws")
        };
        let kernel = Report {
            liveness: Liveness {
                by: LivenessSource::InnerEcho { address: [192, 168, 45, 1].into() },
                up: Some(false),
                last_seen: None,
            },
            ..sample("kernel")
        };
        let text = table(&NatReports { node: "gcp".to_owned(), peers: vec![aws, kernel] });
        let expected = "\
PEER    VERDICT     SINCE  ENDPOINT                      \
SEEN FROM            WE ARRIVE AS        RTT      \
LOSS TX/RX  PATH MTU TX/RX  LIVENESS
aws     one_to_one  3m12s  198.51.100.20:4789 (learned)  \
198.51.100.20:49999  203.0.113.10:50000  12.3 ms  \
0%/2%       1500/-          up, probes, 3s ago
kernel  unknown     0s     -                             \
-                    -                   -        \
-           -               down, inner echo to 192.168.45.1

aws: one_to_one
  First.
  Second.
";
        assert_eq!(text, expected);
    }

    #[test]
    fn without_probes_the_data_packets_tell_the_source() {
        let mapping = |port| DataMapping {
            address: "2001:db8::1".parse().expect("an address"),
            port,
            ttl: 60,
            mappings: 1,
            changes: 0,
            changed: 9,
        };
        let nothing = Liveness { by: LivenessSource::Nothing, up: None, last_seen: None };
        for (port, expected) in [(Some(1024), "[2001:db8::1]:1024"), (None, "2001:db8::1")] {
            let data = Some(mapping(port));
            let report = Report { data, liveness: nothing.clone(), ..sample("a") };
            let cells = row(&report);
            assert_eq!((&*cells[2], &*cells[4], &*cells[9]), ("-", expected, "nothing"));
        }
    }

    #[test]
    fn durations_have_two_units() {
        let texts = [0.4, 59.9, 60.0, 3_599.0, 3_600.0, 90_061.0, 864_000.0].map(duration);
        assert_eq!(texts, ["0s", "59s", "1m0s", "59m59s", "1h0m", "1d1h", "10d0h"]);
    }
}
