//! What a service manager is told (sd_notify(3)): that traffic can pass, how things stand in one line,
//! that the event loop still turns, and that the daemon ends. Without one all of this does nothing.
//!
//! Owns the words and when the loop is due to say that it lives. The loop itself must say so: a task
//! beside it would go on when the loop hangs, and nobody would restart it.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::daemon::running::ActivePlane;

/// A sign of life comes this many times in the time that the manager waits for one.
const SIGNS: u32 = 3;

/// The service manager, as the environment names it: `NOTIFY_SOCKET`, `WATCHDOG_USEC`.
pub(in crate::daemon) struct Service {
    /// Absent: nobody waits for signs of life.
    watchdog: Option<Interval>,
    /// As it was told last.
    status: String,
}

impl Service {
    /// To be called within a tokio runtime.
    pub(in crate::daemon) fn of_environment() -> Self {
        let within = sd_notify::watchdog_enabled();
        Self { watchdog: within.map(signs_of_life), status: String::new() }
    }

    /// Traffic can pass.
    pub(in crate::daemon) fn ready(&mut self, running: &ActivePlane) {
        self.status = status(running);
        tell(&[NotifyState::Ready, NotifyState::Status(&self.status)]);
    }

    /// A reload has begun; [`Self::ready`] ends it.
    pub(in crate::daemon) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!("cannot tell the service manager: {error}"),
        }
    }

    /// Says how things stand, if that has changed.
    pub(in crate::daemon) fn follow(&mut self, running: &ActivePlane) {
        let now = status(running);
        if now != self.status {
            tell(&[NotifyState::Status(&now)]);
            self.status = now;
        }
    }

    /// The daemon ends by its own will.
    pub(in crate::daemon) fn stopping(&self) {
        tell(&[NotifyState::Stopping, NotifyState::Status("traffic goes on without the daemon")]);
    }

    /// Waits until the loop is due to say that it lives.
    pub(in crate::daemon) async fn due(&mut self) {
        match &mut self.watchdog {
            Some(watchdog) => {
                watchdog.tick().await;
            }
            None => std::future::pending().await,
        }
    }

    /// For the event loop, from one of its turns.
    pub(in crate::daemon) fn alive(&self) {
        tell(&[NotifyState::Watchdog]);
    }
}

fn signs_of_life(within: Duration) -> Interval {
    let mut signs = interval((within / SIGNS).max(Duration::from_millis(1)));
    // After a pause one sign is enough.
    signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
    signs
}

fn status(running: &ActivePlane) -> String {
    let peers = &running.plan.peers;
    let underlay = match &running.state.underlay.lost {
        Some(lost) => lost.clone(),
        None => {
            let mode = running.attachment.mode.label();
            format!("{}, XDP {mode}", running.preflight.underlay.name)
        }
    };
    let reachable = peers.iter().filter(|peer| peer.ifindex != 0).count();
    format!(
        "{underlay}; {reachable} of {} peers reachable; networks: {}",
        peers.len(),
        running.state.networks.len()
    )
}

/// A manager that does not listen is no reason to stop carrying traffic.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("cannot tell the service manager: {error}");
    }
}
