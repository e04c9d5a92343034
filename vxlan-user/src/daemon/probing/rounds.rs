//! The periodic work of probing: takes received probes out of the ring, polls peers that are due,
//! writes reports.

use std::{net::IpAddr, time::Duration};

use rand::RngCore as _;

use super::{
    Probing,
    echoes::{self, Target},
    peer_probers::PeerProber,
    peer_states::Line,
};
use crate::{
    config::Config, daemon::running::ActivePlane, dataplane::now, host::EchoReply, nat,
    probe::Action,
};

/// The shortest time from one poll of all peers to the next.
const MIN_PAUSE: Duration = Duration::from_millis(10);
/// Probes taken at a time, so that everything else in the event loop has its turn.
const PROBES_AT_A_TIME: usize = 1024;
/// Peers without a key polled at a time, for the same reason.
const ECHOES_AT_A_TIME: usize = 1024;

impl Probing {
    /// Takes received probes out of the ring, and adds the actions that they call for to `todo`.
    pub(super) fn receive(&mut self, todo: &mut Vec<(usize, Action)>) {
        for _ in 0..PROBES_AT_A_TIME {
            let Some(arrived) = self.ring.get_mut().take() else { return };
            let peer = arrived.peer as usize;
            let Some(PeerProber::Keyed(prober)) = self.probers.get_mut(peer) else { continue };
            match prober.arrived(&arrived, now(), &mut random) {
                Ok(actions) => todo.extend(actions.into_iter().map(|action| (peer, action))),
                Err(refused) => {
                    tracing::debug!(peer, "a probe is refused: {}", refused.label());
                }
            }
        }
        self.more_in_ring = true;
    }

    /// Polls every peer that is due, and adds the actions that are due to `todo`.
    pub(super) fn poll(&mut self, running: &ActivePlane, todo: &mut Vec<(usize, Action)>) {
        let now = now();
        self.earliest_poll = now + MIN_PAUSE;
        let mut echoes = 0;
        for (peer, prober) in self.probers.iter_mut().enumerate() {
            match prober {
                PeerProber::Keyed(prober) if prober.next_poll(now) <= now => {
                    let actions = prober.poll(now, &mut random);
                    todo.extend(actions.into_iter().map(|action| (peer, action)));
                    if prober.take_due_echo(now) && echoes < ECHOES_AT_A_TIME {
                        echoes += 1;
                        let config = &running.preflight.config;
                        let targets =
                            echoes::targets(config, &self.peer_counters, peer, prober.has_data());
                        let address = prober.echo_address(&addresses(&targets));
                        if let Some((address, sequence)) =
                            self.echoes.send_to(config, &targets, address)
                        {
                            prober.echo_sent(address, sequence, now);
                        }
                    }
                }
                PeerProber::Keyed(_) => {}
                PeerProber::Echo { unkeyed, next } if *next <= now && echoes < ECHOES_AT_A_TIME => {
                    echoes += 1;
                    let config = &running.preflight.config;
                    *next = now + config.probe.interval;
                    if unkeyed.has_recent_data() {
                        continue;
                    }
                    let targets = echoes::targets(config, &self.peer_counters, peer, true);
                    let address = unkeyed.echo_address(&addresses(&targets));
                    if let Some((address, sequence)) =
                        self.echoes.send_to(config, &targets, address)
                    {
                        unkeyed.request_sent(address, sequence, now);
                    }
                }
                PeerProber::Echo { .. } => {}
            }
        }
        self.due = self.next_due(now);
    }

    /// Hands an answer to an echo request to the peer that the request went to.
    pub(super) fn echo_received(&mut self, reply: EchoReply) {
        let now = now();
        for prober in &mut self.probers {
            let (from, sequence) = (reply.from, reply.sequence);
            let answered = match prober {
                PeerProber::Keyed(prober) => prober.echo_received(from, sequence, now),
                PeerProber::Echo { unkeyed, .. } => {
                    unkeyed.reply_received(from, sequence, now).is_some()
                }
            };
            if answered {
                return;
            }
        }
    }

    /// Reads the counters, and writes a report on each peer.
    pub(super) fn report(&mut self, config: &Config, now: Duration) -> anyhow::Result<()> {
        let own_rewrites: Vec<_> = self
            .probers
            .iter()
            .map(|prober| match prober {
                PeerProber::Keyed(prober) => prober.recent_ours(now),
                PeerProber::Echo { .. } => None,
            })
            .collect();
        self.peer_counters.read_outside()?;
        let mut reports = Vec::with_capacity(self.probers.len());
        for (peer, (prober, varies)) in
            self.probers.iter_mut().zip(nat::mapping_varies(&own_rewrites)).enumerate()
        {
            let counts = self.peer_counters.read(peer)?;
            if self.peer_counters.is_new_twin(peer, &counts.drops) {
                tracing::warn!(
                    peer = %config.peers[peer].name,
                    "its overlay interface has the same MAC address as ours, so its frames are \
                     dropped as own_mac: on one of the two hosts run `vxlan down`, remove \
                     /var/lib/vxlan, and start again"
                );
            }
            reports.push(match prober {
                PeerProber::Keyed(prober) => {
                    prober.set_varies(varies, now);
                    prober.record_data(counts.total, counts.mapping, counts.last_received, now);
                    prober.record_drops(&counts.drops, now);
                    prober.report(now)
                }
                PeerProber::Echo { unkeyed, .. } => {
                    unkeyed.record_data(counts.total, counts.mapping, counts.last_received, now);
                    unkeyed.record_drops(&counts.drops, now);
                    unkeyed.report(now)
                }
            });
        }
        reports.iter().for_each(|report| self.states.record(report, now));
        self.reports.put(reports);
        for Line { bad, peer, text } in self.states.take_lines() {
            match (bad, peer) {
                (true, Some(peer)) => tracing::warn!(%peer, "{text}"),
                (false, Some(peer)) => tracing::info!(%peer, "{text}"),
                (true, None) => tracing::warn!("{text}"),
                (false, None) => tracing::info!("{text}"),
            }
        }
        Ok(())
    }

    /// Returns when the next peer or the next report is due.
    pub(super) fn next_due(&self, now: Duration) -> Duration {
        let each = self.probers.iter().map(|prober| match prober {
            PeerProber::Keyed(prober) => prober.next_poll(now),
            PeerProber::Echo { next, .. } => *next,
        });
        each.min().map_or(self.next_report, |due| due.min(self.next_report))
    }
}

fn addresses(targets: &[Target]) -> Vec<IpAddr> {
    targets.iter().map(|target| target.address).collect()
}

fn random() -> u64 {
    rand::rng().next_u64()
}
