//! Sends path MTU probes. A size that is not acknowledged in time is followed by a probe without
//! padding, which tells a size that was lost from a peer that is silent.

use std::time::Duration;

use super::{
    action::{Action, Random},
    pmtu_probe::ProbedSize,
    state::Prober,
};
use crate::probe::requests::Purpose;

impl Prober {
    /// Does what is due in the search for the path MTU.
    pub(super) fn poll_pmtu(
        &mut self,
        now: Duration,
        random: Random<'_>,
        actions: &mut Vec<Action>,
    ) {
        let hasty = self.pmtu.search.follows_report();
        let timeout = if hasty { self.stats.short_timeout() } else { self.stats.timeout() };
        match self.pmtu.in_flight {
            Some(probed) if now < probed.deadline => {}
            Some(ProbedSize { size, check: None, .. }) => {
                let check = self.send_request(Purpose::Size, 0, now, random, actions);
                let deadline = now + timeout;
                self.pmtu.in_flight =
                    check.map(|check| ProbedSize { size, deadline, check: Some(check) });
                if check.is_none() {
                    self.pmtu.search.probe_abandoned(size);
                }
            }
            Some(ProbedSize { size, check: Some(_), .. }) => {
                self.pmtu.search.probe_abandoned(size);
                self.pmtu.in_flight = None;
            }
            None => {}
        }
        if self.pmtu.in_flight.is_none() && self.is_replying(now) {
            self.send_size(now, timeout, random, actions);
        }
        self.report_path_mtu(actions);
    }

    fn send_size(
        &mut self,
        now: Duration,
        timeout: Duration,
        random: Random<'_>,
        actions: &mut Vec<Action>,
    ) {
        let Some(size) = self.pmtu.search.poll_transmit(now) else { return };
        let Some(sequence) = self.send_request(Purpose::Size, size, now, random, actions) else {
            self.pmtu.search.probe_abandoned(size);
            return;
        };
        self.pmtu.probe_sent(sequence, size, now + timeout);
    }
}
