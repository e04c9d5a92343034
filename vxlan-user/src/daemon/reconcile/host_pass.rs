//! When what the daemon has made on this host is compared with what shall be: soon after the kernel
//! reports a change of it, and from time to time, since there are changes that the kernel does not
//! report.
//!
//! A pass makes interfaces, addresses and routes good first ([`super::overlays`]), then what is
//! attached to them ([`super::hooks`]).

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{hooks, overlays};
use crate::{
    daemon::{directories::Directories, running::ActivePlane},
    host::{Host, HostEvent},
};

/// The longest time between two passes.
const PERIOD: Duration = Duration::from_secs(10);
/// How long a pass waits after news: a change seldom comes alone.
const SETTLE: Duration = Duration::from_millis(50);

/// The schedule of passes, and what they need.
pub(in crate::daemon) struct HostPass<'a> {
    directories: &'a Directories,
    host: &'a Host,
    next: Instant,
    /// Number of quick looks.
    glances: usize,
}

impl<'a> HostPass<'a> {
    /// Begins with a host that a takeover has just made as it shall be.
    pub(in crate::daemon) fn new(directories: &'a Directories, host: &'a Host) -> Self {
        Self { directories, host, next: Instant::now() + PERIOD, glances: 0 }
    }

    /// Has a pass follow soon if any of these events concerns what the daemon has made.
    pub(in crate::daemon) fn observe(&mut self, events: &[HostEvent], running: &ActivePlane) {
        let concerns =
            |event| overlays::concerns(event, running) || hooks::concerns(event, running);
        if events.iter().any(concerns) {
            self.request();
        }
    }

    /// Has a pass follow soon if something is wrong that the kernel does not report.
    pub(in crate::daemon) fn glance(&mut self, running: &ActivePlane) {
        self.glances = self.glances.wrapping_add(1);
        if hooks::seems_wrong(self.directories, running, self.glances) {
            self.request();
        }
    }

    /// Has a pass follow soon.
    pub(in crate::daemon) fn request(&mut self) {
        self.next = self.next.min(Instant::now() + SETTLE);
    }

    /// Waits until it is time for the next pass.
    pub(in crate::daemon) async fn due(&self) {
        sleep_until(self.next).await;
    }

    /// Makes good what differs.
    pub(in crate::daemon) async fn run(&mut self, running: &mut ActivePlane) {
        self.next = Instant::now() + PERIOD;
        let mut problems = overlays::reconcile(self.directories, self.host, running).await;
        problems.extend(hooks::reconcile(self.directories, self.host, running).await);
        for (network, problem) in problems {
            let vni = running.preflight.config.networks.get(network).map(|at| at.vni.value);
            tracing::debug!(vni = vni.map(tracing::field::display), "{problem}");
        }
    }
}
