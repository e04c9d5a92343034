//! The members of one network: their sections, and which two of them could not be told apart.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::prefixes;
use super::shared::{PeerDraft, on_line};
use crate::config::error::Problems;
use crate::config::text::schema;
use crate::config::text::section::Section;
use crate::config::text::source::quoted;
use crate::config::text::suggest;
use crate::config::types::{Located, Member};
use crate::config::values::{address, scalar};
use crate::config::vni::Vni;

/// How many peers an error lists before it stops.
const MAX_LISTED_PEERS: usize = 10;

/// Reads the members of a network. `peers_known`: every peer of the file has a name that could be
/// read; else an unknown name may only be a consequence. Returns those whose peer could be read,
/// and whether these are all members.
pub(super) fn members(
    section: &Section<'_>,
    names: &HashMap<&str, usize>,
    peers_known: bool,
    problems: &mut Problems,
) -> (Vec<Member>, bool) {
    let mut members: Vec<Member> = Vec::new();
    let mut all = true;
    let mut peers: HashMap<usize, u32> = HashMap::new();
    let mut macs: HashMap<[u8; 6], u32> = HashMap::new();
    for section in section.sections("member", &schema::MEMBER, problems) {
        section.refuse_unknown_keys(problems);
        let peer = section.required_text("peer", problems).and_then(|item| {
            let Some(index) = names.get(item.value) else {
                if peers_known {
                    let remedy = known_peers(item.value, names);
                    let message = format!("{item} is no [[peer]] of this file. {remedy}");
                    problems.add(item.line, message);
                }
                return None;
            };
            if let Some(first) = peers.insert(*index, item.line) {
                problems.add(
                    item.line,
                    format!(
                        "{item} is a member of this network already (line {first}). Write all its \
                         allowed_ips there."
                    ),
                );
                return None;
            }
            Some(*index)
        });
        let mac = section.text("mac", problems).and_then(|item| {
            let mac = scalar::mac(&item, problems)?;
            if let Some(first) = macs.insert(mac, item.line) {
                problems.add(
                    item.line,
                    format!(
                        "{item} is the MAC address of another member (line {first}). Write each \
                         member's own, or leave mac out."
                    ),
                );
            }
            Some(mac)
        });
        let allowed_ips = prefixes::allowed_ips(&section, problems);
        let probe_address = section
            .text("probe_address", problems)
            .and_then(|item| address::address(&item, problems));
        match peer {
            Some(peer) => members.push(Member { peer, allowed_ips, mac, probe_address }),
            None => all = false,
        }
    }
    (members, all)
}

/// Tells which peers there are, and which of them was probably meant.
fn known_peers(wanted: &str, names: &HashMap<&str, usize>) -> String {
    let mut known: Vec<(usize, &str)> = names.iter().map(|(name, index)| (*index, *name)).collect();
    known.sort_unstable();
    if known.is_empty() {
        return "There is none yet: write a [[peer]] section for it.".to_owned();
    }
    let listed = known.iter().take(MAX_LISTED_PEERS).map(|(_, name)| quoted(name));
    let mut list = listed.collect::<Vec<_>>().join(", ");
    if known.len() > MAX_LISTED_PEERS {
        list = format!("{list} and {} more", known.len() - MAX_LISTED_PEERS);
    }
    match suggest::nearest(wanted, known.iter().map(|(_, name)| *name)) {
        Some(meant) => format!("Write peer = {} (known: {list}).", quoted(meant)),
        None => format!("Write one of {list}, or add a [[peer]] section for it."),
    }
}

/// Refuses two members of one network whose packets could have the same source address.
pub(super) fn refuse_ambiguous_sources(
    vni: Option<Located<Vni>>,
    members: &[Member],
    drafts: &[PeerDraft],
    reported: &mut HashSet<(usize, usize)>,
    problems: &mut Problems,
) {
    let mut sources: HashMap<IpAddr, (usize, &str, Option<u32>)> = HashMap::new();
    let vni = vni.map(|vni| format!(" {vni}")).unwrap_or_default();
    for (index, draft) in
        members.iter().filter_map(|member| Some((member.peer, drafts.get(member.peer)?)))
    {
        let peer = &draft.peer;
        // Its packets are recognised by the learned endpoint alone.
        if peer.learns {
            continue;
        }
        let endpoints = peer.endpoints.iter().map(|at| (at.ip(), "endpoint", at.line));
        let private = peer.private_addresses.iter().filter(|_| peer.accept_private);
        let private = private.map(|at| (at.value, "private_address", at.line));
        for (address, key, line) in endpoints.chain(private) {
            let (other, other_key, other_line) =
                *sources.entry(address).or_insert((index, key, line));
            // Equal endpoints are an error in any network, and already reported.
            let both_endpoints = key == "endpoint" && other_key == "endpoint";
            let pair = (index.min(other), index.max(other));
            if other == index || both_endpoints || !reported.insert(pair) {
                continue;
            }
            let Some(other) = drafts.get(other) else { continue };
            problems.add(
                line,
                format!(
                    "{key} of peer {}, {address}, is also the {other_key} of peer {}{}, and both \
                     are members of network{vni}: the source address of a packet could not tell \
                     the two apart. Give each its own address, or a network of its own.",
                    draft.label(),
                    other.label(),
                    on_line(other_line)
                ),
            );
        }
    }
}
