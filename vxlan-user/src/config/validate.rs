//! What the sections mean: the whole file, this node, the underlay, metrics. Probes are the matter of
//! `validate_probes`.
//!
//! Each section first becomes a draft, in which a value that was wrong is absent, so that what is
//! right can still be compared. Drafts become a [`Config`] only when nothing at all was wrong.
//! Peers are the matter of `validate_peers`, networks and their members of `validate_network`.

use std::net::{IpAddr, SocketAddr};

use super::error::Problems;
use super::raw::Section;
use super::schema;
use super::types::{Config, Located, Metrics, Node, OuterField, PerFamily, Underlay};
use super::validate_peers::{self, PeerDraft};
use super::{validate_limits, validate_network, validate_probes, value, word};

const DEFAULT_PORT: u16 = 4789;
/// What hosts begin with (RFC 1700); the kernel's `vxlan` device inherits.
const DEFAULT_TTL: u8 = 64;
const DEFAULT_DSCP: u8 = 0;
const MOST_DSCP: u8 = 63;
const DEFAULT_LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 9839);

pub(super) fn config(root: &Section<'_>, problems: &mut Problems) -> Option<Config> {
    let sections_known = root.refuse_unknown_keys(problems);
    let name = node_name(root, problems);
    let underlay = underlay(root, problems);
    let metrics = metrics(root, problems);
    let probe = validate_probes::probe(root, problems);
    let port = underlay.as_ref().map_or(DEFAULT_PORT, |(underlay, _)| underlay.port.value);
    let peers = validate_peers::peers(root, port, problems);
    validate_peers::refuse_confusable(&peers, problems);
    let own = underlay.as_ref().map(|(at, _)| at);
    validate_peers::refuse_own_identity(&peers, name.as_ref(), own, problems);
    validate_probes::refuse_variable_port(&peers, own, problems);
    let interface = underlay.as_ref().and_then(|(_, interface)| interface.as_ref());
    let outside = validate_network::Outside { peers: &peers, interface, probes: &probe.vni };
    let networks = validate_network::networks(root, &outside, sections_known, problems);
    if let Some(networks) = &networks {
        validate_limits::refuse_too_many_stations(networks, problems);
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
        source_port: word::choice(&section, "source_port", problems),
        unknown_vni: word::choice(&section, "unknown_vni", problems).value,
        reserved_bits: word::choice(&section, "reserved_bits", problems).value,
        udp_checksum: word::choice(&section, "udp_checksum", problems).value,
        ttl: word::outer_field(&section, "ttl", (1, u8::MAX), "a time to live", problems)
            .unwrap_or(OuterField::Fixed(DEFAULT_TTL)),
        dscp: word::outer_field(&section, "dscp", (0, MOST_DSCP), "a DSCP", problems)
            .unwrap_or(OuterField::Fixed(DEFAULT_DSCP)),
        tag: word::choice(&section, "tag", problems),
    };
    Some((underlay, interface))
}

/// Addresses of a key that takes at most one of each family.
pub(super) fn per_family(section: &Section<'_>, key: &str, problems: &mut Problems) -> PerFamily {
    let mut addresses = PerFamily::default();
    for item in section.texts(key, problems) {
        let Some(address) = value::address(&item, problems) else { continue };
        let second = match address.value {
            IpAddr::V4(v4) => addresses.v4.replace(item.locate(v4)).is_some(),
            IpAddr::V6(v6) => addresses.v6.replace(item.locate(v6)).is_some(),
        };
        if second {
            validate_peers::refuse_second_of_family(&item, address.value, problems);
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

/// A pointer to the other of two lines.
pub(super) fn on_line(line: Option<u32>) -> String {
    line.map(|line| format!(" (line {line})")).unwrap_or_default()
}
