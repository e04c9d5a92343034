//! Data planes that were loaded for a previous test, emptied for the next: the kernel needs longer
//! to verify the programs than to run most tables.

use std::{
    ops::{Deref, DerefMut},
    sync::{Mutex, PoisonError},
};

use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap, LpmTrie, MapData, PerCpuArray, PerCpuHashMap, PerCpuValues, RingBuf},
    util::nr_cpus,
};
use vxlan_common::{
    addr::Mac,
    counters::Counters,
    probe,
    table::{
        AddressOwner, BucketState, FdbEntry, FdbKey, Mapping, MemberState, Neighbour, NeighbourKey,
        NetworkAddress, NonMember, ObservedEndpoint, OuterAddress, Owner, SourceEntry,
        TaggedMember,
    },
};
use vxlan_user::dataplane::{DataPlane, LoadOptions};

use crate::daemon;

static IDLE: Mutex<Vec<DataPlane>> = Mutex::new(Vec::new());

/// More than any of these worlds has of peers, networks or members.
const MAX_ENTRIES: u32 = 128;

/// A data plane that goes back when it is dropped. What a test attaches it must detach itself.
pub(crate) struct Pooled {
    plane: Option<DataPlane>,
    /// It is like all others.
    goes_back: bool,
}

impl Pooled {
    /// As if just loaded. Arrays that a plan fills are not cleared: nothing refers to an entry that
    /// the plan has none for.
    pub(crate) fn take() -> Self {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let plane = idle.map_or_else(
            || DataPlane::load(LoadOptions::default()).unwrap_or_else(|e| panic!("{e} (root?)")),
            |mut plane| {
                empty(plane.maps());
                plane
            },
        );
        Self { plane: Some(plane), goes_back: true }
    }

    /// One that no other test gets.
    pub(crate) fn alone(options: LoadOptions) -> Self {
        let plane = DataPlane::load(options).unwrap_or_else(|e| panic!("{e} (root?)"));
        Self { plane: Some(plane), goes_back: false }
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if self.goes_back {
            IDLE.lock().unwrap_or_else(PoisonError::into_inner).extend(self.plane.take());
        }
    }
}

impl Deref for Pooled {
    type Target = DataPlane;

    fn deref(&self) -> &DataPlane {
        self.plane.as_ref().expect("until it is dropped")
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut DataPlane {
        self.plane.as_mut().expect("until it is dropped")
    }
}

fn empty(bpf: &mut Ebpf) {
    hash::<NetworkAddress, SourceEntry>(bpf, "SOURCES");
    hash::<[u8; 4], u32>(bpf, "NETWORK_BY_VNI");
    hash::<u32, u32>(bpf, "NETWORK_BY_IFINDEX");
    hash::<Mapping, SourceEntry>(bpf, "MAPPINGS");
    hash::<probe::ProbeTag, u32>(bpf, "PROBERS");
    hash::<OuterAddress, AddressOwner>(bpf, "PEER_BY_ADDRESS");
    hash::<FdbKey, FdbEntry>(bpf, "FDB");
    hash::<NeighbourKey, Neighbour>(bpf, "NEIGHBOURS");
    hash::<Mac, TaggedMember>(bpf, "TAGS");
    array(
        bpf,
        "LEARNED",
        &MemberState {
            last: Mac::ZERO,
            stations: 0,
            seen: 0,
            pad: 0,
            observed: ObservedEndpoint::NONE,
        },
    );
    array(bpf, "FORGOTTEN", &0_u64);
    array(bpf, "VERSIONS", &0_u32);
    daemon::refill_probes(bpf, MAX_ENTRIES / 2);
    array(bpf, "PEER_BUCKETS", &BucketState { packets: 0, bytes: 0 });
    array(bpf, "BUM_BUCKETS", &0_u64);
    array(bpf, "SLOW_PATH_BUCKETS", &0_u64);

    let map = bpf.map_mut("PROBES").expect("is a map");
    let mut probes: RingBuf<&mut MapData> = map.try_into().expect("a ring buffer");
    while probes.next().is_some() {}

    let map = bpf.map_mut("ROUTES").expect("is a map");
    let mut routes: LpmTrie<&mut MapData, NetworkAddress, Owner> = map.try_into().expect("a trie");
    let keys: Vec<_> = routes.keys().map(|key| key.expect("can be read")).collect();
    keys.iter().for_each(|key| routes.remove(key).expect("was there"));

    let map = bpf.map_mut("NON_MEMBERS").expect("is a map");
    let mut pairs: PerCpuHashMap<&mut MapData, NonMember, u64> = map.try_into().expect("a hash");
    let keys: Vec<_> = pairs.keys().map(|key| key.expect("can be read")).collect();
    keys.iter().for_each(|key| pairs.remove(key).expect("was there"));

    let map = bpf.map_mut("COUNTERS").expect("is a map");
    let mut counters: PerCpuArray<&mut MapData, Counters> = map.try_into().expect("an array");
    let cpus = nr_cpus().expect("a number");
    for slot in 0..counters.len() {
        let zero = PerCpuValues::try_from(vec![Counters::ZERO; cpus]).expect("one for each CPU");
        counters.set(slot, zero, 0).expect("is in range");
    }
}

fn hash<K: Pod, V: Pod>(bpf: &mut Ebpf, name: &str) {
    let map = bpf.map_mut(name).expect("is a map");
    let mut hash: HashMap<&mut MapData, K, V> = map.try_into().expect("is a hash");
    let keys: Vec<_> = hash.keys().map(|key| key.expect("can be read")).collect();
    keys.iter().for_each(|key| hash.remove(key).expect("was there"));
}

fn array<V: Pod>(bpf: &mut Ebpf, name: &str, zero: &V) {
    let map = bpf.map_mut(name).expect("is a map");
    let mut array: Array<&mut MapData, V> = map.try_into().expect("is an array");
    for index in 0..MAX_ENTRIES.min(array.len()) {
        array.set(index, zero, 0).expect("is in range");
    }
}
