//! The sections of the networks: what must hold within a network, between networks, and between a
//! network and the peers. Which prefixes belong where is the matter of `prefixes`.

use std::collections::{HashMap, HashSet};

use ipnet::IpNet;
use vxlan_common::wire::{ipv4, ipv6};

use super::shared::{PeerDraft, on_line};
use super::{limits, members, prefixes, probes};
use crate::config::error::Problems;
use crate::config::text::schema;
use crate::config::text::section::Section;
use crate::config::text::source::quoted;
use crate::config::types::{Located, Member, Network};
use crate::config::values::scalar;
use crate::config::vni::Vni;

const MIN_MTU: u32 = ipv4::MIN_RECEIVABLE;
const MIN_MTU_IPV6: u32 = ipv6::MIN_MTU;
const MAX_MTU: u32 = 65535;

/// Values of other sections that networks are compared with.
pub(super) struct OtherSections<'a> {
    pub(super) peers: &'a [PeerDraft],
    /// The underlay interface.
    pub(super) interface: Option<&'a Located<String>>,
    /// The VNI of probes.
    pub(super) probes: &'a Located<u32>,
}

/// Reads the networks. `None`: one of them cannot be used.
pub(super) fn networks(
    root: &Section<'_>,
    other: &OtherSections<'_>,
    sections_known: bool,
    problems: &mut Problems,
) -> Option<Vec<Network>> {
    let peers = other.peers;
    // Whether every member could be read: else a peer without a network is only a consequence.
    let mut members_known = sections_known && root.is_list_or_absent("network");
    let mut names: HashMap<&str, usize> = HashMap::new();
    for (index, peer) in peers.iter().enumerate() {
        if let Some(name) = peer.name() {
            names.entry(name.value.as_str()).or_insert(index);
        }
    }
    let peers_known = root.is_list_or_absent("peer") && peers.iter().all(|at| at.name().is_some());
    let mut vnis: HashMap<Vni, Option<u32>> = HashMap::new();
    let mut interfaces: HashMap<String, Option<u32>> = HashMap::new();
    if let Some(underlay) = other.interface {
        interfaces.insert(underlay.value.clone(), underlay.line);
    }
    let mut used = vec![false; peers.len()];
    let mut ambiguous = HashSet::new();
    let mut networks = Some(Vec::new());
    for section in root.sections("network", &schema::NETWORK, problems) {
        members_known &= section.refuse_unknown_keys(problems);
        members_known &= section.is_list_or_absent("member");
        let vni = vni(&section, other.probes, &mut vnis, problems);
        let interface = interface(&section, &mut interfaces, problems);
        let addresses = prefixes::addresses(&section, problems);
        let (members, all) = members::members(&section, &names, peers_known, problems);
        members_known &= all;
        for member in &members {
            if let Some(used) = used.get_mut(member.peer) {
                *used = true;
            }
        }
        members::refuse_ambiguous_sources(vni, &members, peers, &mut ambiguous, problems);
        let local_ips = prefixes::local_ips(&section, &addresses, &members, peers, problems);
        prefixes::refuse_wrong_claims(&addresses, &members, peers, problems);
        probes::refuse_misplaced_probe_addresses(&addresses, &members, peers, problems);
        let ipv6 = any_ipv6(&addresses, &local_ips, &members);
        let mtu = mtu(&section, ipv6, problems);
        let route_table = scalar::choice(&section, "route_table", problems);
        let blackhole = section.boolean("blackhole", problems).is_none_or(|item| item.value);
        let limits = limits::for_network(&section, problems);
        let unknown_unicast = scalar::choice(&section, "unknown_unicast", problems).value;
        let unspecified_source = scalar::choice(&section, "unspecified_source", problems).value;
        let nested_tunnels = scalar::choice(&section, "nested_tunnels", problems).value;
        match (vni, interface, &mut networks) {
            (Some(vni), Some(interface), Some(networks)) => {
                networks.push(Network {
                    vni,
                    interface,
                    addresses,
                    local_ips,
                    stations: section.has("local_ips"),
                    mtu,
                    route_table,
                    blackhole,
                    broadcast_rate: limits.broadcast_rate,
                    unknown_unicast,
                    unspecified_source,
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
        let Some(name) = peer.name() else { continue };
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
                "{item} is the VNI of probes{at}. Give the network its own VNI, or leave vni out \
                 of [probe]."
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

fn any_ipv6(addresses: &[Located<IpNet>], local_ips: &[IpNet], members: &[Member]) -> bool {
    let allowed = members.iter().flat_map(|member| &member.allowed_ips);
    let is_ipv6 = |prefix: &IpNet| prefix.addr().is_ipv6();
    addresses.iter().chain(allowed).map(|at| &at.value).chain(local_ips).any(is_ipv6)
}

fn mtu(section: &Section<'_>, ipv6: bool, problems: &mut Problems) -> Option<Located<u32>> {
    let item = section.number("mtu", problems)?;
    let (min, what) = if ipv6 {
        (MIN_MTU_IPV6, "an MTU that IPv6 works with, and this network has IPv6")
    } else {
        (MIN_MTU, "an MTU")
    };
    scalar::range(&item, min, MAX_MTU, what, problems)
}
