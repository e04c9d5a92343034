//! Whether data arrives while probes do: the verdict `data_lost`, and what is worth saying of data
//! and of dropped packets beside any verdict.

use super::{evidence::Evidence, sentences::Sentences, verdict::NatVerdict};
use crate::observation::{Delivery, LostData, LostNetwork};

/// Decides whether data is lost between two hosts whose probes pass.
pub(super) fn data_lost(evidence: &Evidence, sentences: &mut Sentences) -> Option<NatVerdict> {
    let peer = &evidence.peer;
    let probes = evidence.probes.as_ref()?;
    // Reports that do not come any more show nothing.
    let window = evidence.window();
    if probes.last_seen.is_none_or(|ago| ago >= window) {
        return None;
    }
    let before = sentences.len();
    let Delivery { tx, rx, networks, .. } = &evidence.delivery;
    if let Some(lost) = tx {
        sentences.push(|| {
            format!(
                "our data is lost: {}. `vxlan show drops` at {peer} may say why",
                ours(peer, lost, window)
            )
        });
    }
    if let Some(lost) = rx {
        sentences.push(|| format!("data of {peer} is lost: {}", theirs(lost, window)));
    }
    for LostNetwork { vni, tx, rx } in networks {
        sentences.push(|| {
            let each = [
                tx.as_ref().map(|lost| ours(peer, lost, window)),
                rx.as_ref().map(|lost| theirs(lost, window)),
            ];
            let each = each.into_iter().flatten().collect::<Vec<_>>().join("; ");
            format!("data of network {vni} is lost: {each}")
        });
    }
    (sentences.len() > before).then_some(NatVerdict::DataLost)
}

/// Says what both ends have counted, and what was dropped.
pub(super) fn data_remarks(evidence: &Evidence, sentences: &mut Sentences) {
    let peer = &evidence.peer;
    if let Some(counts) = &evidence.delivery.counts
        && counts.sent + counts.peer_sent > 0
    {
        sentences.push(|| {
            format!(
                "data since {} ago, as both ends count: we sent {}, {peer} got {}; {peer} sent {}, \
                 {} were delivered here",
                seconds(counts.since),
                counts.sent,
                counts.peer_received,
                counts.peer_sent,
                counts.received
            )
        });
    }
    if !evidence.drops.is_empty() {
        sentences.push(|| {
            let drops = &evidence.drops;
            let all: u64 = drops.iter().map(|(_, packets)| packets).sum();
            let each = drops.iter().map(|(why, packets)| format!("{packets} {}", why.label()));
            let each = each.collect::<Vec<_>>().join(", ");
            format!(
                "{all} packets of {peer} were dropped here lately: {each}. docs/drop-reasons.md \
                 says what to do"
            )
        });
    }
}

/// Describes a loss of what this host sends.
fn ours(peer: &str, lost: &LostData, recent: std::time::Duration) -> String {
    let LostData { sent, arrived, within, ago, .. } = lost;
    format!(
        "{peer} has got {arrived} of the {sent} data packets that we sent within {}{}, by its own \
         count, though our probes arrive",
        seconds(*within),
        when(*ago, recent)
    )
}

/// Describes a loss of what the peer sends.
fn theirs(lost: &LostData, recent: std::time::Duration) -> String {
    let LostData { sent, arrived, within, ago, .. } = lost;
    format!(
        "{arrived} of the {sent} data packets that it has sent within {}{}, by its own count, were \
         delivered here, though its probes arrive",
        seconds(*within),
        when(*ago, recent)
    )
}

fn seconds(time: std::time::Duration) -> String {
    format!("{} s", time.as_secs())
}

/// Says how long ago something was, if that is not just now.
fn when(ago: std::time::Duration, recent: std::time::Duration) -> String {
    if ago < recent { String::new() } else { format!(", {} ago", seconds(ago)) }
}
