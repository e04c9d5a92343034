//! Learned endpoints: brings maps, record and paths in line with the endpoints that probes prove.
//! The paths to peers that have moved are resolved with the next batches.

use std::time::Instant;

use super::{peer_log::PeerChange, reconciler::Reconciler};
use crate::{
    daemon::{paths::resolution, running::ActivePlane},
    plan::{LearnedEndpoint, Moved, Moves, Taken},
};

impl Reconciler<'_> {
    /// Takes over an endpoint that an accepted probe proves, and returns the peers whose endpoint
    /// may be another one now. The caller judges whether the probe is old, and what it reports
    /// about the latest mapping of the peer.
    pub(in crate::daemon) fn learn_endpoint(
        &mut self,
        running: &mut ActivePlane,
        peer: usize,
        to: LearnedEndpoint,
    ) -> anyhow::Result<Vec<usize>> {
        let ActivePlane { preflight, endpoints, .. } = &mut *running;
        if let Some(why) = preflight.unfit_endpoint(to.endpoint) {
            let name = preflight.config.peers[peer].name.as_str();
            tracing::debug!(peer = %name, "a probe comes from {}, which {why}", to.endpoint);
            return Ok(vec![peer]);
        }
        let refused = endpoints.refused(peer);
        let mut settled = match endpoints.claim(&preflight.config, peer, to) {
            Ok(moves) => self.apply_moves(running, &moves)?,
            Err(Taken { by }) => {
                let peers = &preflight.config.peers;
                let name = peers[peer].name.as_str();
                if refused != Some(to)
                    && self.peer_log.permits(PeerChange::Taken, name, Instant::now())
                {
                    tracing::warn!(
                        peer = %name,
                        "its probes come from {}, where peer \"{}\" is: its endpoint stays",
                        to.endpoint,
                        peers[by].name
                    );
                }
                Vec::new()
            }
        };
        settled.push(peer);
        Ok(settled)
    }

    /// Takes the endpoint from a silent peer because another peer has proved that it is there. The
    /// silent peer has no endpoint until a probe from it arrives. Returns the peers that have
    /// moved.
    pub(in crate::daemon) fn release_endpoint(
        &mut self,
        running: &mut ActivePlane,
        peer: usize,
    ) -> anyhow::Result<Vec<usize>> {
        let ActivePlane { preflight, endpoints, .. } = &mut *running;
        let moves = endpoints.release(&preflight.config, peer);
        let settled = self.apply_moves(running, &moves)?;
        tracing::warn!(
            peer = %running.preflight.config.peers[peer].name,
            "no probe arrives from it any more, and another peer is at its endpoint now"
        );
        Ok(settled)
    }

    /// Brings maps, record and paths in line with moves.
    fn apply_moves(
        &mut self,
        running: &mut ActivePlane,
        moves: &Moves,
    ) -> anyhow::Result<Vec<usize>> {
        let ActivePlane { preflight, endpoints, plane, .. } = &mut *running;
        if let Err(error) = plane.change(&moves.changes) {
            // Nothing was written: the programs still have the endpoints from before.
            endpoints.take_back(&preflight.config, moves);
            return Err(error.into());
        }
        for &Moved { peer, from, to } in &moves.peers {
            if let Some(record) = running.state.peers.get_mut(peer) {
                record.learned = to;
                record.use_endpoint(to.map(|to| to.endpoint));
            }
            self.record.request();
            let from = from.map(|from| from.endpoint);
            let name = &running.preflight.config.peers[peer].name;
            if let Some(to) = to.filter(|to| from != Some(to.endpoint))
                && self.peer_log.permits(PeerChange::Moved, name.as_str(), Instant::now())
            {
                let was = from.map_or_else(String::new, |from| format!(", was {from}"));
                tracing::info!(peer = %name, "its endpoint is {}{was}", to.endpoint);
            }
            let reachable_at = resolution::endpoints(&running.preflight, &running.endpoints, peer);
            self.dirty.set_addresses(peer, reachable_at.map(|endpoint| endpoint.ip()).collect());
            self.dirty.mark(peer);
        }
        Ok(moves.peers.iter().map(|moved| moved.peer).collect())
    }
}
