//! Whether a NAT lets unsolicited packets in: it tells a one-to-one NAT from one that filters.

use super::{
    evidence::{ProbeEvidence, UnsolicitedCounts},
    reachability::MIN_LOSSES,
    rewriting::Side,
};

/// After so many requests a peer has sent three unsolicited ones: one follows each fourth request,
/// and a few requests are sent out of turn.
const REQUESTS_FOR_UNSOLICITED: u64 = 16;

/// Decides whether unsolicited packets pass the NAT of that side, and says why. `None`: there were
/// too few to decide.
pub(super) fn unsolicited_pass(probes: &ProbeEvidence, side: Side) -> Option<(bool, String)> {
    let came = probes.unsolicited.received;
    match side {
        Side::Near if came > 0 => Some((true, format!("{came} came"))),
        Side::Near => (probes.received >= REQUESTS_FOR_UNSOLICITED).then(|| {
            let others = probes.received;
            (false, format!("0 came, beside {others} other requests"))
        }),
        Side::Far => {
            let UnsolicitedCounts { sent, answered, .. } = probes.unsolicited;
            if answered > 0 {
                return Some((true, format!("{answered} of {sent} were answered")));
            }
            let others = probes.answered;
            (sent >= MIN_LOSSES && others > 0).then(|| {
                (false, format!("0 of {sent} were answered, but {others} other requests were"))
            })
        }
    }
}
