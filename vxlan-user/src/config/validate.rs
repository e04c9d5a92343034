//! What the sections mean, and what must hold between peers, this node and the underlay.
//!
//! Each section first becomes a draft, in which a value that was wrong is absent, so that what is
//! right can still be compared. Drafts become a [`Config`] only when nothing at all was wrong.
//! Networks and their members are the matter of `validate_network`.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::choice::PeerSourcePort;
use super::error::Problems;
use super::raw::Section;
use super::schema;
use super::source::quoted;
use super::types::{Config, Located, Metrics, Node, Peer, PerFamily, Underlay};
use super::{validate_network, value, word};

const DEFAULT_PORT: u16 = 4789;
const DEFAULT_LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 9839);

/// A peer as far as it could be read.
pub(super) struct PeerDraft {
    /// Where its header stands.
    line: Option<u32>,
    pub(super) name: Option<Located<String>>,
    pub(super) endpoint: Option<Located<SocketAddr>>,
    pub(super) private_address: Option<Located<IpAddr>>,
    source_port: PeerSourcePort,
    key_file: Option<Located<PathBuf>>,
}

impl PeerDraft {
    /// For messages about a peer whose name may be what is wrong.
    pub(super) fn shown(&self) -> String {
        match (&self.name, self.line) {
            (Some(name), _) => quoted(name),
            (None, Some(line)) => format!("on line {line}"),
            (None, None) => "without a name".to_owned(),
        }
    }

    fn finish(self) -> Option<Peer> {
        Some(Peer {
            name: self.name?,
            endpoint: self.endpoint?,
            private_address: self.private_address,
            source_port: self.source_port,
            key_file: self.key_file,
        })
    }
}

pub(super) fn config(root: &Section<'_>, problems: &mut Problems) -> Option<Config> {
    let sections_known = root.refuse_unknown_keys(problems);
    let name = node_name(root, problems);
    let underlay = underlay(root, problems);
    let metrics = metrics(root, problems);
    let port = underlay.as_ref().map_or(DEFAULT_PORT, |(underlay, _)| underlay.port.value);
    let peers = peers(root, port, problems);
    refuse_confusable_peers(&peers, problems);
    refuse_own_identity(&peers, name.as_ref(), underlay.as_ref().map(|(at, _)| at), problems);
    let interface = underlay.as_ref().and_then(|(_, interface)| interface.as_ref());
    let networks = validate_network::networks(root, &peers, interface, sections_known, problems);
    if problems.any() {
        return None;
    }
    Some(Config {
        file: problems.file().to_owned(),
        node: Node { name: name?.value },
        underlay: underlay?.0,
        metrics,
        peers: peers.into_iter().map(PeerDraft::finish).collect::<Option<_>>()?,
        networks: networks?,
    })
}

fn node_name(root: &Section<'_>, problems: &mut Problems) -> Option<Located<String>> {
    root.require("node", problems);
    let node = root.section("node", &schema::NODE, problems)?;
    node.refuse_unknown_keys(problems);
    word::name(&node.required_text("name", problems)?, problems)
}

/// The underlay, and its interface where that is usable. In the first an unusable interface is
/// empty: it is only handed out when nothing was wrong.
fn underlay(
    root: &Section<'_>,
    problems: &mut Problems,
) -> Option<(Underlay, Option<Located<String>>)> {
    root.require("underlay", problems);
    let section = root.section("underlay", &schema::UNDERLAY, problems)?;
    section.refuse_unknown_keys(problems);
    let interface = section
        .required_text("interface", problems)
        .and_then(|item| word::interface(&item, "ens4", problems));
    let port = section
        .number("port", problems)
        .and_then(|item| word::range(&item, 1, u16::MAX.into(), "a UDP port", problems))
        .and_then(|port| Some(Located { value: u16::try_from(port.value).ok()?, line: port.line }))
        .unwrap_or(Located::default_of(DEFAULT_PORT));
    let underlay = Underlay {
        interface: interface.clone().unwrap_or(Located::default_of(String::new())),
        address: per_family(&section, "address", problems),
        public_address: per_family(&section, "public_address", problems),
        port,
        xdp: word::choice(&section, "xdp", problems),
        tc: word::choice(&section, "tc", problems).value,
        source_port: word::choice(&section, "source_port", problems).value,
        unknown_vni: word::choice(&section, "unknown_vni", problems).value,
        tag: word::choice(&section, "tag", problems),
    };
    Some((underlay, interface))
}

