//! What the sections mean, and how their values must fit each other.
//!
//! A value that is wrong is absent afterwards, or its default, so that what is right can still be
//! compared. A [`Config`] is made only when nothing at all was wrong.
//!
//! Import order, lowest first: `shared`, `capacity`, `limits`, `overlap`, `prefixes`, `probes`,
//! `node`, `peers`, `members`, `networks`.

mod capacity;
mod limits;
mod members;
mod networks;
mod node;
mod overlap;
mod peers;
mod prefixes;
mod probes;
mod shared;

pub use limits::MAX_FDB_ENTRIES;
#[cfg(test)]
pub(super) use probes::KERNEL_PORTS;

use self::networks::OtherSections;
use self::shared::PeerDraft;
use super::error::Problems;
use super::text::section::Section;
use super::types::{Config, Node};

/// Reads and checks the whole file.
pub(in crate::config) fn config(root: &Section<'_>, problems: &mut Problems) -> Option<Config> {
    let sections_known = root.refuse_unknown_keys(problems);
    let name = node::node_name(root, problems);
    let underlay = node::underlay(root, problems);
    let metrics = node::metrics(root, problems);
    let port = underlay.as_ref().map_or(node::DEFAULT_PORT, |(underlay, _)| underlay.port.value);
    let peers = peers::peers(root, port, problems);
    let probe = probes::probe(root, peers.len(), problems);
    peers::refuse_confusable(&peers, problems);
    let own = underlay.as_ref().map(|(at, _)| at);
    peers::refuse_own_identity(&peers, name.as_ref(), own, problems);
    probes::refuse_variable_port(&peers, own, problems);
    let interface = underlay.as_ref().and_then(|(_, interface)| interface.as_ref());
    let other_sections = OtherSections { peers: &peers, interface, probes: &probe.vni };
    let networks = networks::networks(root, &other_sections, sections_known, problems);
    if let Some(networks) = &networks {
        limits::refuse_too_many_fdb_entries(networks, problems);
        capacity::refuse_too_much(&peers, networks, problems);
    }
    if problems.any() {
        return None;
    }
    Some(Config {
        file: problems.file().to_owned(),
        node: Node { name: name?.value },
        underlay: underlay?.0,
        metrics,
        probe,
        peers: peers.into_iter().map(PeerDraft::finish).collect::<Option<_>>()?,
        networks: networks?,
    })
}
