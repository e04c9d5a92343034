//! The model against values worked out by hand. That it says what the page says is seen by reading;
//! that the programs do what it says, by the fuzz tests of the programs suite.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::packet::{Arp, BROADCAST, Eth, Icmp, Ipv4, Packet, Tcp, Udp, Vxlan, flags};

pub(super) const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub(super) const THERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 20);
const OWN: Ipv4Addr = Ipv4Addr::new(192, 168, 43, 1);
const THEIRS: Ipv4Addr = Ipv4Addr::new(192, 168, 44, 1);
const OWN_MAC: Mac = [2, 0, 0, 0, 0x43, 1];
const THEIR_MAC: Mac = [2, 0, 0, 0, 0x44, 1];

pub(super) fn model() -> Model {
    let peer = Peer {
        name: "there".to_owned(),
        endpoints: vec![THERE.into()],
        port: 4789,
        learn: false,
        sent_from: Vec::new(),
        source_port: SourcePort::Flow,
        sends_no_checksum: false,
        tag: None,
        private_addresses: vec![Ipv4Addr::new(10, 0, 0, 119).into()],
        accept_private: true,
        path_mtu: 1460,
        reachable: true,
    };
    let member = Member {
        peer: 0,
        allowed: vec![Prefix::new(Ipv4Addr::new(192, 168, 44, 0), 24)],
        mac: None,
    };
    let subnet = Prefix::new(Ipv4Addr::new(192, 168, 43, 0), 24);
    let network = Network {
        vni: 43,
        mac: OWN_MAC,
        addresses: vec![(OWN.into(), subnet)],
        local: vec![subnet],
        stations: true,
        pass_unspecified: false,
        members: vec![member],
        flood: false,
        pass_nested: false,
        max_stations: 2,
    };
    Model::new(Config {
        addresses: vec![HERE.into()],
        public_addresses: Vec::new(),
        port: 4789,
        pass_unknown_vni: false,
        ignore_reserved_bits: false,
        ignore_udp_checksum: false,
        probe_vni: 0xff_ffff,
        ttl: FieldSource::Settings(64),
        dscp: FieldSource::Settings(0),
        fixed_source_port: false,
        peers: vec![peer],
        networks: vec![network],
    })
}

fn arriving(inner: Packet) -> Vec<u8> {
    let outer = Packet::new()
        .with(Eth::new([1; 6], [2; 6]))
        .with(Ipv4::new(THERE, HERE))
        .with(Udp::vxlan(50_000))
        .with(Vxlan::new(43));
    outer.carrying(inner).build().to_vec()
}

pub(super) fn ping() -> Packet {
    let eth = Eth::new(OWN_MAC, THEIR_MAC);
    Packet::new().with(eth).with(Ipv4::new(THEIRS, OWN)).with(Icmp::echo_request(1, 1))
}

#[test]
fn a_ping_is_accepted_counted_and_remembered() {
    let mut model = model();
    let inner = ping().build().to_vec();
    let fate = model.receive(&arriving(ping()));
    assert_eq!(fate, Fate::Accepted { inner, network: 0, member: 0 });
    let who = Who::Member { network: 0, member: 0 };
    let counted = [
        ((who, Counter::RxPackets), 1),
        ((who, Counter::RxBytes), 42),
        ((who, Counter::Nat("src_address")), 1),
        ((who, Counter::Nat("src_port")), 1),
    ];
    assert_eq!(model.counters.0, counted.into());
    let entry = FdbEntry { member: 0, declared: false };
    assert_eq!(model.fdb, [((0, THEIR_MAC), entry)].into());
}

#[test]
fn a_frame_that_ends_early_is_never_accepted() {
    let whole = arriving(ping());
    for length in 0..whole.len() {
        let fate = model().receive(&whole[..length]);
        let who = Who::Peer(0);
        let expected = match length {
            0..42 => Fate::NotOurs,
            _ => Fate::Refused(Refusal::new("malformed_outer", who)),
        };
        assert_eq!(fate, expected, "{length} bytes");
    }
}

