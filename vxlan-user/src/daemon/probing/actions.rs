//! Carries out the actions of probers: sends probes, and has the reconciler apply endpoints and
//! MTUs that probes prove.

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
    pub(super) async fn act(
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
                reconciler.learn_endpoint(running, peer, to).await?;
                self.settle_endpoints(running, reconciler);
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
    pub(super) async fn reassign_endpoints(
        &mut self,
        running: &mut ActivePlane,
        reconciler: &mut Reconciler<'_>,
    ) -> anyhow::Result<()> {
        let now = now();
        for (peer, prober) in self.probers.iter().enumerate() {
            let refused = running.endpoints.refused(peer).map(|to| to.endpoint);
            if let (Some(refused), PeerProber::Keyed(prober)) = (refused, prober)
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
                reconciler.release_endpoint(running, holder).await?;
                self.settle_endpoints(running, reconciler);
            }
        }
        Ok(())
    }

    /// Passes to the probers the endpoints of their peers, after some were granted or refused.
    pub(super) fn settle_endpoints(&mut self, running: &ActivePlane, reconciler: &Reconciler<'_>) {
        let now = now();
        for (peer, prober) in self.probers.iter_mut().enumerate() {
            if let PeerProber::Keyed(prober) = prober {
                prober.settle_endpoint(running.endpoints.of(peer).map(|at| at.endpoint), now);
            }
        }
        self.set_paths(running, reconciler);
    }

    /// Passes to the probers the present paths to their peers.
    pub(in crate::daemon) fn set_paths(
        &mut self,
        running: &ActivePlane,
        reconciler: &Reconciler<'_>,
    ) {
        let now = now();
        for (peer, prober) in self.probers.iter_mut().enumerate() {
            let Some(entry) = running.plan.peers.get(peer) else { continue };
            match prober {
                PeerProber::Keyed(prober) => {
                    prober.set_endpoint(destination(running, peer), now);
                    prober.set_mtu(
                        packet_length(reconciler.route_mtu(peer).unwrap_or(entry.mtu)),
                        now,
                    );
                }
                PeerProber::Echo { unkeyed, .. } => {
                    unkeyed.set_endpoint(destination(running, peer))
                }
            }
        }
        self.due = self.next_due(now);
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
