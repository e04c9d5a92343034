//! Overlay devices: a veth pair per network, of which the host uses one end and the data plane the
//! other, the hidden port; with addresses and routes. Owns how they are brought to what they shall
//! be, at a start and whenever somebody has changed them. Programs are not this directory's.

use std::{
    collections::{HashSet, VecDeque},
    mem,
    ops::ControlFlow,
};

use super::{
    connection::Host,
    error::HostError,
    host_view::HostView,
    overlay_change::OverlayChanges,
    overlay_diff::{Difference, difference},
    overlay_spec::{OverlaySpec, validate},
    overlay_step::Step,
    pipeline::in_flight,
};

/// How often the host is looked at and changed, until it is as it shall be. A pair that is made
/// must be seen before it gets addresses, and these before routes.
const MAX_ROUNDS: usize = 5;

/// An overlay interface that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlay {
    pub ifindex: u32,
    pub hidden_ifindex: u32,
    pub mac: [u8; 6],
}

/// What became of one overlay interface.
#[derive(Debug, Default)]
pub struct OverlayOutcome {
    /// `None`: there is no such pair.
    pub overlay: Option<Overlay>,
    /// What was changed, for the log.
    pub changed: Vec<String>,
    /// Why the interface is not as it shall be.
    pub problem: Option<HostError>,
    /// Because of the problem packets cannot pass.
    pub vital: bool,
    /// The steps of the last round.
    tried: Vec<Step>,
}

/// Overlay interfaces on their way to what they shall be: the host is compared with the specs, what
/// differs is changed, some networks at a time, and the host is looked at again.
#[derive(Debug, Default)]
pub struct OverlayRounds {
    specs: Vec<OverlaySpec>,
    /// Nothing is begun where something stands in the way of any spec, and nothing more after the
    /// first failure.
    all_or_nothing: bool,
    round: usize,
    queue: VecDeque<(usize, Vec<Step>)>,
    /// Specs that are compared and not carried out.
    held: HashSet<usize>,
    /// In the order of the specs.
    outcomes: Vec<OverlayOutcome>,
    changes: OverlayChanges,
}

impl OverlayRounds {
    /// Goes on after a failure: what can be made good is.
    #[must_use]
    pub fn new(specs: Vec<OverlaySpec>) -> Self {
        let outcomes = specs.iter().map(|_| OverlayOutcome::default()).collect();
        Self { specs, outcomes, ..Self::default() }
    }

    /// Stops at the first failure.
    #[must_use]
    pub fn all_or_nothing(specs: Vec<OverlaySpec>) -> Self {
        Self { all_or_nothing: true, ..Self::new(specs) }
    }

    /// Has some of the specs compared alone: somebody changes back what is made.
    pub fn hold(&mut self, specs: Vec<usize>) {
        self.held = specs.into_iter().collect();
    }

    /// Whether the view must have the delays of ARP replies.
    #[must_use]
    pub fn need_proxy_delays(&self) -> bool {
        self.specs.iter().any(|spec| spec.proxy_arp)
    }

    /// Compares the host with the specs. Returns whether there is anything to carry out.
    pub fn compare(&mut self, view: &HostView) -> bool {
        self.queue.clear();
        let last = self.round == MAX_ROUNDS;
        self.round += 1;
        for (index, (spec, outcome)) in self.specs.iter().zip(&mut self.outcomes).enumerate() {
            let invalid = validate(spec).err();
            let Difference { steps, conflicts, name_taken } = match invalid {
                Some(error) => Difference { conflicts: vec![error], ..Difference::default() },
                None => difference(spec, view),
            };
            outcome.overlay = view.overlay(spec);
            let refused = outcome.problem.take();
            // What was refused, and is to be done all the same, would be refused again.
            let in_vain = refused.is_some() && outcome.tried == steps;
            let held = last || self.held.contains(&index);
            let restless = |step: &Step| HostError::Restless {
                name: spec.name.clone(),
                step: step.to_string(),
            };
            let stays =
                if in_vain { refused } else { steps.first().filter(|_| held).map(restless) };
            // Packets pass under another name, too, or while somebody could forge them; but a start
            // is not made so.
            let unfit = name_taken.is_some() || steps.iter().any(Step::keeps_strangers_out);
            outcome.vital = !conflicts.is_empty()
                || steps.iter().any(Step::is_vital)
                || self.all_or_nothing && unfit;
            outcome.problem = conflicts.into_iter().next().or(stays).or(name_taken);
            outcome.tried.clone_from(&steps);
            if !steps.is_empty() && !in_vain && !held {
                self.queue.push_back((index, steps));
            }
        }
        if self.all_or_nothing && self.has_problem() {
            self.queue.clear();
        }
        !self.queue.is_empty()
    }

