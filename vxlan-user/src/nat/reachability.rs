//! Whether packets pass at all: the verdicts `blocked` and `one_way`.

use super::{
    evidence::{DataCounts, Evidence, ProbeEvidence},
    sentences::Sentences,
    verdict::NatVerdict,
};

/// This many losses in a row are taken for more than chance.
pub(super) const MIN_LOSSES: u64 = 3;

/// Decides whether the path is blocked, or passes packets in one direction only.
pub(super) fn unreachable(evidence: &Evidence, sentences: &mut Sentences) -> Option<NatVerdict> {
    let probes = evidence.probes.as_ref()?;
    let window = evidence.window();
    if probes.unanswered >= MIN_LOSSES && probes.since_reply >= window {
        return unanswered(evidence, probes, sentences);
    }
    let replies = probes.answered > 0 && probes.since_reply < window;
    if replies && probes.missed >= MIN_LOSSES && probes.proven + probes.unproven == 0 {
        let (peer, seconds) = (&evidence.peer, window.as_secs_f64());
        sentences.push(|| format!(
            "{peer} answers, and has sent {} requests of which none came here in {seconds:.0} s",
            probes.missed
        ));
        return Some(NatVerdict::Unidirectional);
    }
    None
}

/// Decides between the two where our requests are not answered. Neither holds while data flows and
/// the peer sends no probes: the path here is open, so it is not the path that keeps them away.
fn unanswered(
    evidence: &Evidence,
    probes: &ProbeEvidence,
    sentences: &mut Sentences,
) -> Option<NatVerdict> {
    let peer = &evidence.peer;
    let window = evidence.window();
    let seconds = window.as_secs_f64();
    let DataCounts { received, sent: data_sent, .. } = evidence.data.recent;
    let data = evidence.data.recent.arrived();
    let silence = probes.last_seen.is_none_or(|ago| ago >= window);
    let silent = probes.since_reply.as_secs_f64();
    let sent = || format!("{} requests to {peer} in {silent:.0} s", probes.unanswered);
    if silence && received > 0 {
        sentences.push(|| {
            let sent = sent();
            format!(
                "probes unanswered, data flows: {sent}, none was answered and none of {peer} came, \
                 but in {seconds:.0} s {received} data packets came from it, and we sent \
                 {data_sent}; its daemon may be stopped, or its key_file another one"
            )
        });
        return None;
    }
    if silence && data == 0 {
        sentences.push(|| format!("{}, none was answered, and nothing came from it", sent()));
        return Some(NatVerdict::Blocked);
    }
    let requests = probes.proven + probes.unproven;
    sentences.push(|| {
        let sent = sent();
        let came = if requests > 0 {
            format!("{requests} of its requests came in {seconds:.0} s")
        } else if data > 0 {
            format!("{data} data packets came from it in {seconds:.0} s")
        } else {
            "probes of it came".to_owned()
        };
        format!("{sent}, none was answered, but {came}")
    });
    match (probes.reported, probes.unproven_report) {
        (Some(reported), _) => sentences.push(|| {
            format!(
                "we sent {}, {peer} saw {}, the latest of them the {}.",
                probes.sent, reported.received, reported.highest
            )
        }),
        (None, Some(saw)) => sentences.push(|| {
            format!("we sent {}, {peer} saw {saw}, by what its requests say", probes.sent)
        }),
        (None, None) => {}
    }
    if probes.unproven > 0 && probes.proven == 0 {
        sentences.push(|| {
            format!("0 of its {} requests bring the token that our replies offer", probes.unproven)
        });
    }
    Some(NatVerdict::Unidirectional)
}
