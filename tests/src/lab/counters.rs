//! What the lab reads on the metrics pages.

use crate::metrics::Metrics;

/// What one side's daemon has counted, over all peers and networks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counters {
    pub rx_packets: f64,
    pub rx_bytes: f64,
    pub tx_packets: f64,
    pub tx_bytes: f64,
    /// Received packets whose outer source, or destination, is not the one their sender wrote.
    pub nat_source: f64,
    pub nat_destination: f64,
    /// As in `rx unknown_source`; only reasons that have occurred.
    pub drops: Vec<(String, f64)>,
}

impl Counters {
    pub fn from_metrics(metrics: &Metrics) -> Self {
        let sum = |name, label, value| metrics.total(name, &[(label, value)]);
        Self {
            rx_packets: sum("vxlan_packets_total", "direction", "rx"),
            rx_bytes: sum("vxlan_bytes_total", "direction", "rx"),
            tx_packets: sum("vxlan_packets_total", "direction", "tx"),
            tx_bytes: sum("vxlan_bytes_total", "direction", "tx"),
            nat_source: sum("vxlan_nat_rewritten_packets_total", "field", "src_address"),
            nat_destination: sum("vxlan_nat_rewritten_packets_total", "field", "dst_address"),
            drops: metrics.drops().into_iter().map(|(why, count)| (why, count as f64)).collect(),
        }
    }

    pub fn dropped(&self) -> f64 {
        self.drops.iter().fold(0.0, |sum, (_, count)| sum + count)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Result;

    use super::*;

    #[test]
    fn counters_add_up_peers_and_keep_reasons_apart() -> Result<()> {
        let metrics = Metrics::parse(
            r#"vxlan_packets_total{peer="a",vni="43",direction="rx"} 3
vxlan_packets_total{peer="b",vni="43",direction="rx"} 4
vxlan_packets_total{peer="b",vni="43",direction="tx"} 9
vxlan_nat_rewritten_packets_total{peer="a",field="src_address"} 2
vxlan_drops_total{direction="rx",reason="unknown_vni",peer="",vni=""} 0
vxlan_drops_total{direction="rx",reason="not_a_member",peer="a",vni="43"} 1
vxlan_drops_total{direction="rx",reason="not_a_member",peer="b",vni="43"} 5
"#,
        )?;
        let counters = Counters::from_metrics(&metrics);
        assert_eq!((counters.rx_packets, counters.tx_packets), (7.0, 9.0));
        assert_eq!((counters.nat_source, counters.nat_destination), (2.0, 0.0));
        assert_eq!(counters.drops, [("rx not_a_member".to_owned(), 6.0)]);
        Ok(())
    }
}
