//! The verdict: of all that is true of the way, what hurts most. How rewriting is read off headers and
//! counters is in `rewriting.rs`.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    time::Duration,
};

use super::{
    Kind,
    evidence::{Evidence, Passive, Probed, Unsolicited, WINDOW},
    rewriting::{Rewriting, Side},
};
use crate::probe::{Checksum, Rewrite};

/// So many in a row are no accident.
const ENOUGH: u64 = 3;
/// After so many requests of a peer's it has sent three unsolicited ones: each fourth is followed by
/// one, and a few come out of turn.
const REQUESTS_FOR_UNSOLICITED: u64 = 16;

/// What there is between this host and a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub kind: Kind,
    /// Why, one sentence each, that of the verdict first. At least one.
    pub evidence: Vec<String>,
}

/// Since when the latest verdict has been the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing(Option<(Kind, Duration)>);

impl Standing {
    /// For how long it has been `kind`, which it is at `now`.
    pub fn lasted(&mut self, kind: Kind, now: Duration) -> Duration {
        let since = match self.0 {
            Some((before, since)) if before == kind => since,
            _ => now,
        };
        self.0 = Some((kind, since));
        now.saturating_sub(since)
    }
}

/// The first that is true of: blocked, one_way, checksum_breaking, symmetric, a kind of rewriting, none.
pub fn judge(evidence: &Evidence) -> Verdict {
    let rewriting = Rewriting::of(evidence);
    let mut said = Vec::new();
    let mut kind: Option<Kind> = None;
    for found in [
        dead(evidence, &mut said),
        checksums(evidence, &mut said),
        varies(evidence, &mut said),
        rewritten(evidence, &rewriting, &mut said),
    ] {
        kind = kind.or(found);
    }
    if kind.is_none() && rewriting.seen {
        kind = Some(Kind::None);
        said.extend(untouched(evidence));
    }
    remarks(evidence, &mut said);
    let kind = kind.unwrap_or(Kind::Unknown);
    if kind == Kind::Unknown {
        said.insert(0, unknown(evidence));
    }
    Verdict { kind, evidence: said }
}

/// For each peer: does a NAT give our packets to it another address or port than those to another peer,
/// though they leave from the same? `ours`: the latest request to each that it has described. What is
/// not rewritten says nothing: that peer may be on this side of the NAT.
pub fn vary(ours: &[Option<Rewrite>]) -> Vec<bool> {
    let rewritten = |probe: &&Rewrite| probe.sent.source != probe.seen.source;
    let mut seen_as: HashMap<SocketAddr, HashSet<SocketAddr>> = HashMap::new();
    for probe in ours.iter().flatten().filter(rewritten) {
        seen_as.entry(probe.sent.source).or_default().insert(probe.seen.source);
    }
    let several =
        |probe: &Rewrite| seen_as.get(&probe.sent.source).is_some_and(|as_| as_.len() > 1);
    let varies = |probe: &Rewrite| rewritten(&probe) && several(probe);
    ours.iter().map(|probe| probe.as_ref().is_some_and(varies)).collect()
}

