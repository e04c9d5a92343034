//! Round-trip times of probes. The one family that is kept from scrape to scrape, since no counter
//! of the data plane holds it.

use std::collections::HashSet;

use prometheus::{HistogramOpts, HistogramVec};

use super::families::PROBE_RTT;

/// Upper bounds in seconds: from two hosts of one cloud to the far side of the world over a bad
/// line.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0];

/// The round-trip times of each peer. Clones share the histogram.
#[derive(Clone, Debug)]
pub struct RttHistogram(HistogramVec);

impl RttHistogram {
    /// Returns an empty histogram of these peers.
    pub fn new<'a>(peers: impl IntoIterator<Item = &'a str>) -> prometheus::Result<Self> {
        let options = HistogramOpts::new(PROBE_RTT.name, PROBE_RTT.help);
        let times = HistogramVec::new(options.buckets(BUCKETS.to_vec()), PROBE_RTT.labels)?;
        for peer in peers {
            times.get_metric_with_label_values(&[peer])?;
        }
        Ok(Self(times))
    }

    /// Replaces the peers. The times of peers that stay are kept.
    pub fn set_peers(&self, before: &[String], peers: &[&str]) {
        let stay: HashSet<&str> = peers.iter().copied().collect();
        for gone in before.iter().filter(|before| !stay.contains(before.as_str())) {
            let _never_exported = self.0.remove_label_values(&[gone.as_str()]);
        }
        for peer in peers {
            self.0.with_label_values(&[*peer]);
        }
    }

    /// Records a round trip, in seconds.
    pub fn observe(&self, peer: &str, seconds: f64) {
        self.0.with_label_values(&[peer]).observe(seconds);
    }

    pub(super) fn collector(&self) -> HistogramVec {
        self.0.clone()
    }
}
