//! Runs the probers of all peers in the event loop: hands them the probes that arrive, carries out
//! their actions, and keeps the reports. [`crate::probe`] knows what a probe means, [`crate::nat`]
//! what a verdict on NAT rests on.

mod actions;
mod destination;
mod echoes;
mod parts;
mod peer_counters;
mod peer_probers;
mod peer_states;
mod rounds;

use std::{collections::HashMap, io, time::Duration};

use tokio::{
    io::unix::AsyncFd,
    time::{Instant, sleep_until},
};

pub(super) use self::parts::ProbingParts;
use self::{
    destination::packet_length,
    echoes::Echoes,
    parts::keyed,
    peer_counters::PeerCounters,
    peer_probers::{PeerProber, peer_probers},
    peer_states::PeerStates,
};
use crate::{
    config::Config,
    daemon::{
        reconcile::{Reconciler, underlay::UnderlayUser},
        running::ActivePlane,
    },
    dataplane::{ProbeRing, now},
    host::{EchoReply, HostError, RawSender},
    metrics::RttHistogram,
    probe::{Action, SharedReports},
};

/// How often counters are read, and reports written.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The event that [`Probing::next`] has waited for.
pub(super) enum Event {
    /// Probes have arrived.
    Arrived,
    /// A peer or the reports are due.
    Due,
    /// An echo request was answered.
    Echoed(EchoReply),
    /// Answers to echo requests cannot be received.
    EchoFailed(io::Error),
}

/// Everything that probing needs while the daemon runs.
pub(super) struct Probing {
    ring: AsyncFd<ProbeRing>,
    /// The ring may hold more probes than were taken out.
    more_in_ring: bool,
    sender: RawSender,
    /// By peer.
    probers: Vec<PeerProber>,
    echoes: Echoes,
    peer_counters: PeerCounters,
    reports: SharedReports,
    states: PeerStates,
    round_trips: RttHistogram,
    /// When reports are due.
    next_report: Duration,
    /// When a peer or the reports are due.
    due: Duration,
    /// No poll before this time, so that polls do not keep everything else waiting.
    earliest_poll: Duration,
}

impl Probing {
    /// Begins to probe. `/metrics` reads the reports and the round trips.
    pub(super) fn start(parts: ProbingParts, running: &ActivePlane) -> Self {
        let ProbingParts { ring, reader, sender, round_trips } = parts;
        let now = now();
        Self {
            ring,
            more_in_ring: false,
            sender,
            probers: peer_probers(running, HashMap::new(), now),
            echoes: Echoes::default(),
            peer_counters: PeerCounters::new(reader, running),
            reports: SharedReports::default(),
            states: PeerStates::default(),
            round_trips,
            next_report: now,
            due: now,
            earliest_poll: now,
        }
    }

    /// Continues under another configuration, with another generation of maps. `before` is the
    /// previous configuration. Probes that the previous programs have handed over are taken first.
    pub(super) fn reload(
        &mut self,
        parts: ProbingParts,
        before: &Config,
        running: &mut ActivePlane,
        reconciler: &mut Reconciler<'_>,
    ) {
        let ProbingParts { ring, reader, sender, round_trips: _ } = parts;
        let peer_counters = PeerCounters::new(reader, running);
        let names: Vec<String> = before.peers.iter().map(|peer| peer.name.value.clone()).collect();
        // The indices in these probes are those of the previous configuration: the probes are
        // answered, and the peers' next probes will call for everything else again.
        let mut received = Vec::new();
        self.receive(&mut received);
        for (peer, action) in received {
            if let Action::Transmit(packet) = action {
                self.send(peer, &packet);
            }
        }
        let previous = names.iter().cloned().zip(std::mem::take(&mut self.probers)).collect();
        self.probers = peer_probers(running, previous, now());
        let peers = running.preflight.config.peers.iter();
        self.states.retain(&peers.map(|peer| peer.name.value.as_str()).collect());
        self.round_trips.set_peers(&names, &keyed(running).collect::<Vec<_>>());
        (self.ring, self.peer_counters, self.sender, self.more_in_ring) =
            (ring, peer_counters, sender, false);
        self.settle_endpoints(running, reconciler);
        self.next_report = now();
        self.due = self.next_report;
    }

