//! The generations of previous runs: which one carries traffic, what the next one inherits, and how
//! their counters are carried over. docs/lifecycle.md says in which order and why.

use vxlan_common::table::TAG_MAC;

use crate::{
    daemon::{directories::Directories, preflight::Preflight},
    dataplane::{Pins, PreviousFilter, PreviousGeneration, TcHook, Totals, wait_for_programs},
    plan::Inherited,
    state::HostState,
};

/// The generations of previous runs, with their maps open.
pub(in crate::daemon) struct PreviousGenerations {
    /// The oldest first.
    opened: Vec<PreviousGeneration>,
    /// What generations before these have counted.
    carried: Totals,
    /// The generation whose programs are attached.
    attached: Option<usize>,
}

impl PreviousGenerations {
    /// Opens the maps of every recorded generation for reading.
    ///
    /// # Errors
    /// A map is missing, or another map than the recorded one is pinned in its place.
    pub(in crate::daemon) fn open(
        directories: &Directories,
        previous: Option<&HostState>,
    ) -> anyhow::Result<Self> {
        let generations = previous.map_or(&[][..], |state| &state.generations);
        if !generations.is_empty() && !directories.pins.exist() {
            tracing::warn!(
                "there is a record of a previous run, but its pins are gone: counters begin at 0"
            );
            return Ok(Self { opened: Vec::new(), carried: Totals::default(), attached: None });
        }
        let open = |generation| PreviousGeneration::open(&directories.pins, generation);
        let opened = generations.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let receiving = directories.pins.receiving_program()?;
        let attached = opened
            .iter()
            .rposition(|previous| receiving.is_some_and(|program| previous.has_program(program)));
        let carried = directories.run_dir.carried(generations.first())?;
        Ok(Self { opened, carried, attached })
    }

    /// Returns the generation that carries traffic; the latest, if no program tells which.
    pub(in crate::daemon) fn active(&self) -> Option<&PreviousGeneration> {
        self.attached.and_then(|at| self.opened.get(at)).or(self.opened.last())
    }

    /// Lists the TC filters of the previous run.
    pub(in crate::daemon) fn filters(
        &self,
        preflight: &Preflight,
        pins: &Pins,
    ) -> Vec<PreviousFilter> {
        let Some((state, previous)) = preflight.previous.as_ref().zip(self.active()) else {
            return Vec::new();
        };
        let (underlay, generation) = (&state.underlay, previous.generation());
        let by_filter = underlay.tc.is_some_and(|tc| tc.hook == TcHook::Netlink);
        let ingress = underlay.xdp.iter().filter(|_| by_filter).map(|receive| {
            PreviousFilter::ingress(&underlay.interface, receive.mode, pins, generation)
        });
        let encap = state.encap_hooks();
        let overlays = state.networks.iter();
        let overlays = overlays.filter(|network| encap.get(&network.vni) == Some(&TcHook::Netlink));
        let egress =
            overlays.map(|network| PreviousFilter::egress(&network.interface, pins, generation));
        egress.chain(ingress).collect()
    }

    /// Returns what the next plan inherits.
    pub(in crate::daemon) fn inherited(&self, preflight: &Preflight) -> anyhow::Result<Inherited> {
        let Some(previous) = self.active() else { return Ok(Inherited::default()) };
        let same_interface = preflight
            .previous
            .as_ref()
            .is_some_and(|state| state.underlay.interface == preflight.underlay.name);
        let settings = previous.settings()?;
        let mac_tag = |tag: u8| (same_interface && tag == TAG_MAC).then_some(TAG_MAC);
        // Slots that any generation counts in stay: the next plan needs as many.
        let mut slots = previous.generation().names.slots.clone();
        for other in &self.opened {
            let other_slots = &other.generation().names.slots;
            slots.resize(slots.len().max(other_slots.len()), None);
        }
        Ok(Inherited {
            slots,
            secret: settings.map(|settings| settings.secret),
            tag: settings.and_then(|settings| mac_tag(settings.tag)),
        })
    }

    /// Carries the counters of these generations over to the current generation, and removes their
    /// pins. To be called once none of their programs is attached. The next start repeats an
    /// interrupted call with the same sums.
    pub(in crate::daemon) fn retire(
        self,
        directories: &Directories,
        state: &mut HostState,
    ) -> anyhow::Result<()> {
        let Some(current) = state.generations.last().cloned() else { return Ok(()) };
        if !self.opened.is_empty() {
            wait_for_programs()?;
            let mut totals = self.carried;
            for previous in &self.opened {
                previous.count(&mut totals)?;
            }
            let owners = current.names.slots_by_owner();
            totals.slots.retain(|owner, _| owners.contains_key(owner));
            directories.run_dir.store_carried(&current, &totals)?;
        }
        state.generations = vec![current];
        directories.run_dir.store(state)?;
        let current = state.generations.last();
        let numbers: Vec<u64> = current.iter().map(|current| current.number).collect();
        directories.pins.remove_generations_except(&numbers)?;
        Ok(directories.run_dir.remove_carried_except(current)?)
    }
}
