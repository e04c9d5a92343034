//! What is told of a peer: the evidence, the verdict on it, and the report.

use std::{net::IpAddr, time::Duration};

use super::{Prober, of_family};
use crate::{
    nat::{self, Evidence, Facts, Probed, Verdict},
    probe::{BothWays, By, Header, Liveness, Report, Rewrite},
};

/// So many requests without an answer are no accident.
const SILENT: u64 = 3;

impl Prober {
    /// All that the verdict is drawn from, as of `now`.
    pub fn evidence(&self, now: Duration) -> Evidence {
        let settings = &self.settings;
        let endpoint = self.endpoint.get();
        // Before an endpoint is known: of the family that it will have.
        let like = endpoint.map(|at| at.ip()).or_else(|| settings.addresses.first().copied());
        let of = |addresses: &[IpAddr]| like.and_then(|like| of_family(addresses, like));
        let differs = |private: &IpAddr| endpoint.is_none_or(|at| at.ip() != *private);
        Evidence {
            peer: settings.peer.clone(),
            interval: settings.interval,
            facts: Facts {
                endpoint,
                learned: settings.learned,
                private: of(&settings.private_addresses).filter(differs),
                public: of(&settings.public_addresses),
                ports: settings.ports,
            },
            data: self.data.passive(),
            probes: Some(self.account.probed(now, self.window(), self.varies)),
        }
    }

    /// Everything about the peer, as of `now`.
    pub fn report(&mut self, now: Duration) -> Report {
        let evidence = self.evidence(now);
        let Verdict { kind, evidence: why } = nat::judge(&evidence);
        let (ours, theirs) = (self.account.ours(), self.account.theirs());
        let [tx, rx] = self.account.losses();
        Report {
            peer: evidence.peer.clone(),
            nat: kind,
            since: self.standing.lasted(kind, now).as_secs_f64(),
            evidence: why,
            liveness: self.liveness(&evidence, now),
            endpoint: evidence.facts.endpoint,
            learned: evidence.facts.learned,
            data: evidence.data.mapping,
            ours,
            theirs,
            rtt: self.account.rtt(),
            loss: BothWays { tx, rx },
            hops: BothWays { tx: ours.and_then(hops), rx: theirs.and_then(hops) },
            path_mtu: BothWays {
                tx: self.sizing.search().found(),
                rx: self.account.peer_path_mtu(),
            },
            probes: self.account.counts(),
            mapping_changes: self.endpoint.changes(),
        }
    }

    /// It lives if anything of it came lately that is proved to be fresh.
    fn liveness(&self, evidence: &Evidence, now: Duration) -> Liveness {
        let window = self.window();
        let ago = self.account.alive_at().map(|at| now.saturating_sub(at));
        let silent = |probes: &Probed| probes.unanswered >= SILENT && probes.silent >= window;
        let up = match ago {
            Some(ago) => Some(ago < window),
            None => evidence.probes.as_ref().is_some_and(silent).then_some(false),
        };
        Liveness { by: By::Probes, up, last_seen: ago.map(|ago| ago.as_secs_f64()) }
    }
}

/// Routers on the way, by the TTL. `None`: somebody on the way has raised it.
fn hops(Rewrite { sent: Header { ttl: sent, .. }, seen }: Rewrite) -> Option<u8> {
    sent.checked_sub(seen.ttl)
}