fn per_family(section: &Section<'_>, key: &str, problems: &mut Problems) -> PerFamily {
    let mut addresses = PerFamily::default();
    for item in section.texts(key, problems) {
        let Some(address) = value::address(&item, problems) else { continue };
        let (family, earlier) = match address.value {
            IpAddr::V4(v4) => ("IPv4", addresses.v4.replace(item.locate(v4)).map(|at| at.line)),
            IpAddr::V6(v6) => ("IPv6", addresses.v6.replace(item.locate(v6)).map(|at| at.line)),
        };
        if earlier.is_some() {
            problems.add(
                item.line,
                format!("{item} is a second {family} address. Write at most one of each family."),
            );
        }
    }
    addresses
}

fn metrics(root: &Section<'_>, problems: &mut Problems) -> Metrics {
    let listen = root.section("metrics", &schema::METRICS, problems).and_then(|section| {
        section.refuse_unknown_keys(problems);
        value::listen(&section.text("listen", problems)?, problems)
    });
    Metrics { listen: listen.unwrap_or(Located::default_of(SocketAddr::from(DEFAULT_LISTEN))) }
}

fn peers(root: &Section<'_>, default_port: u16, problems: &mut Problems) -> Vec<PeerDraft> {
    let sections = root.sections("peer", &schema::PEER, problems);
    sections.iter().map(|section| peer(section, default_port, problems)).collect()
}

fn peer(section: &Section<'_>, default_port: u16, problems: &mut Problems) -> PeerDraft {
    section.refuse_unknown_keys(problems);
    let directory = problems.file().parent().unwrap_or(Path::new("")).to_owned();
    PeerDraft {
        line: section.line,
        name: section.required_text("name", problems).and_then(|item| word::name(&item, problems)),
        endpoint: section
            .required_text("endpoint", problems)
            .and_then(|item| value::endpoint(&item, default_port, problems)),
        private_address: section
            .text("private_address", problems)
            .and_then(|item| value::address(&item, problems)),
        source_port: word::choice(section, "source_port", problems).value,
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

/// Two peers with one name, or with one source address.
fn refuse_confusable_peers(peers: &[PeerDraft], problems: &mut Problems) {
    let mut names: HashMap<&str, Option<u32>> = HashMap::new();
    let mut endpoints: HashMap<IpAddr, &PeerDraft> = HashMap::new();
    for peer in peers {
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
        let Some(endpoint) = &peer.endpoint else { continue };
        if let Some(first) = endpoints.get(&endpoint.ip()) {
            let line = first.endpoint.and_then(|at| at.line);
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
        } else {
            endpoints.insert(endpoint.ip(), peer);
        }
    }
}

/// A peer that is this node.
fn refuse_own_identity(
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
        let (Some(endpoint), Some(underlay)) = (&peer.endpoint, underlay) else { continue };
        for (key, own) in
            [("address", &underlay.address), ("public_address", &underlay.public_address)]
        {
            if let Some(same) = own.iter().find(|own| own.value == endpoint.ip()) {
                problems.add(
                    endpoint.line,
                    format!(
                        "endpoint {endpoint} of peer {} is this host's own {key}{}. Write \
                         the address of the peer.",
                        peer.shown(),
                        on_line(same.line)
                    ),
                );
                break;
            }
        }
    }
}

/// A pointer to the other of two lines.
pub(super) fn on_line(line: Option<u32>) -> String {
    line.map(|line| format!(" (line {line})")).unwrap_or_default()
}