/// The bytes of "a packet of literal bytes" in the tables of the programs, written by hand there.
#[test]
fn a_header_alone_is_sent() {
    let frame = Packet::new()
        .with(Eth::new(THEIR_MAC, OWN_MAC))
        .with(Ipv4::new(OWN, THEIRS).fragment(0).protocol(Some(59)))
        .build();
    let Fate::Sent { outer, member: 0 } = model().transmit(0, &frame) else { panic!("it is sent") };
    assert_eq!(outer[..14], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0]);
    assert_eq!(outer[14..26], [0x45, 0, 0, 70, 0, 0, 0x40, 0, 64, 17, 0x06, 0x5e]);
    assert_eq!(outer[26..34], [10, 0, 0, 2, 198, 51, 100, 20]);
    assert_eq!(outer[36..50], [0x12, 0xb5, 0, 50, 0, 0, 8, 0, 0, 0, 0, 0, 43, 0]);
    assert_eq!(outer[50..], frame);
}

#[test]
fn a_segment_size_is_lowered_wherever_it_lies() {
    // 1460 - 36 outside of Ethernet, less 14 of it, 20 of IPv4 and 20 of TCP.
    let fits = 1370_u16.to_be_bytes();
    for pad in 0..4 {
        let syn = |mss: [u8; 2]| {
            let mut options = vec![1; pad];
            options.extend([2, 4, mss[0], mss[1]]);
            options.resize(8, 0);
            let tcp = Tcp::new(1, 2).flags(flags::SYN).options(options);
            Packet::new().with(Eth::new(THEIR_MAC, OWN_MAC)).with(Ipv4::new(OWN, THEIRS)).with(tcp)
        };
        let sent = |frame: Packet| {
            let fate = model().transmit(0, &frame.build());
            let Fate::Sent { outer, .. } = fate else { panic!("{fate:?}") };
            outer
        };
        let lowered = syn(fits).build();
        assert_eq!(sent(syn([0x05, 0xb4]))[50..], lowered, "behind {pad}");
        assert_eq!(sent(syn(fits))[50..], lowered, "behind {pad}");
    }
}

#[test]
fn a_neighbour_that_was_heard_is_answered_for() {
    let mut model = model();
    let question = Packet::new()
        .with(Eth::new(BROADCAST, OWN_MAC))
        .with(Arp::request(OWN_MAC, OWN, THEIRS))
        .build();
    assert!(matches!(model.transmit(0, &question), Fate::Sent { member: 0, .. }));
    let announcement = Packet::new()
        .with(Eth::new(BROADCAST, THEIR_MAC))
        .with(Arp::request(THEIR_MAC, THEIRS, OWN));
    assert!(matches!(model.receive(&arriving(announcement)), Fate::Accepted { .. }));
    let reply = Packet::new()
        .with(Eth::new(OWN_MAC, THEIR_MAC))
        .with(Arp::reply(THEIR_MAC, THEIRS, OWN_MAC, OWN))
        .build()
        .to_vec();
    let Fate::Answered { reply: given, member: 0, forgotten } = model.transmit(0, &question) else {
        panic!("it is answered")
    };
    assert_eq!(given, reply);
    assert!(matches!(*forgotten, Fate::Sent { member: 0, .. }));
}

#[test]
fn stations_have_a_limit_and_may_move() {
    let mut model = model();
    let from = |mac: Mac| {
        let eth = Eth::new(OWN_MAC, mac);
        arriving(Packet::new().with(eth).with(Ipv4::new(THEIRS, OWN)))
    };
    for last in 0..5 {
        assert!(matches!(model.receive(&from([2, 0, 0, 0, 0, last])), Fate::Accepted { .. }));
    }
    assert_eq!(model.fdb.len(), 2);
}

#[test]
fn prefixes() {
    let v4 = |octets: [u8; 4]| IpAddr::from(octets);
    let prefix = Prefix::new(Ipv4Addr::new(192, 168, 44, 0), 24);
    assert!(prefix.holds(v4([192, 168, 44, 255])));
    assert!(!prefix.holds(v4([192, 168, 45, 0])));
    assert!(Prefix::new(Ipv4Addr::UNSPECIFIED, 0).holds(v4([255; 4])));
    assert!(Prefix::new(OWN, 32).holds(OWN.into()));
    assert!(!Prefix::new(OWN, 32).holds(v4([192, 168, 43, 0])));
    let all = Prefix::new(std::net::Ipv6Addr::UNSPECIFIED, 0);
    assert!(all.holds("ff::1".parse().expect("is an address")));
    assert!(!all.holds(OWN.into()));
}
