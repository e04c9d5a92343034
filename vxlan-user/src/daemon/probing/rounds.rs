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

impl Probing {
    /// Takes the next received probe out of the ring: the peer, and the actions that the probe
    /// calls for. `None`: there is none left.
    pub(super) fn receive(&mut self) -> Option<(usize, Vec<Action>)> {
        loop {
            let arrived = self.ring.get_mut().take()?;
            let peer = arrived.peer as usize;
            let Some(PeerProber::Keyed(prober)) = self.probers.get_mut(peer) else { continue };
            let actions = prober.arrived(&arrived, now(), &mut random).unwrap_or_else(|refused| {
                tracing::debug!(peer, "a probe is refused: {}", refused.label());
                Vec::new()
            });
            return Some((peer, actions));
        }
    }

    /// Polls a peer, and returns the actions that are due.
    pub(super) fn poll(&mut self, peer: usize, running: &ActivePlane) -> Vec<Action> {
        let now = now();
        let config = &running.preflight.config;
        match self.probers.get_mut(peer) {
            Some(PeerProber::Keyed(prober)) => {
                let actions = prober.poll(now, &mut random);
                if prober.take_due_echo(now) {
                    let targets =
                        echoes::targets(config, &self.peer_counters, peer, prober.has_data());
                    let address = prober.echo_address(&addresses(&targets));
                    if let Some((address, sequence)) =
                        self.echoes.send_to(config, &targets, (peer, address))
                    {
                        prober.echo_sent(address, sequence, now);
                    }
                }
                actions
            }
            Some(PeerProber::Echo { unkeyed, next }) if *next <= now => {
                *next = now + config.probe.interval;
                if !unkeyed.has_recent_data() {
                    let targets = echoes::targets(config, &self.peer_counters, peer, true);
                    let address = unkeyed.echo_address(&addresses(&targets));
                    if let Some((address, sequence)) =
                        self.echoes.send_to(config, &targets, (peer, address))
                    {
                        unkeyed.request_sent(address, sequence, now);
                    }
                }
                Vec::new()
            }
            Some(PeerProber::Echo { .. }) | None => Vec::new(),
        }
    }

    /// Hands an answer to an echo request to the peer that the request went to.
    pub(super) fn echo_received(&mut self, reply: EchoReply) {
        let now = now();
        let (from, sequence) = (reply.from, reply.sequence);
        let Some(peer) = self.echoes.recipient_of(sequence) else { return };
        match self.probers.get_mut(peer) {
            Some(PeerProber::Keyed(prober)) => prober.echo_received(from, sequence, now),
            Some(PeerProber::Echo { unkeyed, .. }) => {
                unkeyed.reply_received(from, sequence, now);
            }
            None => return,
        }
        self.bring_forward(peer);
    }

    /// Reads the counters of the peers that are due, and writes a report on each.
    pub(super) fn report(&mut self, config: &Config, now: Duration) -> anyhow::Result<()> {
        if self.report_pass.is_at_start() {
            self.varies = self.mapping_varies(now);
            self.peer_counters.read_outside()?;
        }
        let part = self.report_pass.take(now);
        let first = part.start;
        let mut reports = Vec::with_capacity(part.len());
        for peer in part {
            let counts = self.peer_counters.read(peer)?;
            if self.peer_counters.is_new_twin(peer, &counts.drops) {
                tracing::warn!(
                    peer = %config.peers[peer].name,
                    "its overlay interface has the same MAC address as ours, so its frames are \
                     dropped as own_mac: on one of the two hosts run `vxlan down`, remove \
                     /var/lib/vxlan, and start again"
                );
            }
            let varies = self.varies.get(peer).copied().unwrap_or(false);
            let report = match self.probers.get_mut(peer) {
                Some(PeerProber::Keyed(prober)) => {
                    prober.set_varies(varies, now);
                    prober.record_data(counts.total, counts.mapping, counts.last_received, now);
                    prober.record_drops(&counts.drops, now);
                    prober.record_networks(&counts.networks, now);
                    prober.report(now)
                }
                Some(PeerProber::Echo { unkeyed, .. }) => {
                    unkeyed.record_data(counts.total, counts.mapping, counts.last_received, now);
                    unkeyed.record_drops(&counts.drops, now);
                    unkeyed.report(now)
                }
                None => break,
            };
            self.states.record(peer, report.brief(), now, &|| report.sentences());
            reports.push(report);
        }
        self.reports.put_some(first, reports);
        if !self.report_pass.is_at_start() {
            return Ok(());
        }
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

    /// Returns for each peer whether this host's mapping differs from that to other peers.
    fn mapping_varies(&self, now: Duration) -> Vec<bool> {
        let own_rewrites: Vec<_> = self
            .probers
            .iter()
            .map(|prober| match prober {
                PeerProber::Keyed(prober) => prober.recent_ours(now),
                PeerProber::Echo { .. } => None,
            })
            .collect();
        nat::mapping_varies(&own_rewrites)
    }
}

fn addresses(targets: &[Target]) -> Vec<IpAddr> {
    targets.iter().map(|target| target.address).collect()
}

fn random() -> u64 {
    rand::rng().next_u64()
}