/// Blocked, or one way.
fn dead(evidence: &Evidence, said: &mut Vec<String>) -> Option<Kind> {
    let probes = evidence.probes.as_ref()?;
    let peer = &evidence.peer;
    let window = evidence.interval * WINDOW;
    let heard_lately = probes.heard.is_some_and(|ago| ago < window);
    let data = evidence.data.recent.came();
    let seconds = window.as_secs_f64();
    if probes.unanswered >= ENOUGH && probes.silent >= window {
        let silent = probes.silent.as_secs_f64();
        let sent = format!("{} requests to {peer} in {silent:.0} s", probes.unanswered);
        if !heard_lately && data == 0 {
            said.push(format!("{sent}, none was answered, and nothing came from it"));
            return Some(Kind::Blocked);
        }
        let requests = probes.proven + probes.unproven;
        said.push(if requests > 0 {
            format!(
                "{sent}, none was answered, but {requests} of its requests came in {seconds:.0} s"
            )
        } else if data > 0 {
            format!(
                "{sent}, none was answered, but {data} data packets came from it in {seconds:.0} s"
            )
        } else {
            format!("{sent}, none was answered, but probes of it came")
        });
        if let Some(reported) = probes.reported {
            said.push(format!(
                "we sent {}, {peer} saw {}, the latest of them the {}.",
                probes.sent, reported.received, reported.highest
            ));
        }
        if let Some(saw) = probes.hearsay.filter(|_| probes.reported.is_none()) {
            said.push(format!(
                "we sent {}, {peer} saw {saw}, by what its requests say",
                probes.sent
            ));
        }
        if probes.unproven > 0 && probes.proven == 0 {
            said.push(format!(
                "0 of its {} requests bring the token that our replies offer",
                probes.unproven
            ));
        }
        return Some(Kind::OneWay);
    }
    let answers = probes.answered > 0 && probes.silent < window;
    if answers && probes.missed >= ENOUGH && probes.proven + probes.unproven == 0 {
        said.push(format!(
            "{peer} answers, and has sent {} requests of which none came here in {seconds:.0} s",
            probes.missed
        ));
        return Some(Kind::OneWay);
    }
    None
}

/// Checksums that changed on the way.
fn checksums(evidence: &Evidence, said: &mut Vec<String>) -> Option<Kind> {
    let peer = &evidence.peer;
    let before = said.len();
    let changed = |probe: &Rewrite| {
        probe.sent.checksum == Checksum::Zero && probe.seen.checksum != Checksum::Zero
            || probe.seen.checksum == Checksum::Wrong
    };
    let (ours, theirs) = latest(evidence);
    if let Some(probe) = ours.filter(changed) {
        let how = arrives(&probe);
        said.push(format!("our probes leave with {how} at {peer}"));
    }
    if let Some(probe) = theirs.filter(changed) {
        let how = arrives(&probe);
        said.push(format!("probes of {peer} leave with {how} here"));
    }
    let (lately, all) = (evidence.data.recent.checksum, evidence.data.total.checksum);
    if lately > 0 {
        said.push(format!(
            "{lately} data packets of {peer} came lately, {all} in all, with a checksum that it did \
             not send"
        ));
    }
    (said.len() > before).then_some(Kind::ChecksumBreaking)
}

fn arrives(probe: &Rewrite) -> String {
    let word = |checksum| match checksum {
        Checksum::Zero => "checksum zero",
        Checksum::Right => "a right checksum",
        Checksum::Wrong => "a wrong checksum",
    };
    format!("{} and arrive with {}", word(probe.sent.checksum), word(probe.seen.checksum))
}

/// A mapping for each destination.
fn varies(evidence: &Evidence, said: &mut Vec<String>) -> Option<Kind> {
    let probes = evidence.probes.as_ref()?;
    let peer = &evidence.peer;
    if probes.varies {
        let as_seen = probes.ours.map_or_else(String::new, |ours| {
            format!(": our {} arrives at {peer} as {}", ours.sent.source, ours.seen.source)
        });
        said.push(format!("our address or port differs from peer to peer{as_seen}"));
    }
    if probes.peer_varies {
        said.push(format!("{peer} says that its address or port differs from peer to peer"));
    }
    (probes.varies || probes.peer_varies).then_some(Kind::Symmetric)
}

