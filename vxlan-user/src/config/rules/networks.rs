//! What must hold within a network, between networks, and between a network and the peers.
//! Which prefixes belong where is the matter of `prefixes`.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::on_line;
use super::peers::PeerDraft;
use super::{limits, prefixes, probes};
use crate::config::error::Problems;
use crate::config::text::schema;
use crate::config::text::section::Section;
use crate::config::text::source::quoted;
use crate::config::text::suggest;
use crate::config::types::{Located, Member, Network, Vni};
use crate::config::values::{address, scalar};

const LEAST_MTU: u32 = 576;
/// RFC 8200, section 5: no link that carries IPv6 has less.
const LEAST_MTU_IPV6: u32 = 1280;
const MOST_MTU: u32 = 65535;
/// How many peers an error lists before it stops.
const LISTED_PEERS: usize = 10;

/// What networks must fit that stands elsewhere in the file.
pub(in crate::config) struct Outside<'a> {
    pub(in crate::config) peers: &'a [PeerDraft],
    /// The underlay's.
    pub(in crate::config) interface: Option<&'a Located<String>>,
    /// VNI of probes.
    pub(in crate::config) probes: &'a Located<u32>,
}

/// The networks; None if one of them cannot be used.
pub(in crate::config) fn networks(
    root: &Section<'_>,
    outside: &Outside<'_>,
    sections_known: bool,
    problems: &mut Problems,
) -> Option<Vec<Network>> {
    let peers = outside.peers;
    // Whether every member could be told: else a peer without a network is only a consequence.
    let mut members_known = sections_known && root.is_list_or_absent("network");
    let mut names: HashMap<&str, usize> = HashMap::new();
    for (index, peer) in peers.iter().enumerate() {
        if let Some(name) = &peer.name {
            names.entry(name.value.as_str()).or_insert(index);
        }
    }
    let mut vnis: HashMap<Vni, Option<u32>> = HashMap::new();
    let mut interfaces: HashMap<String, Option<u32>> = HashMap::new();
    if let Some(underlay) = outside.interface {
        interfaces.insert(underlay.value.clone(), underlay.line);
    }
    let mut used = vec![false; peers.len()];
    let mut ambiguous = HashSet::new();
    let mut networks = Some(Vec::new());
    for section in root.sections("network", &schema::NETWORK, problems) {
        members_known &= section.refuse_unknown_keys(problems);
        members_known &= section.is_list_or_absent("member");
        let vni = vni(&section, outside.probes, &mut vnis, problems);
        let interface = interface(&section, &mut interfaces, problems);
        let addresses = prefixes::addresses(&section, problems);
        let (members, all) = members(&section, &names, problems);
        members_known &= all;
        for member in &members {
            if let Some(used) = used.get_mut(member.peer) {
                *used = true;
            }
        }
        refuse_ambiguous_sources(vni, &members, peers, &mut ambiguous, problems);
        let local_ips = prefixes::local_ips(&section, &addresses, &members, peers, problems);
        prefixes::refuse_wrong_claims(&addresses, &members, peers, problems);
        probes::refuse_strange_addresses(&addresses, &members, peers, problems);
        let ipv6 = any_ipv6(&addresses, &local_ips, &members);
        let mtu = mtu(&section, ipv6, problems);
        let route_table = scalar::choice(&section, "route_table", problems);
        let limits = limits::of_network(&section, problems);
        let unknown_unicast = scalar::choice(&section, "unknown_unicast", problems).value;
        let nested_tunnels = scalar::choice(&section, "nested_tunnels", problems).value;
        match (vni, interface, &mut networks) {
            (Some(vni), Some(interface), Some(networks)) => {
                networks.push(Network {
                    vni,
                    interface,
                    addresses,
                    local_ips,
                    mtu,
                    route_table,
                    broadcast_rate: limits.broadcast_rate,
                    unknown_unicast,
                    nested_tunnels,
                    ageing: limits.ageing,
                    max_stations: limits.max_stations,
                    members,
                });
            }
            _ => networks = None,
        }
    }
    for (index, (peer, used)) in peers.iter().zip(used).enumerate() {
        let Some(name) = &peer.name else { continue };
        let reachable = names.get(name.value.as_str()) == Some(&index);
        if used || !members_known || !reachable {
            continue;
        }
        problems.add(
            name.line,
            format!(
                "peer {0} is in no network, so every packet of it would be dropped. Write a \
                 [[network.member]] with peer = {0}, or remove the peer.",
                quoted(name)
            ),
        );
    }
    networks
}

