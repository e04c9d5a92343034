//! Runs the probers of all peers in the event loop: hands them the probes that arrive, carries out
//! their actions, and keeps the reports. [`crate::probe`] knows what a probe means, [`crate::nat`]
//! what a verdict on NAT rests on.

mod actions;
mod destination;
mod echoes;
mod events;
mod parts;
mod peer_counters;
mod peer_probers;
mod peer_states;
mod report_pass;
mod rounds;
mod schedule;

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
    report_pass::ReportPass,
    schedule::Schedule,
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

/// Most probes that are taken from the previous programs: more may come as long as these run.
const PREVIOUS_PROBES: usize = 1024;

/// The event that [`Probing::next`] has waited for.
pub(super) enum Event {
    /// Probes have arrived.
    Arrived,
    /// A peer is due.
    Due,
    /// The reports on some peers are due.
    ReportDue,
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
    report_pass: ReportPass,
    /// By peer: whether this host's mapping varies, as of the beginning of the pass.
    varies: Vec<bool>,
    schedule: Schedule,
    /// No poll before this time, so that polls do not keep everything else waiting.
    earliest_poll: Duration,
    /// Probes wait in the ring until this time, so that many of them are one event. They have the
    /// time of their arrival with them.
    earliest_receive: Duration,
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
            report_pass: report_pass(running, now),
            varies: Vec::new(),
            schedule: Schedule::new(running.preflight.config.peers.len(), now),
            earliest_poll: now,
            earliest_receive: now,
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
        let ProbingParts { ring, reader, sender, round_trips } = parts;
        let peer_counters = PeerCounters::new(reader, running);
        let names: Vec<String> = before.peers.iter().map(|peer| peer.name.value.clone()).collect();
        // The indices in these probes are those of the previous configuration: the probes are
        // answered, and the peers' next probes will call for everything else again.
        for _ in 0..PREVIOUS_PROBES {
            let Some((peer, actions)) = self.receive() else { break };
            for action in actions {
                if let Action::Transmit(packet) = action {
                    self.send(peer, &packet);
                }
            }
        }
        let previous = names.iter().cloned().zip(std::mem::take(&mut self.probers)).collect();
        self.probers = peer_probers(running, previous, now());
        let peers = running.preflight.config.peers.iter();
        self.states.set_peers(&names, peers.map(|peer| peer.name.value.as_str()));
        round_trips.set_peers(&names, &keyed(running).collect::<Vec<_>>());
        (self.ring, self.peer_counters, self.sender, self.more_in_ring) =
            (ring, peer_counters, sender, false);
        self.round_trips = round_trips;
        self.begin_anew(running);
        self.settle_endpoints(0..self.probers.len(), running, reconciler);
    }

    pub(super) fn reports(&self) -> SharedReports {
        self.reports.clone()
    }

    pub(super) fn round_trips(&self) -> RttHistogram {
        self.round_trips.clone()
    }

    /// Waits for something to do. Nothing is lost when the future is dropped before it is ready.
    pub(super) async fn next(&mut self) -> io::Result<Event> {
        // A part of the peers at a time: probes that keep arriving do not defer it for ever.
        if self.report_pass.due() <= now() {
            return Ok(Event::ReportDue);
        }
        if std::mem::take(&mut self.more_in_ring) {
            return Ok(Event::Arrived);
        }
        // A point in time, so that events until then do not defer it.
        let poll = self.schedule.next().map(|due| due.max(self.earliest_poll));
        let report = self.report_pass.due();
        let due = poll.map_or(report, |poll| poll.min(report));
        let event = if due == report { Event::ReportDue } else { Event::Due };
        let due = Instant::now() + due.saturating_sub(now());
        tokio::select! {
            ready = readable(&mut self.ring, self.earliest_receive) => {
                ready.map(|()| Event::Arrived)
            }
            reply = self.echoes.next() => Ok(match reply {
                Ok(reply) => Event::Echoed(reply),
                Err(error) => Event::EchoFailed(error),
            }),
            () = sleep_until(due) => Ok(event),
        }
    }

    /// Brings the next poll of a peer forward, if it is due earlier than that.
    fn bring_forward(&mut self, peer: usize) {
        let due = match self.probers.get(peer) {
            Some(PeerProber::Keyed(prober)) => prober.next_poll(now()),
            Some(PeerProber::Echo { next, .. }) => *next,
            None => return,
        };
        self.schedule.bring_forward(peer, due);
    }

    /// Has every peer looked at, after the probers were made anew.
    fn begin_anew(&mut self, running: &ActivePlane) {
        let now = now();
        self.schedule = Schedule::new(self.probers.len(), now);
        self.report_pass = report_pass(running, now);
        let names = running.preflight.config.peers.iter().map(|peer| peer.name.as_str());
        self.reports.set_peers(names);
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
        self.begin_anew(running);
    }
}

/// Waits until the ring holds probes, and until that time.
async fn readable(ring: &mut AsyncFd<ProbeRing>, earliest: Duration) -> io::Result<()> {
    let pause = earliest.saturating_sub(now());
    if !pause.is_zero() {
        sleep_until(Instant::now() + pause).await;
    }
    // Cleared before anything is taken out: what arrives after that makes it ready again.
    ring.readable_mut().await?.clear_ready();
    Ok(())
}

/// Plans the reports on all peers.
fn report_pass(running: &ActivePlane, now: Duration) -> ReportPass {
    let config = &running.preflight.config;
    ReportPass::new(config.peers.len(), config.probe.interval, now)
}
