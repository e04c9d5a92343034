//! Brings probers and peers together: hands them what arrives, sends what they want sent, has the data
//! plane follow what they find out, and keeps the reports. Runs in the event loop. What a probe means
//! is the matter of [`crate::probe`], what a verdict rests on that of [`crate::nat`].

mod counting;
mod echoes;
mod peers;

use std::{collections::HashMap, io, net::SocketAddr, time::Duration};

use anyhow::Context as _;
use rand::RngCore as _;
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, sleep_until},
};

use self::{
    counting::Counting,
    echoes::Echoes,
    peers::{Asked, asked},
};
use crate::{
    config::Config,
    daemon::{
        directories::Directories,
        reconcile::reconciler::{Follower, Narrowed},
        running::ActivePlane,
    },
    dataplane::{ProbeRing, now},
    host::{EchoReply, HostError, OuterHeaders, RawSender},
    metrics::RttHistogram,
    nat,
    plan::{self, LearnedEndpoint},
    probe::{Action, SharedReports, Transmit},
};

/// Nothing is looked after more often.
const REST: Duration = Duration::from_millis(10);
/// How often counters are looked at, and reports written.
const REPORTING: Duration = Duration::from_secs(1);
/// Probes taken at a time, so that everything else has its turn too.
const AT_A_TIME: usize = 1024;
/// Peers without a key looked after at a time, for the same reason.
const ECHOES_AT_A_TIME: usize = 1024;

/// What has happened.
pub(super) enum Event {
    /// Probes have arrived.
    Arrived,
    /// It is time for something.
    Due,
    /// Somebody has answered an echo request.
    Echoed(EchoReply),
    /// No answers can be heard.
    EchoFailed(io::Error),
}

/// Everything that probing needs while the daemon runs.
pub(super) struct Probing {
    arrivals: AsyncFd<ProbeRing>,
    /// Not everything was taken out.
    more: bool,
    sender: RawSender,
    /// By peer.
    asked: Vec<Asked>,
    echoes: Echoes,
    counting: Counting,
    reports: SharedReports,
    round_trips: RttHistogram,
    /// When reports are due.
    reporting: Duration,
    /// When something is due.
    due: Duration,
    /// Not before this, so that one thing after another does not keep everything else waiting.
    rested: Duration,
}

impl Probing {
    /// Begins. The reports and the round trips are where `/metrics` looks for them.
    pub(super) fn start(
        directories: &Directories,
        running: &mut ActivePlane,
    ) -> anyhow::Result<Self> {
        let arrivals = arrivals(running)?;
        let preflight = &running.preflight;
        let round_trips =
            RttHistogram::new(keyed(running)).context("cannot keep round-trip times")?;
        let now = now();
        Ok(Self {
            arrivals,
            more: false,
            sender: RawSender::open(&preflight.underlay.name)?,
            asked: asked(running, HashMap::new(), now),
            echoes: Echoes::default(),
            counting: Counting::open(directories, running)?,
            reports: SharedReports::default(),
            round_trips,
            reporting: now,
            due: now,
            rested: now,
        })
    }

    /// Goes on under another configuration, with another generation of maps: `before` are the peers so
    /// far. Probes that the former programs have handed over are taken first.
    ///
    /// # Errors
    /// The maps or the interface cannot be used; then everything is as it was.
    pub(super) fn reload(
        &mut self,
        directories: &Directories,
        before: &Config,
        running: &mut ActivePlane,
        follower: &mut Follower<'_>,
    ) -> anyhow::Result<()> {
        let arrivals = arrivals(running)?;
        let counting = Counting::open(directories, running)?;
        let sender = RawSender::open(&running.preflight.underlay.name)?;
        let names: Vec<String> = before.peers.iter().map(|peer| peer.name.value.clone()).collect();
        // Their indices are those of the former configuration: they are answered, and what else follows
        // from them is left to the next ones.
        let mut heard = Vec::new();
        self.take(&mut heard);
        for (peer, action) in heard {
            if let Action::Transmit(packet) = action {
                self.send(peer, &packet);
            }
        }
        let former = names.iter().cloned().zip(std::mem::take(&mut self.asked)).collect();
        self.asked = asked(running, former, now());
        self.round_trips.set_peers(&names, &keyed(running).collect::<Vec<_>>());
        (self.arrivals, self.counting, self.sender, self.more) =
            (arrivals, counting, sender, false);
        self.settle(running, follower);
        self.reporting = now();
        self.due = self.reporting;
        Ok(())
    }

