//! The one transaction that changes the host, of a start or a reload: overlay interfaces, routes,
//! maps and programs of a new generation, all or nothing. docs/lifecycle.md has the order.

mod changes;
mod initial_paths;
mod interfaces;
mod leftover;
mod previous_generations;
mod record;
mod replace;
mod undo;

use std::{sync::Arc, thread};

use anyhow::Context as _;
use tokio::sync::oneshot;

use self::{
    changes::Changes,
    interfaces::{Making, make_overlays},
    previous_generations::PreviousGenerations,
    replace::replace_programs,
    undo::undo,
};
use crate::{
    attach_mode::AttachMode,
    daemon::{
        directories::Directories,
        interrupt::{Interrupt, Interrupted},
        overlay_specs::routes_beyond_link,
        preflight::{Preflight, keys},
        running::ActivePlane,
        segmenter,
    },
    dataplane::{AttachedPrograms, Attachment, DataPlane, Generation, LoadOptions, TcHook},
    host::{Host, HostError, HostView},
    plan::{Endpoints, Plan},
    state::HostState,
};

/// Where and how a takeover works.
#[derive(Clone, Copy)]
pub(in crate::daemon) struct Takeover<'a> {
    pub(in crate::daemon) directories: &'a Directories,
    pub(in crate::daemon) host: &'a Host,
    /// A signal gives the takeover up, as long as it can be undone.
    pub(in crate::daemon) interrupt: &'a Interrupt,
    /// The data plane that this process has made before. It carries on if the takeover fails.
    pub(in crate::daemon) running: Option<&'a ActivePlane>,
}

/// Makes everything that the configuration asks for. `open_parts` opens what the daemon needs of
/// the new generation, before that replaces the active one: what follows the replacement cannot
/// fail.
pub(in crate::daemon) async fn take_over<P>(
    with: Takeover<'_>,
    prepared: Prepared,
    open_parts: impl FnOnce(&mut ActivePlane) -> anyhow::Result<P>,
) -> anyhow::Result<(ActivePlane, P)> {
    let mut changes = Changes::default();
    let previous = prepared.preflight.previous.clone();
    match change(with, prepared, open_parts, &mut changes).await {
        Ok(active) => Ok(active),
        Err(error) => {
            undo(with.directories, with.host, previous, with.running, changes).await;
            Err(error)
        }
    }
}

/// Does what a takeover does before it changes anything, and leaves nothing behind. Returns the
/// preflight.
///
/// # Errors
/// The kernel refuses the programs, or the maps have no room for the configuration.
pub(in crate::daemon) async fn rehearse(
    directories: &Directories,
    preflight: Preflight,
    options: LoadOptions,
) -> anyhow::Result<Preflight> {
    Ok(prepare(directories, preflight, options, None).await?.preflight)
}

/// What is there before the first change. Nothing of it is visible outside of this process.
pub(in crate::daemon) struct Prepared {
    pub(in crate::daemon) preflight: Preflight,
    previous_generations: PreviousGenerations,
    endpoints: Endpoints,
    plan: Plan,
    plane: DataPlane,
    /// The host, if it was read.
    view: Option<HostView>,
}

impl Prepared {
    /// Reads the host, so that it need not be read once everything else waits.
    pub(in crate::daemon) async fn read_host(&mut self, host: &Host) -> Result<(), HostError> {
        self.view = Some(host.view(need_proxy_delays(&self.preflight)).await?);
        Ok(())
    }

    /// Has the host read again: it has changed since.
    pub(in crate::daemon) fn forget_host(&mut self) {
        self.view = None;
    }

    /// Takes in what the daemon has learned and made since this was prepared.
    pub(in crate::daemon) fn refresh(&mut self, state: &HostState) -> anyhow::Result<()> {
        let same = {
            let known = initial_paths::learned_endpoints(self.preflight.previous.as_ref());
            known == initial_paths::learned_endpoints(Some(state))
        };
        self.preflight.previous = Some(state.clone());
        if !same {
            (self.endpoints, self.plan) = plan(&self.preflight, &self.previous_generations)?;
            self.plane.check_capacity(&self.plan)?;
        }
        Ok(())
    }
}

/// Plans, and loads the programs.
pub(in crate::daemon) async fn prepare(
    directories: &Directories,
    preflight: Preflight,
    options: LoadOptions,
    interrupt: Option<&Interrupt>,
) -> anyhow::Result<Prepared> {
    let previous_generations = PreviousGenerations::open(directories, preflight.previous.as_ref())?;
    let (endpoints, plan) = plan(&preflight, &previous_generations)?;
    tracing::debug!("start: planned");
    // The verifier accepts or refuses the programs before the first change.
    let options = LoadOptions {
        slots: plan.names.slots.len() as u32,
        mac_addresses: Plan::fdb_entries_for(&preflight.config),
        neighbours: Plan::neighbours_for(&preflight.config),
        members: plan.members.len() as u32,
        learned_endpoints: Plan::learning_for(&preflight.config),
        ..options
    };
    let plane = load(options, interrupt).await?;
    tracing::debug!("start: programs loaded");
    plane.check_capacity(&plan)?;
    Ok(Prepared { preflight, previous_generations, endpoints, plan, plane, view: None })
}

fn plan(
    preflight: &Preflight,
    previous: &PreviousGenerations,
) -> anyhow::Result<(Endpoints, Plan)> {
    let inherited = previous.inherited(preflight)?;
    let learned = initial_paths::learned_endpoints(preflight.previous.as_ref());
    let endpoints = Endpoints::new(&preflight.config, |name| {
        let learned = learned.get(name).copied();
        learned.filter(|at| preflight.unfit_endpoint(at.endpoint).is_none())
    });
    let (config, facts) = (&preflight.config, &preflight.facts);
    let mut plan = Plan::new(config, facts, endpoints.all(), &inherited, &mut rand::rng());
    plan.probers = keys::probers(&preflight.keys);
    Ok((endpoints, plan))
}

