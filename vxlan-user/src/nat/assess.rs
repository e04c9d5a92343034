//! The verdict: of all that is true of a path, what hurts most. Which addresses and ports are
//! rewritten is decided in `rewriting`, whether packets pass at all in `reachability`.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
};

use super::{
    data_loss::{data_lost, data_remarks},
    evidence::{DataEvidence, Evidence, ProbeEvidence},
    reachability::unreachable,
    rewriting::{Rewriting, Side, Tense},
    sentences::Sentences,
    unsolicited::unsolicited_pass,
    verdict::{Assessment, NatVerdict},
};
use crate::observation::{Rewrite, UdpChecksum};

/// Returns the first verdict that holds, in this order: blocked, one_way, data_lost,
/// checksum_breaking, symmetric, a verdict on rewriting, none.
pub fn assess(evidence: &Evidence) -> Assessment {
    let mut sentences = Sentences::written();
    let verdict = weigh(evidence, &mut sentences);
    Assessment { verdict, evidence: sentences.into_texts() }
}

/// Returns the verdict alone.
pub fn verdict(evidence: &Evidence) -> NatVerdict {
    weigh(evidence, &mut Sentences::counted())
}

fn weigh(evidence: &Evidence, sentences: &mut Sentences) -> NatVerdict {
    let mut rewriting = Rewriting::from_evidence(evidence, sentences.alike());
    let mut verdict: Option<NatVerdict> = None;
    for found in [
        unreachable(evidence, sentences),
        data_lost(evidence, sentences),
        changed_checksums(evidence, sentences),
        differing_mappings(evidence, sentences),
        rewritten(evidence, &mut rewriting, sentences),
    ] {
        verdict = verdict.or(found);
    }
    if verdict.is_none() && rewriting.observed {
        verdict = Some(NatVerdict::None);
        untouched(evidence, sentences);
    }
    remarks(evidence, sentences);
    data_remarks(evidence, sentences);
    let verdict = verdict.unwrap_or(NatVerdict::Unknown);
    if verdict == NatVerdict::Unknown {
        sentences.push_first(|| unknown(evidence));
    }
    verdict
}