    pub(super) fn reports(&self) -> SharedReports {
        self.reports.clone()
    }

    pub(super) fn round_trips(&self) -> RttHistogram {
        self.round_trips.clone()
    }

    /// The underlay interface is another device: what is sent leaves by that one.
    pub(super) fn reopen(&mut self, running: &ActivePlane) -> Result<(), HostError> {
        self.sender = RawSender::open(&running.preflight.underlay.name)?;
        Ok(())
    }

    /// Our addresses are others: what was found out of the ways from the old ones says nothing of these.
    pub(super) fn begin_anew(&mut self, running: &ActivePlane) {
        let names = running.preflight.config.peers.iter().map(|peer| peer.name.value.clone());
        let former = names.zip(std::mem::take(&mut self.asked)).collect();
        self.asked = asked(running, former, now());
        self.due = now();
    }

    /// Waits for something to do. Nothing is lost when the future is dropped before it is ready.
    pub(super) async fn next(&mut self) -> io::Result<Event> {
        if std::mem::take(&mut self.more) {
            return Ok(Event::Arrived);
        }
        // A point in time: whatever else happens until then does not put it off.
        let due = Instant::now() + self.due.max(self.rested).saturating_sub(now());
        tokio::select! {
            ready = self.arrivals.readable_mut() => {
                // Before anything is taken out: what comes after that makes it ready again.
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

    /// Does what is to be done about it.
    pub(super) async fn handle(
        &mut self,
        event: Event,
        running: &mut ActivePlane,
        follower: &mut Follower<'_>,
    ) -> anyhow::Result<()> {
        let mut todo = Vec::new();
        match event {
            Event::Arrived => self.take(&mut todo),
            Event::Due => self.poll(running, &mut todo),
            Event::Echoed(reply) => self.echoed(reply),
            Event::EchoFailed(error) => {
                tracing::warn!("cannot hear who answers echo requests, and begins anew: {error}");
                self.echoes = Echoes::default();
            }
        }
        for (peer, action) in todo {
            // What one peer's probes ask for, and the kernel refuses, is no reason to leave all others.
            if let Err(error) = self.act(peer, action, running, follower).await {
                tracing::error!(peer = %running.preflight.config.peers[peer].name, "{error:#}");
            }
            self.hurry(peer);
        }
        let now = now();
        if self.reporting <= now {
            self.reporting = now + REPORTING;
            if let Err(error) = self.reassign(running, follower).await {
                tracing::error!("{error:#}");
            }
            if let Err(error) = self.report(now) {
                tracing::warn!("no report on NAT this time: {error}");
            }
        }
        Ok(())
    }

    /// A peer may have something to do earlier than was known.
    fn hurry(&mut self, peer: usize) {
        if let Some(Asked::Prober(prober)) = self.asked.get(peer) {
            self.due = self.due.min(prober.next_poll(now()));
        }
    }

    /// A router has narrowed the path to a peer.
    pub(super) fn narrowed(&mut self, narrowed: &Narrowed) {
        let now = now();
        if let Some(Asked::Prober(prober)) = self.asked.get_mut(narrowed.peer) {
            prober.packet_too_big(length(narrowed.was), Some(length(narrowed.mtu)), now);
        }
        self.hurry(narrowed.peer);
    }

    fn take(&mut self, todo: &mut Vec<(usize, Action)>) {
        for _ in 0..AT_A_TIME {
            let Some(arrived) = self.arrivals.get_mut().take() else { return };
            let peer = arrived.peer as usize;
            let Some(Asked::Prober(prober)) = self.asked.get_mut(peer) else { continue };
            match prober.arrived(&arrived, now(), &mut random) {
                Ok(actions) => todo.extend(actions.into_iter().map(|action| (peer, action))),
                Err(refused) => {
                    tracing::debug!(peer, "a probe is refused: {}", refused.label());
                }
            }
        }
        self.more = true;
    }

    fn poll(&mut self, running: &ActivePlane, todo: &mut Vec<(usize, Action)>) {
        let now = now();
        self.rested = now + REST;
        let mut echoes = 0;
        for (peer, asked) in self.asked.iter_mut().enumerate() {
            match asked {
                Asked::Prober(prober) if prober.next_poll(now) <= now => {
                    let actions = prober.poll(now, &mut random);
                    todo.extend(actions.into_iter().map(|action| (peer, action)));
                }
                Asked::Prober(_) => {}
                Asked::Echo { unkeyed, next } if *next <= now && echoes < ECHOES_AT_A_TIME => {
                    echoes += 1;
                    let config = &running.preflight.config;
                    *next = now + config.probe.interval;
                    if unkeyed.has_recent_data() {
                        continue;
                    }
                    let target = echoes::target(config, &self.counting, peer);
                    if let Some(target) = target
                        && let Some(sequence) = self.echoes.ask(config, &target)
                    {
                        unkeyed.request_sent(target.address, sequence, now);
                    }
                }
                Asked::Echo { .. } => {}
            }
        }
        self.due = self.next_due(now);
    }

    fn echoed(&mut self, reply: EchoReply) {
        let now = now();
        for asked in &mut self.asked {
            if let Asked::Echo { unkeyed, .. } = asked
                && unkeyed.reply_received(reply.from, reply.sequence, now).is_some()
            {
                return;
            }
        }
    }

    /// Looks at the counters, and writes a report on each peer.
    fn report(&mut self, now: Duration) -> anyhow::Result<()> {
        let ours: Vec<_> = self
            .asked
            .iter()
            .map(|asked| match asked {
                Asked::Prober(prober) => prober.recent_ours(now),
                Asked::Echo { .. } => None,
            })
            .collect();
        let mut reports = Vec::with_capacity(self.asked.len());
        for (peer, (asked, varies)) in
            self.asked.iter_mut().zip(nat::mapping_varies(&ours)).enumerate()
        {
            let counted = self.counting.of(peer)?;
            reports.push(match asked {
                Asked::Prober(prober) => {
                    prober.set_varies(varies, now);
                    prober.record_data(counted.total, counted.mapping, now);
                    prober.report(now)
                }
                Asked::Echo { unkeyed, .. } => {
                    unkeyed.record_data(counted.total, counted.mapping, counted.heard, now);
                    unkeyed.report(now)
                }
            });
        }
        self.reports.put(reports);
        Ok(())
    }

    async fn act(
        &mut self,
        peer: usize,
        action: Action,
        running: &mut ActivePlane,
        follower: &mut Follower<'_>,
    ) -> anyhow::Result<()> {
        match action {
            Action::Transmit(packet) => self.send(peer, &packet),
            Action::MoveEndpoint { to, sent_from } => {
                let to = LearnedEndpoint { endpoint: to, sent_from };
                follower.learn(running, peer, to).await?;
                self.settle(running, follower);
            }
            Action::PathMtu(found) => {
                let proved = match self.asked.get(peer) {
                    Some(Asked::Prober(prober)) => !prober.is_searching(),
                    _ => false,
                };
                follower.found(running, peer, found, proved)?;
            }
            Action::RoundTrip(took) => {
                if let Some(of) = running.preflight.config.peers.get(peer) {
                    self.round_trips.observe(&of.name, took.as_secs_f64());
                }
            }
        }
        Ok(())
    }

    /// An endpoint that a silent peer has, and another one proves to have now, changes hands.
    async fn reassign(
        &mut self,
        running: &mut ActivePlane,
        follower: &mut Follower<'_>,
    ) -> anyhow::Result<()> {
        let now = now();
        for (peer, asked) in self.asked.iter().enumerate() {
            let refused = running.endpoints.refused(peer).map(|to| to.endpoint);
            if let (Some(refused), Asked::Prober(prober)) = (refused, asked)
                && prober.latest_source().is_some_and(|at| at != refused)
            {
                // It is elsewhere by now.
                running.endpoints.withdraw(peer);
            }
        }
        for holder in running.endpoints.contested() {
            let silent = match self.asked.get(holder) {
                Some(Asked::Prober(prober)) => prober.is_silent(now),
                _ => false,
            };
            if silent {
                follower.release(running, holder).await?;
                self.settle(running, follower);
            }
        }
        Ok(())
    }

    /// Endpoints may have been given and refused.
    fn settle(&mut self, running: &ActivePlane, follower: &Follower<'_>) {
        let now = now();
        for (peer, asked) in self.asked.iter_mut().enumerate() {
            if let Asked::Prober(prober) = asked {
                prober.settle_endpoint(running.endpoints.of(peer).map(|at| at.endpoint), now);
            }
        }
        self.follow(running, follower);
    }

    /// The ways to the peers may have changed.
    pub(super) fn follow(&mut self, running: &ActivePlane, follower: &Follower<'_>) {
        let now = now();
        for (peer, asked) in self.asked.iter_mut().enumerate() {
            let Some(entry) = running.plan.peers.get(peer) else { continue };
            match asked {
                Asked::Prober(prober) => {
                    prober.set_endpoint(destination(running, peer), now);
                    prober.set_mtu(length(follower.widest(peer).unwrap_or(entry.mtu)), now);
                }
                Asked::Echo { unkeyed, .. } => unkeyed.set_endpoint(destination(running, peer)),
            }
        }
        self.due = self.next_due(now);
    }

    fn send(&mut self, peer: usize, packet: &Transmit) {
        let Transmit { source, destination, ttl, tos, length, ref payload } = *packet;
        let outer = OuterHeaders { source, destination, ttl, tos };
        let Err(error) = self.sender.send(&outer, payload) else { return };
        tracing::debug!("no probe of {length} bytes to {destination}: {error}");
        if error.raw_os_error() == Some(libc::EMSGSIZE)
            && let Some(Asked::Prober(prober)) = self.asked.get_mut(peer)
        {
            prober.packet_too_big(length, None, now());
        }
    }

    fn next_due(&self, now: Duration) -> Duration {
        let each = self.asked.iter().map(|asked| match asked {
            Asked::Prober(prober) => prober.next_poll(now),
            Asked::Echo { next, .. } => *next,
        });
        each.min().map_or(self.reporting, |due| due.min(self.reporting))
    }
}

/// Where probes arrive.
fn arrivals(running: &mut ActivePlane) -> anyhow::Result<AsyncFd<ProbeRing>> {
    let arrivals = running.plane.probe_ring()?;
    // SAFETY: the reader owns the map whose descriptor it hands out, hands out the same one every time,
    // and is itself owned by the registration until that ends.
    unsafe { AsyncFd::register_with_interest(arrivals, Interest::READABLE) }
        .context("cannot wait for probes")
}

/// Peers that answer probes.
fn keyed(running: &ActivePlane) -> impl Iterator<Item = &str> {
    let keyed = running.preflight.config.peers.iter().zip(&running.preflight.keys);
    keyed.filter(|(_, key)| key.is_some()).map(|(peer, _)| peer.name.as_str())
}

/// Where packets for a peer go at present.
fn way(entry: &vxlan_common::table::PeerEntry) -> Option<SocketAddr> {
    (entry.ifindex != 0).then(|| plan::entry_endpoint(entry))
}

/// Where probes for a peer go: the way of data; without one, where it would lead, so that silence there
/// is noticed.
fn destination(running: &ActivePlane, peer: usize) -> Option<SocketAddr> {
    let declared = || running.preflight.config.peers.get(peer)?.endpoint().map(|at| at.value);
    running.plan.peers.get(peer).and_then(way).or_else(declared)
}

/// Of an IP packet; there are none longer.
fn length(bytes: u32) -> u16 {
    u16::try_from(bytes).unwrap_or(u16::MAX)
}

fn random() -> u64 {
    rand::rng().next_u64()
}
