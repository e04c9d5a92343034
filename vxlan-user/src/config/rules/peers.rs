//! What the peers' sections mean, and what must hold between peers, and between them and this node.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::limits::{self, PeerLimits};
use super::probes;
use super::{on_line, per_family};
use crate::config::choice::{PeerSourcePort, PeerUdpChecksum};
use crate::config::error::Problems;
use crate::config::text::schema;
use crate::config::text::section::{Item, Section};
use crate::config::text::source::quoted;
use crate::config::types::{Located, Peer, PerFamily, Underlay};
use crate::config::values::{address, scalar};

/// In the place of an endpoint: it is what the peer's probes come from.
const LEARN: &str = "learn";

/// A peer as far as it could be read.
pub(in crate::config) struct PeerDraft {
    /// Where its header stands.
    line: Option<u32>,
    pub(in crate::config) name: Option<Located<String>>,
    pub(in crate::config) endpoints: Vec<Located<SocketAddr>>,
    /// The line of `endpoint = "learn"`.
    pub(in crate::config) learns: Option<u32>,
    pub(in crate::config) private_addresses: PerFamily,
    limits: PeerLimits,
    source_port: PeerSourcePort,
    source_ports: RangeInclusive<u16>,
    udp_checksum: PeerUdpChecksum,
    key_file: Option<Located<PathBuf>>,
}

impl PeerDraft {
    /// For messages about a peer whose name may be what is wrong.
    pub(in crate::config) fn shown(&self) -> String {
        match (&self.name, self.line) {
            (Some(name), _) => quoted(name),
            (None, Some(line)) => format!("on line {line}"),
            (None, None) => "without a name".to_owned(),
        }
    }

    pub(in crate::config) fn finish(self) -> Option<Peer> {
        if self.endpoints.is_empty() && self.learns.is_none() {
            return None;
        }
        Some(Peer {
            name: self.name?,
            endpoints: self.endpoints,
            learns: self.learns.is_some(),
            private_addresses: self.private_addresses,
            packets_per_second: self.limits.packets_per_second,
            bytes_per_second: self.limits.bytes_per_second,
            source_port: self.source_port,
            source_ports: self.source_ports,
            udp_checksum: self.udp_checksum,
            key_file: self.key_file,
        })
    }
}

pub(in crate::config) fn peers(
    root: &Section<'_>,
    default_port: u16,
    problems: &mut Problems,
) -> Vec<PeerDraft> {
    let sections = root.sections("peer", &schema::PEER, problems);
    sections.iter().map(|section| peer(section, default_port, problems)).collect()
}

fn peer(section: &Section<'_>, default_port: u16, problems: &mut Problems) -> PeerDraft {
    section.refuse_unknown_keys(problems);
    let directory = problems.file().parent().unwrap_or(Path::new("")).to_owned();
    let (endpoints, learns) = endpoints(section, default_port, problems);
    let source_port = probes::source_port(section, learns, problems);
    if let Some(line) = learns {
        probes::require_key(section, line, problems);
    }
    PeerDraft {
        line: section.line,
        name: section
            .required_text("name", problems)
            .and_then(|item| scalar::name(&item, problems)),
        endpoints,
        learns,
        private_addresses: per_family(section, "private_address", problems),
        limits: limits::of_peer(section, problems),
        source_port,
        source_ports: probes::source_ports(section, source_port, problems),
        udp_checksum: probes::udp_checksum(section, source_port, problems),
        key_file: section.text("key_file", problems).and_then(|item| {
            if item.value.is_empty() {
                let good = item.instead("\"/etc/vxlan/aws.key\"");
                problems.add(item.line, format!("{item} is empty. Remove it, or write {good}."));
                return None;
            }
            Some(item.locate(directory.join(item.value)))
        }),
    }
}

