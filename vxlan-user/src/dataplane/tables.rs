//! Typed writing of the maps that the daemon owns. Knows names and types, not what to write.

use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, MapInfo, lpm_trie::Key},
};
use vxlan_common::{
    probe,
    table::{Mapping, NetworkAddress, Owner, PeerEntry, SourceEntry, active_element},
};

use super::{clock::uptime, error::DataPlaneError, fdb::Clock};
use crate::plan::{Change, Plan};

const SOURCES: &str = "SOURCES";
const MAPPINGS: &str = "MAPPINGS";
const PEER_BY_ADDRESS: &str = "PEER_BY_ADDRESS";
const PEERS: &str = "PEERS";
const VERSIONS: &str = "VERSIONS";

/// Maps with entries of ours, as opposed to the compiler's sections and the logger's buffer.
pub(super) const NAMES: [&str; 27] = [
    "SETTINGS",
    SOURCES,
    MAPPINGS,
    "SENDER_FILTER",
    "ROUTES",
    "NETWORKS",
    "FLOOD_LISTS",
    "NETWORK_BY_VNI",
    "NETWORK_BY_IFINDEX",
    "MEMBERS",
    PEERS,
    VERSIONS,
    PEER_BY_ADDRESS,
    "PROBERS",
    "FDB",
    "LEARNED",
    "FORGOTTEN",
    "CLOCK",
    "NEIGHBOURS",
    "TAGS",
    "PEER_BUCKETS",
    "PROBE_BUCKETS",
    "PROBE_SOURCE_BUCKETS",
    "BUM_BUCKETS",
    "SLOW_PATH_BUCKETS",
    "COUNTERS",
    "NON_MEMBERS",
];

