//! Keeps overlay interfaces, their addresses, settings and routes as the configuration wants them,
//! whoever changes them.
//!
//! What is to be done is found by [`OverlayRounds`]. An interface that was made anew has another
//! index: the maps, the program on it and the record follow.

use std::{panic, time::Instant};

use tokio::{sync::watch, task};
use vxlan_common::{addr::Mac, table::NetworkEntry};

use super::{restless::Restless, watched::Watched};
use crate::{
    daemon::{
        directories::Directories, overlay_specs::overlay_spec, preflight::attach_modes,
        redirect::take_redirected, running::ActivePlane,
    },
    dataplane::{AttachTarget, TcHooks},
    host::{Host, HostError, HostEvent, Overlay, OverlayRounds},
    plan::OverlayFacts,
};

/// Networks that are changed before there is a look at whether to go on: the kernel takes up to a
/// millisecond to make a pair.
const NETWORKS_AT_A_TIME: usize = 8;

/// The overlay interfaces of all networks, and what is being done to them.
#[derive(Debug, Default)]
pub(super) struct OverlayPass {
    watched: Watched,
    restless: Restless,
}

impl OverlayPass {
    pub(super) fn new(running: &ActivePlane) -> Self {
        Self { watched: Watched::new(&running.state.networks), ..Self::default() }
    }

    /// Returns whether an event can be news of what the daemon has made.
    pub(super) fn concerns(&self, event: &HostEvent) -> bool {
        self.watched.concerns(event)
    }

    /// Returns what a pass begins with: what shall be.
    pub(super) fn rounds(&mut self, running: &ActivePlane) -> OverlayRounds {
        let ActivePlane { preflight, state, plan, .. } = running;
        let networks = preflight.config.networks.iter().zip(&state.networks);
        let specs = networks.map(|(network, record)| {
            overlay_spec((preflight, &state.secret), network, record, Some(record), &plan.peers)
        });
        let mut rounds = OverlayRounds::new(specs.collect());
        rounds.hold(self.restless.held(Instant::now()));
        rounds
    }

    /// Ends the pass. Returns the networks whose interface has another index or MAC address than
    /// the maps have, and the networks that are not as they shall be, with the reason.
    pub(super) fn finish(&mut self, running: &ActivePlane, rounds: &OverlayRounds) -> Finished {
        let mut finished = Finished::default();
        for (index, outcome) in rounds.outcomes().iter().enumerate() {
            let Some(record) = running.state.networks.get(index) else { continue };
            for change in &outcome.changed {
                self.restless.record(index, change, Instant::now());
                finished.changed.push(format!("network {}: {change}", record.vni));
            }
            if let Some(overlay) = outcome.overlay {
                self.watched.add(&overlay);
                let known = running.plan.networks.get(index);
                let same = |known: &NetworkEntry| {
                    known.ifindex == overlay.ifindex && known.mac == Mac::new(overlay.mac)
                };
                if !known.is_some_and(same) {
                    finished.moved.push((index, overlay));
                }
            }
            if let Some(problem) = &outcome.problem {
                match outcome.vital {
                    true => finished.lost.push((index, problem.to_string())),
                    false => finished.minor.push((index, problem.to_string())),
                }
            }
        }
        finished
    }
}

/// Overlay interfaces that were brought to what they shall be, as far as that is possible.
pub(super) struct Brought {
    pub(super) rounds: OverlayRounds,
    /// The host cannot be read.
    pub(super) result: Result<(), HostError>,
}

/// Reads the host, compares it, and changes what differs, until nothing does. With thousands of
/// routes that is work beside the event loop. Ends early, between two changes, once it is to stop.
pub(super) async fn bring(
    host: Host,
    mut rounds: OverlayRounds,
    stop: watch::Receiver<bool>,
) -> Brought {
    loop {
        // Lists are read to their end, as the kernel makes one at a time.
        let view = match host.view(rounds.need_proxy_delays()).await {
            Ok(view) => view,
            Err(error) => return Brought { rounds, result: Err(error) },
        };
        let comparing = task::spawn_blocking(move || {
            let differs = rounds.compare(&view);
            (rounds, differs)
        });
        let differs;
        (rounds, differs) = match comparing.await {
            Ok(compared) => compared,
            // It was not aborted, so it has panicked.
            Err(error) => panic::resume_unwind(error.into_panic()),
        };
        if !differs {
            return Brought { rounds, result: Ok(()) };
        }
        loop {
            if *stop.borrow() {
                return Brought { rounds, result: Ok(()) };
            }
            if rounds.carry_out(&host, NETWORKS_AT_A_TIME).await {
                break;
            }
        }
    }
}

/// The result of a pass.
#[derive(Debug, Default)]
pub(super) struct Finished {
    /// What was made good.
    pub(super) changed: Vec<String>,
    pub(super) moved: Vec<(usize, Overlay)>,
    /// Networks whose packets cannot pass, and why.
    pub(super) lost: Vec<(usize, String)>,
    /// Networks that are not as they shall be, though packets pass, and why.
    pub(super) minor: Vec<(usize, String)>,
}

/// Has maps, programs and record follow an overlay interface to another index or MAC address.
pub(super) fn follow(
    directories: &Directories,
    running: &mut ActivePlane,
    index: usize,
    overlay: Overlay,
) -> anyhow::Result<()> {
    let pins = &directories.pins;
    let ActivePlane { plane, plan, state, preflight, .. } = running;
    let Some(record) = state.networks.get_mut(index) else { return Ok(()) };
    let on = AttachTarget { interface: &record.interface, ifindex: overlay.ifindex };
    // Before XDP redirects there.
    let redirect = preflight.redirect_target(&overlay, record.mtu);
    let redirect = redirect.filter(|_| match take_redirected(plane, on, record.vni, pins) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!("XDP redirects nothing into {}: {error}", record.interface);
            false
        }
    });
    let facts = OverlayFacts { ifindex: overlay.ifindex, mac: overlay.mac, redirect };
    let Some(before) = plan.set_overlay(index, facts) else { return Ok(()) };
    plane.move_network(plan, index, before)?;
    record.ifindex = overlay.ifindex;
    if before != overlay.ifindex {
        let hook = attach_modes::encap_hook(&preflight.config, None);
        record.tc = Some(hook);
        let on = AttachTarget { interface: &record.interface, ifindex: overlay.ifindex };
        plane.attach_encap(on, record.vni, TcHooks::unchanged(hook), pins)?;
    }
    Ok(())
}
