//! What the daemon does while the programs run: it writes learned endpoints, and reads observed
//! endpoints and probes.

use std::net::{IpAddr, SocketAddr};

use aya::maps::{Array, MapData, RingBuf};
use vxlan_common::{
    addr::{Address, IPV4, IPV6},
    probe::{ProbeTag, ReceivedProbe},
    table,
    table::ObservedEndpoint,
};
use vxlan_user::{
    config::Config,
    plan::{Change, LearnedEndpoint, Memberships, Moved, peer_entry},
};

use crate::bench::{Bench, path_to};
use crate::deltas::Who;

/// A line of a peer's section. There is no such file: keys are not the programs' matter.
pub(crate) fn key(peer: &str) -> String {
    format!("key_file = \"/{peer}.key\"")
}

/// What stands for the key of that peer.
pub(crate) fn tag(peer: &str) -> ProbeTag {
    let mut tag = [0xc5; 8];
    tag.iter_mut().zip(peer.bytes()).for_each(|(place, byte)| *place = byte);
    tag
}

pub(crate) fn probers(config: &Config) -> Vec<(ProbeTag, u32)> {
    let with_key = config.peers.iter().zip(0..).filter(|(peer, _)| peer.key_file.is_some());
    with_key.map(|(peer, index)| (tag(&peer.name.value), index)).collect()
}

/// A probe as the daemon receives it from the ring buffer, without its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProbeEvent {
    pub(crate) peer: u32,
    pub(crate) length: u32,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) checksum: [u8; 2],
    pub(crate) ttl: u8,
    pub(crate) tos: u8,
    pub(crate) dont_fragment: bool,
    pub(crate) bytes: Vec<u8>,
}

/// The kernel's monotonic clock in ns.
pub(crate) fn now() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("a clock");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

pub(crate) fn address_of(family: u8, address: &Address) -> IpAddr {
    let mut octets = [0; 16];
    octets.copy_from_slice(address.0.as_flattened());
    match family {
        IPV6 => octets.into(),
        IPV4 => {
            assert_eq!(octets[4..], [0; 12]);
            IpAddr::from([octets[0], octets[1], octets[2], octets[3]])
        }
        other => panic!("no family: {other}"),
    }
}

pub(crate) fn bytes_of(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(v4) => Address::ipv4(v4.octets()),
        IpAddr::V6(v6) => Address::ipv6(v6.octets()),
    }
}

/// Byte by byte: `ReceivedProbe` is what the daemon reads alike.
fn parse_event(bytes: &[u8]) -> (u64, ProbeEvent) {
    assert_eq!(bytes.len(), size_of::<ReceivedProbe>());
    // SAFETY: as many bytes as it has, and every bit pattern is a value of it.
    let arrived = unsafe { bytes.as_ptr().cast::<ReceivedProbe>().read_unaligned() };
    assert_eq!((arrived.pad, arrived.pad_end), ([0; 2], [0; 6]));
    let event = ProbeEvent {
        peer: arrived.peer,
        length: arrived.length,
        source: address_of(arrived.family, &arrived.source),
        destination: address_of(arrived.family, &arrived.destination),
        source_port: arrived.source_port,
        destination_port: arrived.destination_port,
        checksum: arrived.checksum,
        ttl: arrived.ttl,
        tos: arrived.tos,
        dont_fragment: match arrived.dont_fragment {
            0 => false,
            1 => true,
            other => panic!("neither yes nor no: {other}"),
        },
        bytes: arrived.bytes.to_vec(),
    };
    (arrived.at, event)
}

/// Takes out what `decap` has handed out, each with its time.
pub(crate) fn take_probes(bpf: &mut aya::Ebpf) -> Vec<(u64, ProbeEvent)> {
    let map = bpf.map_mut("PROBES").expect("is a map");
    let mut ring: RingBuf<&mut MapData> = map.try_into().expect("is a ring buffer");
    let mut all = Vec::new();
    while let Some(item) = ring.next() {
        all.push(parse_event(&item));
    }
    all
}

/// As if no probe had come for long.
pub(crate) fn refill_probes(bpf: &mut aya::Ebpf, peers: u32) {
    // Two of each peer: its endpoint, and other ports there. Then the ceilings and all sources.
    for (name, used) in [("PROBE_BUCKETS", 2 * peers), ("PROBE_SOURCE_BUCKETS", u32::MAX)] {
        let map = bpf.map_mut(name).expect("is a map");
        let mut buckets: Array<&mut MapData, u64> = map.try_into().expect("is an array");
        for index in 0..used.min(buckets.len()) {
            if buckets.get(&index, 0).expect("is in range") != 0 {
                buckets.set(index, 0, 0).expect("is in range");
            }
        }
    }
}

pub(crate) fn observed(bpf: &aya::Ebpf, member: u32) -> ObservedEndpoint {
    let map = bpf.map("LEARNED").expect("is a map");
    let learned: Array<_, table::MemberState> = map.try_into().expect("is an array");
    learned.get(&member, 0).expect("is in range").observed
}

impl Bench {
    /// The peer has proved that it is there, and sends from that address; or nobody knows where it
    /// is.
    pub(crate) fn learns(&mut self, peer: &str, at: Option<(SocketAddr, IpAddr)>) {
        let index = self.peer(peer) as usize;
        let learned = at.map(|(endpoint, sent_from)| LearnedEndpoint { endpoint, sent_from });
        let changes = self.moves(&[(index, learned)]);
        self.plane.change(&changes).expect("takes it");
        self.learned[index] = learned;
        let peer = &self.config.peers[index];
        let path = learned.and_then(|learned| path_to(peer, learned.endpoint));
        let slot = self.plan.peers[index].slot;
        let entry = peer_entry(peer, &self.underlay, path.as_ref(), learned.as_ref(), slot);
        self.plane.set_peer(index as u32, &entry).expect("takes it");
    }

    /// Returns what changes in the maps when peers, by index, move from where they are.
    pub(crate) fn moves(&self, to: &[(usize, Option<LearnedEndpoint>)]) -> Vec<Change> {
        let moved =
            |(peer, from, to): (usize, Option<LearnedEndpoint>, _)| Moved { peer, from, to };
        let there = self.learned.iter().enumerate().map(|(peer, at)| moved((peer, None, *at)));
        let mut memberships = Memberships::new(&self.config);
        memberships.apply(&self.config, &there.collect::<Vec<_>>());
        let moves = to.iter().map(|(peer, to)| moved((*peer, self.learned[*peer], *to)));
        memberships.apply(&self.config, &moves.collect::<Vec<_>>())
    }

    pub(crate) fn probes(&mut self) -> Vec<(u64, ProbeEvent)> {
        take_probes(self.plane.maps())
    }

    pub(crate) fn refill_probes(&mut self) {
        let peers = self.config.peers.len() as u32;
        refill_probes(self.plane.maps(), peers);
    }

    pub(crate) fn observed(&mut self, member: Who) -> ObservedEndpoint {
        let member = self.member(member);
        observed(self.plane.maps(), member)
    }

    /// In the daemon's seconds.
    pub(crate) fn set_clock(&mut self, seconds: u32) {
        let map = self.plane.maps().map_mut("CLOCK").expect("is a map");
        let mut clock: Array<&mut MapData, u32> = map.try_into().expect("is an array");
        clock.set(0, seconds, 0).expect("takes it");
    }
}
