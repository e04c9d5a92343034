//! Notifies the service manager (sd_notify(3)): traffic can pass, a status in one line, the event
//! loop is alive, the daemon ends. Without a service manager nothing is sent.
//!
//! The event loop itself must send the watchdog notifications: a task beside it would carry on when
//! the loop hangs, and the service manager would not restart the daemon.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::daemon::running::ActivePlane;

/// How many watchdog notifications are sent within the time after which the manager restarts the
/// daemon.
const NOTIFICATIONS: u32 = 3;

/// The service manager, as the environment names it: `NOTIFY_SOCKET`, `WATCHDOG_USEC`.
pub(in crate::daemon) struct ServiceManager {
    /// `None`: the manager wants no watchdog notifications.
    watchdog: Option<Interval>,
    /// The status that was sent last.
    status: String,
}

impl ServiceManager {
    /// To be called within a tokio runtime.
    pub(in crate::daemon) fn from_environment() -> Self {
        let within = sd_notify::watchdog_enabled();
        Self { watchdog: within.map(watchdog_interval), status: String::new() }
    }

    /// Notifies that traffic can pass.
    pub(in crate::daemon) fn notify_ready(&mut self, running: &ActivePlane) {
        self.status = status(running);
        notify(&[NotifyState::Ready, NotifyState::Status(&self.status)]);
    }

    /// Notifies that a reload has begun; [`Self::notify_ready`] ends it.
    pub(in crate::daemon) fn notify_reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!("cannot notify the service manager: {error}"),
        }
    }

    /// Sends the status, if it has changed.
    pub(in crate::daemon) fn update_status(&mut self, running: &ActivePlane) {
        let now = status(running);
        if now != self.status {
            notify(&[NotifyState::Status(&now)]);
            self.status = now;
        }
    }

    /// Notifies that the daemon is ending.
    pub(in crate::daemon) fn notify_stopping(&self) {
        notify(&[NotifyState::Stopping, NotifyState::Status("traffic goes on without the daemon")]);
    }

    /// Waits until the next watchdog notification is due.
    pub(in crate::daemon) async fn watchdog_due(&mut self) {
        match &mut self.watchdog {
            Some(watchdog) => {
                watchdog.tick().await;
            }
            None => std::future::pending().await,
        }
    }

    /// Notifies that the event loop is alive; to be called from the loop only.
    pub(in crate::daemon) fn notify_watchdog(&self) {
        notify(&[NotifyState::Watchdog]);
    }
}

fn watchdog_interval(within: Duration) -> Interval {
    let mut notifications = interval((within / NOTIFICATIONS).max(Duration::from_millis(1)));
    // After a pause one notification is enough.
    notifications.set_missed_tick_behavior(MissedTickBehavior::Delay);
    notifications
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

/// Sends a notification. A manager that does not listen is no reason to stop carrying traffic.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("cannot notify the service manager: {error}");
    }
}
