//! Learned endpoints: how their packets are recognised. What changes when one moves is in `moves`.

mod moves;

use std::collections::HashMap;
use std::net::SocketAddr;

use vxlan_common::table::{AddressOwner, Mapping, OuterAddress, SourceEntry};

use super::*;

/// A hub: two peers behind NAPT, one that is declared to be at the same address, a kernel peer.
const HUB: &str = r#"
    [node]
    name = "hub"
    [underlay]
    interface = "eth0"
    source_port = "fixed"
    port = 4790
    [probe]
    vni = 99
    [[peer]]
    name = "declared"
    endpoint = "198.51.100.20:4000"
    source_port = "fixed"
    [[peer]]
    name = "first"
    endpoint = "learn"
    key_file = "first.key"
    [[peer]]
    name = "second"
    endpoint = "learn"
    private_address = "192.168.1.2"
    key_file = "second.key"
    [[peer]]
    name = "kernel"
    endpoint = "192.0.2.7"
    private_address = "10.0.0.7"
    accept_private = true
    source_port = "any"
    source_ports = "40000-49999"
    [[network]]
    vni = 7
    interface = "seven"
    addresses = ["10.7.0.1/24"]
    [[network.member]]
    peer = "declared"
    allowed_ips = ["10.7.1.0/24"]
    [[network.member]]
    peer = "first"
    allowed_ips = ["10.7.2.0/24"]
    [[network]]
    vni = 8
    interface = "eight"
    addresses = ["10.8.0.1/24"]
    [[network.member]]
    peer = "first"
    allowed_ips = ["10.8.2.0/24"]
    [[network.member]]
    peer = "second"
    allowed_ips = ["10.8.3.0/24"]
    [[network.member]]
    peer = "kernel"
    allowed_ips = ["10.8.4.0/24"]
"#;
const DECLARED: usize = 0;
const FIRST: usize = 1;
const SECOND: usize = 2;
const KERNEL: usize = 3;

fn hub() -> Config {
    config::parse(HUB, Path::new("test.toml")).expect("valid")
}

fn at(endpoint: &str) -> LearnedEndpoint {
    let endpoint: SocketAddr = endpoint.parse().expect("an endpoint");
    LearnedEndpoint { endpoint, sent_from: endpoint.ip() }
}

fn address(text: &str) -> (u8, Address) {
    family_address(text.parse().expect("an address"))
}

fn mapping(vni: u8, endpoint: &str) -> Mapping {
    let endpoint: SocketAddr = endpoint.parse().expect("an endpoint");
    let (family, address) = family_address(endpoint.ip());
    let from = NetworkAddress { vni: [0, 0, vni], family, address };
    Mapping { from, port: endpoint.port().to_be_bytes(), pad: [0; 2] }
}

fn source(vni: u8, text: &str) -> NetworkAddress {
    let (family, address) = address(text);
    NetworkAddress { vni: [0, 0, vni], family, address }
}

fn outer(text: &str) -> OuterAddress {
    let (family, address) = address(text);
    OuterAddress { pad: [0; 3], family, address }
}

fn to(member: u32, flags: u32) -> SourceEntry {
    SourceEntry { member, flags }
}

/// The maps by which senders are recognised, as the programs see them.
#[derive(Clone, Debug, Default, PartialEq)]
struct Maps {
    sources: HashMap<NetworkAddress, SourceEntry>,
    mappings: HashMap<Mapping, SourceEntry>,
    peers: HashMap<OuterAddress, AddressOwner>,
}

impl Maps {
    fn new(senders: &Senders) -> Self {
        Self {
            sources: senders.sources.iter().copied().collect(),
            mappings: senders.mappings.iter().copied().collect(),
            peers: senders.peer_addresses.iter().copied().collect(),
        }
    }

    fn write(&mut self, change: Change) {
        match change {
            Change::SetSource(key, source) => {
                assert!(self.sources.insert(key, source).is_some(), "{key:?} is new");
            }
            Change::RemoveSource(key) => panic!("{key:?} is declared"),
            Change::SetMapping(key, source) => drop(self.mappings.insert(key, source)),
            Change::RemoveMapping(key) => {
                assert!(self.mappings.remove(&key).is_some(), "{key:?} is not there");
            }
        }
    }

