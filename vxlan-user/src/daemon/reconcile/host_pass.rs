//! When what the daemon has made on this host is compared with what shall be: soon after the kernel
//! reports a change of it, and from time to time, since there are changes that the kernel does not
//! report.
//!
//! A pass reads, compares and changes interfaces, addresses and routes beside the event loop
//! ([`super::overlays`]), and examines there what is attached ([`super::held_hooks`]). In turns of
//! the loop, a bounded part in each, maps and programs follow, and hooks are made good
//! ([`super::hooks`]). What cannot be made good is published.

use std::{collections::VecDeque, mem, time::Duration};

use tokio::{
    sync::watch,
    task::{self, JoinHandle},
    time::{Instant, sleep_until},
};

use super::{
    glance::Glance,
    held_hooks::{Faulty, HeldHooks},
    hooks::{self, HooksPass},
    networks_lost::NetworksLost,
    overlays::{self, Brought, OverlayPass},
};
use crate::{
    daemon::{directories::Directories, running::ActivePlane},
    host::{Host, HostEvent, Overlay, OverlayRounds},
    metrics::SharedNetworks,
};

/// The longest time between two passes.
const PERIOD: Duration = Duration::from_secs(10);
/// How long a pass waits after news: a change seldom comes alone.
const SETTLE: Duration = Duration::from_millis(20);
/// When a pass that could not read the host is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How far the present pass is.
#[derive(Default)]
enum Phase<'a> {
    #[default]
    Idle,
    /// Interfaces, addresses and routes are being brought to what they shall be.
    Bringing(JoinHandle<Brought>),
    Brought(Box<Brought>),
    /// Maps and programs follow interfaces with other indices.
    Following(VecDeque<(usize, Overlay)>),
    Examining(HooksPass<'a>, JoinHandle<Faulty>),
    Examined(HooksPass<'a>, Faulty),
    Mending(HooksPass<'a>),
}

/// The schedule of passes, and what they need.
pub(in crate::daemon) struct HostPass<'a> {
    directories: &'a Directories,
    host: &'a Host,
    /// A connection of its own: the kernel makes one list at a time for each.
    reader: Host,
    next: Instant,
    phase: Phase<'a>,
    /// Ends what goes on beside the event loop.
    stop: watch::Sender<bool>,
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
            stop: watch::Sender::new(false),
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

    /// Ends the present pass, and waits until it changes nothing any more: others are about to
    /// change the host, or the daemon ends. [`Self::reload`] goes on.
    pub(in crate::daemon) async fn pause(&mut self) {
        self.stop.send_replace(true);
        match mem::take(&mut self.phase) {
            Phase::Bringing(bringing) => drop(bringing.await),
            Phase::Examining(_, examining) => drop(examining.await),
            Phase::Idle
            | Phase::Brought(_)
            | Phase::Following(_)
            | Phase::Examined(..)
            | Phase::Mending(_) => {}
        }
    }

    /// Continues, under another configuration if there is one.
    pub(in crate::daemon) fn reload(&mut self, running: &ActivePlane) {
        self.phase = Phase::Idle;
        self.stop = watch::Sender::new(false);
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
            Phase::Bringing(bringing) => {
                // It was neither aborted nor does it panic, unless the process ends.
                let brought = bringing.await.ok().map(Box::new);
                self.phase = brought.map_or(Phase::Idle, Phase::Brought);
            }
            Phase::Examining(_, examining) => {
                let found = examining.await;
                if let (Phase::Examining(hooks, _), Ok(found)) = (mem::take(&mut self.phase), found)
                {
                    self.phase = Phase::Examined(hooks, found);
                }
            }
            Phase::Brought(_) | Phase::Following(_) | Phase::Examined(..) | Phase::Mending(_) => {}
        }
    }

    /// Does a bounded part of a pass. Returns whether the index of an overlay interface has
    /// changed.
    pub(in crate::daemon) async fn run(&mut self, running: &mut ActivePlane) -> bool {
        match mem::take(&mut self.phase) {
            Phase::Idle => {
                self.next = Instant::now() + PERIOD;
                let (host, rounds) = (self.reader.clone(), self.overlays.rounds(running));
                let bringing = overlays::bring(host, rounds, self.stop.subscribe());
                self.phase = Phase::Bringing(tokio::spawn(bringing));
            }
            Phase::Brought(brought) => match *brought {
                Brought { rounds, result: Ok(()) } => self.finish(running, &rounds),
                Brought { result: Err(error), .. } => {
                    tracing::warn!("cannot compare the host: {error}");
                    self.next = self.next.min(Instant::now() + RETRY);
                }
            },
            Phase::Following(mut moved) => {
                let Some((index, overlay)) = moved.pop_front() else {
                    self.examine(running);
                    return false;
                };
                self.phase = Phase::Following(moved);
                if let Err(error) = overlays::follow(self.directories, running, index, overlay) {
                    self.found.push((index, format!("{error:#}")));
                    // The maps have the interface already: only a pass over the hooks can mend it.
                }
                return true;
            }
            Phase::Examined(mut hooks, found) => {
                hooks.common(running, found).await;
                self.phase = Phase::Mending(hooks);
            }
            Phase::Mending(mut hooks) => match hooks.networks(running).await {
                true => self.publish(running, hooks),
                false => self.phase = Phase::Mending(hooks),
            },
            waits @ (Phase::Bringing(_) | Phase::Examining(..)) => {
                self.phase = waits;
            }
        }
        false
    }

    fn finish(&mut self, running: &ActivePlane, rounds: &OverlayRounds) {
        let finished = self.overlays.finish(running, rounds);
        self.lost.log_changes(&finished.changed);
        self.lost.log_minor(&finished.minor, running);
        self.found = finished.lost;
        self.phase = Phase::Following(finished.moved.into());
    }

    fn examine(&mut self, running: &mut ActivePlane) {
        let mut hooks = HooksPass::new(self.directories, self.host);
        hooks.pins(running);
        let (host, held) = (self.reader.clone(), HeldHooks::new(self.directories, running));
        let stop = self.stop.subscribe();
        let examining = tokio::spawn(async move { held.examine(&host, stop).await });
        self.phase = Phase::Examining(hooks, examining);
    }

    fn publish(&mut self, running: &mut ActivePlane, hooks: HooksPass<'_>) {
        let mut lost = mem::take(&mut self.found);
        lost.extend(hooks.finish(running));
        self.lost.publish(&self.directories.run_dir, running, lost);
    }
}

/// Waits until a quick look is over, and returns whether something is wrong.
async fn seen(glance: &mut Option<JoinHandle<bool>>) -> bool {
    let Some(looking) = glance else { return std::future::pending().await };
    let wrong = looking.await;
    *glance = None;
    wrong.unwrap_or(true)
}
