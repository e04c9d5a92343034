//! Makes the overlay interfaces and their routes.

use super::changes::Changes;
use crate::{
    daemon::{interrupt::Interrupt, overlay_specs::overlay_spec, preflight::Preflight},
    host::{Host, OverlayRounds},
    plan::OverlayFacts,
    state::{HostState, NetworkRecord},
};

/// Makes or adopts the overlay interface of every network, with its addresses and routes. `made` is
/// the record of what was made before.
pub(super) async fn make_overlays(
    host: &Host,
    interrupt: Option<&Interrupt>,
    preflight: &Preflight,
    made: &[NetworkRecord],
    state: &mut HostState,
    changes: &mut Changes,
) -> anyhow::Result<Vec<OverlayFacts>> {
    let networks = preflight.config.networks.iter().zip(&state.networks);
    let specs = networks.map(|(network, planned)| {
        let same = made.iter().find(|before| before.is_same(planned));
        let before = same.or(made.iter().find(|before| before.vni == planned.vni));
        overlay_spec((preflight, &state.secret), network, planned, before, &[])
    });
    let mut rounds = OverlayRounds::all_or_nothing(specs.collect());
    let done = bring(host, interrupt, &mut rounds).await;
    changes.overlays = rounds.take_changes();
    done?;
    if let Some(problem) = rounds.take_problem() {
        return Err(problem.into());
    }
    let mut overlays = Vec::new();
    for (outcome, record) in rounds.outcomes().iter().zip(&mut state.networks) {
        // Without a problem every pair is there.
        let Some(overlay) = outcome.overlay else { continue };
        record.ifindex = overlay.ifindex;
        record.mac = Some(overlay.mac);
        overlays.push(OverlayFacts { ifindex: overlay.ifindex, mac: overlay.mac });
    }
    Ok(overlays)
}

/// Networks that are changed at a time; between, a signal may end the start.
const AT_A_TIME: usize = 64;

async fn bring(
    host: &Host,
    interrupt: Option<&Interrupt>,
    rounds: &mut OverlayRounds,
) -> anyhow::Result<()> {
    while rounds.compare(&host.view(rounds.need_proxy_delays()).await?) {
        loop {
            interrupt.map_or(Ok(()), Interrupt::check)?;
            if rounds.carry_out(host, AT_A_TIME).await {
                break;
            }
        }
    }
    Ok(())
}
