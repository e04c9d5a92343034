//! Keeps the programs attached where they shall be: the pinned links and filters of receive and of
//! each overlay interface, their place in the chain, and the pins.
//!
//! Interfaces, addresses and routes are [`super::overlays`]'. That pass comes first, so that an
//! overlay interface that was made anew is there already. An underlay interface that goes or
//! becomes another device is [`super::underlay`]'s.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::held_hooks::{self, Faulty};
use crate::{
    daemon::{directories::Directories, preflight::attach_modes, running::ActivePlane, segmenter},
    dataplane::{AttachTarget, HookFault, ReceiveTarget, TcHook, TcHooks, has_tcx_programs},
    host::{Host, HostEvent},
    state::HooksRecord,
};

/// Returns whether an event can change what a [`HooksPass`] reads of the underlay interface.
pub(super) fn concerns(event: &HostEvent, running: &ActivePlane) -> bool {
    match event {
        HostEvent::Overrun => true,
        // The kernel reports XDP programs that come and go as news of the link.
        HostEvent::Link { name, .. } => *name == running.preflight.underlay.name,
        HostEvent::TrafficControl { ifindex } => *ifindex == running.preflight.facts.ifindex,
        HostEvent::LinkRemoved { .. }
        | HostEvent::Address { .. }
        | HostEvent::AddressRemoved { .. }
        | HostEvent::Route(_)
        | HostEvent::RouteRemoved(_)
        | HostEvent::Neighbour(_)
        | HostEvent::NeighbourRemoved { .. } => false,
    }
}

/// How long one turn of the event loop goes on with making good what is wrong.
const MAX_TURN: Duration = Duration::from_millis(3);

/// One pass over all hooks: what is attached was compared with what shall be
/// ([`super::held_hooks`]), and the difference is made good.
pub(super) struct HooksPass<'a> {
    directories: &'a Directories,
    host: &'a Host,
    /// What could not be made good.
    faults: Vec<String>,
    /// How much was made good.
    restored: u64,
    /// The networks that are left of those where something is wrong.
    faulty: VecDeque<usize>,
    /// The networks whose packets cannot pass because of their hooks, and why.
    lost: Vec<(usize, String)>,
}

impl<'a> HooksPass<'a> {
    pub(super) fn new(directories: &'a Directories, host: &'a Host) -> Self {
        let (faults, faulty, lost) = (Vec::new(), VecDeque::new(), Vec::new());
        Self { directories, host, faults, restored: 0, faulty, lost }
    }