    fn has_problem(&self) -> bool {
        self.outcomes.iter().any(|outcome| outcome.vital && outcome.problem.is_some())
    }

    /// Carries out what [`Self::compare`] has found, for so many networks. Returns whether that was
    /// the last of it, so that the host must be looked at again.
    pub async fn carry_out(&mut self, host: &Host, networks: usize) -> bool {
        let now = networks.min(self.queue.len());
        let work: Vec<_> = self.queue.drain(..now).collect();
        let specs = &self.specs;
        let requests = work.into_iter().map(async |(index, steps)| {
            let (changes, refused) = host.carry_out(&specs[index], &steps).await;
            (index, steps, changes, refused)
        });
        let (outcomes, all) = (&mut self.outcomes, &mut self.changes);
        let mut failed = false;
        in_flight(requests, |(index, steps, changes, refused)| {
            let outcome = &mut outcomes[index];
            outcome.changed.extend(steps.iter().map(ToString::to_string));
            all.append(changes);
            failed |= refused.is_some();
            outcome.problem = outcome.problem.take().or(refused);
            if failed && self.all_or_nothing {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })
        .await;
        if failed && self.all_or_nothing {
            self.queue.clear();
        }
        self.queue.is_empty()
    }

    /// What became of each overlay interface, in the order of the specs.
    #[must_use]
    pub fn outcomes(&self) -> &[OverlayOutcome] {
        &self.outcomes
    }

    /// What was made so far.
    pub fn take_changes(&mut self) -> OverlayChanges {
        mem::take(&mut self.changes)
    }

    /// Returns the first problem that keeps packets from passing, if there is one.
    pub fn take_problem(&mut self) -> Option<HostError> {
        let mut vital = self.outcomes.iter_mut().filter(|outcome| outcome.vital);
        vital.find_map(|outcome| outcome.problem.take())
    }
}

impl HostView {
    /// Returns the overlay interface of a network, as far as it is there.
    #[must_use]
    pub fn overlay(&self, spec: &OverlaySpec) -> Option<Overlay> {
        let pair = self.pair(spec.vni, &spec.made);
        let (overlay, hidden) = pair.overlay.zip(pair.hidden)?;
        let (ifindex, hidden_ifindex) = (overlay.ifindex, hidden.ifindex);
        Some(Overlay { ifindex, hidden_ifindex, mac: overlay.mac? })
    }
}

impl Host {
    /// Brings overlay interfaces, their addresses and their routes to what the specs say. Pairs
    /// that are there are adopted: they keep their indices.
    ///
    /// # Errors
    /// The host cannot be read. What is wrong with an overlay interface is in its outcome.
    pub async fn bring_overlays(&self, rounds: &mut OverlayRounds) -> Result<(), HostError> {
        while rounds.compare(&self.view(rounds.need_proxy_delays()).await?) {
            rounds.carry_out(self, usize::MAX).await;
        }
        Ok(())
    }

    /// Makes or adopts one overlay interface.
    ///
    /// # Errors
    /// Something stands in the way, or the kernel refuses a step. A pair that was made is removed
    /// again.
    pub async fn create_overlay(&self, spec: &OverlaySpec) -> Result<Overlay, HostError> {
        let mut rounds = OverlayRounds::all_or_nothing(vec![spec.clone()]);
        self.bring_overlays(&mut rounds).await?;
        let Some(problem) = rounds.take_problem() else {
            let overlay = rounds.outcomes().first().and_then(|outcome| outcome.overlay);
            let existing = Vec::new();
            let missing = || HostError::UnknownInterface { name: spec.name.clone(), existing };
            return overlay.ok_or_else(missing);
        };
        self.delete_pairs(&rounds.take_changes().pairs).await?;
        Err(problem)
    }
}
