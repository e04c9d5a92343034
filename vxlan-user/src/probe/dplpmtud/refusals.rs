//! What refuses packets for their size: the kernel, routers, and the MTU of the first link.

use std::time::Duration;

use super::{
    phase::{Phase, SUSPICION_TIMER},
    state_machine::Dplpmtud,
};

impl Dplpmtud {
    /// The kernel has refused a packet of that size as too large, so that it never left.
    pub fn packet_too_big(&mut self, size: u16, now: Duration) {
        let was_in_flight = self.in_flight == Some(size);
        if was_in_flight {
            self.in_flight = None;
        }
        if size <= self.base() {
            match self.phase {
                Phase::Base { .. } | Phase::Error { .. } => self.base_failed(now),
                Phase::Searching { .. } | Phase::SearchComplete { .. } if was_in_flight => {
                    self.restart(self.max_plpmtu);
                }
                Phase::Searching { .. } | Phase::SearchComplete { .. } => {}
            }
            return;
        }
        if self.low().is_some_and(|low| size <= low) {
            self.restart(size - 1);
        } else if u32::from(size) < self.upper.too_large {
            self.upper.too_large = u32::from(size);
            self.probe_count = 0;
        }
        if let Phase::Searching { low, publish_interim } = self.phase {
            self.narrow(low, publish_interim, now);
        }
    }

    /// A router reports the MTU of the path. Anyone may have sent that, so nothing follows but
    /// probes: of the size in use, at once, where that is larger; else of the reported size.
    pub fn suspect(&mut self, mtu: u16, now: Duration) {
        let mtu = mtu.max(self.base());
        match &mut self.phase {
            Phase::SearchComplete { low, confirm_at, .. } => {
                if mtu < *low && self.suspicion.is_none() && now >= self.next_suspicion {
                    *confirm_at = now;
                    self.suspicion = Some(mtu);
                    self.next_suspicion = now + SUSPICION_TIMER;
                }
            }
            // What passed in this search is confirmed when it ends.
            Phase::Searching { low, .. } if mtu < *low => {
                self.suspicion.get_or_insert(mtu);
            }
            // One in a search, which so still ends soon.
            Phase::Base { .. } | Phase::Searching { .. } => {
                if u32::from(mtu) < self.upper.too_large {
                    self.upper.ptb_size.get_or_insert(mtu);
                }
            }
            Phase::Error { .. } => {}
        }
    }

    /// The MTU of the first link has changed.
    pub fn set_max_plpmtu(&mut self, max: u16, now: Duration) {
        if max == self.max_plpmtu {
            return;
        }
        let open = self.upper.too_large > u32::from(self.max_plpmtu);
        self.max_plpmtu = max;
        let above = u32::from(max) + 1;
        self.upper.too_large = if open { above } else { self.upper.too_large.min(above) };
        if self.in_flight.is_some_and(|size| size > max) {
            self.in_flight = None;
            self.probe_count = 0;
        }
        self.plpmtu = self.plpmtu.map(|plpmtu| plpmtu.min(u32::from(max)));
        match &mut self.phase {
            Phase::Base { .. } | Phase::Error { .. } => {}
            // A path that carried more carries `max`.
            Phase::Searching { low, publish_interim } => {
                let (low, publish_interim) = ((*low).min(max), *publish_interim);
                self.narrow(low, publish_interim, now);
            }
            Phase::SearchComplete { low, .. } => {
                *low = (*low).min(max);
                let low = *low;
                if self.upper.too_large > u32::from(low) + 1 {
                    self.phase = Phase::Searching { low, publish_interim: false };
                }
            }
        }
    }
}
