//! Whether data arrives: hands the counters of both ends to what compares them, for all networks
//! together and for each.

use std::time::Duration;

use super::state::Prober;
use crate::{
    observation::{Delivery, MemberCounts},
    probe::{Probe, delivery::PeerCounts},
};

impl Prober {
    /// Records the counters of each network that this host shares with the peer, as they are at
    /// `now`. To be called once in a second.
    pub fn record_networks(&mut self, networks: &[MemberCounts], now: Duration) {
        self.networks.sample(now, networks);
    }

    /// Records the counters of an accepted probe, which came at `arrived`.
    pub(super) fn data_reported(&mut self, probe: &Probe, arrived: Duration) {
        let Probe { session, sent_at, data_received: received, data_sent: sent, .. } = *probe;
        self.delivery.report(&PeerCounts { session, sent_at, received, sent }, arrived);
        self.networks.report(probe, arrived);
    }

    /// Returns what is known of data at `now`.
    pub(super) fn data_delivery(&self, now: Duration) -> Delivery {
        Delivery { networks: self.networks.lost(now), ..self.delivery.delivery(now) }
    }
}
