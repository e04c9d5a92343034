//! Notifies the service manager (sd_notify(3)): traffic can pass, a status in one line, the event
//! loop is alive, the daemon ends. Without a service manager nothing is sent.
//!
//! The event loop itself must send the watchdog notifications: a task beside it would carry on when
//! the loop hangs, and the service manager would not restart the daemon.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::notify_socket::NotifySocket;
use crate::daemon::running::ActivePlane;

/// How many watchdog notifications are sent within the time after which the manager restarts the
/// daemon.
const NOTIFICATIONS: u32 = 3;

/// The service manager, as the environment names it: `NOTIFY_SOCKET`, `WATCHDOG_USEC`.
pub(in crate::daemon) struct ServiceManager {
    /// `None`: there is no manager.
    socket: Option<NotifySocket>,
    /// `None`: the manager wants no watchdog notifications.
    watchdog: Option<Interval>,
    /// The status that was sent last.
    status: String,
    /// The manager could not take that traffic can pass; it waits for that.
    ready_is_due: bool,
    /// The latest notification did not reach the manager, which is logged once.
    unreachable: bool,
}

impl ServiceManager {
    /// To be called within a tokio runtime.
    pub(in crate::daemon) fn from_environment() -> Self {
        let socket = NotifySocket::from_environment().unwrap_or_else(|error| {
            tracing::warn!("cannot notify the service manager: {error}");
            None
        });
        let watchdog = sd_notify::watchdog_enabled().map(watchdog_interval);
        Self { socket, watchdog, status: String::new(), ready_is_due: false, unreachable: false }
    }

    /// Notifies that traffic can pass.
    pub(in crate::daemon) fn notify_ready(&mut self, running: &ActivePlane) {
        let now = status(running);
        self.ready_is_due = !self.notify(&[NotifyState::Ready, NotifyState::Status(&now)]);
        self.status = now;
    }

    /// Notifies that a reload has begun; [`Self::notify_ready`] ends it.
    pub(in crate::daemon) fn notify_reloading(&mut self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => {
                self.notify(&[NotifyState::Reloading, now]);
            }
            Err(error) => tracing::warn!("cannot notify the service manager: {error}"),
        }
    }

    /// Sends the status, if it has changed.
    pub(in crate::daemon) fn update_status(&mut self, running: &ActivePlane) {
        if self.ready_is_due {
            return self.notify_ready(running);
        }
        let now = status(running);
        if now != self.status && self.notify(&[NotifyState::Status(&now)]) {
            self.status = now;
        }
    }

    /// Notifies that the daemon is ending.
    pub(in crate::daemon) fn notify_stopping(&mut self) {
        let status = "traffic goes on without the daemon";
        self.notify(&[NotifyState::Stopping, NotifyState::Status(status)]);
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
    pub(in crate::daemon) fn notify_watchdog(&mut self) {
        self.notify(&[NotifyState::Watchdog]);
    }

    /// Sends a notification, and returns whether the manager has it. One that does not listen is no
    /// reason to stop carrying traffic.
    fn notify(&mut self, states: &[NotifyState<'_>]) -> bool {
        let Some(socket) = &self.socket else { return true };
        let sent = socket.send(states);
        if let (Err(error), false) = (&sent, self.unreachable) {
            tracing::warn!("cannot notify the service manager: {error}");
        }
        self.unreachable = sent.is_err();
        !self.unreachable
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
