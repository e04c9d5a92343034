//! Typed writing of the maps that the daemon owns. Knows names and types, not what to write.

use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, MapInfo, lpm_trie::Key},
};
use vxlan_common::{
    probe,
    table::{Mapping, NetworkAddress, Owner, Peer, Source, current},
};

use super::{DataPlaneError, stations};
use crate::plan::{Change, Plan};

const SOURCES: &str = "SOURCES";
const MAPPINGS: &str = "MAPPINGS";
const PEER_BY_ADDRESS: &str = "PEER_BY_ADDRESS";
const PEERS: &str = "PEERS";
const VERSIONS: &str = "VERSIONS";

/// Maps with entries of ours, as opposed to the compiler's sections and the logger's buffer.
pub(super) const NAMES: [&str; 25] = [
    "SETTINGS",
    SOURCES,
    MAPPINGS,
    "ROUTES",
    "NETWORKS",
    "GROUPS",
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
    "SPENT",
    "PROBE_SPENT",
    "BROADCASTS",
    "EXCEPTIONS",
    "COUNTERS",
    "NON_MEMBERS",
];

pub(super) fn is_ours(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Writes a whole plan, and sets the clock by which what is learned from then on will age.
pub(super) fn fill(bpf: &mut Ebpf, plan: &Plan) -> Result<(), DataPlaneError> {
    let by_vni = plan.networks.iter().enumerate().map(|(index, network)| {
        let [a, b, c] = network.vni;
        ([0, a, b, c], index as u32)
    });
    let by_ifindex =
        plan.networks.iter().enumerate().map(|(index, network)| (network.ifindex, index as u32));

    array(bpf, stations::Clock::NAME, &[stations::uptime()])?;
    array(bpf, "SETTINGS", &[plan.settings])?;
    array(bpf, "NETWORKS", &plan.networks)?;
    array(bpf, "GROUPS", &plan.groups)?;
    peers(bpf, &plan.peers)?;
    array(bpf, "MEMBERS", &plan.members)?;
    hash(bpf, "NETWORK_BY_VNI", by_vni)?;
    hash(bpf, "NETWORK_BY_IFINDEX", by_ifindex)?;
    hash(bpf, PEER_BY_ADDRESS, plan.senders.peer_addresses.iter().copied())?;
    hash::<probe::Tag, u32>(bpf, "PROBERS", plan.probers.iter().copied())?;
    hash(bpf, "TAGS", plan.tags.iter().copied())?;
    hash(bpf, "FDB", plan.stations.iter().copied())?;
    routes(bpf, plan)?;
    hash(bpf, MAPPINGS, plan.senders.mappings.iter().copied())?;
    hash(bpf, SOURCES, plan.senders.sources.iter().copied())
}

/// Writes or removes what a move of a learned endpoint changes.
pub(super) fn change(bpf: &mut Ebpf, change: &Change) -> Result<(), DataPlaneError> {
    match *change {
        Change::SetSource(key, to) => hash(bpf, SOURCES, [(key, to)].into_iter()),
        Change::SetMapping(key, to) => hash(bpf, MAPPINGS, [(key, to)].into_iter()),
        Change::RemoveMapping(key) => remove::<Mapping, Source>(bpf, MAPPINGS, &key),
    }
}

/// Writes one peer, whole for every packet: first the element that does not count, then the number that
/// says that it does.
pub(super) fn set_peer(bpf: &mut Ebpf, index: u32, peer: &Peer) -> Result<(), DataPlaneError> {
    let next =
        with_array::<u32, _>(bpf, VERSIONS, |versions| versions.get(&index, 0))?.wrapping_add(1);
    with_array::<Peer, _>(bpf, PEERS, |peers| peers.set(current(index, next), peer, 0))?;
    with_array(bpf, VERSIONS, |versions| versions.set(index, next, 0))
}

fn map<'a>(bpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Map, DataPlaneError> {
    bpf.map_mut(name).ok_or(DataPlaneError::Missing { what: "map", name })
}

/// What the kernel says of a map of a kind that we use.
#[expect(clippy::wildcard_enum_match_arm, reason = "aya knows two dozen other kinds")]
pub(super) fn info(map: &Map) -> Option<MapInfo> {
    let data = match map {
        Map::Array(data)
        | Map::HashMap(data)
        | Map::LpmTrie(data)
        | Map::PerCpuArray(data)
        | Map::PerCpuHashMap(data) => data,
        _ => return None,
    };
    data.info().ok()
}

/// How many entries the map holds; 0 where the kernel does not say.
fn capacity(map: &Map) -> u32 {
    info(map).map_or(0, |info| info.max_entries())
}

fn peers(bpf: &mut Ebpf, all: &[Peer]) -> Result<(), DataPlaneError> {
    array(bpf, VERSIONS, &vec![0_u32; all.len()])?;
    with_array::<Peer, _>(bpf, PEERS, |peers| {
        let mut each = (0..).zip(all);
        each.try_for_each(|(index, peer)| peers.set(current(index, 0), peer, 0))
    })
}

/// Does something to an array.
pub(super) fn with_array<V: Pod, T>(
    bpf: &mut Ebpf,
    name: &'static str,
    change: impl FnOnce(&mut Array<&mut MapData, V>) -> Result<T, MapError>,
) -> Result<T, DataPlaneError> {
    let map = map(bpf, name)?;
    let capacity = capacity(map);
    let failed = |source| DataPlaneError::Map { name, capacity, source: Box::new(source) };
    let mut array = map.try_into().map_err(failed)?;
    change(&mut array).map_err(failed)
}

fn array<V: Pod>(bpf: &mut Ebpf, name: &'static str, values: &[V]) -> Result<(), DataPlaneError> {
    let map = map(bpf, name)?;
    let capacity = capacity(map);
    if values.len() > capacity as usize {
        return Err(DataPlaneError::Capacity { name, needed: values.len(), capacity });
    }
    let failed = |source| DataPlaneError::Map { name, capacity, source: Box::new(source) };
    let mut array: Array<&mut MapData, V> = map.try_into().map_err(failed)?;
    for (index, value) in values.iter().enumerate() {
        array.set(index as u32, value, 0).map_err(failed)?;
    }
    Ok(())
}

fn hash<K: Pod, V: Pod>(
    bpf: &mut Ebpf,
    name: &'static str,
    mut entries: impl Iterator<Item = (K, V)>,
) -> Result<(), DataPlaneError> {
    with_hash(bpf, name, |hash| entries.try_for_each(|(key, value)| hash.insert(key, value, 0)))
}

fn remove<K: Pod, V: Pod>(
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
    let map = map(bpf, name)?;
    let capacity = capacity(map);
    let failed = |source| DataPlaneError::Map { name, capacity, source: Box::new(source) };
    let mut hash = map.try_into().map_err(failed)?;
    change(&mut hash).map_err(failed)
}

fn routes(bpf: &mut Ebpf, plan: &Plan) -> Result<(), DataPlaneError> {
    const NAME: &str = "ROUTES";
    let map = map(bpf, NAME)?;
    let capacity = capacity(map);
    let failed = |source| DataPlaneError::Map { name: NAME, capacity, source: Box::new(source) };
    let mut trie: LpmTrie<&mut MapData, NetworkAddress, Owner> = map.try_into().map_err(failed)?;
    for route in &plan.routes {
        trie.insert(&Key::new(route.bits, route.address), route.owner, 0).map_err(failed)?;
    }
    Ok(())
}
