//! The round-trip time to a peer and back, smoothed after RFC 6298.

use std::time::Duration;

use super::Rtt;

/// RFC 6298, section 2.4: no timer is shorter.
const LEAST: Duration = Duration::from_secs(1);

/// Samples so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundTrips(Option<Rtt>);

impl RoundTrips {
    /// One more: RFC 6298, section 2.
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

    /// After this an answer will hardly come any more.
    pub(super) fn timeout(&self) -> Duration {
        let Some(Rtt { smoothed, variation, .. }) = self.0 else { return LEAST };
        Duration::try_from_secs_f64(smoothed + 4.0 * variation)
            .map_or(LEAST, |time| time.max(LEAST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_smoothed_as_rfc_6298_has_it() {
        let mut trips = RoundTrips::default();
        assert_eq!((trips.rtt(), trips.timeout()), (None, LEAST));
        trips.add(Duration::from_millis(800));
        let first = Rtt { last: 0.8, smoothed: 0.8, variation: 0.4, min: 0.8 };
        assert_eq!(trips.rtt(), Some(first));
        assert_eq!(trips.timeout(), Duration::from_millis(2400));
        trips.add(Duration::from_millis(400));
        let Some(second) = trips.rtt() else { panic!("two samples") };
        assert!((second.smoothed - 0.75).abs() < 1e-9, "{second:?}");
        assert!((second.variation - 0.4).abs() < 1e-9, "{second:?}");
        assert!((second.min - 0.4).abs() < 1e-9, "{second:?}");
    }
}
