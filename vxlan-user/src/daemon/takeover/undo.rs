//! Undoes a takeover that has failed half-way.

use super::{
    changes::Changes,
    interfaces::{Making, make_overlays},
};
use crate::{
    daemon::{directories::Directories, running::ActivePlane},
    dataplane::{Generation, PreviousGeneration, Totals, detach_deliver_filter, wait_for_programs},
    host::{Host, HostError, OverlayChanges},
    state::HostState,
};

/// Undoes the changes of a failed takeover. `previous` is the record from before; `running` is the
/// data plane that this process had made before, which carries on.
pub(super) async fn undo(
    directories: &Directories,
    host: &Host,
    previous: Option<HostState>,
    running: Option<&ActivePlane>,
    changes: Changes,
) {
    let mut problems = Vec::new();
    let mut collect = |result: Result<(), String>| problems.extend(result.err());
    if let Some(before) = changes.before {
        before.restore(&directories.pins).into_iter().for_each(|problem| collect(Err(problem)));
    }
    if let Some((failed, first)) = changes.generation.zip(first_of(previous.as_ref())) {
        collect(keep_counts(directories, &failed, first).map_err(|error| format!("{error:#}")));
    }
    if let Some((interface, ifindex, made_clsact)) = changes.filter {
        detach_deliver_filter(&interface);
        if made_clsact {
            collect(host.remove_clsact(ifindex).await.map(drop).map_err(|error| error.to_string()));
        }
    }
    let OverlayChanges { pairs, routes, blackholes } = &changes.overlays;
    let text = |error: HostError| error.to_string();
    collect(host.remove_routes(routes).await.map(drop).map_err(text));
    collect(host.remove_blackholes(blackholes).await.map(drop).map_err(text));
    collect(host.delete_pairs(pairs).await.map(drop).map_err(text));
    let refused = host.restore_overlays(&changes.before_overlays).await;
    refused.into_iter().for_each(|error| collect(Err(error.to_string())));
    if let Some(running) = running {
        let revived = revive(directories, host, running).await;
        collect(revived.map_err(|error| format!("{error:#}")));
    }
    if problems.is_empty() {
        let generations = previous.as_ref().map_or(&[][..], |previous| &previous.generations);
        let numbers: Vec<u64> = generations.iter().map(|generation| generation.number).collect();
        let unpinned = if changes.pinned {
            directories.pins.remove()
        } else {
            directories.pins.remove_generations_except(&numbers)
        };
        problems.extend(unpinned.err().map(|error| error.to_string()));
    }
    if problems.is_empty() {
        let restored = match &previous {
            Some(previous) => directories.run_dir.store(previous),
            None => directories.run_dir.clear(),
        };
        problems.extend(restored.err().map(|error| error.to_string()));
    }
    for problem in problems {
        tracing::error!(
            "while undoing the failed start or reload: {problem}; `vxlan down` tries again"
        );
    }
}

fn first_of(previous: Option<&HostState>) -> Option<&Generation> {
    previous?.generations.first()
}

/// Adds what a generation has counted, some of whose programs were attached for a moment, to what
/// was carried over to the generations that go on.
fn keep_counts(
    directories: &Directories,
    failed: &Generation,
    first: &Generation,
) -> anyhow::Result<()> {
    wait_for_programs()?;
    let mut counted = Totals::default();
    PreviousGeneration::open(&directories.pins, failed)?.count(&mut counted)?;
    if counted.is_zero() {
        return Ok(());
    }
    let mut totals = directories.run_dir.carried(Some(first))?;
    totals.add_all(&counted);
    Ok(directories.run_dir.store_carried(first, &totals)?)
}

/// Makes the interfaces and routes of `running` again that gave way to new ones, or whose settings
/// were changed.
async fn revive(
    directories: &Directories,
    host: &Host,
    running: &ActivePlane,
) -> anyhow::Result<()> {
    let mut state = running.state.clone();
    let mut changes = Changes::default();
    // The record has what the failed takeover has made, too.
    let made = directories.run_dir.load()?.map_or_else(Vec::new, |record| record.networks);
    let with = Making { host, interrupt: None, preflight: &running.preflight, made: &made };
    make_overlays(with, None, &mut state, &mut changes).await.map(drop)
}