pub(super) fn is_ours(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Returns how many entries a plan needs in each map that a configuration can fill.
pub(super) fn required_entries(plan: &Plan) -> [(&'static str, usize); 15] {
    let (networks, peers) = (plan.networks.len(), plan.peers.len());
    [
        ("NETWORKS", networks),
        ("FLOOD_LISTS", plan.flood_lists.len()),
        ("NETWORK_BY_VNI", networks),
        ("NETWORK_BY_IFINDEX", networks),
        (VERSIONS, peers),
        (PEERS, 2 * peers),
        ("PROBE_BUCKETS", 2 * peers),
        (PEER_BY_ADDRESS, plan.senders.peer_addresses.len()),
        ("PROBERS", plan.probers.len()),
        ("MEMBERS", plan.members.len()),
        ("LEARNED", plan.members.len()),
        ("TAGS", plan.tags.len()),
        ("ROUTES", plan.routes.len()),
        (SOURCES, plan.senders.sources.len()),
        (MAPPINGS, plan.senders.mappings.len()),
    ]
}

/// Checks that the maps have room for a plan.
///
/// # Errors
/// [`DataPlaneError::Full`]: the first map that is too small. [`DataPlaneError::Undescribed`].
pub(super) fn check_capacity(bpf: &Ebpf, plan: &Plan) -> Result<(), DataPlaneError> {
    for (name, needed) in required_entries(plan) {
        let info = bpf.map(name).map(|map| describe(name, map)).transpose()?.flatten();
        let capacity = info.map_or(0, |info| info.max_entries());
        if needed > capacity as usize {
            return Err(DataPlaneError::Full { name, needed, capacity });
        }
    }
    Ok(())
}

/// Writes a whole plan, and sets the clock by which everything learned from then on will age.
pub(super) fn fill(bpf: &mut Ebpf, plan: &Plan) -> Result<(), DataPlaneError> {
    let by_vni = plan.networks.iter().enumerate().map(|(index, network)| {
        let [a, b, c] = network.vni;
        ([0, a, b, c], index as u32)
    });
    let by_ifindex =
        plan.networks.iter().enumerate().map(|(index, network)| (network.ifindex, index as u32));

    array(bpf, Clock::NAME, &[uptime()])?;
    array(bpf, "SETTINGS", &[plan.settings])?;
    array(bpf, "NETWORKS", &plan.networks)?;
    array(bpf, "FLOOD_LISTS", &plan.flood_lists)?;
    peers(bpf, &plan.peers)?;
    array(bpf, "MEMBERS", &plan.members)?;
    hash(bpf, "NETWORK_BY_VNI", by_vni)?;
    hash(bpf, "NETWORK_BY_IFINDEX", by_ifindex)?;
    hash(bpf, PEER_BY_ADDRESS, plan.senders.peer_addresses.iter().copied())?;
    hash::<probe::ProbeTag, u32>(bpf, "PROBERS", plan.probers.iter().copied())?;
    hash(bpf, "TAGS", plan.tags.iter().copied())?;
    hash(bpf, "FDB", plan.fdb_entries.iter().copied())?;
    routes(bpf, plan)?;
    hash(bpf, MAPPINGS, plan.senders.mappings.iter().copied())?;
    hash(bpf, SOURCES, plan.senders.sources.iter().copied())
}

/// Writes or removes what a move of a learned endpoint changes, in this order.
///
/// # Errors
/// A map is full, or refuses an entry; then all is as it was before.
pub(super) fn change(bpf: &mut Ebpf, changes: &[Change]) -> Result<(), DataPlaneError> {
    let mut undo = Vec::with_capacity(changes.len());
    for change in changes {
        let back = opposite(bpf, change)?;
        if let Err(error) = change_one(bpf, change) {
            for back in undo.iter().rev() {
                // A removal makes room, and an entry that was there before fits again.
                change_one(bpf, back)?;
            }
            return Err(error);
        }
        undo.push(back);
    }
    Ok(())
}

fn change_one(bpf: &mut Ebpf, change: &Change) -> Result<(), DataPlaneError> {
    match *change {
        Change::SetSource(key, to) => hash(bpf, SOURCES, [(key, to)].into_iter()),
        Change::RemoveSource(key) => remove::<NetworkAddress, SourceEntry>(bpf, SOURCES, &key),
        Change::SetMapping(key, to) => hash(bpf, MAPPINGS, [(key, to)].into_iter()),
        Change::RemoveMapping(key) => remove::<Mapping, SourceEntry>(bpf, MAPPINGS, &key),
    }
}

/// Returns the change that undoes `change`.
fn opposite(bpf: &mut Ebpf, change: &Change) -> Result<Change, DataPlaneError> {
    Ok(match *change {
        Change::SetSource(key, _) | Change::RemoveSource(key) => {
            let there = present::<_, SourceEntry>(bpf, SOURCES, &key)?;
            there.map_or(Change::RemoveSource(key), |of| Change::SetSource(key, of))
        }
        Change::SetMapping(key, _) | Change::RemoveMapping(key) => {
            let there = present::<_, SourceEntry>(bpf, MAPPINGS, &key)?;
            there.map_or(Change::RemoveMapping(key), |of| Change::SetMapping(key, of))
        }
    })
}

/// Returns the value of a key, if the key is there.
fn present<K: Pod, V: Pod>(
    bpf: &mut Ebpf,
    name: &'static str,
    key: &K,
) -> Result<Option<V>, DataPlaneError> {
    with_hash(bpf, name, |hash: &mut HashMap<_, K, V>| match hash.get(key, 0) {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(error),
    })
}

/// Writes one peer so that every packet sees a whole entry: first the copy that is not in force,
/// then the version that puts it in force.
pub(super) fn set_peer(bpf: &mut Ebpf, index: u32, peer: &PeerEntry) -> Result<(), DataPlaneError> {
    let next =
        with_array::<u32, _>(bpf, VERSIONS, |versions| versions.get(&index, 0))?.wrapping_add(1);
    with_array::<PeerEntry, _>(bpf, PEERS, |peers| {
        peers.set(active_element(index, next), peer, 0)
    })?;
    with_array(bpf, VERSIONS, |versions| versions.set(index, next, 0))
}

fn map<'a>(bpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Map, DataPlaneError> {
    bpf.map_mut(name).ok_or(DataPlaneError::Missing { what: "map", name })
}

/// Returns what the kernel reports of a map; `None`: the map is of a kind that we do not use.
///
/// # Errors
/// [`DataPlaneError::Undescribed`]
pub(super) fn describe(name: &str, map: &Map) -> Result<Option<MapInfo>, DataPlaneError> {
    info(map).map_err(|source| DataPlaneError::Undescribed {
        name: name.to_owned(),
        source: Box::new(source),
    })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "aya knows two dozen other kinds")]
fn info(map: &Map) -> Result<Option<MapInfo>, MapError> {
    let data = match map {
        Map::Array(data)
        | Map::HashMap(data)
        | Map::LpmTrie(data)
        | Map::PerCpuArray(data)
        | Map::PerCpuHashMap(data) => data,
        _ => return Ok(None),
    };
    data.info().map(Some)
}