/// Decides for each peer whether a NAT maps our packets to the peer to another address or port than
/// our packets to other peers, though all leave from the same socket. `ours`: the latest request to
/// each peer that the peer has described. A request that is not rewritten proves nothing, since
/// that peer may be on this side of the NAT.
pub fn mapping_varies(ours: &[Option<Rewrite>]) -> Vec<bool> {
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

/// Finds checksums that changed on the path.
fn changed_checksums(evidence: &Evidence, sentences: &mut Sentences) -> Option<NatVerdict> {
    let peer = &evidence.peer;
    let before = sentences.len();
    let changed = |probe: &Rewrite| {
        probe.sent.checksum == UdpChecksum::Zero && probe.seen.checksum != UdpChecksum::Zero
            || probe.seen.checksum == UdpChecksum::Wrong
    };
    let (ours, theirs) = latest(evidence);
    let present = |(probe, tense): (Rewrite, Tense)| tense.is_present().then_some(probe);
    let (ours, theirs) = (ours.and_then(present), theirs.and_then(present));
    if let Some(probe) = ours.filter(changed) {
        sentences.push(|| format!("our probes leave with {} at {peer}", arrives(&probe)));
    }
    if let Some(probe) = theirs.filter(changed) {
        sentences.push(|| format!("probes of {peer} leave with {} here", arrives(&probe)));
    }
    let (lately, all) = (evidence.data.recent.checksum, evidence.data.total.checksum);
    if lately > 0 {
        sentences.push(|| format!(
            "{lately} data packets of {peer} came lately, {all} in all, with a checksum that it \
             did not send"
        ));
    }
    (sentences.len() > before).then_some(NatVerdict::ChecksumBreaking)
}

/// Describes the checksum of a probe at both ends.
fn arrives(probe: &Rewrite) -> String {
    let word = |checksum| match checksum {
        UdpChecksum::Zero => "checksum zero",
        UdpChecksum::Right => "a right checksum",
        UdpChecksum::Wrong => "a wrong checksum",
    };
    format!("{} and arrive with {}", word(probe.sent.checksum), word(probe.seen.checksum))
}

/// Finds NATs with another mapping for each destination.
fn differing_mappings(evidence: &Evidence, sentences: &mut Sentences) -> Option<NatVerdict> {
    let probes = evidence.probes.as_ref()?;
    let peer = &evidence.peer;
    if probes.varies {
        sentences.push(|| {
            let as_seen = probes.ours.map_or_else(String::new, |ours| {
                format!(": our {} arrives at {peer} as {}", ours.sent.source, ours.seen.source)
            });
            format!("our address or port differs from peer to peer{as_seen}")
        });
    }
    let window = evidence.window();
    let peer_varies = probes.peer_varies && probes.last_seen.is_some_and(|ago| ago < window);
    if peer_varies {
        sentences
            .push(|| format!("{peer} says that its address or port differs from peer to peer"));
    }
    (probes.varies || peer_varies).then_some(NatVerdict::Symmetric)
}

/// Decides on rewritten addresses and ports.
fn rewritten(
    evidence: &Evidence,
    rewriting: &mut Rewriting,
    sentences: &mut Sentences,
) -> Option<NatVerdict> {
    let none = sentences.alike();
    sentences.append(std::mem::replace(&mut rewriting.sentences, none));
    if rewriting.port {
        return Some(NatVerdict::Napt);
    }
    let sides = [
        (rewriting.near, Side::Near, "packets that nobody here asked for"),
        (rewriting.far, Side::Far, "packets that the peer did not ask for"),
    ];
    let sides = sides.into_iter().filter(|side| side.0);
    let mut verdict = None;
    for (_, side, what) in sides {
        let present = evidence.probes.as_ref().is_none_or(|probes| {
            let ago = if side == Side::Near { probes.theirs_ago } else { probes.ours_ago };
            Tense::of(evidence, ago).is_present()
        });
        let get_in = if present { "get in" } else { "got in when it was last seen" };
        let do_not = if present { "do not get in" } else { "did not get in when it was last seen" };
        let of_side =
            match evidence.probes.as_ref().and_then(|probes| unsolicited_pass(probes, side)) {
                Some((true, why)) => {
                    sentences.push(|| format!("{what} {get_in}: {why}"));
                    NatVerdict::OneToOne
                }
                Some((false, why)) => {
                    sentences.push(|| format!("{what} {do_not}: {why}"));
                    NatVerdict::PortPreservingNapt
                }
                None if evidence.facts.learned => {
                    sentences.push(|| format!(
                    "it is not known yet whether {what} get in; the endpoint is learned, so it is \
                     taken that they do not"
                ));
                    NatVerdict::PortPreservingNapt
                }
                None => {
                    sentences.push(|| format!(
                    "it is not known yet whether {what} get in; the endpoint is declared, so it is \
                     taken that they do"
                ));
                    NatVerdict::OneToOne
                }
            };
        if verdict != Some(NatVerdict::PortPreservingNapt) {
            verdict = Some(of_side);
        }
    }
    verdict
}

/// A rewrite, and whether it is of the present.
type TensedRewrite = (Rewrite, Tense);

/// Returns our latest described request, and the latest request of the peer.
fn latest(evidence: &Evidence) -> (Option<TensedRewrite>, Option<TensedRewrite>) {
    let Some(probes) = &evidence.probes else { return (None, None) };
    let with = |probe: Option<Rewrite>, ago| probe.map(|probe| (probe, Tense::of(evidence, ago)));
    (with(probes.ours, probes.ours_ago), with(probes.theirs, probes.theirs_ago))
}

/// Writes the sentences that say that nothing is rewritten.
fn untouched(evidence: &Evidence, sentences: &mut Sentences) {
    let peer = &evidence.peer;
    let (ours, theirs) = latest(evidence);
    if let Some((ours, tense)) = ours {
        sentences.push(|| {
            let (from, arrives, ago) = (ours.sent.source, tense.arrives(), tense.ago());
            format!("our {from} {arrives} at {peer} as it is{ago}")
        });
    }
    if let Some((theirs, tense)) = theirs {
        sentences.push(|| {
            let (from, arrives, ago) = (theirs.sent.source, tense.arrives(), tense.ago());
            format!("{from} of {peer} {arrives} as it is{ago}")
        });
    }
    let DataEvidence { total, recent, mapping } = &evidence.data;
    let received = total.received.max(recent.received);
    if received > 0 {
        sentences.push(|| {
            let from = mapping.map_or_else(String::new, |at| format!(" from {}", at.address));
            let what = "as far as they show, none was rewritten";
            format!("{received} data packets of {peer} came{from}: {what}")
        });
    }
}

/// Adds what is worth saying beside any verdict.
fn remarks(evidence: &Evidence, sentences: &mut Sentences) {
    let peer = &evidence.peer;
    let (dropped, lately) = (evidence.data.total.bad_checksum, evidence.data.recent.bad_checksum);
    if dropped > 0 {
        sentences.push(|| format!(
            "{dropped} data packets of {peer} were dropped for a wrong checksum, {lately} lately"
        ));
    }
    if evidence.probes.is_none() && sentences.len() > 0 {
        sentences.push(|| {
            format!("there is no key for {peer}: 0 probes, only what its data packets show counts")
        });
    }
}

/// Says why nothing is known.
fn unknown(evidence: &Evidence) -> String {
    let peer = &evidence.peer;
    match &evidence.probes {
        None => format!("0 data packets of {peer} came, and there is no key for probes"),
        Some(ProbeEvidence { unproven, .. })
            if evidence.facts.endpoint.is_none() && *unproven > 0 =>
        {
            format!(
                "{unproven} requests of {peer} came lately, none with the token that our replies \
                 offer: they do not reach it"
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