/// Addresses and ports.
fn rewritten(evidence: &Evidence, rewriting: &Rewriting, said: &mut Vec<String>) -> Option<Kind> {
    said.extend(rewriting.sentences.iter().cloned());
    if rewriting.port {
        return Some(Kind::Napt);
    }
    let sides = [
        (rewriting.near, Side::Near, "packets that nobody here asked for"),
        (rewriting.far, Side::Far, "packets that the peer did not ask for"),
    ];
    let sides = sides.into_iter().filter(|side| side.0);
    let mut kind = None;
    for (_, side, what) in sides {
        let of_side = match evidence.probes.as_ref().and_then(|probes| passes(probes, side)) {
            Some((true, why)) => {
                said.push(format!("{what} get in: {why}"));
                Kind::OneToOne
            }
            Some((false, why)) => {
                said.push(format!("{what} do not get in: {why}"));
                Kind::PortPreservingNapt
            }
            None if evidence.facts.learned => {
                said.push(format!(
                    "it is not known yet whether {what} get in; the endpoint is learned, so it is \
                     taken that they do not"
                ));
                Kind::PortPreservingNapt
            }
            None => {
                said.push(format!(
                    "it is not known yet whether {what} get in; the endpoint is declared, so it is \
                     taken that they do"
                ));
                Kind::OneToOne
            }
        };
        if kind != Some(Kind::PortPreservingNapt) {
            kind = Some(of_side);
        }
    }
    kind
}

/// Do packets that nobody asked for pass the NAT of that side? `None`: too few to say.
fn passes(probes: &Probed, side: Side) -> Option<(bool, String)> {
    let got = probes.unsolicited.received;
    match side {
        Side::Near if got > 0 => Some((true, format!("{got} came"))),
        Side::Near => (probes.received >= REQUESTS_FOR_UNSOLICITED).then(|| {
            let others = probes.received;
            (false, format!("0 came, beside {others} other requests"))
        }),
        Side::Far => {
            let Unsolicited { sent, answered, .. } = probes.unsolicited;
            if answered > 0 {
                return Some((true, format!("{answered} of {sent} were answered")));
            }
            let others = probes.answered;
            (sent >= ENOUGH && others > 0).then(|| {
                (false, format!("0 of {sent} were answered, but {others} other requests were"))
            })
        }
    }
}

/// The latest probe each way.
fn latest(evidence: &Evidence) -> (Option<Rewrite>, Option<Rewrite>) {
    evidence.probes.as_ref().map_or((None, None), |probes| (probes.ours, probes.theirs))
}

/// Sentences that nothing is rewritten.
fn untouched(evidence: &Evidence) -> Vec<String> {
    let peer = &evidence.peer;
    let mut said = Vec::new();
    let (ours, theirs) = latest(evidence);
    if let Some(ours) = ours {
        said.push(format!("our {} arrives at {peer} as it is", ours.sent.source));
    }
    if let Some(theirs) = theirs {
        said.push(format!("{} of {peer} arrives as it is", theirs.sent.source));
    }
    let Passive { total, recent, mapping } = &evidence.data;
    let received = total.received.max(recent.received);
    if received > 0 {
        let from = mapping.map_or_else(String::new, |at| format!(" from {}", at.address));
        let what = "as far as they show, none was rewritten";
        said.push(format!("{received} data packets of {peer} came{from}: {what}"));
    }
    said
}

/// What belongs to any verdict.
fn remarks(evidence: &Evidence, said: &mut Vec<String>) {
    let peer = &evidence.peer;
    let (dropped, lately) = (evidence.data.total.bad_checksum, evidence.data.recent.bad_checksum);
    if dropped > 0 {
        said.push(format!(
            "{dropped} data packets of {peer} were dropped for a wrong checksum, {lately} lately"
        ));
    }
    if evidence.probes.is_none() && !said.is_empty() {
        said.push(format!(
            "there is no key for {peer}: 0 probes, only what its data packets show counts"
        ));
    }
}

/// Why nothing is known.
fn unknown(evidence: &Evidence) -> String {
    let peer = &evidence.peer;
    match &evidence.probes {
        None => format!("0 data packets of {peer} came, and there is no key for probes"),
        Some(Probed { unproven, .. }) if evidence.facts.endpoint.is_none() && *unproven > 0 => {
            format!(
                "{unproven} requests of {peer} came lately, none with the token that our replies offer: \
                 they do not reach it"
            )
        }
        Some(_) if evidence.facts.endpoint.is_none() => {
            format!("0 probes of {peer} came, from which its endpoint could be learned")
        }
        Some(probes) => {
            let (answered, sent) = (probes.answered, probes.sent);
            format!("{answered} of {sent} requests to {peer} were answered, too few to say more")
        }
    }
}
