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

use std::sync::Arc;

use self::{
    changes::Changes,
    interfaces::{make_overlays, make_routes},
    previous_generations::PreviousGenerations,
    replace::replace_programs,
    undo::undo,
};
use crate::{
    daemon::{
        directories::Directories,
        preflight::{Preflight, keys},
        running::ActivePlane,
    },
    dataplane::{AttachedPrograms, DataPlane, Generation, LoadOptions, TcHook},
    host::Host,
    plan::{Endpoints, Plan},
};

/// Makes everything that the configuration in `preflight` asks for. `running` is the data plane
/// that this process has made before; it carries on if the takeover fails.
pub(in crate::daemon) async fn take_over(
    directories: &Directories,
    host: &Host,
    preflight: Preflight,
    options: LoadOptions,
    running: Option<&ActivePlane>,
) -> anyhow::Result<ActivePlane> {
    let mut changes = Changes::default();
    let previous = preflight.previous.clone();
    match change(directories, host, preflight, options, running, &mut changes).await {
        Ok(active) => Ok(active),
        Err(error) => {
            undo(directories, host, previous, running, changes).await;
            Err(error)
        }
    }
}

async fn change(
    directories: &Directories,
    host: &Host,
    preflight: Preflight,
    options: LoadOptions,
    running: Option<&ActivePlane>,
    changes: &mut Changes,
) -> anyhow::Result<ActivePlane> {
    let previous_generations = PreviousGenerations::open(directories, preflight.previous.as_ref())?;
    let inherited = previous_generations.inherited(&preflight)?;
    let learned = initial_paths::learned_endpoints(&preflight);
    let endpoints = Endpoints::new(&preflight.config, |name| learned.get(name).copied());
    let (config, facts) = (&preflight.config, &preflight.facts);
    let mut plan = Plan::new(config, facts, endpoints.all(), &inherited, &mut rand::rng());
    plan.probers = keys::probers(&preflight.keys);
    tracing::debug!("start: planned");
    // The verifier accepts or refuses the programs before the first change.
    let options = LoadOptions {
        slots: plan.names.slots.len() as u32,
        mac_addresses: Plan::fdb_entries_for(&preflight.config),
        neighbours: Plan::neighbours_for(&preflight.config),
        learned_endpoints: Plan::learning_for(&preflight.config),
        ..options
    };
    let mut plane = DataPlane::load(options)?;
    tracing::debug!("start: programs loaded");
    plane.check_capacity(&plan)?;
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
    leftover::remove_conflicting(host, &preflight).await?;
    let overlays = make_overlays(host, &preflight, &mut state, changes).await?;
    tracing::debug!("start: recorded, interfaces made");
    make_routes(host, &preflight, &mut state, changes).await?;
    tracing::debug!("start: routes made");
    let paths = initial_paths::resolve(&preflight, &endpoints, host).await;
    tracing::debug!("start: paths resolved");
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
    state.generations.push(Generation::new(number, plan.names.clone(), plane.layouts()));
    let leftover_networks = record::leftover_networks(&state, preflight.previous.as_ref());
    state.networks.extend(leftover_networks.iter().cloned());
    directories.run_dir.store(&state)?;
    changes.filter = state
        .underlay
        .tc
        .filter(|tc| tc.hook == TcHook::Netlink && preflight.previous.is_none())
        .map(|tc| (preflight.underlay.name.clone(), preflight.facts.ifindex, tc.made_clsact));
    let attachment = replace_programs(directories, &preflight, &mut plane, &plan)?;
    tracing::debug!("start: pinned and attached");
    // From here on nothing is undone: the new generation carries the traffic.
    state.underlay.xdp = Some(attachment.clone());
    state.entries = record::map_usage(&plan, &plane);
    if let Err(error) = previous_generations.retire(directories, &mut state) {
        tracing::warn!("counters are carried over at the next start only: {error:#}");
    }
    leftover::remove(host, &preflight, &mut state, leftover_networks.len(), &changes.overlays)
        .await;
    if let Err(error) = directories.run_dir.store(&state) {
        tracing::warn!("{error}");
    }
    tracing::debug!("start: tidied up and recorded");
    Ok(ActivePlane { preflight, plane, attachment, state, plan, endpoints, pins_lock })
}