/// Returns how many entries the map can hold; 0 where the kernel does not report it.
pub(super) fn capacity(map: &Map) -> u32 {
    info(map).ok().flatten().map_or(0, |info| info.max_entries())
}

/// Makes the error of a refused entry. A full hash returns `E2BIG`, as does an array behind its
/// end; a full trie returns `ENOSPC`.
#[expect(clippy::wildcard_enum_match_arm, reason = "everything else is no matter of room")]
fn refused(bpf: &Ebpf, name: &'static str, needed: usize, source: MapError) -> DataPlaneError {
    let errno = match &source {
        MapError::SyscallError(error) => error.io_error.raw_os_error(),
        MapError::OutOfBounds { .. } => Some(libc::E2BIG),
        _ => None,
    };
    let map = bpf.map(name);
    let capacity = map.map_or(0, capacity);
    if matches!(errno, Some(libc::E2BIG | libc::ENOSPC)) {
        // An entry that is added is one more than there is room for.
        let needed = needed.max(capacity as usize + 1);
        return DataPlaneError::Full { name, needed, capacity };
    }
    DataPlaneError::Map { name, source: Box::new(source) }
}

fn peers(bpf: &mut Ebpf, all: &[PeerEntry]) -> Result<(), DataPlaneError> {
    // Every version is zero at first.
    with_array::<PeerEntry, _>(bpf, PEERS, |peers| {
        (0..).zip(all).try_for_each(|(index, peer)| peers.set(active_element(index, 0), peer, 0))
    })
}

/// Applies `change` to an array.
pub(super) fn with_array<V: Pod, T>(
    bpf: &mut Ebpf,
    name: &'static str,
    change: impl FnOnce(&mut Array<&mut MapData, V>) -> Result<T, MapError>,
) -> Result<T, DataPlaneError> {
    let changed = Array::try_from(map(bpf, name)?).and_then(|mut array| change(&mut array));
    changed.map_err(|source| refused(bpf, name, 0, source))
}

fn array<V: Pod>(bpf: &mut Ebpf, name: &'static str, values: &[V]) -> Result<(), DataPlaneError> {
    let set = Array::<&mut MapData, V>::try_from(map(bpf, name)?).and_then(|mut array| {
        let mut each = (0..).zip(values);
        each.try_for_each(|(index, value)| array.set(index, value, 0))
    });
    set.map_err(|source| refused(bpf, name, values.len(), source))
}

pub(super) fn hash<K: Pod, V: Pod>(
    bpf: &mut Ebpf,
    name: &'static str,
    mut entries: impl ExactSizeIterator<Item = (K, V)>,
) -> Result<(), DataPlaneError> {
    let needed = entries.len();
    let set = HashMap::<&mut MapData, K, V>::try_from(map(bpf, name)?)
        .and_then(|mut hash| entries.try_for_each(|(key, value)| hash.insert(key, value, 0)));
    set.map_err(|source| refused(bpf, name, needed, source))
}

pub(super) fn remove<K: Pod, V: Pod>(
    bpf: &mut Ebpf,
    name: &'static str,
    key: &K,
) -> Result<(), DataPlaneError> {
    with_hash(bpf, name, |hash: &mut HashMap<_, K, V>| hash.remove(key))
}

pub(super) fn with_hash<K: Pod, V: Pod, T>(
    bpf: &mut Ebpf,
    name: &'static str,
    change: impl FnOnce(&mut HashMap<&mut MapData, K, V>) -> Result<T, MapError>,
) -> Result<T, DataPlaneError> {
    let changed = HashMap::try_from(map(bpf, name)?).and_then(|mut hash| change(&mut hash));
    changed.map_err(|source| refused(bpf, name, 0, source))
}

fn routes(bpf: &mut Ebpf, plan: &Plan) -> Result<(), DataPlaneError> {
    const NAME: &str = "ROUTES";
    let set = LpmTrie::<&mut MapData, NetworkAddress, Owner>::try_from(map(bpf, NAME)?).and_then(
        |mut trie| {
            let mut each = plan.routes.iter();
            each.try_for_each(|of| trie.insert(&Key::new(of.bits, of.address), of.owner, 0))
        },
    );
    set.map_err(|source| refused(bpf, NAME, plan.routes.len(), source))
}
