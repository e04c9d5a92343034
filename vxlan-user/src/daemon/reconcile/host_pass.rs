//! When what the daemon has made on this host is compared with what shall be: soon after the kernel
//! reports a change of it, and from time to time, since there are changes that the kernel does not
//! report.
//!
//! A pass reads and compares the host beside the event loop, and makes good what differs, a bounded
//! part in each turn of the loop: interfaces, addresses and routes first ([`super::overlays`]),
//! then what is attached to them ([`super::hooks`]). What cannot be made good is published.

use std::{collections::VecDeque, mem, panic, time::Duration};

use tokio::{
    task::{self, JoinHandle},
    time::{Instant, sleep_until},
};

use super::{
    glance::Glance,
    hooks::{self, HooksPass},
    networks_lost::NetworksLost,
    overlays::{self, OverlayPass},
};
use crate::{
    daemon::{directories::Directories, running::ActivePlane},
    host::{Host, HostError, HostEvent, Overlay, OverlayRounds},
    metrics::SharedNetworks,
};

/// The longest time between two passes.
const PERIOD: Duration = Duration::from_secs(10);
/// How long a pass waits after news: a change seldom comes alone.
const SETTLE: Duration = Duration::from_millis(20);
/// When a pass that could not read the host is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What was compared, and whether there is anything to carry out.
type Compared = (OverlayRounds, Result<bool, HostError>);

/// How far the present pass is.
#[derive(Default)]
enum Phase<'a> {
    #[default]
    Idle,
    Comparing(JoinHandle<Compared>),
    Compared(Box<Compared>),
    Changing,
    /// Maps and programs follow interfaces with other indices.
    Following(VecDeque<(usize, Overlay)>),
    Hooks(HooksPass<'a>),
}

/// The schedule of passes, and what they need.
pub(in crate::daemon) struct HostPass<'a> {
    directories: &'a Directories,
    host: &'a Host,
    /// A connection of its own: the kernel makes one list at a time for each.
    reader: Host,
    next: Instant,
    phase: Phase<'a>,
    overlays: OverlayPass,
    lost: NetworksLost,
    /// Networks whose packets cannot pass, as far as the present pass has found.
    found: Vec<(usize, String)>,
    /// Number of quick looks, and the present one.
    glances: usize,
    glance: Option<JoinHandle<bool>>,
}

impl<'a> HostPass<'a> {
    /// Begins with a host that a takeover has just made as it shall be. `reader` is a connection
    /// that nothing else uses.
    pub(in crate::daemon) fn new(
        directories: &'a Directories,
        host: &'a Host,
        reader: Host,
        running: &ActivePlane,
    ) -> Self {
        Self {
            directories,
            host,
            reader,
            next: Instant::now() + SETTLE,
            phase: Phase::Idle,
            overlays: OverlayPass::new(running),
            lost: NetworksLost::default(),
            found: Vec::new(),
            glances: 0,
            glance: None,
        }
    }

    /// Returns whether packets of each network can pass, for the metrics page.
    pub(in crate::daemon) fn status(&self) -> SharedNetworks {
        self.lost.status()
    }

    /// Continues under another configuration.
    pub(in crate::daemon) fn reload(&mut self, running: &ActivePlane) {
        self.phase = Phase::Idle;
        self.overlays = OverlayPass::new(running);
        self.lost.reload(running);
        self.request();
    }

    /// Pins what somebody has unpinned. Without pins the programs at work would look like somebody
    /// else's.
    pub(in crate::daemon) fn restore_pins(&self, running: &mut ActivePlane) {
        HooksPass::new(self.directories, self.host).pins(running);
    }

    /// Has a pass follow soon if any of these events concerns what the daemon has made.
    pub(in crate::daemon) fn observe(&mut self, events: &[HostEvent], running: &ActivePlane) {
        let concerns = |event| self.overlays.concerns(event) || hooks::concerns(event, running);
        if events.iter().any(concerns) {
            self.request();
        }
    }

    /// Has a pass follow soon if something is wrong that the kernel does not report.
    pub(in crate::daemon) fn glance(&mut self, running: &ActivePlane) {
        if self.glance.is_none() {
            self.glances = self.glances.wrapping_add(1);
            let glance = Glance::new(self.directories, running, self.glances);
            self.glance = Some(task::spawn_blocking(move || glance.seems_wrong()));
        }
    }

