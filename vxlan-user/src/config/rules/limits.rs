//! Limits: rates, learned MAC addresses, ageing. Owns the ranges of these numbers, and whether the
//! FDB entries of all networks have room together.

use crate::config::error::Problems;
use crate::config::text::section::Section;
use crate::config::types::{Located, Network};

/// Packets per second. Above this and [`MAX_BYTE_RATE`] the programs' rate limits are not exact: a
/// unit costs whole 1024ths of a nanosecond.
const MAX_PACKET_RATE: i64 = 1_000_000_000;
/// Bytes per second.
const MAX_BYTE_RATE: i64 = 100_000_000_000;
/// Frames per second, before they are copied to the members.
const MAX_BROADCAST_RATE: i64 = 1_000_000;
/// As `MAX_BROADCAST_RATE`.
const DEFAULT_BROADCAST_RATE: u32 = 1_000;
/// Seconds: the default of the kernel's bridge (BR_DEFAULT_AGEING_TIME) and of its `vxlan` device
/// (FDB_AGE_DEFAULT).
const DEFAULT_AGEING: u32 = 300;
const DEFAULT_MAX_STATIONS: u32 = 256;
/// FDB entries of all networks together, declared and learned: the largest size of the `FDB` map.
pub const MAX_FDB_ENTRIES: u64 = 4_194_304;

/// Limits of what is accepted from a peer.
pub(super) struct PeerLimits {
    pub(super) packets_per_second: Option<u64>,
    pub(super) bytes_per_second: Option<u64>,
}

/// Limits of a network.
pub(super) struct NetworkLimits {
    pub(super) broadcast_rate: u32,
    pub(super) ageing: u32,
    pub(super) max_stations: Located<u32>,
}

pub(super) fn for_peer(section: &Section<'_>, problems: &mut Problems) -> PeerLimits {
    let nothing = Some("would refuse every packet of the peer");
    let mut limit = |key, max| {
        let found = number(section, key, (1, max), nothing, "no limit", problems)?;
        u64::try_from(found.value).ok()
    };
    PeerLimits {
        packets_per_second: limit("packets_per_second", MAX_PACKET_RATE),
        bytes_per_second: limit("bytes_per_second", MAX_BYTE_RATE),
    }
}

pub(super) fn for_network(section: &Section<'_>, problems: &mut Problems) -> NetworkLimits {
    let mut limit = |key, range, zero, default: u32| {
        let found = number(section, key, range, zero, &default.to_string(), problems);
        let found = found
            .and_then(|at| Some(Located { value: u32::try_from(at.value).ok()?, line: at.line }));
        found.unwrap_or(Located::from_default(default))
    };
    NetworkLimits {
        broadcast_rate: limit(
            "broadcast_rate",
            (1, MAX_BROADCAST_RATE),
            Some("would send nothing that is for everyone"),
            DEFAULT_BROADCAST_RATE,
        )
        .value,
        ageing: limit("ageing", (10, 86_400), None, DEFAULT_AGEING).value,
        max_stations: limit(
            "max_stations",
            (1, 65_536),
            Some("would learn no station"),
            DEFAULT_MAX_STATIONS,
        ),
    }
}

/// Reads a number within a range. `zero` tells what 0 would do, `absent` what holds without the
/// key.
fn number(
    section: &Section<'_>,
    key: &str,
    (low, high): (i64, i64),
    zero: Option<&str>,
    absent: &str,
    problems: &mut Problems,
) -> Option<Located<i64>> {
    let item = section.number(key, problems)?;
    if (low..=high).contains(&item.value) {
        return Some(item.locate(item.value));
    }
    let range = format!("Write a number from {low} to {high}");
    let message = match zero.filter(|_| item.value == 0) {
        Some(zero) => format!("{item} {zero}. {range}, or leave the key out for {absent}."),
        None => format!("{item} is out of range. {range}."),
    };
    problems.add(item.line, message);
    None
}

/// Refuses more FDB entries, declared and learned, than the map can have. Reported at the network
/// with the largest share.
pub(super) fn refuse_too_many_fdb_entries(networks: &[Network], problems: &mut Problems) {
    let all: u64 = networks.iter().map(Network::max_fdb_entries).sum();
    let Some(largest) = networks.iter().max_by_key(|network| network.max_fdb_entries()) else {
        return;
    };
    if all <= MAX_FDB_ENTRIES {
        return;
    }
    let line = largest.max_stations.line.or(largest.vni.line);
    let members: usize = networks.iter().map(|network| network.members.len()).sum();
    problems.add(
        line,
        format!(
            "max_stations = {} for each of the {} members of network {}: with those of all \
             networks that makes {all} stations, more than the {MAX_FDB_ENTRIES} there is room \
             for. Write a smaller max_stations, such as max_stations = {}.",
            largest.max_stations,
            largest.members.len(),
            largest.vni,
            // A declared MAC address of each member has room besides.
            (MAX_FDB_ENTRIES / members as u64).saturating_sub(1).max(1),
        ),
    );
}
