//! When a peer with a key is asked by echo through the tunnel: probes go round the overlay of the
//! other end, which may be down while they are answered.

use std::{net::IpAddr, time::Duration};

use super::state::Prober;

/// Intervals from one echo request to the next, while all is well.
const ECHO_INTERVALS: u32 = 3;

impl Prober {
    /// Returns whether an echo request is due at `now`, which then counts as sent. None is needed
    /// while data comes. It goes with the probe that is nearest to its time, so that it is no event
    /// of its own: [`Self::next_poll`] is not earlier for it.
    pub fn take_due_echo(&mut self, now: Duration) -> bool {
        if now + self.config.interval / 4 < self.next_echo {
            return false;
        }
        let doubtful = self.echo.is_in_doubt() || !self.is_replying(now);
        let intervals = if doubtful { 1 } else { ECHO_INTERVALS };
        self.next_echo = now + self.config.interval * intervals;
        self.last_data.is_none_or(|ago| ago >= self.config.interval)
    }

    /// Returns whether data of the peer ever came, from which its overlay address can be known.
    pub fn has_data(&self) -> bool {
        self.last_data.is_some()
    }

    /// Chooses the address that the next echo request goes to.
    pub fn echo_address(&self, candidates: &[IpAddr]) -> Option<IpAddr> {
        self.echo.choose(candidates)
    }

    /// Records an echo request through the tunnel.
    pub fn echo_sent(&mut self, address: IpAddr, sequence: u16, now: Duration) {
        self.echo.request_sent(address, sequence, now);
        // The next one follows soon, unless this one is answered.
        self.next_echo = self.next_echo.min(now + self.config.interval);
    }

    /// Records an echo reply.
    pub fn echo_received(&mut self, from: IpAddr, sequence: u16, now: Duration) {
        let answered = self.echo.reply_received(from, sequence, now).is_some();
        if answered && self.is_replying(now) {
            self.next_echo = now + self.config.interval * ECHO_INTERVALS;
        }
    }
}
