//! Reading the counters and tables of the active generation through the pins: for the daemon's
//! metrics and for `vxlan show`, also while no daemon runs.

use std::{
    cmp::Reverse,
    collections::{HashMap as StdHashMap, HashSet},
    net::{IpAddr, SocketAddr},
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use aya::{
    maps::{Array, HashMap, Map, MapData, MapError, PerCpuHashMap},
    util::nr_cpus,
};
use vxlan_common::{
    ABI_VERSION,
    addr::{Address, IPV4, IPV6},
    counters::Counters,
    reason::{DropReason, RxDrop},
    table::{
        FdbEntry, FdbKey, Mapping, MemberState, NEIGHBOURS, Neighbour, NeighbourKey, NonMember,
        ObservedEndpoint, PeerEntry, SourceEntry, active_element,
    },
};

use super::{
    entries::{MacEntry, MapUsage, NonMemberDrops},
    error::DataPlaneError,
    generation::Generation,
    in_flight::{InFlight, SETTLED},
    pinned_map::{NOT_LOADED, capacity, open, read},
    pins::Pins,
    pod,
    previous::PreviousGeneration,
    syscall,
    totals::Totals,
};
use crate::plan::{Names, SlotOwner, entry_endpoint};
use crate::shared::Shared;

/// Open handles of the maps that the programs write, and of the peers' entries.
pub struct Reader {
    names: Shared<Names>,
    /// What was counted before the first of `previous`; if there are none, before this generation.
    carried: Totals,
    /// Generations before this one that may still be counting.
    previous: Vec<(PreviousGeneration, StdHashMap<SlotOwner, u32>)>,
    /// The values are one [`Counters`] for each CPU.
    counters: MapData,
    /// How many CPUs there can be.
    cpus: usize,
    peers: Array<MapData, PeerEntry>,
    versions: Array<MapData, u32>,
    learned: Array<MapData, MemberState>,
    non_members: PerCpuHashMap<MapData, NonMember, u64>,
    fdb: HashMap<MapData, FdbKey, FdbEntry>,
    neighbours: HashMap<MapData, NeighbourKey, Neighbour>,
    mappings: HashMap<MapData, Mapping, SourceEntry>,
    capacities: [(&'static str, u64); 4],
    in_flight: InFlight,
}

impl Reader {
    /// Opens the last of `generations`. What the others counted, and what was carried to the first
    /// of them, counts too.
    ///
    /// # Errors
    /// Nothing is pinned there, or what is pinned is not what this program pins.
    pub fn open(
        pins: &Pins,
        generations: &[Generation],
        carried: Totals,
    ) -> Result<Self, DataPlaneError> {
        let Some((generation, previous)) = generations.split_last() else {
            return Err(DataPlaneError::pin(pins.directory(), NOT_LOADED));
        };
        if generation.abi != ABI_VERSION {
            let reason = format!(
                "version {} of the layouts is at work, and this program has {ABI_VERSION}: \
                 use the program that started it, or start this one",
                generation.abi
            );
            return Err(DataPlaneError::pin(pins.directory(), reason));
        }
        let open = |name| open(pins, generation.number, name);
        let previous = previous.iter().map(|previous| {
            let slots = previous.names.owners().map(|(slot, owner)| (owner.clone(), slot));
            Ok((PreviousGeneration::open(pins, previous)?, slots.collect()))
        });
        let previous = previous.collect::<Result<_, DataPlaneError>>()?;
        let non_members = open("NON_MEMBERS")?;
        let fdb = open("FDB")?;
        let neighbours = open("NEIGHBOURS")?;
        let mappings = open("MAPPINGS")?;
        let capacities = [
            ("mappings", capacity("MAPPINGS", &mappings)?),
            ("fdb", capacity("FDB", &fdb)?),
            ("neighbours", capacity("NEIGHBOURS", &neighbours)?),
            ("non_members", capacity("NON_MEMBERS", &non_members)?),
        ];
        let counters = open("COUNTERS")?;
        let info = counters.info().map_err(read("COUNTERS"))?;
        if info.value_size() as usize != size_of::<Counters>() || info.key_size() != 4 {
            return Err(DataPlaneError::pin(
                pins.directory(),
                "the counters are not those of this version",
            ));
        }
        let cpus = nr_cpus().map_err(|(_, source)| DataPlaneError::PreviousGeneration {
            name: "COUNTERS".to_owned(),
            source,
        })?;
        let peers = Map::Array(open("PEERS")?);
        let versions = Map::Array(open("VERSIONS")?);
        let learned = Map::Array(open("LEARNED")?);
        Ok(Self {
            names: generation.names.clone(),
            carried,
            previous,
            counters,
            cpus,
            peers: peers.try_into().map_err(read("PEERS"))?,
            versions: versions.try_into().map_err(read("VERSIONS"))?,
            learned: learned.try_into().map_err(read("LEARNED"))?,
            non_members: Map::PerCpuHashMap(non_members).try_into().map_err(read("NON_MEMBERS"))?,
            fdb: Map::HashMap(fdb).try_into().map_err(read("FDB"))?,
            neighbours: Map::HashMap(neighbours).try_into().map_err(read("NEIGHBOURS"))?,
            mappings: Map::HashMap(mappings).try_into().map_err(read("MAPPINGS"))?,
            capacities,
            in_flight: InFlight::default(),
        })
    }

    /// Returns what the indices mean.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Returns the entry of a peer that is in force, whole, even if a daemon changes it meanwhile.
    fn peer(&self, peer: u32) -> Result<PeerEntry, DataPlaneError> {
        let version = || self.versions.get(&peer, 0).map_err(read("VERSIONS"));
        let mut before = version()?;
        loop {
            let entry = self.peers.get(&active_element(peer, before), 0).map_err(read("PEERS"))?;
            let after = version()?;
            if before == after {
                return Ok(entry);
            }
            before = after;
        }
    }

    /// Returns the path to a peer: the endpoint in use, absent if it is to be learned and was not
    /// yet; and the size of the largest outer packet that is sent there, from its IP header on, in
    /// bytes.
    pub fn peer_path(&self, peer: u32) -> Result<(Option<SocketAddr>, u32), DataPlaneError> {
        let peer = self.peer(peer)?;
        let endpoint = entry_endpoint(&peer);
        Ok((Some(endpoint).filter(|to| !to.ip().is_unspecified()), peer.mtu))
    }

    /// Returns what was learned from a member's packets.
    pub fn learned(&self, member: u32) -> Result<MemberState, DataPlaneError> {
        self.learned.get(&member, 0).map_err(read("LEARNED"))
    }

    /// Returns the addresses that were seen behind a member, the latest first.
    pub fn neighbours(&self, member: u32) -> Result<Vec<IpAddr>, DataPlaneError> {
        let mut found = Vec::new();
        for place in 0..NEIGHBOURS {
            match self.neighbours.get(&NeighbourKey { member, place }, 0) {
                Ok(neighbour) => found.push(neighbour),
                Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(read("NEIGHBOURS")(error)),
            }
        }
        found.sort_by_key(|neighbour| Reverse(neighbour.seen));
        Ok(found.iter().map(|neighbour| address_of(&neighbour.address)).collect())
    }

    /// Returns what NAT changed in a member's packets.
    pub fn observed(&self, member: u32) -> Result<ObservedEndpoint, DataPlaneError> {
        Ok(self.learned(member)?.observed)
    }

    /// Returns the counters of one slot, summed over all CPUs, with what its owner had before.
    /// What XDP redirected and is known to be lost is among the drops, see [`Reader::is_open`].
    pub fn counters(&self, slot: u32) -> Result<Counters, DataPlaneError> {
        let mut sum = self.sum(slot)?;
        let lost = self.in_flight.lost(slot, sum.redirected, sum.arrived, Instant::now());
        sum.drops[DropReason::Rx(RxDrop::RedirectFailed).index()] += lost;
        Ok(sum)
    }

    /// Returns whether another reading, after [`Reader::SETTLED`], may tell of more lost frames.
    pub fn is_open(&self, slot: u32, counters: &Counters) -> bool {
        self.in_flight.is_open(slot, counters.redirected, counters.arrived)
    }

    pub const SETTLED: Duration = SETTLED;

    fn sum(&self, slot: u32) -> Result<Counters, DataPlaneError> {
        let mut sum = self.counted(slot)?;
        let Some(owner) = self.names.owner(slot as usize) else { return Ok(sum) };
        if let Some(carried) = self.carried.slots.get(owner) {
            sum.add(carried);
        }
        for (previous, slots) in &self.previous {
            if let Some(slot) = slots.get(owner) {
                sum.add(&previous.counters(*slot)?);
            }
        }
        Ok(sum)
    }

    fn counted(&self, slot: u32) -> Result<Counters, DataPlaneError> {
        let mut values = vec![Counters::ZERO; self.cpus];
        let found = syscall::lookup(
            self.counters.fd().as_fd(),
            &slot.to_ne_bytes(),
            pod::bytes_mut(&mut values),
        );
        let failed =
            |source| DataPlaneError::PreviousGeneration { name: "COUNTERS".to_owned(), source };
        found.map_err(failed)?;
        let mut sum = Counters::ZERO;
        values.iter().for_each(|cpu| sum.add(cpu));
        Ok(sum)
    }

    /// Returns every pair of a peer and a network seen so far.
    pub fn non_members(&self) -> Result<Vec<NonMemberDrops>, DataPlaneError> {
        let mut all = Totals { non_members: self.carried.non_members.clone(), ..Totals::default() };
        let mut seen = self.own_non_members()?;
        for (previous, _) in &self.previous {
            seen.extend(previous.non_members()?);
        }
        for (peer, vni, packets) in seen {
            all.add_non_member(&peer, vni, packets);
        }
        // Only of peers and networks that are still configured.
        let peers: HashSet<&String> = self.names.peers.iter().collect();
        let networks: HashSet<&u32> = self.names.networks.iter().collect();
        let known = |(peer, vni): &(String, u32)| peers.contains(peer) && networks.contains(vni);
        let mut all: Vec<_> = all.non_members.into_iter().filter(|(pair, _)| known(pair)).collect();
        all.sort();
        let drops = all.into_iter();
        Ok(drops.map(|((peer, vni), packets)| NonMemberDrops { peer, vni, packets }).collect())
    }

    fn own_non_members(&self) -> Result<Vec<(String, u32, u64)>, DataPlaneError> {
        let mut found = Vec::new();
        for entry in self.non_members.iter() {
            let (NonMember { peer, network }, values) = entry.map_err(read("NON_MEMBERS"))?;
            if let Some((peer, vni)) = self.names.pair(peer, network) {
                found.push((peer.to_owned(), vni, values.iter().sum()));
            }
        }
        Ok(found)
    }

    /// Returns the forwarding table.
    pub fn mac_entries(&self) -> Result<Vec<MacEntry>, DataPlaneError> {
        let entries = self.fdb.iter().map(|entry| {
            let (key, value) = entry?;
            Ok(MacEntry {
                ifindex: key.ifindex,
                mac: key.mac.octets(),
                member: value.member,
                is_static: value.flags & FdbEntry::STATIC != 0,
                seen: value.seen,
            })
        });
        entries.collect::<Result<_, MapError>>().map_err(read("FDB"))
    }

    /// Returns how full the maps are that fill while the programs run.
    pub fn usage(&self) -> Vec<MapUsage> {
        let entries = [
            self.mappings.keys().count(),
            self.fdb.keys().count(),
            self.neighbours.keys().count(),
            self.non_members.keys().count(),
        ];
        let with = |(&(map, capacity), entries): (&(&'static str, u64), usize)| MapUsage {
            map,
            entries: entries as u64,
            capacity,
        };
        self.capacities.iter().zip(entries).map(with).collect()
    }
}

/// Returns the address of a neighbour, whose family the map does not hold: no host has an IPv6
/// address that ends in 96 zero bits.
fn address_of(address: &Address) -> IpAddr {
    let short = [1, 2, 3].iter().all(|at| address.be32(*at) == 0);
    address.to_ip(if short { IPV4 } else { IPV6 })
}
