//! Carries out the actions of probers: sends probes, and has the reconciler apply endpoints and
//! MTUs that probes prove.

use std::time::Duration;

use super::{
    Probing,
    destination::{destination, packet_length},
    peer_probers::PeerProber,
};
use crate::{
    daemon::{reconcile::Reconciler, running::ActivePlane},
    dataplane::now,
    host::OuterHeaders,
    plan::LearnedEndpoint,
    probe::{Action, Transmit},
};

impl Probing {
    /// Carries out one action of a peer's prober.
    pub(super) fn act(
        &mut self,
        peer: usize,
        action: Action,
        running: &mut ActivePlane,
        reconciler: &mut Reconciler<'_>,
    ) -> anyhow::Result<()> {
        match action {
            Action::Transmit(packet) => self.send(peer, &packet),
            Action::MoveEndpoint { to, sent_from } => {
                let to = LearnedEndpoint { endpoint: to, sent_from };
                let settled = reconciler.learn_endpoint(running, peer, to)?;
                self.settle_endpoints(settled, running, reconciler);
            }
            Action::PathMtu(found) => {
                let proved = match self.probers.get(peer) {
                    Some(PeerProber::Keyed(prober)) => !prober.is_searching(),
                    _ => false,
                };
                reconciler.set_probed_mtu(running, peer, found, proved)?;
            }
            Action::RoundTrip(took) => {
                if let Some(config) = running.preflight.config.peers.get(peer) {
                    self.round_trips.observe(&config.name, took.as_secs_f64());
                }
            }
        }
        Ok(())
    }

    /// Gives the endpoint of a silent peer to another peer that has proved to be there.
    pub(super) fn reassign_endpoints(
        &mut self,
        running: &mut ActivePlane,
        reconciler: &mut Reconciler<'_>,
    ) -> anyhow::Result<()> {
        let now = now();
        for peer in running.endpoints.all_refused() {
            let refused = running.endpoints.refused(peer).map(|to| to.endpoint);
            if let (Some(refused), Some(PeerProber::Keyed(prober))) =
                (refused, self.probers.get(peer))
                && prober.latest_source().is_some_and(|at| at != refused)
            {
                // The peer has another endpoint by now.
                running.endpoints.withdraw(peer);
            }
        }
        for holder in running.endpoints.contested() {
            let silent = match self.probers.get(holder) {
                Some(PeerProber::Keyed(prober)) => prober.is_silent(now),
                _ => false,
            };
            if silent {
                let settled = reconciler.release_endpoint(running, holder)?;
                self.settle_endpoints(settled, running, reconciler);
            }
        }
        Ok(())
    }

    /// Passes to the probers of these peers the endpoints that were granted or refused.
    pub(super) fn settle_endpoints(
        &mut self,
        peers: impl IntoIterator<Item = usize>,
        running: &ActivePlane,
        reconciler: &Reconciler<'_>,
    ) {
        let now = now();
        for peer in peers {
            if let Some(PeerProber::Keyed(prober)) = self.probers.get_mut(peer) {
                prober.settle_endpoint(running.endpoints.of(peer).map(|at| at.endpoint), now);
            }
            self.set_path(peer, running, reconciler, now);
        }
    }

    /// Passes to the probers of these peers the present paths.
    pub(in crate::daemon) fn set_paths(
        &mut self,
        peers: &[usize],
        running: &ActivePlane,
        reconciler: &Reconciler<'_>,
    ) {
        let now = now();
        peers.iter().for_each(|peer| self.set_path(*peer, running, reconciler, now));
    }

    fn set_path(
        &mut self,
        peer: usize,
        running: &ActivePlane,
        reconciler: &Reconciler<'_>,
        now: Duration,
    ) {
        let Some(entry) = running.plan.peers.get(peer) else { return };
        match self.probers.get_mut(peer) {
            Some(PeerProber::Keyed(prober)) => {
                prober.set_endpoint(destination(running, peer), now);
                let mtu = reconciler.route_mtu(peer).unwrap_or(entry.mtu);
                prober.set_mtu(packet_length(mtu), now);
            }
            Some(PeerProber::Echo { unkeyed, .. }) => {
                unkeyed.set_endpoint(destination(running, peer));
            }
            None => return,
        }
        self.bring_forward(peer);
    }

    /// Sends a probe. The prober is notified where the link does not take its length.
    pub(super) fn send(&mut self, peer: usize, packet: &Transmit) {
        let Transmit { source, destination, ttl, tos, length, ref payload } = *packet;
        let outer = OuterHeaders { source, destination, ttl, tos };
        let Err(error) = self.sender.send(&outer, payload) else { return };
        tracing::debug!("no probe of {length} bytes to {destination}: {error}");
        if error.raw_os_error() == Some(libc::EMSGSIZE)
            && let Some(PeerProber::Keyed(prober)) = self.probers.get_mut(peer)
        {
            prober.packet_too_big(length, now());
        }
    }
}
