//! What is reported of a peer: the evidence, and the report with the verdict on it.

use std::{net::IpAddr, time::Duration};

use super::{config::of_family, state::Prober};
use crate::{
    nat::{self, DeclaredFacts, Evidence, ProbeEvidence},
    observation::{OuterHeader, ReportedData, Rewrite},
    probe::{
        brief_report::BriefReport,
        report::{Liveness, LivenessSource, OverlayEcho, PerDirection, Report},
    },
};

/// This many requests in a row without a reply are taken for more than chance.
const MIN_LOSSES: u64 = 3;

impl Prober {
    /// Returns the evidence for the verdict at `now`.
    pub fn evidence(&self, now: Duration) -> Evidence {
        let config = &self.config;
        let endpoint = self.endpoint.get();
        // Before the endpoint is known: the family that it will have.
        let like = endpoint.map(|at| at.ip()).or_else(|| config.addresses.first().copied());
        let of = |addresses: &[IpAddr]| like.and_then(|like| of_family(addresses, like));
        let differs = |private: &IpAddr| endpoint.is_none_or(|at| at.ip() != *private);
        Evidence {
            peer: config.peer.clone(),
            interval: config.interval,
            facts: DeclaredFacts {
                endpoint,
                learned: config.learned,
                private: of(&config.private_addresses).filter(differs),
                public: of(&config.public_addresses),
                ports: config.ports,
            },
            data: self.data.evidence(),
            probes: Some(self.stats.evidence(now, self.window(), self.varies)),
            delivery: self.data_delivery(now),
            drops: self.drops.recent().to_vec(),
        }
    }

    /// Returns everything known of the peer at `now`. What probes show is left out once it is no
    /// present fact any more.
    pub fn report(&mut self, now: Duration) -> BriefReport {
        let evidence = self.evidence(now);
        let verdict = nat::verdict(&evidence);
        let overlay = self.echo.overlay(now);
        let (ours, theirs) = (self.stats.ours(), self.stats.theirs());
        let replying = self.is_replying(now);
        let last_probe = self.stats.last_fresh().map(|at| now.saturating_sub(at));
        let fresh = last_probe.is_some_and(|ago| ago < self.window());
        // Any probe of the peer says how many of ours arrived.
        let seen = evidence.probes.as_ref().and_then(|probes| probes.last_seen);
        let reports = seen.is_some_and(|ago| ago < self.window());
        let [tx, rx] = self.stats.losses().map(|loss| loss.filter(|_| reports));
        let ago = |of: &ProbeEvidence| (of.ours_ago.as_secs_f64(), of.theirs_ago.as_secs_f64());
        let (ours_ago, theirs_ago) = evidence.probes.as_ref().map(ago).unzip();
        let probes_ok = self.probes_ok(&evidence, last_probe);
        let reported = &evidence.delivery;
        let networks = &reported.networks;
        let tx_lost = reported.tx.is_some() || networks.iter().any(|lost| lost.tx.is_some());
        let rx_lost = reported.rx.is_some() || networks.iter().any(|lost| lost.rx.is_some());
        let report = Report {
            peer: evidence.peer.clone(),
            keyed: true,
            nat: verdict,
            since: self.verdict_age.update(verdict, now).as_secs_f64(),
            evidence: Vec::new(),
            liveness: self.liveness(probes_ok, last_probe),
            probes_ok,
            last_probe: last_probe.map(|ago| ago.as_secs_f64()),
            overlay,
            reported: ReportedData {
                received: reported.peer_received,
                sent: reported.peer_sent,
                tx_lost: fresh.then_some(tx_lost),
                rx_lost: fresh.then_some(rx_lost),
            },
            lost_networks: networks.iter().filter(|_| fresh).map(|lost| lost.vni).collect(),
            recent: self.window().as_secs_f64(),
            endpoint: evidence.facts.endpoint,
            learned: evidence.facts.learned,
            data: evidence.data.mapping,
            ours,
            ours_ago: ours.and(ours_ago),
            theirs,
            theirs_ago: theirs.and(theirs_ago),
            rtt: self.stats.rtt().filter(|_| replying),
            loss: PerDirection { tx, rx },
            hops: PerDirection {
                tx: ours.filter(|_| replying).and_then(hops),
                rx: theirs.filter(|_| fresh).and_then(hops),
            },
            path_mtu: PerDirection {
                tx: self.pmtu.search.plpmtu(),
                rx: self.stats.peer_path_mtu().filter(|_| fresh),
            },
            probes: self.stats.counts(),
            mapping_changes: self.endpoint.changes(),
        };
        let sentence = overlay.as_ref().and_then(overlay_sentence);
        BriefReport::new(report, evidence, sentence)
    }

    /// Decides whether probes pass: one came recently that is proven to be fresh.
    fn probes_ok(&self, evidence: &Evidence, last_probe: Option<Duration>) -> Option<bool> {
        let window = self.window();
        let silent = |probes: &ProbeEvidence| {
            probes.unanswered >= MIN_LOSSES && probes.since_reply >= window
        };
        match last_probe {
            Some(ago) => Some(ago < window),
            None => evidence.probes.as_ref().is_some_and(silent).then_some(false),
        }
    }

    /// Decides whether the peer lives: a fresh probe or data came recently.
    fn liveness(&self, probes_ok: Option<bool>, last_probe: Option<Duration>) -> Liveness {
        let window = self.window();
        let seconds = |ago: Duration| ago.as_secs_f64();
        if probes_ok == Some(true) {
            let last_seen = last_probe.map(seconds);
            return Liveness { by: LivenessSource::Probes, up: probes_ok, last_seen };
        }
        let last_seen = last_probe.into_iter().chain(self.last_data).min().map(seconds);
        if self.last_data.is_some_and(|ago| ago < window) {
            return Liveness { by: LivenessSource::Data, up: Some(true), last_seen };
        }
        Liveness { by: LivenessSource::Probes, up: probes_ok, last_seen }
    }
}

/// Says that the overlay of the other end does not answer.
fn overlay_sentence(echo: &OverlayEcho) -> Option<String> {
    let OverlayEcho { address, answers, last_reply, unanswered } = echo;
    let before = match last_reply {
        Some(ago) => format!("it last answered {ago:.0} s ago"),
        None => "it never answered, and may filter ICMP".to_owned(),
    };
    (*answers == Some(false)).then(|| {
        format!(
            "the overlay of the other end does not answer: {unanswered} echo requests through the \
             tunnel, the latest to {address}, were not answered; {before}"
        )
    })
}

/// Returns the number of routers on the path, by the TTL. `None`: a middlebox has raised the TTL.
fn hops(Rewrite { sent: OuterHeader { ttl: sent, .. }, seen }: Rewrite) -> Option<u8> {
    sent.checked_sub(seen.ttl)
}
