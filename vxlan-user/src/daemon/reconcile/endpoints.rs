//! Learned endpoints: brings maps, plan and record in line with the endpoints that probes prove.

use super::reconciler::Reconciler;
use crate::{
    daemon::{paths::resolution, running::ActivePlane},
    plan::{LearnedEndpoint, Senders, Taken},
};

impl Reconciler<'_> {
    /// Takes over an endpoint that an accepted probe proves. The caller judges whether the
    /// probe is old, and what it reports about the latest mapping of the peer.
    pub(in crate::daemon) async fn learn_endpoint(
        &mut self,
        running: &mut ActivePlane,
        peer: usize,
        to: LearnedEndpoint,
    ) -> anyhow::Result<()> {
        let ActivePlane { preflight, endpoints, plane, .. } = &mut *running;
        let peers = &preflight.config.peers;
        let (before, refused) = (endpoints.clone(), endpoints.refused(peer));
        match endpoints.claim(&preflight.config, peer, to) {
            Ok(changes) => {
                if let Err(error) = plane.change(&changes) {
                    // Nothing was written: the programs still have the endpoints from before.
                    *endpoints = before;
                    return Err(error.into());
                }
            }
            Err(Taken { by }) => {
                if refused != Some(to) {
                    tracing::warn!(
                        peer = %peers[peer].name,
                        "its probes come from {}, where peer \"{}\" is: its endpoint stays",
                        to.endpoint,
                        peers[by].name
                    );
                }
                return Ok(());
            }
        }
        self.apply_endpoints(running, before.all()).await
    }

    /// Takes the endpoint from a silent peer because another peer has proved that it is there. The
    /// silent peer has no endpoint until a probe from it arrives.
    pub(in crate::daemon) async fn release_endpoint(
        &mut self,
        running: &mut ActivePlane,
        peer: usize,
    ) -> anyhow::Result<()> {
        let ActivePlane { preflight, endpoints, plane, .. } = &mut *running;
        let before = endpoints.clone();
        let changes = endpoints.release(&preflight.config, peer);
        if let Err(error) = plane.change(&changes) {
            *endpoints = before;
            return Err(error.into());
        }
        tracing::warn!(
            peer = %preflight.config.peers[peer].name,
            "no probe arrives from it any more, and another peer is at its endpoint now"
        );
        self.apply_endpoints(running, before.all()).await
    }

    /// Brings senders, record and paths in line with the endpoints, which were `before`.
    async fn apply_endpoints(
        &mut self,
        running: &mut ActivePlane,
        before: &[Option<LearnedEndpoint>],
    ) -> anyhow::Result<()> {
        let ActivePlane { preflight, endpoints, plan, .. } = &mut *running;
        let peers = preflight.config.peers.len();
        let changed = |index: &usize| before.get(*index).copied().flatten() != endpoints.of(*index);
        let changed: Vec<usize> = (0..peers).filter(changed).collect();
        if changed.is_empty() {
            return Ok(());
        }
        plan.senders = Senders::new(&preflight.config, endpoints.all());
        for &index in &changed {
            let now = running.endpoints.of(index);
            if let Some(peer) = running.state.peers.get_mut(index) {
                peer.learned = now;
                peer.use_endpoint(now.map(|now| now.endpoint));
            }
            self.unsaved = true;
            let old = before.get(index).copied().flatten().map(|at| at.endpoint);
            if let Some(now) = now.filter(|now| old != Some(now.endpoint)) {
                let was = old.map_or_else(String::new, |old| format!(", was {old}"));
                let name = &running.preflight.config.peers[index].name;
                tracing::info!(peer = %name, "its endpoint is {}{was}", now.endpoint);
            }
            let reachable_at = resolution::endpoints(&running.preflight, &running.endpoints, index);
            self.dirty.set_addresses(index, reachable_at.map(|endpoint| endpoint.ip()).collect());
        }
        let ActivePlane { preflight, endpoints, plan, .. } = &*running;
        let paths =
            resolution::resolve(preflight, endpoints, self.host, Some(&plan.peers), &changed).await;
        self.dirty.record(&paths);
        paths.peers.iter().try_for_each(|resolved| self.apply_path(running, resolved))
    }
}
