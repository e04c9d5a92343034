//! The table of what both clouds have counted, with units that a person reads.

use std::time::Instant;

use anyhow::Result;
use vxlan_tests::lab::{Counters, Lab, Side};

/// Of both clouds, in the order of `Side::BOTH`.
pub(super) type Both = [Counters; 2];

pub(super) fn counters(lab: &Lab) -> Result<Both> {
    Ok([lab.counters(Side::Gcp)?, lab.counters(Side::Aws)?])
}

/// Totals, and rates when there is an earlier reading.
pub(super) fn table(lab: &Lab, before: Option<&(Instant, Both)>) -> Result<Vec<String>> {
    let now = counters(lab)?;
    let seconds = before.map(|(when, _)| when.elapsed().as_secs_f64());
    Ok(lines(&now, before.map(|(_, counters)| counters).zip(seconds)))
}

fn lines(now: &Both, before: Option<(&Both, f64)>) -> Vec<String> {
    let mut lines = vec![format!(
        "  {:<4}{:>12}{:>11}{:>12}{:>11}{:>9}{:>14}{:>14}{:>11}",
        "",
        "rx packets",
        "rx bytes",
        "tx packets",
        "tx bytes",
        "dropped",
        "NAT src addr",
        "NAT dst addr",
        "rx pkt/s"
    )];
    for (index, side) in Side::BOTH.into_iter().enumerate() {
        let counters = &now[index];
        let speed = before.map_or("-".to_owned(), |(before, seconds)| {
            format!("{:.0}", (counters.rx_packets - before[index].rx_packets) / seconds)
        });
        lines.push(format!(
            "  {:<4}{:>12}{:>11}{:>12}{:>11}{:>9}{:>14}{:>14}{speed:>11}",
            side.name(),
            counters.rx_packets,
            bytes(counters.rx_bytes),
            counters.tx_packets,
            bytes(counters.tx_bytes),
            counters.dropped(),
            counters.nat_source,
            counters.nat_destination,
        ));
    }
    for (index, side) in Side::BOTH.into_iter().enumerate() {
        for (reason, count) in &now[index].drops {
            lines.push(format!("  {} dropped {count}: {reason}", side.name()));
        }
    }
    lines
}

pub(super) fn bytes(count: f64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{value} B") } else { format!("{value:.1} {}", units[unit]) }
}

pub(super) fn rate(mbit: f64) -> String {
    if mbit >= 1000.0 {
        format!("{:.2} Gbit/s", mbit / 1000.0)
    } else {
        format!("{mbit:.0} Mbit/s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_row_a_side_and_names_reasons() {
        let gcp = Counters {
            rx_packets: 300.0,
            rx_bytes: 2_500_000.0,
            drops: vec![("rx unknown_vni".to_owned(), 4.0)],
            ..Counters::default()
        };
        let before = [Counters { rx_packets: 100.0, ..Counters::default() }, Counters::default()];
        let lines = lines(&[gcp, Counters::default()], Some((&before, 2.0)));
        assert_eq!(lines.len(), 4);
        assert!(lines[1].starts_with("  gcp") && lines[1].contains("2.5 MB"), "{}", lines[1]);
        assert!(lines[1].ends_with(" 100"), "{}", lines[1]);
        assert_eq!(lines[3], "  gcp dropped 4: rx unknown_vni");
    }

    #[test]
    fn quantities_have_units() {
        assert_eq!(bytes(999.0), "999 B");
        assert_eq!(bytes(64e6), "64.0 MB");
        assert_eq!(rate(950.4), "950 Mbit/s");
        assert_eq!(rate(2_345.0), "2.35 Gbit/s");
    }
}