    pub(super) fn reports(&self) -> SharedReports {
        self.reports.clone()
    }

    pub(super) fn round_trips(&self) -> RttHistogram {
        self.round_trips.clone()
    }

    /// Waits for something to do. Nothing is lost when the future is dropped before it is ready.
    pub(super) async fn next(&mut self) -> io::Result<Event> {
        if std::mem::take(&mut self.more_in_ring) {
            return Ok(Event::Arrived);
        }
        // A point in time, so that events until then do not defer it.
        let due = Instant::now() + self.due.max(self.earliest_poll).saturating_sub(now());
        tokio::select! {
            ready = self.ring.readable_mut() => {
                // Cleared before anything is taken out: what arrives after that makes it ready
                // again.
                ready?.clear_ready();
                Ok(Event::Arrived)
            }
            reply = self.echoes.next() => Ok(match reply {
                Ok(reply) => Event::Echoed(reply),
                Err(error) => Event::EchoFailed(error),
            }),
            () = sleep_until(due) => Ok(Event::Due),
        }
    }

    /// Handles an event.
    pub(super) async fn handle(
        &mut self,
        event: Event,
        running: &mut ActivePlane,
        reconciler: &mut Reconciler<'_>,
    ) -> anyhow::Result<()> {
        let mut actions = Vec::new();
        match event {
            Event::Arrived => self.receive(&mut actions),
            Event::Due => self.poll(running, &mut actions),
            Event::Echoed(reply) => self.echo_received(reply),
            Event::EchoFailed(error) => {
                tracing::warn!(
                    "cannot receive answers to echo requests; sockets are opened anew: {error}"
                );
                self.echoes = Echoes::default();
            }
        }
        for (peer, action) in actions {
            // An action for one peer that the kernel refuses is no reason to give up the other
            // peers.
            if let Err(error) = self.act(peer, action, running, reconciler).await {
                tracing::error!(peer = %running.preflight.config.peers[peer].name, "{error:#}");
            }
            self.bring_forward(peer);
        }
        let now = now();
        if self.next_report <= now {
            self.next_report = now + REPORT_INTERVAL;
            if let Err(error) = self.reassign_endpoints(running, reconciler).await {
                tracing::error!("{error:#}");
            }
            if let Err(error) = self.report(&running.preflight.config, now) {
                tracing::warn!("no report on NAT this time: {error}");
            }
        }
        Ok(())
    }

    /// Brings the next poll forward, if the peer is due earlier than that.
    fn bring_forward(&mut self, peer: usize) {
        if let Some(PeerProber::Keyed(prober)) = self.probers.get(peer) {
            self.due = self.due.min(prober.next_poll(now()));
        }
    }

    /// Has probes find out whether the path to a peer has the MTU that a router reports. Returns
    /// `false` where there is nobody to answer them.
    pub(super) fn suspect_mtu(&mut self, peer: usize, mtu: u32) -> bool {
        let Some(PeerProber::Keyed(prober)) = self.probers.get_mut(peer) else { return false };
        let is_probed = prober.suspect_mtu(packet_length(mtu), now());
        self.bring_forward(peer);
        is_probed
    }
}

impl UnderlayUser for Probing {
    fn reopen(&mut self, running: &ActivePlane) -> Result<(), HostError> {
        self.sender = RawSender::open(&running.preflight.underlay.name)?;
        Ok(())
    }

    fn restart(&mut self, running: &ActivePlane) {
        let names = running.preflight.config.peers.iter().map(|peer| peer.name.value.clone());
        let previous = names.zip(std::mem::take(&mut self.probers)).collect();
        self.probers = peer_probers(running, previous, now());
        self.due = now();
    }
}
