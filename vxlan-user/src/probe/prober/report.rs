//! What is reported of a peer: the evidence, and the report with the verdict on it.

use std::{net::IpAddr, time::Duration};

use super::{config::of_family, state::Prober};
use crate::{
    nat::{self, Assessment, DeclaredFacts, Evidence, ProbeEvidence},
    observation::{OuterHeader, Rewrite},
    probe::report::{Liveness, LivenessSource, PerDirection, Report},
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
        }
    }

    /// Returns everything known of the peer at `now`.
    pub fn report(&mut self, now: Duration) -> Report {
        let evidence = self.evidence(now);
        let Assessment { verdict, evidence: reasons } = nat::assess(&evidence);
        let (ours, theirs) = (self.stats.ours(), self.stats.theirs());
        let [tx, rx] = self.stats.losses();
        Report {
            peer: evidence.peer.clone(),
            nat: verdict,
            since: self.verdict_age.update(verdict, now).as_secs_f64(),
            evidence: reasons,
            liveness: self.liveness(&evidence, now),
            endpoint: evidence.facts.endpoint,
            learned: evidence.facts.learned,
            data: evidence.data.mapping,
            ours,
            theirs,
            rtt: self.stats.rtt(),
            loss: PerDirection { tx, rx },
            hops: PerDirection { tx: ours.and_then(hops), rx: theirs.and_then(hops) },
            path_mtu: PerDirection {
                tx: self.pmtu.search.plpmtu(),
                rx: self.stats.peer_path_mtu(),
            },
            probes: self.stats.counts(),
            mapping_changes: self.endpoint.changes(),
        }
    }

    /// Decides whether the peer lives: a probe came recently that is proven to be fresh.
    fn liveness(&self, evidence: &Evidence, now: Duration) -> Liveness {
        let window = self.window();
        let ago = self.stats.last_fresh().map(|at| now.saturating_sub(at));
        let silent = |probes: &ProbeEvidence| {
            probes.unanswered >= MIN_LOSSES && probes.since_reply >= window
        };
        let up = match ago {
            Some(ago) => Some(ago < window),
            None => evidence.probes.as_ref().is_some_and(silent).then_some(false),
        };
        Liveness { by: LivenessSource::Probes, up, last_seen: ago.map(|ago| ago.as_secs_f64()) }
    }
}

/// Returns the number of routers on the path, by the TTL. `None`: a middlebox has raised the TTL.
fn hops(Rewrite { sent: OuterHeader { ttl: sent, .. }, seen }: Rewrite) -> Option<u8> {
    sent.checked_sub(seen.ttl)
}
