//! The peers, each with the kind of packet that comes from it, and the configuration that has them.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use aya::maps::{Array, HashMap, Map, MapData};
use vxlan_common::{
    addr::{Address, IPV4},
    table::{Mapping, NetworkAddress, SenderFilterBit, SenderFilterLine, SourceEntry},
};
use vxlan_tests::{
    Config,
    model::flow_port,
    packet::{Checksum, Eth, Ipv4, Packet, Tcp, Udp, Vxlan},
};

const VNI: u32 = 43;
pub(super) const OWN: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const OWN_HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 43, 1);
const LEARNED_PORT: u16 = 1_024;

/// A peer, and so a kind of packet.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    number: u8,
    keys: &'static str,
    /// Where its packets come from; of the flow, where there is none.
    port: Option<u16>,
    checksum: Checksum,
}

pub(super) const KINDS: [Kind; 5] = [
    Kind { name: "flow", number: 1, keys: "", port: None, checksum: Checksum::Zero },
    Kind {
        name: "fixed",
        number: 2,
        keys: "source_port = \"fixed\"",
        port: Some(4_789),
        checksum: Checksum::Zero,
    },
    Kind {
        name: "any",
        number: 3,
        keys: "source_port = \"any\"",
        port: Some(50_000),
        checksum: Checksum::Zero,
    },
    Kind {
        name: "checksum",
        number: 4,
        keys: "source_port = \"any\"",
        port: Some(50_000),
        checksum: Checksum::Right,
    },
    Kind {
        name: "learned",
        number: LEARNED,
        keys: "key_file = \"learned.key\"",
        port: Some(LEARNED_PORT),
        checksum: Checksum::Zero,
    },
];
const LEARNED: u8 = 5;

impl Kind {
    fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 100, self.number)
    }

    fn host(self) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, 100 + self.number, 1)
    }

    fn peer(self, config: Config) -> Config {
        if self.number == LEARNED {
            return config.peer(self.name, "learn").lines(self.keys);
        }
        let private = format!("10.9.0.{}", self.number);
        config.peer(self.name, self.address()).set("private_address", private).lines(self.keys)
    }

    /// A segment of TCP, as most packets are.
    pub(super) fn packet(self, own_mac: [u8; 6]) -> Vec<u8> {
        let inner = Packet::new()
            .with(Eth::new(own_mac, [2, 0, 0, 0, 1, self.number]))
            .with(Ipv4::new(self.host(), OWN_HOST))
            .with(Tcp::new(40_000, 443))
            .payload(&[0x5a; 1_000]);
        let port = self.port.or_else(|| flow_port(&inner.build())).unwrap_or(0);
        let outer = Packet::new()
            .with(Eth::new([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]))
            .with(Ipv4::new(self.address(), OWN))
            .with(Udp::vxlan(port).checksum(self.checksum))
            .with(Vxlan::new(VNI));
        outer.carrying(inner).build().to_vec()
    }
}

pub(super) fn config(kinds: &[Kind]) -> Config {
    let here = Config::new("here")
        .set("address", OWN)
        .set("source_port", "fixed")
        .section("[metrics]")
        .set("listen", "127.0.0.1:9839");
    let here = kinds.iter().fold(here, |here, kind| kind.peer(here));
    let here = here.network(VNI, "vxlan43", &[format!("{OWN_HOST}/24")]);
    kinds.iter().fold(here, |here, kind| here.member(kind.name, &[format!("{}/32", kind.host())]))
}

/// Writes what a probe would have proved.
pub(super) fn learn(pins: &Path) -> Result<()> {
    let path = pinned(pins, "mappings").context("no pin of the learned endpoints")?;
    let map = Map::HashMap(MapData::from_pin(path)?);
    let mut mappings: HashMap<MapData, Mapping, SourceEntry> = map.try_into()?;
    let kind = KINDS[KINDS.len() - 1];
    let address = Address::ipv4(kind.address().octets());
    let from = NetworkAddress { vni: [0, 0, VNI as u8], family: IPV4, address };
    let key = Mapping { from, port: LEARNED_PORT.to_be_bytes(), pad: [0; 2] };
    let value = SourceEntry { member: KINDS.len() as u32 - 1, flags: SourceEntry::REWRITTEN };
    mappings.insert(key, value, 0)?;
    // Older binaries have no such map.
    let Some(path) = pinned(pins, "sender_filter") else { return Ok(()) };
    let mut filter: Array<MapData, SenderFilterLine> =
        Map::Array(MapData::from_pin(path)?).try_into()?;
    let bit = SenderFilterBit::of_address(&address);
    let mut line = filter.get(&bit.line(), 0)?;
    line.add(bit);
    Ok(filter.set(bit.line(), line, 0)?)
}

/// The pin of that name below a directory.
fn pinned(directory: &Path, name: &str) -> Option<PathBuf> {
    std::fs::read_dir(directory).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() { pinned(&path, name) } else { path.ends_with(name).then_some(path) }
    })
}
