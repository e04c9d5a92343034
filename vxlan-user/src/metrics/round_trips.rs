//! Round trips of probes: the one family that is kept from scrape to scrape, as nobody else counts it.

use prometheus::{HistogramOpts, HistogramVec};

use super::families::PROBE_RTT;

/// Bounds in seconds: from hosts side by side to the far side of the world, over a bad line.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0];

/// How long the answers of each peer took. Clones are the same histogram.
#[derive(Clone, Debug)]
pub struct RoundTrips(HistogramVec);

impl RoundTrips {
    /// Of these peers, which are shown from the start.
    pub fn of<'a>(peers: impl IntoIterator<Item = &'a str>) -> prometheus::Result<Self> {
        let options = HistogramOpts::new(PROBE_RTT.name, PROBE_RTT.help);
        let times = HistogramVec::new(options.buckets(BUCKETS.to_vec()), PROBE_RTT.labels)?;
        for peer in peers {
            times.get_metric_with_label_values(&[peer])?;
        }
        Ok(Self(times))
    }

    /// From now on of these peers: what is known of those that stay goes on.
    pub fn follow(&self, before: &[String], peers: &[&str]) {
        for gone in before.iter().filter(|before| !peers.contains(&before.as_str())) {
            let _never_shown = self.0.remove_label_values(&[gone.as_str()]);
        }
        for peer in peers {
            self.0.with_label_values(&[*peer]);
        }
    }

    /// Notes one, in seconds.
    pub fn observe(&self, peer: &str, seconds: f64) {
        self.0.with_label_values(&[peer]).observe(seconds);
    }

    pub(super) fn collector(&self) -> HistogramVec {
        self.0.clone()
    }
}
