//! Makes the overlay interfaces and their routes.

use std::collections::HashMap;

use super::changes::Changes;
use crate::{
    daemon::{interrupt::Interrupt, overlay_specs::overlay_spec, preflight::Preflight},
    host::{Host, HostView, OverlayRounds},
    plan::OverlayFacts,
    state::{HostState, NetworkRecord},
};

/// What the overlay interfaces are made by.
#[derive(Clone, Copy)]
pub(super) struct Making<'a> {
    pub(super) host: &'a Host,
    /// A signal gives it up.
    pub(super) interrupt: Option<&'a Interrupt>,
    pub(super) preflight: &'a Preflight,
    /// The record of what was made before.
    pub(super) made: &'a [NetworkRecord],
}

/// Makes or adopts the overlay interface of every network, with its addresses and routes. `view` is
/// the host, if it is known. Returns the host as it then is, too.
pub(super) async fn make_overlays(
    with: Making<'_>,
    view: Option<HostView>,
    state: &mut HostState,
    changes: &mut Changes,
) -> anyhow::Result<(Vec<OverlayFacts>, HostView)> {
    let Making { host, interrupt, preflight, made } = with;
    let mut before: HashMap<u32, &NetworkRecord> = HashMap::new();
    for record in made {
        before.entry(record.vni).or_insert(record);
    }
    let same: HashMap<(u32, &str), &NetworkRecord> =
        made.iter().map(|record| ((record.vni, record.interface.as_str()), record)).collect();
    let networks = preflight.config.networks.iter().zip(&state.networks);
    let specs = networks.map(|(network, planned)| {
        let same = same.get(&(planned.vni, planned.interface.as_str()));
        let before = same.or(before.get(&planned.vni)).copied();
        overlay_spec((preflight, &state.secret), network, planned, before, &[])
    });
    let mut rounds = OverlayRounds::all_or_nothing(specs.collect());
    let done = bring(host, interrupt, view, &mut rounds).await;
    changes.overlays = rounds.take_changes();
    let view = done?;
    if let Some(problem) = rounds.take_problem() {
        return Err(problem.into());
    }
    let mut overlays = Vec::new();
    for (outcome, record) in rounds.outcomes().iter().zip(&mut state.networks) {
        // Without a problem every pair is there.
        let Some(overlay) = outcome.overlay else { continue };
        record.ifindex = overlay.ifindex;
        record.mac = Some(overlay.mac);
        let redirect = preflight.redirect_target(&overlay, record.mtu);
        overlays.push(OverlayFacts { ifindex: overlay.ifindex, mac: overlay.mac, redirect });
    }
    Ok((overlays, view))
}

/// Networks that are changed at a time; between, a signal may end the start.
const AT_A_TIME: usize = 64;

async fn bring(
    host: &Host,
    interrupt: Option<&Interrupt>,
    mut known: Option<HostView>,
    rounds: &mut OverlayRounds,
) -> anyhow::Result<HostView> {
    loop {
        let view = match known.take() {
            Some(view) => view,
            None => host.view(rounds.need_proxy_delays()).await?,
        };
        if !rounds.compare(&view) {
            return Ok(view);
        }
        loop {
            interrupt.map_or(Ok(()), Interrupt::check)?;
            if rounds.carry_out(host, AT_A_TIME).await {
                break;
            }
        }
    }
}