    /// Makes receive good, and the segmenter, which all networks have in common.
    pub(super) async fn common(&mut self, running: &mut ActivePlane, found: Faulty) {
        self.faulty = found.networks.into();
        if found.receive && running.state.underlay.xdp.is_some() {
            self.receive(running).await;
        }
        let ActivePlane { preflight, plane, .. } = running;
        let opened = match found.segmenter {
            Ok((_, false)) => Ok(()),
            Ok((pair, true)) => segmenter::attach(self.directories, &preflight.config, plane, pair),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = opened {
            // The start has warned of it.
            tracing::debug!("segmenter: {error:#}");
        }
    }

    /// Makes transmit of the next networks good. Returns whether these were the last.
    pub(super) async fn networks(&mut self, running: &mut ActivePlane) -> bool {
        let began = Instant::now();
        while began.elapsed() < MAX_TURN {
            let Some(network) = self.faulty.pop_front() else { return true };
            self.arrived(running, network);
            if let Some(fault) = self.transmit(running, network).await {
                self.lost.push((network, fault));
            }
        }
        self.faulty.is_empty()
    }

    /// Pins again what somebody has unpinned.
    pub(super) fn pins(&mut self, running: &mut ActivePlane) {
        let pins = &self.directories.pins;
        let generation = running.generation();
        if !running.plane.lacks_pins(pins, generation) {
            return;
        }
        match running.plane.restore_pins(pins, generation) {
            Ok(_) => {
                self.restored += 1;
                tracing::warn!("pins were gone; programs and maps are pinned again");
                // The lock was on the directory that is gone.
                match pins.lock() {
                    Ok(lock) => running.pins_lock = lock.map(std::sync::Arc::new),
                    Err(error) => tracing::warn!("{error}"),
                }
            }
            Err(error) => self.faults.push(format!(
                "pins are gone, and cannot be made again: {error}. Packets pass as long as this \
                 daemon runs"
            )),
        }
    }

    async fn receive(&mut self, running: &mut ActivePlane) {
        let name = running.preflight.underlay.name.clone();
        // While there is no such device, that is what is reported.
        let Ok(link) = self.host.underlay_link(&name).await else { return };
        match self.receive_fault(running, link.ifindex).await {
            Ok(None) => return,
            Ok(Some((program, fault))) => {
                tracing::warn!("{program} on {name} {fault}; it is attached again, in front");
            }
            Err(error) => tracing::warn!("hooks of {name}: {error:#}"),
        }
        let problem = match self.attach_receive(running, &name, link.ifindex).await {
            Ok(None) => {
                self.restored += 1;
                return;
            }
            Ok(Some((program, fault))) => format!("{program} on {name} {fault}"),
            Err(error) => format!("{error:#}"),
        };
        self.faults.push(problem);
    }

    /// Attaches receive again. Returns what is still wrong.
    async fn attach_receive(
        &self,
        running: &mut ActivePlane,
        interface: &str,
        ifindex: u32,
    ) -> anyhow::Result<Option<(&'static str, HookFault)>> {
        attach_receive(self.directories, running, interface, ifindex)?;
        if attach_modes::tc_hook(&running.preflight.config) == TcHook::Netlink {
            running.plane.move_ingress_filter(interface, running.attachment.mode)?;
        }
        self.receive_fault(running, ifindex).await
    }

    /// Returns what is wrong with the receiving programs on this device, and which of them it is.
    async fn receive_fault(
        &self,
        running: &ActivePlane,
        ifindex: u32,
    ) -> anyhow::Result<Option<(&'static str, HookFault)>> {
        let hooks = held_hooks::receive(self.directories, running);
        let hooks = hooks.into_iter().map(|(program, hook)| (program, hook.on(ifindex)));
        held_hooks::first_fault(self.host, hooks).await
    }

    /// Makes `arrived` of a network good; else XDP redirects nothing there any more.
    fn arrived(&mut self, running: &mut ActivePlane, network: usize) {
        let pins = &self.directories.pins;
        let ActivePlane { plane, plan, state, attachment, .. } = running;
        let Some(record) = state.networks.get(network) else { return };
        let Some(planned) = plan.networks.get(network).filter(|planned| planned.port != 0) else {
            return;
        };
        let (vni, name, ifindex) = (record.vni, record.interface.as_str(), planned.ifindex);
        let found = match plane.arrived_hook(ifindex, vni, pins).fault() {
            Ok(None) => return,
            Ok(Some(fault)) => fault.to_string(),
            Err(error) => error.to_string(),
        };
        match plane.attach_arrived(AttachTarget { interface: name, ifindex }, vni, pins) {
            Ok(_) => {
                self.restored += 1;
                tracing::warn!(vni, "arrived on {name} {found}; it is attached again");
            }
            Err(error) => {
                plan.keep_from_redirect(network);
                let written = plane.set_redirect(plan, network);
                self.faults.extend(written.err().map(|error| error.to_string()));
                let reason = format!("network {vni}: {error}");
                tracing::warn!("XDP redirects nothing any more: {reason}");
                attachment.no_redirect.push(reason);
                state.underlay.xdp = Some(attachment.clone());
            }
        }
    }

    /// Makes `encap` of a network good. Returns why no packet of the network can be sent.
    async fn transmit(&mut self, running: &mut ActivePlane, network: usize) -> Option<String> {
        let record = running.state.networks.get(network)?;
        let (vni, name, hook) = (record.vni, record.interface.clone(), record.tc?);
        let ifindex = running.plan.networks.get(network)?.ifindex;
        let found = match self.transmit_fault(running, network).await {
            Ok(None) => return None,
            Ok(Some(fault)) => fault.to_string(),
            Err(error) => format!("{error:#}"),
        };
        // A link before all others is the only place in front of somebody's link.
        let links = attach_modes::tc_hook(&running.preflight.config) == TcHook::Tcx;
        let now = if links && has_tcx_programs(ifindex, false) { TcHook::Tcx } else { hook };
        let hooks = TcHooks { now, previous: Some(hook) };
        let on = AttachTarget { interface: &name, ifindex };
        let attached = running.plane.repair_encap(on, vni, hooks, &self.directories.pins);
        if let (Ok(()), Some(record)) = (&attached, running.state.networks.get_mut(network)) {
            record.tc = Some(now);
        }
        let problem = match attached {
            Err(error) => error.to_string(),
            Ok(()) => match self.transmit_fault(running, network).await {
                Ok(None) => {
                    self.restored += 1;
                    tracing::warn!(vni, "encap on {name} {found}; it is attached again, in front");
                    return None;
                }
                Ok(Some(fault)) => format!("encap on {name} {fault}"),
                Err(error) => format!("{error:#}"),
            },
        };
        self.faults.push(problem.clone());
        Some(problem)
    }

    async fn transmit_fault(
        &self,
        running: &ActivePlane,
        network: usize,
    ) -> anyhow::Result<Option<HookFault>> {
        let hook = held_hooks::transmit(self.directories, running, network);
        let found = held_hooks::first_fault(self.host, hook.map(|hook| ((), hook))).await?;
        Ok(found.map(|((), fault)| fault))
    }

    /// Puts the result into the record. Logs what could not be made good, once. Returns, for each
    /// network whose packets cannot pass because of its hooks, its index and the reason.
    pub(super) fn finish(self, running: &mut ActivePlane) -> Vec<(usize, String)> {
        let before = &running.state.underlay.hooks;
        for fault in self.faults.iter().filter(|fault| !before.faults.contains(fault)) {
            tracing::error!("{fault}");
        }
        if self.faults.is_empty() && !before.faults.is_empty() {
            tracing::info!("every program is attached in its place again");
        }
        let restored = before.restored + self.restored;
        running.state.underlay.hooks = HooksRecord { faults: self.faults, restored };
        self.lost
    }
}

/// Attaches receive to this device, in place of what is attached, and records how.
pub(super) fn attach_receive(
    directories: &Directories,
    running: &mut ActivePlane,
    interface: &str,
    ifindex: u32,
) -> anyhow::Result<()> {
    let hooks = TcHooks::unchanged(attach_modes::tc_hook(&running.preflight.config));
    let on = AttachTarget { interface, ifindex };
    let modes = &running.preflight.attach_modes;
    let receive = ReceiveTarget { on, modes, previous: Some(&running.attachment) };
    let mut attachment = running.plane.attach_receive(receive, hooks, &directories.pins)?;
    attachment.no_redirect.clone_from(&running.attachment.no_redirect);
    running.state.underlay.xdp = Some(attachment.clone());
    running.attachment = attachment;
    Ok(())
}
