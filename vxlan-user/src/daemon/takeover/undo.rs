//! Undoes a takeover that has failed half-way.

use super::{
    changes::Changes,
    interfaces::{make_overlays, make_routes},
};
use crate::{
    daemon::{directories::Directories, running::ActivePlane},
    dataplane::detach_deliver_filter,
    host::Host,
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
    if let Some((interface, ifindex, made_clsact)) = changes.filter {
        detach_deliver_filter(&interface);
        if made_clsact {
            collect(host.remove_clsact(ifindex).await.map(drop).map_err(|error| error.to_string()));
        }
    }
    let routes: Vec<_> = changes.routes.iter().map(|route| (route.prefix, route.ifindex)).collect();
    collect(host.remove_routes(&routes).await.map(drop).map_err(|error| error.to_string()));
    for name in changes.overlays {
        collect(host.delete_overlay(&name).await.map(drop).map_err(|error| error.to_string()));
    }
    if let Some(running) = running {
        collect(revive(host, running).await.map_err(|error| format!("{error:#}")));
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

/// Makes the interfaces and routes of `running` again that gave way to new ones, or whose settings
/// were changed.
async fn revive(host: &Host, running: &ActivePlane) -> anyhow::Result<()> {
    let mut state = running.state.clone();
    let mut changes = Changes::default();
    make_overlays(host, None, &running.preflight, &mut state, &mut changes).await?;
    for network in &mut state.networks {
        network.routes.clear();
    }
    make_routes(host, &running.preflight, &mut state, &mut changes).await
}
