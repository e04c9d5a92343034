//! Reads the underlay interface beside the event loop: the kernel lets readers wait while it
//! changes other interfaces. What follows is [`super::underlay`]'s matter.

use std::time::Duration;

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::held_hooks::{self, Hook};
use crate::{
    daemon::{directories::Directories, running::ActivePlane},
    dataplane::HookFault,
    host::{Host, HostError, UnderlayLink},
};

/// How long the kernel may delay the event for the second change of a link within a second
/// (net/core/link_watch.c). Carrier is polled for as long, once it was absent.
const MAX_LINK_EVENT_DELAY: Duration = Duration::from_secs(2);
/// How often carrier is polled.
const CARRIER_POLL: Duration = Duration::from_millis(50);

/// The interface as it was at one moment.
#[derive(Debug)]
pub(in crate::daemon) struct UnderlayView {
    pub(super) link: Result<UnderlayLink, HostError>,
    pub(super) receive: Receive,
}

/// The programs on the interface.
#[derive(Debug)]
pub(super) enum Receive {
    Attached,
    /// They are missing, as on a device that is new.
    Detached {
        /// The interface has a clsact qdisc.
        has_clsact: bool,
    },
    Unknown(anyhow::Error),
}

/// When the interface is read.
pub(super) struct UnderlayReader {
    /// A connection that nothing else uses: the kernel makes one list at a time for each.
    host: Host,
    wanted: bool,
    reading: Option<JoinHandle<UnderlayView>>,
    /// What is being read is out of date: the configuration is another one.
    outdated: bool,
    /// When carrier is polled next, and until when.
    carrier_poll: Option<(Instant, Instant)>,
    polling: Option<JoinHandle<bool>>,
}

/// What was read.
pub(super) enum Read {
    View(UnderlayView),
    /// The interface has carrier again.
    Carrier,
}

impl UnderlayReader {
    pub(super) fn new(host: Host) -> Self {
        let (reading, polling) = (None, None);
        Self { host, wanted: false, reading, outdated: false, carrier_poll: None, polling }
    }

    /// Has the interface read.
    pub(super) fn request(&mut self) {
        self.wanted = true;
    }

    /// Returns whether what is known of the interface may be out of date.
    pub(super) fn is_reading(&self) -> bool {
        self.wanted || self.reading.is_some()
    }

    /// Has the interface read that another configuration names.
    pub(super) fn reload(&mut self) {
        self.wanted = true;
        self.outdated = self.reading.is_some();
    }

    /// Has carrier polled for a while, or not any more.
    pub(super) fn poll_carrier(&mut self, absent: bool) {
        let now = Instant::now();
        self.carrier_poll = absent.then(|| (now + CARRIER_POLL, now + MAX_LINK_EVENT_DELAY));
    }

    /// Waits for what is read. Nothing is lost when the future is dropped before it is ready.
    pub(super) async fn next(&mut self, directories: &Directories, running: &ActivePlane) -> Read {
        loop {
            if self.reading.is_none() && std::mem::take(&mut self.wanted) {
                let name = running.preflight.underlay.name.clone();
                let hooks = held_hooks::receive(directories, running);
                self.reading = Some(tokio::spawn(read(self.host.clone(), name, hooks)));
            }
            let name = &running.preflight.underlay.name;
            tokio::select! {
                view = ended(&mut self.reading) => match view {
                    Some(view) if !std::mem::take(&mut self.outdated) => return Read::View(view),
                    _ => self.wanted = true,
                },
                carrier = carrier(&self.host, name, self.carrier_poll, &mut self.polling) => {
                    let until = self.carrier_poll.take().map(|(_, until)| until);
                    if carrier {
                        return Read::Carrier;
                    }
                    self.carrier_poll = until.map(|until| (Instant::now() + CARRIER_POLL, until));
                }
            }
        }
    }
}

/// Waits until it is time to poll carrier, and polls it.
async fn carrier(
    host: &Host,
    name: &str,
    poll: Option<(Instant, Instant)>,
    polling: &mut Option<JoinHandle<bool>>,
) -> bool {
    if polling.is_none() {
        match poll {
            Some((next, until)) if next < until => sleep_until(next).await,
            _ => std::future::pending().await,
        }
        let (host, name) = (host.clone(), name.to_owned());
        let poll = async move { host.underlay_link(&name).await.is_ok_and(|link| link.carrier) };
        *polling = Some(tokio::spawn(poll));
    }
    ended(polling).await.unwrap_or(false)
}

/// Waits until a task has ended. `None`: it was aborted or has panicked, as the process ends.
async fn ended<T>(task: &mut Option<JoinHandle<T>>) -> Option<T> {
    let Some(running) = task else { return std::future::pending().await };
    let result = running.await;
    *task = None;
    result.ok()
}

async fn read(host: Host, name: String, hooks: Vec<(&'static str, Hook)>) -> UnderlayView {
    let link = host.underlay_link(&name).await;
    let receive = match &link {
        Ok(link) => receive(&host, hooks, link.ifindex).await,
        Err(_) => Receive::Attached,
    };
    UnderlayView { link, receive }
}

async fn receive(host: &Host, hooks: Vec<(&'static str, Hook)>, ifindex: u32) -> Receive {
    let filtered = hooks.iter().any(|(_, hook)| matches!(hook, Hook::Filter { .. }));
    // Collected: a closure over what is borrowed would keep this from being spawned.
    let hooks: Vec<_> =
        hooks.into_iter().map(|(program, hook)| (program, hook.on(ifindex))).collect();
    match held_hooks::first_fault(host, hooks).await {
        // What is behind others is the matter of the passes over all hooks.
        Ok(None | Some((_, HookFault::Behind))) => Receive::Attached,
        Ok(Some((_, HookFault::Detached))) if !filtered => Receive::Detached { has_clsact: false },
        Ok(Some((_, HookFault::Detached))) => match host.has_clsact(ifindex).await {
            Ok(has_clsact) => Receive::Detached { has_clsact },
            Err(error) => Receive::Unknown(error.into()),
        },
        Err(error) => Receive::Unknown(error),
    }
}
