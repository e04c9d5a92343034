//! Keeps overlay interfaces, their addresses, settings and routes as the configuration wants them,
//! whoever changes them.
//!
//! What is to be done is found by [`OverlayRounds`]. An interface that was made anew has another
//! index: the maps, the program on it and the record follow.

use std::time::Instant;

use vxlan_common::{addr::Mac, table::NetworkEntry};

use super::{restless::Restless, watched::Watched};
use crate::{
    daemon::{
        directories::Directories, overlay_specs::overlay_spec, preflight::attach_modes,
        redirect::take_redirected, running::ActivePlane,
    },
    dataplane::{AttachTarget, TcHooks},
    host::{Host, HostEvent, Overlay, OverlayRounds},
    plan::OverlayFacts,
};

/// Networks that are changed in one turn of the loop: the kernel takes up to a millisecond to make
/// a pair.
const NETWORKS_IN_A_TURN: usize = 8;

/// The overlay interfaces of all networks, and what is being done to them.
#[derive(Debug, Default)]
pub(super) struct OverlayPass {
    rounds: Option<OverlayRounds>,
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

    /// Returns what a comparison with the host begins with: what shall be, or how far the pass is.
    pub(super) fn take_rounds(&mut self, running: &ActivePlane) -> OverlayRounds {
        self.rounds.take().unwrap_or_else(|| {
            let ActivePlane { preflight, state, plan, .. } = running;
            let networks = preflight.config.networks.iter().zip(&state.networks);
            let specs = networks.map(|(network, record)| {
                overlay_spec((preflight, &state.secret), network, record, Some(record), &plan.peers)
            });
            let mut rounds = OverlayRounds::new(specs.collect());
            rounds.hold(self.restless.held(Instant::now()));
            rounds
        })
    }

    /// Goes on from what was compared with the host.
    pub(super) fn put_rounds(&mut self, rounds: OverlayRounds) {
        self.rounds = Some(rounds);
    }

    /// Carries out some of it. Returns whether that was the last, so that the host must be read
    /// again.
    pub(super) async fn carry_out(&mut self, host: &Host) -> bool {
        match &mut self.rounds {
            Some(rounds) => rounds.carry_out(host, NETWORKS_IN_A_TURN).await,
            None => true,
        }
    }

    /// Ends the pass. Returns the networks whose interface has another index or MAC address than
    /// the maps have, and the networks that are not as they shall be, with the reason.
    pub(super) fn finish(&mut self, running: &ActivePlane) -> Finished {
        let mut finished = Finished::default();
        let Some(rounds) = self.rounds.take() else { return finished };
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
