//! Notifies the service manager (sd_notify(3)): traffic can pass, a status in one line, the event
//! loop is alive, the daemon ends. Without a service manager nothing is sent.
//!
//! The event loop itself must send the watchdog notifications: a task beside it would carry on when
//! the loop hangs, and the service manager would not restart the daemon.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use sd_notify::NotifyState;
use tokio::{
    task::{self, JoinHandle},
    time::{Interval, MissedTickBehavior, interval},
};

use super::notify_socket::NotifySocket;
use crate::{
    daemon::running::ActivePlane,
    nat::NatVerdict,
    probe::{Report, SharedReports},
};

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
    /// The status that is being made, beside the event loop.
    making: Option<JoinHandle<String>>,
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
        let (status, making) = (String::new(), None);
        Self { socket, watchdog, status, making, ready_is_due: false, unreachable: false }
    }

    /// Notifies that traffic can pass.
    pub(in crate::daemon) fn notify_ready(
        &mut self,
        running: &ActivePlane,
        reports: &[Arc<Report>],
    ) {
        let now = Facts::new(running).status(reports);
        self.making = None;
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

    /// Sends the status that was made since the last call, if it has changed, and has the next
    /// made. To be called about once a second.
    pub(in crate::daemon) fn update_status(
        &mut self,
        running: &ActivePlane,
        reports: &SharedReports,
    ) {
        if self.socket.is_none() {
            return;
        }
        if self.ready_is_due {
            return self.notify_ready(running, &reports.latest());
        }
        let made = self.making.take_if(|making| making.is_finished());
        if let Some(Some(Ok(now))) = made.map(FutureExt::now_or_never)
            && now != self.status
            && self.notify(&[NotifyState::Status(&now)])
        {
            self.status = now;
        }
        if self.making.is_none() {
            let (facts, reports) = (Facts::new(running), reports.clone());
            self.making = Some(task::spawn_blocking(move || facts.status(&reports.latest())));
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

/// What a status is made from, besides the reports.
struct Facts {
    underlay: String,
    /// By peer: there is a path.
    paths: Vec<bool>,
    networks: usize,
}

impl Facts {
    fn new(running: &ActivePlane) -> Self {
        let underlay = match &running.state.underlay.lost {
            Some(lost) => lost.clone(),
            None => {
                let mode = running.attachment.mode.label();
                format!("{}, XDP {mode}", running.preflight.underlay.name)
            }
        };
        let paths = running.plan.peers.iter().map(|peer| peer.ifindex != 0).collect();
        Self { underlay, paths, networks: running.state.networks.len() }
    }

    fn status(&self, reports: &[Arc<Report>]) -> String {
        let Self { underlay, paths, networks } = self;
        format!("{underlay}; {}; networks: {networks}", peers_status(paths, reports))
    }
}

/// Counts the peers that answer or carry data, and have a path. Without reports nothing is known of
/// them yet.
fn peers_status(paths: &[bool], reports: &[Arc<Report>]) -> String {
    let pathless = paths.iter().filter(|path| !**path).count();
    let with_path = || reports.iter().zip(paths).filter(|(_, path)| **path);
    let count = |up| with_path().filter(|(report, _)| report.liveness.up == Some(up)).count();
    let (up, down) = (count(true), count(false));
    let mut text = format!("{up} of {} peers up", paths.len());
    let lost = reports.iter().filter(|report| report.nat == NatVerdict::DataLost).count();
    for (number, what) in [
        (paths.len().saturating_sub(up + down + pathless), "not known"),
        (pathless, "without a path"),
        (lost, "lose data"),
    ] {
        if number != 0 {
            text += &format!(", {number} {what}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::sample;

    #[test]
    fn peers_are_counted_by_what_they_show_and_not_by_their_routes() {
        let report = |up, nat| {
            let mut report = sample("a");
            (report.liveness.up, report.nat) = (up, nat);
            Arc::new(report)
        };
        assert_eq!(peers_status(&[true; 2], &[]), "0 of 2 peers up, 2 not known");
        let up = report(Some(true), NatVerdict::None);
        let down = report(Some(false), NatVerdict::Blocked);
        let lost = report(Some(true), NatVerdict::DataLost);
        let unknown = report(None, NatVerdict::Unknown);
        assert_eq!(peers_status(&[true], std::slice::from_ref(&up)), "1 of 1 peers up");
        assert_eq!(peers_status(&[true; 2], &[up.clone(), down.clone()]), "1 of 2 peers up");
        assert_eq!(
            peers_status(&[false, true, true, true], &[up, down, lost, unknown]),
            "1 of 4 peers up, 1 not known, 1 without a path, 1 lose data"
        );
    }
}
