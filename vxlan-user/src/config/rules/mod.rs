//! What the sections mean: the whole file, this node, the underlay, metrics. Probes are the matter of
//! `probes`.
//!
//! Each section first becomes a draft, in which a value that was wrong is absent, so that what is
//! right can still be compared. Drafts become a [`Config`] only when nothing at all was wrong.
//! Peers are the matter of `peers`, networks and their members of `networks`.

mod limits;
mod networks;
mod overlap;
mod peers;
mod prefixes;
mod probes;

pub use limits::MOST_STATIONS;
#[cfg(test)]
pub(super) use probes::KERNEL_PORTS;

use std::net::{IpAddr, SocketAddr};

use self::peers::PeerDraft;
use crate::config::error::Problems;
use crate::config::text::schema;
use crate::config::text::section::Section;
use crate::config::types::{Config, Located, Metrics, Node, OuterField, PerFamily, Underlay};
use crate::config::values::{address, scalar};

const DEFAULT_PORT: u16 = 4789;
/// What hosts begin with (RFC 1700); the kernel's `vxlan` device inherits.
const DEFAULT_TTL: u8 = 64;
const DEFAULT_DSCP: u8 = 0;
const MOST_DSCP: u8 = 63;
const DEFAULT_LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 9839);

pub(in crate::config) fn config(root: &Section<'_>, problems: &mut Problems) -> Option<Config> {
    let sections_known = root.refuse_unknown_keys(problems);
    let name = node_name(root, problems);
    let underlay = underlay(root, problems);
    let metrics = metrics(root, problems);
    let probe = probes::probe(root, problems);
    let port = underlay.as_ref().map_or(DEFAULT_PORT, |(underlay, _)| underlay.port.value);
    let peers = peers::peers(root, port, problems);
    peers::refuse_confusable(&peers, problems);
    let own = underlay.as_ref().map(|(at, _)| at);
    peers::refuse_own_identity(&peers, name.as_ref(), own, problems);
    probes::refuse_variable_port(&peers, own, problems);
    let interface = underlay.as_ref().and_then(|(_, interface)| interface.as_ref());
    let outside = networks::Outside { peers: &peers, interface, probes: &probe.vni };
    let networks = networks::networks(root, &outside, sections_known, problems);
    if let Some(networks) = &networks {
        limits::refuse_too_many_stations(networks, problems);
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

fn node_name(root: &Section<'_>, problems: &mut Problems) -> Option<Located<String>> {
    root.require("node", problems);
    let node = root.section("node", &schema::NODE, problems)?;
    node.refuse_unknown_keys(problems);
    scalar::name(&node.required_text("name", problems)?, problems)
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
        .and_then(|item| scalar::interface(&item, "ens4", problems));
    let port = section
        .number("port", problems)
        .and_then(|item| scalar::range(&item, 1, u16::MAX.into(), "a UDP port", problems))
        .and_then(|port| Some(Located { value: u16::try_from(port.value).ok()?, line: port.line }))
        .unwrap_or(Located::default_of(DEFAULT_PORT));
    let underlay = Underlay {
        interface: interface.clone().unwrap_or(Located::default_of(String::new())),
        address: per_family(&section, "address", problems),
        public_address: per_family(&section, "public_address", problems),
        port,
        xdp: scalar::choice(&section, "xdp", problems),
        tc: scalar::choice(&section, "tc", problems).value,
        source_port: scalar::choice(&section, "source_port", problems),
        unknown_vni: scalar::choice(&section, "unknown_vni", problems).value,
        reserved_bits: scalar::choice(&section, "reserved_bits", problems).value,
        udp_checksum: scalar::choice(&section, "udp_checksum", problems).value,
        ttl: scalar::outer_field(&section, "ttl", (1, u8::MAX), "a time to live", problems)
            .unwrap_or(OuterField::Fixed(DEFAULT_TTL)),
        dscp: scalar::outer_field(&section, "dscp", (0, MOST_DSCP), "a DSCP", problems)
            .unwrap_or(OuterField::Fixed(DEFAULT_DSCP)),
        tag: scalar::choice(&section, "tag", problems),
    };
    Some((underlay, interface))
}

/// Addresses of a key that takes at most one of each family.
pub(in crate::config) fn per_family(
    section: &Section<'_>,
    key: &str,
    problems: &mut Problems,
) -> PerFamily {
    let mut addresses = PerFamily::default();
    for item in section.texts(key, problems) {
        let Some(address) = address::address(&item, problems) else { continue };
        let second = match address.value {
            IpAddr::V4(v4) => addresses.v4.replace(item.locate(v4)).is_some(),
            IpAddr::V6(v6) => addresses.v6.replace(item.locate(v6)).is_some(),
        };
        if second {
            peers::refuse_second_of_family(&item, address.value, problems);
        }
    }
    addresses
}

fn metrics(root: &Section<'_>, problems: &mut Problems) -> Metrics {
    let listen = root.section("metrics", &schema::METRICS, problems).and_then(|section| {
        section.refuse_unknown_keys(problems);
        address::listen(&section.text("listen", problems)?, problems)
    });
    Metrics { listen: listen.unwrap_or(Located::default_of(SocketAddr::from(DEFAULT_LISTEN))) }
}

/// A pointer to the other of two lines.
pub(in crate::config) fn on_line(line: Option<u32>) -> String {
    line.map(|line| format!(" (line {line})")).unwrap_or_default()
}
