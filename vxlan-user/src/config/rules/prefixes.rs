//! Which prefixes are this host's and which are each member's, within one network: `addresses`,
//! `local_ips`, `allowed_ips`, and how they exclude each other.

use ipnet::IpNet;

use super::overlap::{self, Claim};
use super::shared::{PeerDraft, on_line};
use crate::config::error::Problems;
use crate::config::text::section::Section;
use crate::config::types::{Located, Member};
use crate::config::values::address;

/// Reads the addresses of the overlay interface.
pub(super) fn addresses(section: &Section<'_>, problems: &mut Problems) -> Vec<Located<IpNet>> {
    let mut addresses: Vec<Located<IpNet>> = Vec::new();
    for item in section.texts("addresses", problems) {
        let Some(address) = address::interface_address(&item, problems) else { continue };
        if let Some(first) = addresses.iter().find(|other| other.addr() == address.addr()) {
            let at = on_line(first.line);
            problems
                .add(item.line, format!("{item} repeats an address{at}. Remove one of the two."));
            continue;
        }
        addresses.push(address);
    }
    addresses
}

/// Reads the prefixes behind a member.
pub(super) fn allowed_ips(section: &Section<'_>, problems: &mut Problems) -> Vec<Located<IpNet>> {
    let items = section.texts("allowed_ips", problems);
    section.require("allowed_ips", problems);
    if section.is_empty_list("allowed_ips") {
        problems.add(
            section.line_of("allowed_ips"),
            "allowed_ips = [] lets no frame of this member in or out. Write the prefixes behind \
             it, such as allowed_ips = [\"192.168.44.0/24\"].",
        );
    }
    items.iter().filter_map(|item| address::prefix(item, problems)).collect()
}

/// Reads `local_ips`: without the key, the networks of `addresses`.
pub(super) fn local_ips(
    section: &Section<'_>,
    addresses: &[Located<IpNet>],
    members: &[Member],
    peers: &[PeerDraft],
    problems: &mut Problems,
) -> Vec<IpNet> {
    let items = section.texts("local_ips", problems);
    if section.is_empty_list("local_ips") {
        problems.add(
            section.line_of("local_ips"),
            "local_ips = [] lets peers reach nothing here. Write the prefixes behind this host, \
             or leave local_ips out for the networks of addresses.",
        );
        return Vec::new();
    }
    if items.is_empty() {
        let none = !section.has("addresses") || section.is_empty_list("addresses");
        if none && !section.has("local_ips") {
            problems.add(
                section.line,
                "[[network]] has neither addresses nor local_ips, so peers could reach nothing \
                 here. Write one, such as addresses = [\"192.168.43.1/24\"].",
            );
        }
        let mut networks: Vec<IpNet> = addresses.iter().map(|at| at.trunc()).collect();
        networks.sort_unstable();
        networks.dedup();
        return networks;
    }
    let mut local_ips: Vec<IpNet> = Vec::new();
    for item in items {
        let Some(prefix) = address::prefix(&item, problems) else { continue };
        if local_ips.contains(&prefix.value) {
            problems.add(item.line, format!("{item} is given twice. Remove one of the two."));
            continue;
        }
        let claimed = members.iter().find_map(|member| {
            let claim = member.allowed_ips.iter().find(|at| at.value == prefix.value)?;
            Some((claim, peers.get(member.peer)?))
        });
        if let Some((claim, peer)) = claimed {
            problems.add(
                item.line,
                format!(
                    "{item} is also in allowed_ips of member {}{}. Keep it on the side where \
                     its hosts are.",
                    peer.label(),
                    on_line(claim.line)
                ),
            );
        }
        local_ips.push(prefix.value);
    }
    for address in addresses {
        if !local_ips.iter().any(|prefix| prefix.contains(&address.addr())) {
            let own = IpNet::from(address.addr());
            problems.add(
                address.line,
                format!(
                    "\"{address}\" in addresses is in none of local_ips, so no peer could reach \
                     this host, nor resolve its address. Add \"{}\" or \"{own}\" to local_ips.",
                    address.trunc()
                ),
            );
        }
    }
    local_ips
}

/// Refuses prefixes in `allowed_ips` that belong to another member, or to this host.
pub(super) fn refuse_wrong_claims(
    addresses: &[Located<IpNet>],
    members: &[Member],
    peers: &[PeerDraft],
    problems: &mut Problems,
) {
    let mut claims = Vec::new();
    for (member, peer) in members.iter().filter_map(|at| Some((at, peers.get(at.peer)?))) {
        for prefix in &member.allowed_ips {
            claims.push(Claim { prefix: *prefix, member: member.peer, name: peer.label() });
            let host = prefix.prefix_len() == prefix.max_prefix_len();
            let own = addresses.iter().find(|own| own.addr() == prefix.addr());
            if let (true, Some(own)) = (host, own) {
                problems.add(
                    prefix.line,
                    format!(
                        "\"{prefix}\" in allowed_ips of member {} is this host's own address{}. \
                         Write the addresses behind the peer.",
                        peer.label(),
                        on_line(own.line)
                    ),
                );
            }
        }
    }
    overlap::refuse(claims, problems);
}