    /// The member that a packet is of, by the rule of docs/packets.md.
    fn member(&self, vni: u8, from: &str) -> Option<u32> {
        let mapping = mapping(vni, from);
        let declared = self.sources.get(&mapping.from);
        let look = declared.is_none_or(|source| source.flags & SourceEntry::SHARED != 0);
        let learned = self.mappings.get(&mapping).filter(|_| look);
        learned.or(declared).map(|source| source.member)
    }
}

/// Of a learned peer the private address alone, which is no right to send.
fn declared_addresses() -> Vec<(OuterAddress, AddressOwner)> {
    let all = [
        ("198.51.100.20", DECLARED, 0),
        ("192.0.2.7", KERNEL, 0),
        ("10.0.0.7", KERNEL, 0),
        ("192.168.1.2", SECOND, AddressOwner::PRIVATE),
    ];
    let owner = |peer, flags| AddressOwner { peer: peer as u32, flags };
    all.map(|(at, peer, flags)| (outer(at), owner(peer, flags))).to_vec()
}

#[test]
fn a_peer_is_not_recognised_before_its_endpoint_is_learned() {
    let config = hub();
    let senders = Senders::new(&config, &[]);
    assert_eq!(senders.mappings, []);
    assert_eq!(
        senders.sources,
        [
            (source(7, "198.51.100.20"), to(0, 0)),
            (source(8, "192.0.2.7"), to(4, SourceEntry::REWRITTEN)),
            (source(8, "10.0.0.7"), to(4, 0)),
        ]
    );
    assert_eq!(senders.peer_addresses, declared_addresses());
}

#[test]
fn a_learned_endpoint_is_a_mapping_in_every_network_and_marks_a_declared_address_as_shared() {
    let config = hub();
    let learned = [None, Some(at("198.51.100.20:1024")), Some(at("[2001:db8::2]:7"))];
    let senders = Senders::new(&config, &learned);
    assert_eq!(
        senders.mappings,
        [
            (mapping(7, "198.51.100.20:1024"), to(1, 0)),
            (mapping(8, "198.51.100.20:1024"), to(2, 0)),
            (mapping(8, "[2001:db8::2]:7"), to(3, 0)),
        ]
    );
    assert_eq!(senders.sources[0], (source(7, "198.51.100.20"), to(0, SourceEntry::SHARED)));
    assert_eq!(senders.sources[1].1.flags, SourceEntry::REWRITTEN);
    // By the address alone a learned peer is not known, and a declared one goes on being so.
    assert_eq!(senders.peer_addresses, declared_addresses());
    let maps = Maps::new(&senders);
    assert_eq!(maps.member(7, "198.51.100.20:1024"), Some(1));
    assert_eq!(maps.member(7, "198.51.100.20:1025"), Some(0));
    assert_eq!(maps.member(8, "198.51.100.20:1025"), None);
    assert_eq!(maps.member(7, "[2001:db8::2]:7"), None);
}

#[test]
fn a_mapping_is_rewritten_if_the_peer_sent_from_another_address_or_is_declared_to() {
    let config = hub();
    let flags = |peer: usize, learned: LearnedEndpoint| {
        let mut all = vec![None; 4];
        all[peer] = Some(learned);
        Senders::new(&config, &all).mappings[0].1.flags
    };
    let behind = LearnedEndpoint { sent_from: [10, 1, 1, 1].into(), ..at("198.51.100.20:1024") };
    assert_eq!(flags(FIRST, at("198.51.100.20:1024")), 0);
    assert_eq!(flags(FIRST, behind), SourceEntry::REWRITTEN);
    assert_eq!(flags(SECOND, at("198.51.100.20:1024")), SourceEntry::REWRITTEN);
    assert_eq!(flags(SECOND, at("192.168.1.2:1024")), 0);
    // It is declared what carries IPv4, and nothing of IPv6.
    assert_eq!(flags(SECOND, at("[2001:db8::2]:7")), 0);
}