/// The endpoints, and the line that says that the endpoint is learned.
fn endpoints(
    section: &Section<'_>,
    default_port: u16,
    problems: &mut Problems,
) -> (Vec<Located<SocketAddr>>, Option<u32>) {
    section.require("endpoint", problems);
    if section.is_empty_list("endpoint") {
        problems.add(
            section.line_of("endpoint"),
            "endpoint = [] reaches nobody. Write the peer's address, such as endpoint = \
             \"198.51.100.20:4789\".",
        );
    }
    let mut endpoints: Vec<Located<SocketAddr>> = Vec::new();
    let items = section.texts("endpoint", problems);
    let learn = items.iter().find(|item| item.value == LEARN);
    if let Some(learn) = learn.filter(|_| items.len() > 1) {
        problems.add(
            learn.line,
            format!(
                "{learn} stands beside another endpoint. Write endpoint = \"{LEARN}\" and nothing \
                 else, or addresses alone."
            ),
        );
    }
    for item in items.iter().filter(|item| item.value != LEARN) {
        let Some(endpoint) = address::endpoint(item, default_port, problems) else { continue };
        if endpoints.iter().any(|other| other.is_ipv4() == endpoint.is_ipv4()) {
            refuse_second_of_family(item, endpoint.ip(), problems);
        }
        endpoints.push(endpoint);
    }
    (endpoints, learn.map(|item| item.line))
}

pub(in crate::config) fn refuse_second_of_family(
    item: &Item<&str>,
    address: IpAddr,
    problems: &mut Problems,
) {
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    problems.add(
        item.line,
        format!("{item} is a second {family} address. Write at most one of each family."),
    );
}

/// Two peers with one name, one source address, or one key.
pub(in crate::config) fn refuse_confusable(peers: &[PeerDraft], problems: &mut Problems) {
    let mut names: HashMap<&str, Option<u32>> = HashMap::new();
    let mut endpoints: HashMap<IpAddr, (usize, Option<u32>)> = HashMap::new();
    let mut keys: HashMap<&Path, (usize, Option<u32>)> = HashMap::new();
    for (index, peer) in peers.iter().enumerate() {
        if let Some(name) = &peer.name {
            if let Some(first) = names.get(name.as_str()) {
                problems.add(
                    name.line,
                    format!(
                        "name = {} is the name of another peer{}. Give each peer its own name.",
                        quoted(name),
                        on_line(*first)
                    ),
                );
            } else {
                names.insert(name, name.line);
            }
        }
        if let Some(key) = &peer.key_file {
            let (first, line) = *keys.entry(&key.value).or_insert((index, key.line));
            if let Some(first) = peers.get(first).filter(|_| first != index) {
                problems.add(
                    key.line,
                    format!(
                        "key_file \"{}\" of peer {} is that of peer {}{}: either could speak for the \
                         other. Give each peer a key of its own.",
                        key.value.display(),
                        peer.shown(),
                        first.shown(),
                        on_line(line)
                    ),
                );
            }
        }
        for endpoint in &peer.endpoints {
            let (first, line) = *endpoints.entry(endpoint.ip()).or_insert((index, endpoint.line));
            // Twice in one peer is a second one of its family, and said already.
            if first == index {
                continue;
            }
            let Some(first) = peers.get(first) else { continue };
            problems.add(
                endpoint.line,
                format!(
                    "endpoint {endpoint} of peer {} has the address of peer {}{}: the source address \
                     of a packet could not tell the two apart. Give each peer its own address.",
                    peer.shown(),
                    first.shown(),
                    on_line(line)
                ),
            );
        }
    }
}

/// A peer that is this node.
pub(in crate::config) fn refuse_own_identity(
    peers: &[PeerDraft],
    node: Option<&Located<String>>,
    underlay: Option<&Underlay>,
    problems: &mut Problems,
) {
    for peer in peers {
        if let (Some(name), Some(node)) = (&peer.name, node)
            && name == node
        {
            problems.add(
                name.line,
                format!(
                    "name = {} is this node's own name{}. List only other hosts as peers.",
                    quoted(name),
                    on_line(node.line)
                ),
            );
        }
        let Some(underlay) = underlay else { continue };
        let own = |key, of: &PerFamily| of.iter().map(|at| (key, at)).collect::<Vec<_>>();
        let mut ours = own("address", &underlay.address);
        ours.extend(own("public_address", &underlay.public_address));
        for endpoint in &peer.endpoints {
            let same = ours.iter().find(|(_, own)| own.value == endpoint.ip());
            if let Some((key, same)) = same {
                problems.add(
                    endpoint.line,
                    format!(
                        "endpoint {endpoint} of peer {} is this host's own {key}{}. Write \
                         the address of the peer.",
                        peer.shown(),
                        on_line(same.line)
                    ),
                );
            }
        }
    }
}