/// Whether the host's delays of ARP replies must be known.
fn need_proxy_delays(preflight: &Preflight) -> bool {
    preflight.config.networks.iter().any(routes_beyond_link)
}

async fn change<P>(
    with: Takeover<'_>,
    prepared: Prepared,
    open_parts: impl FnOnce(&mut ActivePlane) -> anyhow::Result<P>,
    changes: &mut Changes,
) -> anyhow::Result<(ActivePlane, P)> {
    let Takeover { directories, host, interrupt, running } = with;
    let Prepared { preflight, previous_generations, endpoints, mut plan, mut plane, view } =
        prepared;
    interrupt.check()?;
    let mut state = record::planned(directories, &preflight, &endpoints, host).await?;
    // Recorded before anything is made, so that `down` finds everything even if this process is
    // killed half-way.
    directories.run_dir.store(&record::merged(&state, preflight.previous.as_ref()))?;
    changes.pinned = !directories.pins.exist();
    directories.pins.prepare()?;
    let pins_lock = match running {
        Some(running) => running.pins_lock.clone(),
        None => directories.pins.lock()?.map(Arc::new),
    };
    interrupt.check()?;
    tracing::debug!("start: recorded");
    let view = match view {
        Some(view) => view,
        None => host.view(need_proxy_delays(&preflight)).await?,
    };
    tracing::debug!("start: host read");
    let view = leftover::make_room(host, &preflight, view, changes).await?;
    let made = preflight.previous.iter().flat_map(|previous| &previous.networks);
    let made: Vec<_> = made.cloned().collect();
    let with = Making { host, interrupt: Some(interrupt), preflight: &preflight, made: &made };
    let (overlays, view) = make_overlays(with, view, &mut state, changes).await?;
    tracing::debug!("start: interfaces and routes made");
    let paths = initial_paths::resolve(&preflight, &endpoints, host).await;
    tracing::debug!("start: paths resolved");
    interrupt.check()?;
    plan.set_overlays(&overlays);
    plan.set_paths(&preflight.config, &preflight.facts, endpoints.all(), &paths);
    match running {
        Some(running) => initial_paths::keep_present(&mut plan, &preflight, running),
        None => initial_paths::apply_narrow(&mut plan, &state.narrow_paths),
    }
    plane.fill(&plan)?;
    tracing::debug!("start: maps filled");
    if let Some(previous) = previous_generations.active() {
        plane.inherit(previous, &plan)?;
    }
    tracing::debug!("start: inherited");
    let number = directories.pins.next_generation(&state.generations);
    plane.pin(&directories.pins, number)?;
    changes.before = Some(AttachedPrograms::read(
        &directories.pins,
        previous_generations.filters(&preflight, &directories.pins),
    )?);
    state.generations.push(Generation::new(number, plan.names.clone(), plane.layouts()?));
    let leftover_networks = record::leftover_networks(&state, preflight.previous.as_ref());
    state.networks.extend(leftover_networks.iter().cloned());
    directories.run_dir.store(&state)?;
    changes.filter = state
        .underlay
        .tc
        .filter(|tc| tc.hook == TcHook::Netlink && preflight.previous.is_none())
        .map(|tc| (preflight.underlay.name.clone(), preflight.facts.ifindex, tc.made_clsact));
    let leftovers = leftover_networks.len();
    // Attached as before, until the program is replaced.
    let before = state.underlay.xdp.clone();
    let attachment = before.unwrap_or(Attachment::new(AttachMode::Off, 0, Vec::new()));
    let mut next = ActivePlane { preflight, plane, attachment, state, plan, endpoints, pins_lock };
    let parts = open_parts(&mut next)?;
    changes.generation = next.state.generations.last().cloned();
    let ActivePlane { preflight, plane, state, plan, .. } = &mut next;
    let networks = &state.networks;
    let attachment = replace_programs(directories, interrupt, preflight, plane, plan, networks)?;
    tracing::debug!("start: pinned and attached");
    // From here on nothing is undone, and nothing fails: the new generation carries the traffic.
    segmenter::try_open(directories, host, &preflight.config, plane).await;
    state.underlay.xdp = Some(attachment.clone());
    state.entries = record::map_usage(plan, plane);
    if let Err(error) = previous_generations.retire(directories, state) {
        tracing::warn!("counters are carried over at the next start only: {error:#}");
    }
    leftover::remove(host, &view, preflight, state, leftovers).await;
    if let Err(error) = directories.run_dir.store(state) {
        tracing::warn!("{error}");
    }
    next.attachment = attachment;
    tracing::debug!("start: tidied up and recorded");
    Ok((next, parts))
}

/// Loads the programs, in a thread of its own: a signal need not wait for the verifier.
async fn load(options: LoadOptions, interrupt: Option<&Interrupt>) -> anyhow::Result<DataPlane> {
    let (sender, loaded) = oneshot::channel();
    let load = move || {
        let _interrupted = sender.send(DataPlane::load(options));
    };
    thread::Builder::new().name("load".to_owned()).spawn(load).context("no thread to load in")?;
    let signal = async {
        match interrupt {
            Some(interrupt) => interrupt.wait().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = signal => Err(Interrupted.into()),
        plane = loaded => Ok(plane.context("the programs cannot be loaded")??),
    }
}