    /// Has a pass follow soon.
    pub(in crate::daemon) fn request(&mut self) {
        self.next = self.next.min(Instant::now() + SETTLE);
    }

    /// Waits until there is something to do. What is waited for is not lost when this is dropped.
    pub(in crate::daemon) async fn due(&mut self) {
        match &mut self.phase {
            Phase::Idle => loop {
                tokio::select! {
                    () = sleep_until(self.next) => return,
                    wrong = seen(&mut self.glance) => if wrong {
                        self.next = self.next.min(Instant::now() + SETTLE);
                    }
                }
            },
            Phase::Comparing(comparing) => {
                let compared = match comparing.await {
                    Ok(compared) => compared,
                    // It was neither aborted nor does it panic, unless the process ends.
                    Err(_) => return self.phase = Phase::Idle,
                };
                self.phase = Phase::Compared(Box::new(compared));
            }
            Phase::Compared(_) | Phase::Changing | Phase::Following(_) | Phase::Hooks(_) => {}
        }
    }

    /// Does a bounded part of a pass. Returns whether the index of an overlay interface has
    /// changed.
    pub(in crate::daemon) async fn run(&mut self, running: &mut ActivePlane) -> bool {
        match mem::take(&mut self.phase) {
            Phase::Idle => {
                self.next = Instant::now() + PERIOD;
                self.compare(running);
            }
            Phase::Comparing(comparing) => self.phase = Phase::Comparing(comparing),
            Phase::Compared(compared) => {
                let (rounds, differs) = *compared;
                self.overlays.put_rounds(rounds);
                match differs {
                    Ok(true) => self.phase = Phase::Changing,
                    Ok(false) => self.finish(running),
                    Err(error) => {
                        tracing::warn!("cannot compare the host: {error}");
                        self.next = self.next.min(Instant::now() + RETRY);
                    }
                }
            }
            Phase::Changing => match self.overlays.carry_out(self.host).await {
                true => self.compare(running),
                false => self.phase = Phase::Changing,
            },
            Phase::Following(mut moved) => {
                let Some((index, overlay)) = moved.pop_front() else {
                    let mut hooks = HooksPass::new(self.directories, self.host);
                    hooks.common(running).await;
                    self.phase = Phase::Hooks(hooks);
                    return false;
                };
                self.phase = Phase::Following(moved);
                if let Err(error) = overlays::follow(self.directories, running, index, overlay) {
                    self.found.push((index, format!("{error:#}")));
                    // The maps have the interface already: only a pass over the hooks can mend it.
                }
                return true;
            }
            Phase::Hooks(mut hooks) => match hooks.networks(running).await {
                true => self.publish(running, hooks),
                false => self.phase = Phase::Hooks(hooks),
            },
        }
        false
    }

    fn compare(&mut self, running: &ActivePlane) {
        let (host, rounds) = (self.reader.clone(), self.overlays.take_rounds(running));
        self.phase = Phase::Comparing(tokio::spawn(compare(host, rounds)));
    }

    fn finish(&mut self, running: &ActivePlane) {
        let finished = self.overlays.finish(running);
        self.lost.log_changes(&finished.changed);
        self.lost.log_minor(&finished.minor, running);
        self.found = finished.lost;
        self.phase = Phase::Following(finished.moved.into());
    }

    fn publish(&mut self, running: &mut ActivePlane, hooks: HooksPass<'_>) {
        let mut lost = mem::take(&mut self.found);
        lost.extend(hooks.finish(running));
        self.lost.publish(self.directories, running, lost);
    }
}

/// Reads the host, and compares it: with thousands of routes that is work for a thread of its own.
async fn compare(host: Host, mut rounds: OverlayRounds) -> Compared {
    let view = match host.view(rounds.need_proxy_delays()).await {
        Ok(view) => view,
        Err(error) => return (rounds, Err(error)),
    };
    let comparing = task::spawn_blocking(move || {
        let differs = rounds.compare(&view);
        (rounds, Ok(differs))
    });
    match comparing.await {
        Ok(compared) => compared,
        // It was not aborted, so it has panicked.
        Err(error) => panic::resume_unwind(error.into_panic()),
    }
}

/// Waits until a quick look is over, and returns whether something is wrong.
async fn seen(glance: &mut Option<JoinHandle<bool>>) -> bool {
    let Some(looking) = glance else { return std::future::pending().await };
    let wrong = looking.await;
    *glance = None;
    wrong.unwrap_or(true)
}
