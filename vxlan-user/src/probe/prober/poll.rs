//! Does what is due at a point in time: requests, path MTU probes, pending moves of the endpoint.

use std::time::Duration;

use super::{
    action::{Action, Random},
    state::Prober,
};

impl Prober {
    /// Does what is due at `now`. To be called at [`Self::next_poll`] or earlier.
    pub fn poll(&mut self, now: Duration, random: Random<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some((from, to)) = self.endpoint.take_due_move(now) {
            self.endpoint_moved(from, to, now, &mut actions);
        }
        for request in self.association.expire(now) {
            self.stats.request_lost(&request);
        }
        if now >= self.next_request.min(self.keepalive_due()) {
            self.send_regular(now, random, &mut actions);
        }
        self.poll_pmtu(now, random, &mut actions);
        actions
    }

    /// Returns when [`Self::poll`] has something to do, if nothing arrives; not before `now`.
    pub fn next_poll(&self, now: Duration) -> Duration {
        let pmtu = || self.pmtu.next_timeout(now, self.is_replying(now));
        let others = [
            self.endpoint.next_move(),
            self.stats.next_expiry(),
            self.endpoint.get().and_then(|_| pmtu()),
        ];
        let request = self.next_request.min(self.keepalive_due());
        others.into_iter().flatten().fold(request, Duration::min).max(now)
    }
}
