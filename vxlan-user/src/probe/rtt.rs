//! The round-trip time to a peer and back, smoothed after RFC 6298.

use std::time::Duration;

use super::report::Rtt;

/// The shortest timeout (RFC 6298, section 2.4).
const MIN_TIMEOUT: Duration = Duration::from_secs(1);

/// The shortest timeout where a reply that is late does no harm.
const MIN_SHORT_TIMEOUT: Duration = Duration::from_millis(100);

/// Estimates the round-trip time from samples.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RttEstimator(Option<Rtt>);

impl RttEstimator {
    /// Adds a sample (RFC 6298, section 2).
    pub(super) fn add(&mut self, sample: Duration) {
        let last = sample.as_secs_f64();
        self.0 = Some(match self.0 {
            None => Rtt { last, smoothed: last, variation: last / 2.0, min: last },
            Some(Rtt { smoothed, variation, min, .. }) => Rtt {
                last,
                smoothed: smoothed * 0.875 + last * 0.125,
                variation: variation * 0.75 + (smoothed - last).abs() * 0.25,
                min: min.min(last),
            },
        });
    }

    pub(super) fn rtt(&self) -> Option<Rtt> {
        self.0
    }

    /// Returns the time after which a reply is hardly to be expected any more.
    pub(super) fn timeout(&self) -> Duration {
        self.expected().map_or(MIN_TIMEOUT, |time| time.max(MIN_TIMEOUT))
    }

    /// Returns the same without the margin that RFC 6298 demands of a retransmission.
    pub(super) fn short_timeout(&self) -> Duration {
        self.expected().map_or(MIN_TIMEOUT, |time| time.max(MIN_SHORT_TIMEOUT))
    }

    /// Returns the time within which nearly all replies come (RFC 6298, section 2).
    fn expected(&self) -> Option<Duration> {
        let Rtt { smoothed, variation, .. } = self.0?;
        Duration::try_from_secs_f64(smoothed + 4.0 * variation).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_smoothed_as_in_rfc_6298() {
        let mut estimator = RttEstimator::default();
        assert_eq!((estimator.rtt(), estimator.timeout()), (None, MIN_TIMEOUT));
        estimator.add(Duration::from_millis(800));
        let first = Rtt { last: 0.8, smoothed: 0.8, variation: 0.4, min: 0.8 };
        assert_eq!(estimator.rtt(), Some(first));
        assert_eq!(estimator.timeout(), Duration::from_millis(2400));
        estimator.add(Duration::from_millis(400));
        let Some(second) = estimator.rtt() else { panic!("two samples") };
        assert!((second.smoothed - 0.75).abs() < 1e-9, "{second:?}");
        assert!((second.variation - 0.4).abs() < 1e-9, "{second:?}");
        assert!((second.min - 0.4).abs() < 1e-9, "{second:?}");
    }
}
