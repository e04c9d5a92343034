//! A quick look each second for what the kernel does not report of hooks. It is taken beside the
//! event loop, since the kernel lets it wait while it changes other interfaces. What is found wrong
//! is made good by a pass over the hooks.

use crate::{
    daemon::{directories::Directories, preflight::attach_modes, running::ActivePlane},
    dataplane::{DataPlaneError, HeldHook, TcHook, has_tcx_programs},
};

/// How many overlay interfaces a quick look sees: a system call or three for each.
const GLANCE: usize = 512;

/// A quick look for what the kernel does not report: pins that are gone, links that somebody has
/// detached, programs in front of ours. It is taken on any thread.
pub(super) struct Glance {
    /// Something is known to be wrong.
    wrong: bool,
    hooks: Vec<HeldHook>,
    /// Overlay interfaces with a filter, whose changes are reported.
    filters: Vec<u32>,
}

impl Glance {
    /// `turn` chooses the overlay interfaces.
    pub(super) fn new(directories: &Directories, running: &ActivePlane, turn: usize) -> Self {
        let (plane, pins) = (&running.plane, &directories.pins);
        let known = &running.state.underlay.hooks.faults;
        let wrong = plane.lacks_pins(pins, running.generation());
        let mut glance = Self { wrong, hooks: Vec::new(), filters: Vec::new() };
        let tcx = attach_modes::tc_hook(&running.preflight.config) == TcHook::Tcx;
        if glance.wrong || !known.is_empty() || !tcx {
            return glance;
        }
        let (ifindex, mode) = (running.preflight.facts.ifindex, running.attachment.mode);
        if running.state.underlay.xdp.is_some() {
            glance.see(plane.xdp_hook(ifindex, mode, pins).transpose());
            glance.see(Some(plane.ingress_hook(ifindex, mode, pins)));
        }
        let networks = running.state.networks.iter().zip(&running.plan.networks);
        let some = networks.cycle().skip(turn * GLANCE % running.plan.networks.len().max(1));
        for (record, network) in some.take(GLANCE.min(running.plan.networks.len())) {
            if network.port != 0 {
                glance.see(Some(plane.arrived_hook(network.ifindex, record.vni, pins)));
            }
            match record.tc {
                Some(TcHook::Netlink) => glance.filters.push(network.ifindex),
                _ => glance.see(Some(plane.egress_hook(network.ifindex, record.vni, pins))),
            }
        }
        glance
    }

    fn see(&mut self, hook: Option<Result<HeldHook, DataPlaneError>>) {
        match hook.transpose() {
            Ok(hook) => self.hooks.extend(hook),
            Err(_) => self.wrong = true,
        }
    }

    /// Returns whether something is wrong.
    pub(super) fn seems_wrong(&self) -> bool {
        self.wrong
            || !self.hooks.iter().all(|hook| matches!(hook.fault(), Ok(None)))
            || self.filters.iter().any(|ifindex| has_tcx_programs(*ifindex, false))
    }
}