#[test]
fn the_private_address_of_a_peer_is_declared_or_reported() {
    let config = hub();
    let private = |peer: usize, learned: Option<LearnedEndpoint>| {
        let entry = peer_entry(&config.peers[peer], &UNDERLAY, None, learned.as_ref(), 1);
        (entry.private, entry.private6)
    };
    let behind = LearnedEndpoint { sent_from: [10, 1, 1, 1].into(), ..at("198.51.100.20:1024") };
    assert_eq!(private(FIRST, None), ([0; 4], Address::ZERO));
    assert_eq!(private(FIRST, Some(at("198.51.100.20:1024"))), ([0; 4], Address::ZERO));
    assert_eq!(private(FIRST, Some(behind)), ([10, 1, 1, 1], Address::ZERO));
    // What is declared counts first.
    assert_eq!(private(SECOND, Some(behind)), ([192, 168, 1, 2], Address::ZERO));
    assert_eq!(private(SECOND, Some(at("192.168.1.2:1"))), ([0; 4], Address::ZERO));
    assert_eq!(private(KERNEL, None), ([10, 0, 0, 7], Address::ZERO));
    assert_eq!(private(DECLARED, None), ([0; 4], Address::ZERO));
    let sixes = HUB
        .replace("\"192.0.2.7\"", "[\"192.0.2.7\", \"[2001:db8::7]:1\"]")
        .replace("\"10.0.0.7\"", "[\"192.0.2.7\", \"fd00::7\"]");
    let entry = plan(&sixes).peers[KERNEL];
    assert_eq!((entry.private, entry.private6), ([0; 4], address("fd00::7").1));
}

#[test]
fn nothing_is_sent_before_an_endpoint_is_learned() {
    let config = hub();
    let of = |underlay, learned: Option<LearnedEndpoint>| {
        let entry = peer_entry(&config.peers[FIRST], &underlay, None, learned.as_ref(), 1);
        (entry.ifindex, entry.family, entry.endpoint, u16::from_be_bytes(entry.port))
    };
    assert_eq!(of(UNDERLAY, None), (0, IPV4, Address::ZERO, 0));
    let both = UnderlayFacts { v6: Some("2001:db8:1::10".parse().expect("one")), ..UNDERLAY };
    assert_eq!(of(both, None), (0, IPV6, Address::ZERO, 0));
    let known = at("198.51.100.20:1024");
    assert_eq!(of(both, Some(known)), (0, IPV4, Address::ipv4([198, 51, 100, 20]), 1024));
}

#[test]
fn an_overlay_leaves_room_for_ipv6_if_an_endpoint_may_be_learned_over_it() {
    let config = hub();
    let both = UnderlayFacts { v6: Some("2001:db8:1::10".parse().expect("one")), ..UNDERLAY };
    let seven = &config.networks[0];
    assert_eq!(overhead(&config, seven, &UNDERLAY), 50);
    assert_eq!(overhead(&config, seven, &both), 70);
    assert_eq!(default_overlay_mtu(&config, seven, &both), 1390);
    let mut declared = config.networks[0].clone();
    declared.members.truncate(1);
    assert_eq!(overhead(&config, &declared, &both), 50);
}

#[test]
fn ports_and_checksums_that_a_peer_sends_are_its_member_s() {
    let sends: Vec<_> = plan(HUB)
        .members
        .iter()
        .map(|member| (member.port_low, member.port_high, member.flags))
        .collect();
    let zero = MemberEntry::ZERO_CHECKSUM;
    assert_eq!(
        sends,
        [
            (4000, 4000, zero),
            (4790, 4790, zero),
            (4790, 4790, zero),
            (4790, 4790, zero),
            (40_000, 49_999, 0),
        ]
    );
    let member = plan(TWO_CLOUDS).members[0];
    assert_eq!(member.flags, MemberEntry::FLOW_PORTS | MemberEntry::ZERO_CHECKSUM);
}

#[test]
fn packets_are_probes_if_any_peer_has_a_key() {
    let settings = plan(HUB).settings;
    assert_eq!((settings.probes, settings.probe_vni), (1, [0, 0, 99]));
    let settings = plan(TWO_CLOUDS).settings;
    assert_eq!((settings.probes, settings.probe_vni), (0, [0xff; 3]));
}
