//! Handles the events of probing, each for a bounded time, so that everything else in the event
//! loop has its turn.

use std::time::Duration;

use super::{Event, Probing, echoes::Echoes};
use crate::{
    daemon::{reconcile::Reconciler, running::ActivePlane},
    dataplane::now,
    probe::Action,
};

/// The shortest time from one poll of due peers to the next, and from one look into the ring to the
/// next.
const MIN_PAUSE: Duration = Duration::from_millis(20);
/// How long one turn goes on with probes that arrive, or with peers that are due.
const MAX_TURN: Duration = Duration::from_millis(3);

impl Probing {
    /// Handles an event.
    pub(in crate::daemon) fn handle(
        &mut self,
        event: Event,
        running: &mut ActivePlane,
        reconciler: &mut Reconciler<'_>,
    ) {
        let began = now();
        match event {
            Event::Arrived => self.receive_all(began, running, reconciler),
            Event::Due => {
                // What a peer has answered in time is not to be found late.
                self.receive_all(began, running, reconciler);
                while now().saturating_sub(began) < MAX_TURN {
                    let Some(peer) = self.schedule.take(began) else {
                        self.earliest_poll = began + MIN_PAUSE;
                        break;
                    };
                    let actions = self.poll(peer, running);
                    self.act_on(peer, actions, running, reconciler);
                }
            }
            Event::ReportDue => self.report_due(running, reconciler),
            Event::Echoed(reply) => self.echo_received(reply),
            Event::EchoFailed(error) => {
                tracing::warn!(
                    "cannot receive answers to echo requests; sockets are opened anew: {error}"
                );
                self.echoes = Echoes::default();
            }
        }
    }

    /// Handles the probes that have arrived, until the turn that `began` then is over.
    fn receive_all(
        &mut self,
        began: Duration,
        running: &mut ActivePlane,
        reconciler: &mut Reconciler<'_>,
    ) {
        self.more_in_ring = true;
        while now().saturating_sub(began) < MAX_TURN {
            let Some((peer, actions)) = self.receive() else {
                self.more_in_ring = false;
                self.earliest_receive = began + MIN_PAUSE;
                break;
            };
            self.act_on(peer, actions, running, reconciler);
        }
    }

    /// Reports on the peers that are due.
    fn report_due(&mut self, running: &mut ActivePlane, reconciler: &mut Reconciler<'_>) {
        if self.report_pass.is_at_start()
            && let Err(error) = self.reassign_endpoints(running, reconciler)
        {
            tracing::error!("{error:#}");
        }
        if let Err(error) = self.report(&running.preflight.config, now()) {
            tracing::warn!("no report on NAT this time: {error}");
        }
    }

    /// Carries out the actions that a peer's prober requests.
    fn act_on(
        &mut self,
        peer: usize,
        actions: Vec<Action>,
        running: &mut ActivePlane,
        reconciler: &mut Reconciler<'_>,
    ) {
        for action in actions {
            // An action for one peer that the kernel refuses is no reason to give up the other
            // peers.
            if let Err(error) = self.act(peer, action, running, reconciler) {
                tracing::error!(peer = %running.preflight.config.peers[peer].name, "{error:#}");
            }
        }
        self.bring_forward(peer);
    }
}
