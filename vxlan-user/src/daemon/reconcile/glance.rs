//! A quick look each second for what the kernel does not report of hooks. It is taken beside the
//! event loop. What is found wrong is made good by a pass over the hooks.

use super::held_hooks::{self, Hook};
use crate::{
    daemon::{directories::Directories, preflight::attach_modes, running::ActivePlane},
    dataplane::TcHook,
};

/// How many overlay interfaces a quick look sees: a system call or three for each.
const GLANCE: usize = 512;

/// A quick look for what the kernel does not report: pins that are gone, links that somebody has
/// detached, programs in front of ours. It is taken on any thread.
pub(super) struct Glance {
    /// Something is known to be wrong.
    wrong: bool,
    /// Of filters, changes are reported; not so links that come before them.
    hooks: Vec<Hook>,
}

impl Glance {
    /// `turn` chooses the overlay interfaces.
    pub(super) fn new(directories: &Directories, running: &ActivePlane, turn: usize) -> Self {
        let known = &running.state.underlay.hooks.faults;
        let wrong = running.plane.lacks_pins(&directories.pins, running.generation());
        let tcx = attach_modes::tc_hook(&running.preflight.config) == TcHook::Tcx;
        if wrong || !known.is_empty() || !tcx {
            return Self { wrong, hooks: Vec::new() };
        }
        let all = running.plan.networks.len();
        let some = (0..all).cycle().skip(turn * GLANCE % all.max(1)).take(GLANCE.min(all));
        let networks = some.flat_map(|at| held_hooks::of_network(directories, running, at));
        let receive = held_hooks::attached_receive(directories, running);
        let hooks = receive.into_iter().map(|(_, hook)| hook).chain(networks);
        Self { wrong, hooks: hooks.collect() }
    }

    /// Returns whether something is wrong.
    pub(super) fn seems_wrong(&self) -> bool {
        self.wrong || self.hooks.iter().any(held_hooks::is_wrong)
    }
}
