//! Reading counters and tables through the pins: for the daemon's metrics and for `vxlan show`, also
//! while no daemon runs.

use std::{
    cmp::Reverse,
    net::{IpAddr, SocketAddr},
};

use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuHashMap};
use vxlan_common::{
    addr::{Address, IPV4, IPV6},
    counters::Counters,
    nat::Observed,
    table::{FdbEntry, FdbKey, Learned, NEIGHBOURS, Neighbour, NeighbourKey, NonMember, Peer},
};

use super::{DataPlaneError, Pins};

/// Packets of a peer dropped in a network that it is not a member of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonMemberDrops {
    /// Index of the peer.
    pub peer: u32,
    /// Index of the network.
    pub network: u32,
    pub packets: u64,
}

/// One entry of the forwarding table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Station {
    /// Overlay interface.
    pub ifindex: u32,
    pub mac: [u8; 6],
    /// Index of the member.
    pub member: u32,
    /// Declared in the configuration.
    pub is_static: bool,
    /// When it was last heard, in seconds since boot; of no meaning if it is static.
    pub seen: u32,
}

/// How full a map is that fills by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub map: &'static str,
    pub entries: u64,
    pub capacity: u64,
}

/// Open handles of the maps that the programs write, and of the ways to the peers.
pub struct Reader {
    counters: PerCpuArray<MapData, Counters>,
    peers: Array<MapData, Peer>,
    learned: Array<MapData, Learned>,
    non_members: PerCpuHashMap<MapData, NonMember, u64>,
    fdb: HashMap<MapData, FdbKey, FdbEntry>,
    neighbours: HashMap<MapData, NeighbourKey, Neighbour>,
    capacities: [(&'static str, u64); 3],
}

impl Reader {
    /// # Errors
    /// Nothing is pinned there, or what is pinned is not what this program pins.
    pub fn open(pins: &Pins) -> Result<Self, DataPlaneError> {
        let non_members = open(pins, "NON_MEMBERS")?;
        let fdb = open(pins, "FDB")?;
        let neighbours = open(pins, "NEIGHBOURS")?;
        let capacities = [
            ("fdb", capacity("FDB", &fdb)?),
            ("neighbours", capacity("NEIGHBOURS", &neighbours)?),
            ("non_members", capacity("NON_MEMBERS", &non_members)?),
        ];
        let counters = Map::PerCpuArray(open(pins, "COUNTERS")?);
        let peers = Map::Array(open(pins, "PEERS")?);
        let learned = Map::Array(open(pins, "LEARNED")?);
        Ok(Self {
            counters: counters.try_into().map_err(read("COUNTERS"))?,
            peers: peers.try_into().map_err(read("PEERS"))?,
            learned: learned.try_into().map_err(read("LEARNED"))?,
            non_members: Map::PerCpuHashMap(non_members).try_into().map_err(read("NON_MEMBERS"))?,
            fdb: Map::HashMap(fdb).try_into().map_err(read("FDB"))?,
            neighbours: Map::HashMap(neighbours).try_into().map_err(read("NEIGHBOURS"))?,
            capacities,
        })
    }

    /// The largest outer packet that is sent to a peer, from its IP header on.
    pub fn path_mtu(&self, peer: u32) -> Result<u32, DataPlaneError> {
        Ok(self.peers.get(&peer, 0).map_err(read("PEERS"))?.mtu)
    }

    /// Where packets for a peer are sent: which of its endpoints is in use, or what was learned. Absent:
    /// nothing was learned yet.
    pub fn endpoint(&self, peer: u32) -> Result<Option<SocketAddr>, DataPlaneError> {
        let peer = self.peers.get(&peer, 0).map_err(read("PEERS"))?;
        let address = peer.endpoint.to_ip(peer.family);
        let endpoint = SocketAddr::new(address, u16::from_be_bytes(peer.port));
        Ok(Some(endpoint).filter(|_| !address.is_unspecified()))
    }

    /// What was learned from a member's packets.
    pub fn learned(&self, member: u32) -> Result<Learned, DataPlaneError> {
        self.learned.get(&member, 0).map_err(read("LEARNED"))
    }

    /// The addresses that were heard behind a member, the latest first.
    pub fn neighbours(&self, member: u32) -> Result<Vec<IpAddr>, DataPlaneError> {
        let mut heard = Vec::new();
        for place in 0..NEIGHBOURS {
            match self.neighbours.get(&NeighbourKey { member, place }, 0) {
                Ok(neighbour) => heard.push(neighbour),
                Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(read("NEIGHBOURS")(error)),
            }
        }
        heard.sort_by_key(|neighbour| Reverse(neighbour.seen));
        Ok(heard.iter().map(|neighbour| address_of(&neighbour.address)).collect())
    }

    /// Where a member's packets came from.
    pub fn observed(&self, member: u32) -> Result<Observed, DataPlaneError> {
        Ok(self.learned(member)?.observed)
    }

    /// The counters of one slot, all CPUs added up.
    pub fn counters(&self, slot: u32) -> Result<Counters, DataPlaneError> {
        let values = self.counters.get(&slot, 0).map_err(read("COUNTERS"))?;
        let mut sum = Counters::ZERO;
        values.iter().for_each(|cpu| sum.add(cpu));
        Ok(sum)
    }

    /// Every pair seen so far.
    pub fn non_members(&self) -> Result<Vec<NonMemberDrops>, DataPlaneError> {
        let entries = self.non_members.iter().map(|entry| {
            let (NonMember { peer, network }, values) = entry?;
            Ok(NonMemberDrops { peer, network, packets: values.iter().sum() })
        });
        entries.collect::<Result<_, MapError>>().map_err(read("NON_MEMBERS"))
    }

    /// The forwarding table.
    pub fn stations(&self) -> Result<Vec<Station>, DataPlaneError> {
        let entries = self.fdb.iter().map(|entry| {
            let (key, value) = entry?;
            Ok(Station {
                ifindex: key.ifindex,
                mac: key.mac.octets(),
                member: value.member,
                is_static: value.flags & FdbEntry::STATIC != 0,
                seen: value.seen,
            })
        });
        entries.collect::<Result<_, MapError>>().map_err(read("FDB"))
    }

    /// How full the maps are that the programs fill.
    pub fn usage(&self) -> Vec<Usage> {
        let entries = [
            self.fdb.keys().count(),
            self.neighbours.keys().count(),
            self.non_members.keys().count(),
        ];
        let with = |(&(map, capacity), entries): (&(&'static str, u64), usize)| Usage {
            map,
            entries: entries as u64,
            capacity,
        };
        self.capacities.iter().zip(entries).map(with).collect()
    }
}

/// Of a neighbour, whose family is not kept: no host has an IPv6 address that ends in 96 zero bits.
fn address_of(address: &Address) -> IpAddr {
    let short = [1, 2, 3].iter().all(|at| address.word(*at) == 0);
    address.to_ip(if short { IPV4 } else { IPV6 })
}

pub(super) fn read(name: &'static str) -> impl Fn(MapError) -> DataPlaneError {
    move |source| DataPlaneError::Read { name, source: Box::new(source) }
}

pub(super) fn open(pins: &Pins, name: &'static str) -> Result<MapData, DataPlaneError> {
    let path = pins.map(name);
    MapData::from_pin(&path).map_err(|error| {
        if path.exists() {
            return DataPlaneError::pin(path, error);
        }
        let advice = "there is no such pin: no data plane is loaded here. Start one with `vxlan run`, \
                      or name the right place with --pin-dir";
        DataPlaneError::pin(path, advice)
    })
}

fn capacity(name: &'static str, map: &MapData) -> Result<u64, DataPlaneError> {
    let info = map.info().map_err(read(name))?;
    Ok(u64::from(info.max_entries()))
}
