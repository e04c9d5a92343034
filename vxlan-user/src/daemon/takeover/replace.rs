//! From one generation to the next: what is found of former ones, the hooks swapped one by one, counters
//! carried over. docs/lifecycle.md says in which order and why.

use vxlan_common::table::TAG_MAC;

use crate::{
    daemon::{
        directories::Directories,
        preflight::{Preflight, attach_modes},
        running::ActivePlane,
    },
    dataplane::{
        AttachTarget, Attachment, DataPlane, Pins, PreviousFilter, PreviousGeneration,
        ReceiveTarget, TcHook, TcHooks, Totals, detach_deliver_filter, wait_for_programs,
    },
    plan::{Inherited, Plan},
    state::State,
};

/// The generations of a former run, open.
pub(in crate::daemon) struct Predecessors {
    /// The oldest first.
    opened: Vec<PreviousGeneration>,
    /// What was counted before the first of them.
    carried: Totals,
    /// Which of them `decap` works on.
    at_work: Option<usize>,
}

impl Predecessors {
    /// Looks at every map of theirs, and changes nothing.
    ///
    /// # Errors
    /// A map is missing or another one than was pinned.
    pub(in crate::daemon) fn open(
        directories: &Directories,
        former: Option<&State>,
    ) -> anyhow::Result<Self> {
        let generations = former.map_or(&[][..], |state| &state.generations);
        if !generations.is_empty() && !directories.pins.exist() {
            tracing::warn!(
                "the record of a former run is there, and its pins are not: counters begin at 0"
            );
            return Ok(Self { opened: Vec::new(), carried: Totals::default(), at_work: None });
        }
        let open = |generation| PreviousGeneration::open(&directories.pins, generation);
        let opened = generations.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let decap = directories.pins.receiving_program();
        let at_work =
            opened.iter().rposition(|former| decap.is_some_and(|decap| former.has_program(decap)));
        let carried = directories.run_dir.carried(generations.first())?;
        Ok(Self { opened, carried, at_work })
    }

    /// The one that carries traffic; the latest, if that cannot be told.
    pub(in crate::daemon) fn at_work(&self) -> Option<&PreviousGeneration> {
        self.at_work.and_then(|at| self.opened.get(at)).or(self.opened.last())
    }

    /// The filters of a former run.
    pub(in crate::daemon) fn filters(
        &self,
        preflight: &Preflight,
        pins: &Pins,
    ) -> Vec<PreviousFilter> {
        let Some((state, former)) = preflight.former.as_ref().zip(self.at_work()) else {
            return Vec::new();
        };
        let (underlay, generation) = (&state.underlay, former.generation());
        if underlay.tc.is_none_or(|tc| tc.hook != TcHook::Netlink) {
            return Vec::new();
        }
        let ingress = underlay.xdp.iter().map(|receive| {
            PreviousFilter::ingress(&underlay.interface, receive.mode, pins, generation)
        });
        let overlays = state.networks.iter();
        let egress = overlays.map(|of| PreviousFilter::egress(&of.interface, pins, generation));
        egress.chain(ingress).collect()
    }

    /// What the next plan keeps.
    pub(in crate::daemon) fn kept(&self, preflight: &Preflight) -> anyhow::Result<Inherited> {
        let Some(former) = self.at_work() else { return Ok(Inherited::default()) };
        let same_interface = preflight
            .former
            .as_ref()
            .is_some_and(|state| state.underlay.interface == preflight.underlay.name);
        let settings = former.settings()?;
        let mac_tag = |tag: u8| (same_interface && tag == TAG_MAC).then_some(TAG_MAC);
        // A slot that any of them counts in is its owner's.
        let mut slots = former.generation().names.slots.clone();
        for other in &self.opened {
            let theirs = &other.generation().names.slots;
            slots.resize(slots.len().max(theirs.len()), None);
        }
        Ok(Inherited {
            slots,
            secret: settings.map(|settings| settings.secret),
            tag: settings.and_then(|settings| mac_tag(settings.tag)),
        })
    }

    /// Once none of their programs is attached: writes down what they have counted, and forgets them.
    /// Whatever is interrupted in here is done again by the next start, with the same sums.
    pub(in crate::daemon) fn retire(
        self,
        directories: &Directories,
        state: &mut State,
    ) -> anyhow::Result<()> {
        let Some(current) = state.generations.last().cloned() else { return Ok(()) };
        if !self.opened.is_empty() {
            wait_for_programs()?;
            let mut totals = self.carried;
            for former in &self.opened {
                former.count(&mut totals)?;
            }
            let owners = current.names.slots_by_owner();
            totals.slots.retain(|owner, _| owners.contains_key(owner));
            directories.run_dir.store_carried(&current, &totals)?;
        }
        state.generations = vec![current];
        directories.run_dir.store(state)?;
        let current = state.generations.last();
        let number: Vec<u64> = current.iter().map(|current| current.number).collect();
        directories.pins.remove_generations_except(&number)?;
        Ok(directories.run_dir.remove_carried_except(current)?)
    }
}

/// Attaches to the device that is the underlay interface now what was attached to its predecessor.
pub(in crate::daemon) fn reattach(
    directories: &Directories,
    running: &mut ActivePlane,
    interface: &str,
    ifindex: u32,
) -> anyhow::Result<Attachment> {
    let (config, pins) = (&running.preflight.config, &directories.pins);
    let hooks = TcHooks {
        now: attach_modes::tc_hook(config),
        previous: Some(attach_modes::tc_hook(config)),
    };
    let (on, modes) = (AttachTarget { interface, ifindex }, &running.preflight.ladder);
    let receive = ReceiveTarget { on, modes, previous: Some(&running.attachment) };
    Ok(running.plane.attach_receive(receive, hooks, pins)?)
}

/// Swaps every hook.
pub(in crate::daemon) fn swap(
    directories: &Directories,
    preflight: &Preflight,
    plane: &mut DataPlane,
    plan: &Plan,
) -> anyhow::Result<Attachment> {
    let (config, pins) = (&preflight.config, &directories.pins);
    let (interface, ifindex) = (preflight.underlay.name.as_str(), preflight.facts.ifindex);
    let former = preflight.former.as_ref().map(|state| &state.underlay);
    let former_hook = former.and_then(|former| former.tc).map(|tc| tc.hook);
    let here = former.filter(|former| former.interface == interface);
    let hooks = TcHooks { now: attach_modes::tc_hook(config), previous: former_hook };
    let on_underlay = TcHooks { previous: here.and(former_hook), ..hooks };
    for (network, planned) in config.networks.iter().zip(&plan.networks) {
        let overlay =
            AttachTarget { interface: &network.interface.value, ifindex: planned.ifindex };
        plane.attach_encap(overlay, network.vni.value.get(), hooks, pins)?;
    }
    let (on, modes) = (AttachTarget { interface, ifindex }, &preflight.ladder);
    let former_xdp = here.and_then(|former| former.xdp.as_ref());
    let receive = ReceiveTarget { on, modes, previous: former_xdp };
    let attachment = plane.attach_receive(receive, on_underlay, pins)?;
    plane.detach_encap_except(&plan.names.networks, pins)?;
    if let Some(left) = former.filter(|former| former.interface != interface)
        && former_hook == Some(TcHook::Netlink)
    {
        detach_deliver_filter(&left.interface);
    }
    Ok(attachment)
}
