//! Whether what all sections ask for together has room on one host.

use vxlan_common::table::{
    MAX_MEMBERS, MAX_NETWORKS, MAX_PEER_ADDRESSES, MAX_PEERS, MAX_PREFIXES, MAX_SOURCES,
};

use super::shared::PeerDraft;
use crate::config::error::Problems;
use crate::config::types::{Network, Peer};

/// Refuses more than there is room for. Each kind is reported once, where its room ends.
pub(super) fn refuse_too_much(peers: &[PeerDraft], networks: &[Network], problems: &mut Problems) {
    let addresses = |peer: &Peer| peer.endpoints.len() + peer.private_addresses.iter().count();
    let member_lines = || {
        let members = networks.iter().flat_map(|network| {
            let line = network.vni.line;
            network.members.iter().map(move |member| (member, line))
        });
        members.map(|(member, line)| {
            (member, member.allowed_ips.first().and_then(|prefix| prefix.line).or(line))
        })
    };
    let networks_alone = networks.iter().map(|network| (1, network.vni.line));
    limit(networks_alone, MAX_NETWORKS, "networks", "networks", problems);
    let peers_alone = peers.iter().map(|draft| (1, draft.line));
    limit(peers_alone, MAX_PEERS, "peers", "peers", problems);
    limit(
        peers.iter().map(|draft| (addresses(&draft.peer), draft.line)),
        MAX_PEER_ADDRESSES,
        "endpoints and private addresses of peers",
        "peers",
        problems,
    );
    limit(
        member_lines().map(|(_, line)| (1, line)),
        MAX_MEMBERS,
        "members of networks",
        "peers",
        problems,
    );
    let sources = member_lines().map(|(member, line)| {
        (peers.get(member.peer).map_or(0, |draft| addresses(&draft.peer)), line)
    });
    limit(sources, MAX_SOURCES, "addresses of members of networks", "peers", problems);
    let local = networks.iter().map(|network| (network.local_ips.len(), network.vni.line));
    let allowed = member_lines().map(|(member, line)| {
        (member.allowed_ips.len(), member.allowed_ips.last().and_then(|at| at.line).or(line))
    });
    limit(
        local.chain(allowed),
        MAX_PREFIXES,
        "prefixes in allowed_ips and local_ips",
        "peers",
        problems,
    );
}

/// Adds a problem where the sum of the counts passes `max`. `sections`: of which kind some are to
/// be given to another host, so that there is less of `what`.
fn limit(
    counts: impl IntoIterator<Item = (usize, Option<u32>)>,
    max: u32,
    what: &str,
    sections: &str,
    problems: &mut Problems,
) {
    let (mut sum, mut end) = (0, None);
    for (count, line) in counts {
        sum += count;
        if sum > max as usize && end.is_none() {
            end = Some(line);
        }
    }
    if let Some(line) = end {
        problems.add(
            line,
            format!(
                "there are {sum} {what}, and one host has room for {max}, which ends here. Give \
                 some of the {sections} to another host."
            ),
        );
    }
}
