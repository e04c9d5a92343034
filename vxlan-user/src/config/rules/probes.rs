//! What probes and peers behind NAT need: the section `[probe]`, a learned endpoint, the ports and
//! checksums that a peer sends, the address behind the peer that is probed. The key files are read
//! by `daemon/preflight/keys.rs`.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

use super::shared::{PeerDraft, on_line};
use crate::config::choice::{PeerSourcePort, PeerUdpChecksum, SourcePort};
use crate::config::error::Problems;
use crate::config::text::schema;
use crate::config::text::section::Section;
use crate::config::types::{Located, Member, Probe, Underlay};
use crate::config::values::scalar;
use crate::config::vni::Vni;

/// Seconds, where there are few peers.
const DEFAULT_INTERVAL: u32 = 5;
/// With more peers than [`DEFAULT_INTERVAL`] times this, the default interval is longer, so that
/// probing them all costs no more.
const PEERS_PER_SECOND: usize = 1_000;
/// Seconds. Most NATs keep an idle UDP mapping for 30 s or more, although RFC 4787, section 4.3,
/// requires 120 s.
const DEFAULT_KEEPALIVE: u32 = 20;
const MAX_SECONDS: u32 = 3600;
/// The local ports of Linux by default (ip_local_port_range), which a `vxlan` device sends from.
pub(in crate::config) const KERNEL_PORTS: RangeInclusive<u16> = 32_768..=60_999;

/// Reads the section `[probe]` of a configuration with so many peers.
pub(super) fn probe(root: &Section<'_>, peers: usize, problems: &mut Problems) -> Probe {
    let section = root.section("probe", &schema::PROBE, problems);
    if let Some(section) = &section {
        section.refuse_unknown_keys(problems);
    }
    let mut number = |key, low, high, what, default| {
        let item = section.as_ref().and_then(|section| section.number(key, problems));
        let number = item.and_then(|item| scalar::range(&item, low, high, what, problems));
        number.unwrap_or(Located::from_default(default))
    };
    let vni = number("vni", 0, Vni::PROBES, "a VNI", Vni::PROBES);
    let mut seconds = |key, default: u32| {
        let seconds = number(key, 1, MAX_SECONDS, "a number of seconds that is of use", default);
        Duration::from_secs(seconds.value.into())
    };
    Probe {
        vni,
        interval: seconds("interval", default_interval(peers)),
        keepalive: seconds("keepalive", DEFAULT_KEEPALIVE),
    }
}

/// Returns the time between two probes to one of so many peers, in seconds.
fn default_interval(peers: usize) -> u32 {
    let many = u32::try_from(peers / PEERS_PER_SECOND).unwrap_or(MAX_SECONDS);
    many.clamp(DEFAULT_INTERVAL, MAX_SECONDS)
}

/// Reads how a peer chooses its source port. A peer whose endpoint is learned sends from one port.
pub(super) fn source_port(
    section: &Section<'_>,
    learns: Option<u32>,
    problems: &mut Problems,
) -> PeerSourcePort {
    let written = scalar::choice::<PeerSourcePort>(section, "source_port", problems);
    if learns.is_none() {
        return written.value;
    }
    if written.line.is_some() && written.value != PeerSourcePort::Fixed {
        problems.add(
            written.line,
            format!(
                "source_port = \"{written}\" is not for a peer whose endpoint is learned: a NAPT \
                 would give each of its ports another one. Write source_port = \"fixed\", or leave \
                 it out."
            ),
        );
    }
    PeerSourcePort::Fixed
}

/// Reads the range of [`PeerSourcePort::Any`].
pub(super) fn source_ports(
    section: &Section<'_>,
    source_port: PeerSourcePort,
    problems: &mut Problems,
) -> RangeInclusive<u16> {
    let Some(item) = section.text("source_ports", problems) else { return KERNEL_PORTS };
    if source_port != PeerSourcePort::Any {
        problems.add(
            item.line,
            format!(
                "{item} says nothing of a peer with source_port = \"{source_port}\". Write \
                 source_port = \"any\", or leave source_ports out."
            ),
        );
    }
    let ports = scalar::ports(&item, problems);
    ports.unwrap_or(KERNEL_PORTS)
}

/// Reads which UDP checksums a peer sends. This program sends none; a peer with ports of its own
/// choice is another implementation, which may.
pub(super) fn udp_checksum(
    section: &Section<'_>,
    source_port: PeerSourcePort,
    problems: &mut Problems,
) -> PeerUdpChecksum {
    let written = scalar::choice::<PeerUdpChecksum>(section, "udp_checksum", problems);
    match source_port {
        PeerSourcePort::Any if written.line.is_none() => PeerUdpChecksum::Any,
        PeerSourcePort::Any | PeerSourcePort::Flow | PeerSourcePort::Fixed => written.value,
    }
}

/// Refuses a learned endpoint without a key: only probes that prove a key are learned from.
pub(super) fn require_key(section: &Section<'_>, line: u32, problems: &mut Problems) {
    if !section.has("key_file") {
        problems.add(
            line,
            "endpoint = \"learn\" needs a key_file: only probes that prove the key say where the \
             peer is. Write one in this [[peer]], such as key_file = \"/etc/vxlan/aws.key\".",
        );
    }
}

/// Refuses learned endpoints beside an underlay that sends from many ports.
pub(super) fn refuse_variable_port(
    peers: &[PeerDraft],
    underlay: Option<&Underlay>,
    problems: &mut Problems,
) {
    let Some(source_port) = underlay.map(|underlay| underlay.source_port) else { return };
    if source_port.value == SourcePort::Fixed {
        return;
    }
    for line in peers.iter().filter_map(|peer| peer.learns) {
        problems.add(
            line,
            format!(
                "endpoint = \"learn\" does not go with source_port = \"{source_port}\" of \
                 [underlay]{}: the NAPT in front of the peer lets in only what comes from the port \
                 that it has seen. Write source_port = \"fixed\" there.",
                on_line(source_port.line)
            ),
        );
    }
}

/// Refuses each `probe_address` that is not behind its member.
pub(super) fn refuse_misplaced_probe_addresses(
    own: &[Located<IpNet>],
    members: &[Member],
    peers: &[PeerDraft],
    problems: &mut Problems,
) {
    let longest = |member: &Member, address: IpAddr| {
        let around = member.allowed_ips.iter().filter(|prefix| prefix.contains(&address));
        around.map(|prefix| prefix.prefix_len()).max()
    };
    for (index, member) in members.iter().enumerate() {
        let Some(target) = member.probe_address else { continue };
        let others = members.iter().enumerate().filter(|(other, _)| *other != index);
        let theirs = others.filter_map(|(_, other)| longest(other, target.value)).max();
        let why = if own.iter().any(|at| at.addr() == target.value) {
            "is this host's own address"
        } else {
            match longest(member, target.value) {
                None => "is in none of the allowed_ips of the member",
                found if theirs > found => "is an address of another member",
                Some(_) => continue,
            }
        };
        let label = peers.get(member.peer).map_or_else(String::new, PeerDraft::label);
        problems.add(
            target.line,
            format!(
                "probe_address = \"{target}\" {why}. Write that of a host behind {label}, or leave \
                 it out."
            ),
        );
    }
}