fn vni(
    section: &Section<'_>,
    probes: &Located<u32>,
    taken: &mut HashMap<Vni, Option<u32>>,
    problems: &mut Problems,
) -> Option<Located<Vni>> {
    section.require("vni", problems);
    let item = section.number("vni", problems)?;
    if item.value == i64::from(Vni::PROBES) {
        problems.add(
            item.line,
            format!("{item} is reserved for probes. Write a number from 0 to {}.", Vni::MAX),
        );
        return None;
    }
    let vni = scalar::range(&item, 0, Vni::MAX, "a VNI", problems).and_then(|at| Vni::new(*at))?;
    if vni.get() == probes.value {
        let at = on_line(probes.line);
        problems.add(
            item.line,
            format!(
                "{item} is the VNI of probes{at}. Give the network its own VNI, or leave vni out of \
                 [probe]."
            ),
        );
        return None;
    }
    if let Some(first) = taken.get(&vni) {
        let at = on_line(*first);
        problems.add(
            item.line,
            format!("{item} is the VNI of another network{at}. Give each network its own VNI."),
        );
        return None;
    }
    taken.insert(vni, Some(item.line));
    Some(item.locate(vni))
}

fn interface(
    section: &Section<'_>,
    taken: &mut HashMap<String, Option<u32>>,
    problems: &mut Problems,
) -> Option<Located<String>> {
    let item = section.required_text("interface", problems)?;
    let interface = scalar::interface(&item, "vxlan43", problems)?;
    if let Some(first) = taken.get(&interface.value) {
        let at = on_line(*first);
        problems.add(
            item.line,
            format!("{item} is taken already{at}. Give each network its own interface."),
        );
        return None;
    }
    taken.insert(interface.value.clone(), interface.line);
    Some(interface)
}

/// The members that could be told, and whether these are all.
fn members(
    section: &Section<'_>,
    names: &HashMap<&str, usize>,
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
                let remedy = known_peers(item.value, names);
                problems.add(item.line, format!("{item} is no [[peer]] of this file. {remedy}"));
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

fn known_peers(wanted: &str, names: &HashMap<&str, usize>) -> String {
    let mut known: Vec<(usize, &str)> = names.iter().map(|(name, index)| (*index, *name)).collect();
    known.sort_unstable();
    if known.is_empty() {
        return "There is none yet: write a [[peer]] section for it.".to_owned();
    }
    let listed = known.iter().take(LISTED_PEERS).map(|(_, name)| quoted(name));
    let mut list = listed.collect::<Vec<_>>().join(", ");
    if known.len() > LISTED_PEERS {
        list = format!("{list} and {} more", known.len() - LISTED_PEERS);
    }
    match suggest::nearest(wanted, known.iter().map(|(_, name)| *name)) {
        Some(meant) => format!("Write peer = {} (known: {list}).", quoted(meant)),
        None => format!("Write one of {list}, or add a [[peer]] section for it."),
    }
}

/// Two members of one network from which packets could come with the same source address.
fn refuse_ambiguous_sources(
    vni: Option<Located<Vni>>,
    members: &[Member],
    peers: &[PeerDraft],
    reported: &mut HashSet<(usize, usize)>,
    problems: &mut Problems,
) {
    let mut sources: HashMap<IpAddr, (usize, &str, Option<u32>)> = HashMap::new();
    let vni = vni.map(|vni| format!(" {vni}")).unwrap_or_default();
    for (index, peer) in
        members.iter().filter_map(|member| Some((member.peer, peers.get(member.peer)?)))
    {
        // Its packets are known by the endpoint that was learned, and by nothing else.
        if peer.learns.is_some() {
            continue;
        }
        let endpoints = peer.endpoints.iter().map(|at| (at.ip(), "endpoint", at.line));
        let private =
            peer.private_addresses.iter().map(|at| (at.value, "private_address", at.line));
        for (address, key, line) in endpoints.chain(private) {
            let (other, other_key, other_line) =
                *sources.entry(address).or_insert((index, key, line));
            // Equal endpoints are an error in any network, and said already.
            let both_endpoints = key == "endpoint" && other_key == "endpoint";
            let pair = (index.min(other), index.max(other));
            if other == index || both_endpoints || !reported.insert(pair) {
                continue;
            }
            let Some(other) = peers.get(other) else { continue };
            problems.add(
                line,
                format!(
                    "{key} of peer {}, {address}, is also the {other_key} of peer {}{}, and both \
                     are members of network{vni}: the source address of a packet could not tell \
                     the two apart. Give each its own address, or a network of its own.",
                    peer.shown(),
                    other.shown(),
                    on_line(other_line)
                ),
            );
        }
    }
}

fn any_ipv6(addresses: &[Located<IpNet>], local_ips: &[IpNet], members: &[Member]) -> bool {
    let allowed = members.iter().flat_map(|member| &member.allowed_ips);
    let is_ipv6 = |prefix: &IpNet| prefix.addr().is_ipv6();
    addresses.iter().chain(allowed).map(|at| &at.value).chain(local_ips).any(is_ipv6)
}

fn mtu(section: &Section<'_>, ipv6: bool, problems: &mut Problems) -> Option<Located<u32>> {
    let item = section.number("mtu", problems)?;
    let (least, what) = if ipv6 {
        (LEAST_MTU_IPV6, "an MTU that IPv6 works with, and this network has IPv6")
    } else {
        (LEAST_MTU, "an MTU")
    };
    scalar::range(&item, least, MOST_MTU, what, problems)
}
