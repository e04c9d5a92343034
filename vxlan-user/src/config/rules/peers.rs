//! The sections of the peers, what must hold between peers, and between peers and this node.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::shared::{PeerDraft, on_line, per_family, refuse_second_of_family};
use super::{limits, probes};
use crate::config::error::Problems;
use crate::config::text::schema;
use crate::config::text::section::Section;
use crate::config::text::source::quoted;
use crate::config::types::{Located, Peer, PerFamily, Underlay};
use crate::config::values::{address, scalar};

/// The word in the place of an endpoint that is learned from the probes of the peer.
const LEARN: &str = "learn";

pub(super) fn peers(
    root: &Section<'_>,
    default_port: u16,
    problems: &mut Problems,
) -> Vec<PeerDraft> {
    let sections = root.sections("peer", &schema::PEER, problems);
    sections.iter().map(|section| peer(section, default_port, problems)).collect()
}

fn peer(section: &Section<'_>, default_port: u16, problems: &mut Problems) -> PeerDraft {
    section.refuse_unknown_keys(problems);
    let (endpoints, learns) = endpoints(section, default_port, problems);
    let source_port = probes::source_port(section, learns, problems);
    if let Some(line) = learns {
        probes::require_key(section, line, problems);
    }
    let name =
        section.required_text("name", problems).and_then(|item| scalar::name(&item, problems));
    let private_addresses = per_family(section, "private_address", problems);
    let accept_private = accept_private(section, learns, problems);
    let limits = limits::for_peer(section, problems);
    let peer = Peer {
        name: name.unwrap_or(Located::from_default(String::new())),
        endpoints,
        learns: learns.is_some(),
        private_addresses,
        accept_private,
        packets_per_second: limits.packets_per_second,
        bytes_per_second: limits.bytes_per_second,
        source_port,
        source_ports: probes::source_ports(section, source_port, problems),
        udp_checksum: probes::udp_checksum(section, source_port, problems),
        key_file: key_file(section, problems),
    };
    PeerDraft { line: section.line, learns, peer }
}

/// Reads whether packets from the private address enter. It needs an address, and an endpoint that
/// is not learned: the source address alone does not identify a peer that others share a NAT with.
fn accept_private(section: &Section<'_>, learns: Option<u32>, problems: &mut Problems) -> bool {
    let Some(item) = section.boolean("accept_private", problems) else { return false };
    if item.value && !section.has("private_address") {
        problems.add(
            item.line,
            format!(
                "{item} without a private_address accepts nothing. Write the address that the \
                 peer's own interface carries, such as private_address = \"10.0.0.119\", or remove \
                 accept_private."
            ),
        );
    }
    if item.value && learns.is_some() {
        problems.add(
            item.line,
            format!(
                "{item} does not go with endpoint = \"{LEARN}\": such a peer is known by the \
                 address and port that its probes come from, and by nothing else. Remove \
                 accept_private, or write the private address as endpoint."
            ),
        );
    }
    item.value
}

fn key_file(section: &Section<'_>, problems: &mut Problems) -> Option<Located<PathBuf>> {
    let item = section.text("key_file", problems)?;
    if item.value.is_empty() {
        let good = item.instead("\"/etc/vxlan/aws.key\"");
        problems.add(item.line, format!("{item} is empty. Remove it, or write {good}."));
        return None;
    }
    let directory = problems.file().parent().unwrap_or(Path::new(""));
    Some(item.locate(directory.join(item.value)))
}

/// Reads the declared endpoints, and the line of `endpoint = "learn"`.
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

/// Refuses two peers with the same name, source address, or key.
pub(super) fn refuse_confusable(drafts: &[PeerDraft], problems: &mut Problems) {
    let mut names: HashMap<&str, Option<u32>> = HashMap::new();
    let mut endpoints: HashMap<IpAddr, (usize, Option<u32>)> = HashMap::new();
    let mut keys: HashMap<&Path, (usize, Option<u32>)> = HashMap::new();
    for (index, draft) in drafts.iter().enumerate() {
        if let Some(name) = draft.name() {
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
        if let Some(key) = &draft.peer.key_file {
            let (first, line) = *keys.entry(&key.value).or_insert((index, key.line));
            if let Some(first) = drafts.get(first).filter(|_| first != index) {
                problems.add(
                    key.line,
                    format!(
                        "key_file \"{}\" of peer {} is that of peer {}{}: either could speak for \
                         the other. Give each peer a key of its own.",
                        key.value.display(),
                        draft.label(),
                        first.label(),
                        on_line(line)
                    ),
                );
            }
        }
        for endpoint in &draft.peer.endpoints {
            let (first, line) = *endpoints.entry(endpoint.ip()).or_insert((index, endpoint.line));
            // Two equal endpoints of one peer are of one family, which is reported already.
            if first == index {
                continue;
            }
            let Some(first) = drafts.get(first) else { continue };
            problems.add(
                endpoint.line,
                format!(
                    "endpoint {endpoint} of peer {} has the address of peer {}{}: the source \
                     address of a packet could not tell the two apart. Give each peer its own \
                     address.",
                    draft.label(),
                    first.label(),
                    on_line(line)
                ),
            );
        }
    }
}

/// Refuses a peer that has the name or an address of this node.
pub(super) fn refuse_own_identity(
    drafts: &[PeerDraft],
    node: Option<&Located<String>>,
    underlay: Option<&Underlay>,
    problems: &mut Problems,
) {
    for draft in drafts {
        if let (Some(name), Some(node)) = (draft.name(), node)
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
        for endpoint in &draft.peer.endpoints {
            let same = ours.iter().find(|(_, own)| own.value == endpoint.ip());
            if let Some((key, same)) = same {
                problems.add(
                    endpoint.line,
                    format!(
                        "endpoint {endpoint} of peer {} is this host's own {key}{}. Write \
                         the address of the peer.",
                        draft.label(),
                        on_line(same.line)
                    ),
                );
            }
        }
    }
}
