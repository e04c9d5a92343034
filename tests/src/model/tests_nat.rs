//! The model against values worked out by hand: what a NAT rewrote, learned endpoints, probes.

use std::{collections::HashSet, net::Ipv4Addr};

use super::{
    tests::{HERE, THERE, model, ping},
    *,
};
use crate::packet::{Checksum, Eth, Ipv4, Packet, Udp, Vxlan};

const WHO: Who = Who::Member { network: 0, member: 0 };
/// Of `THERE`.
const PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 119);
/// Of `HERE`.
const PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// Of a ping, as its sender computes it: 49152 and the hash.
const PING_PORT: u16 = 53_925;

fn packet(src: Ipv4Addr, dst: Ipv4Addr, udp: Udp, vni: u32, inner: Packet) -> Vec<u8> {
    let eth = Eth::new([1; 6], [2; 6]);
    let outer = Packet::new().with(eth).with(Ipv4::new(src, dst)).with(udp).with(Vxlan::new(vni));
    outer.carrying(inner).build().to_vec()
}

fn nat(model: &Model) -> Vec<(&'static str, u64)> {
    let nat = model.counters.0.iter().filter_map(|((who, what), count)| {
        let Counter::Nat(field) = what else { return None };
        (*who == WHO).then_some((*field, *count))
    });
    nat.collect()
}

fn udp(port: u16) -> Udp {
    Udp::vxlan(port)
}

#[test]
fn a_port_is_as_the_peer_chooses_it() {
    let flow = SourcePort::Flow;
    let some = SourcePort::Any { first: 4_000, last: 4_001 };
    let cases: [(SourcePort, &[u16], &[u16]); 3] = [
        (flow, &[PING_PORT], &[PING_PORT - 1, PING_PORT + 1, 4789, 0]),
        (SourcePort::Fixed, &[4789], &[4788, 4790, PING_PORT, 0]),
        (some, &[4_000, 4_001], &[3_999, 4_002, 4789, 0]),
    ];
    for (source_port, right, wrong) in cases {
        for (port, rewritten) in
            right.iter().map(|port| (port, false)).chain(wrong.iter().map(|port| (port, true)))
        {
            let mut model = model();
            model.config.peers[0].source_port = source_port;
            let fate = model.receive(&packet(PRIVATE, HERE, udp(*port), 43, ping()));
            assert!(matches!(fate, Fate::Accepted { .. }));
            let expected: &[_] = if rewritten { &[("src_port", 1)] } else { &[] };
            assert_eq!(nat(&model), expected, "{source_port:?} {port}");
            let mapping = &model.mappings[&(0, 0)];
            assert_eq!(mapping.port, if rewritten { *port } else { 0 });
        }
    }
}

/// Each of address, address and port rewritten, or not; the checksum is that of what was sent.
#[test]
fn a_rewrite_explains_a_wrong_checksum() {
    let at = |bytes: &[u8]| u16::from_be_bytes([bytes[40], bytes[41]]);
    let right = udp(PING_PORT).checksum(Checksum::Right);
    let sent = at(&packet(PRIVATE, PUBLIC, right, 43, ping()));
    for which in 1..8 {
        let src = if which & 1 == 0 { PRIVATE } else { THERE };
        let dst = if which & 2 == 0 { PUBLIC } else { HERE };
        let port = if which & 4 == 0 { PING_PORT } else { 1_024 };
        for (checksum, explained) in [(sent, true), (sent ^ 0x0100, false)] {
            let mut model = model();
            model.config.public_addresses.push(PUBLIC.into());
            let udp = udp(port).checksum(Checksum::Value(checksum));
            let fate = model.receive(&packet(src, dst, udp, 43, ping()));
            assert_eq!(fate, Fate::Refused(Refusal::new("bad_checksum", WHO)));
            let expected: &[_] = if explained { &[("checksum", 1)] } else { &[] };
            assert_eq!(nat(&model), expected, "{which}");
            assert!(model.mappings.is_empty(), "it was dropped");
        }
    }
}

#[test]
fn a_learned_peer_is_its_address_and_port() {
    let mut model = model();
    let peer = &mut model.config.peers[0];
    (peer.learn, peer.port, peer.private_addresses) = (true, 1_024, Vec::new());
    peer.source_port = SourcePort::Fixed;
    let unknown = Fate::Refused(Refusal::new("unknown_source", Who::Network(0)));
    assert_eq!(model.receive(&packet(THERE, HERE, udp(1_025), 43, ping())), unknown);
    let fate = model.receive(&packet(THERE, HERE, udp(1_024), 43, ping()));
    assert!(matches!(fate, Fate::Accepted { .. }));
    assert_eq!(nat(&model), [("src_port", 1)], "it sends from our own port");
    model.config.peers[0].sent_from = vec![PRIVATE.into()];
    model.receive(&packet(THERE, HERE, udp(1_024), 43, ping()));
    assert_eq!(nat(&model), [("src_address", 1), ("src_port", 2)]);
    let seen = HashSet::from([(THERE.into(), 1_024)]);
    let mapping = Mapping { address: THERE.into(), port: 1_024, ttl: 64, changes: 0, seen };
    assert_eq!(model.mappings[&(0, 0)], mapping);
    model.config.peers[0].endpoints.clear();
    assert_eq!(model.receive(&packet(THERE, HERE, udp(1_024), 43, ping())), unknown);
}

#[test]
fn mappings_are_told_apart() {
    let mut model = model();
    let fixed = |ttl| {
        let ip = Ipv4::new(PRIVATE, HERE).ttl(ttl);
        let outer = Packet::new().with(Eth::new([1; 6], [2; 6])).with(ip).with(udp(PING_PORT));
        outer.with(Vxlan::new(43)).carrying(ping()).build().to_vec()
    };
    let mut changes = |frame: &[u8]| {
        assert!(matches!(model.receive(frame), Fate::Accepted { .. }));
        let mapping = &model.mappings[&(0, 0)];
        (mapping.changes, mapping.ttl, mapping.seen.len())
    };
    assert_eq!(changes(&fixed(9)), (0, 9, 1));
    assert_eq!(changes(&fixed(8)), (0, 8, 1));
    assert_eq!(changes(&packet(PRIVATE, HERE, udp(9), 43, ping())), (1, 64, 2));
    assert_eq!(changes(&packet(THERE, HERE, udp(9), 43, ping())), (2, 64, 3));
    assert_eq!(changes(&fixed(8)), (3, 8, 3));
}

#[test]
fn a_probe_is_handed_to_the_daemon() {
    const TAG: [u8; 8] = *b"a tag: 8";
    let inner = |length: usize| {
        let mut frame = vec![7; length];
        frame[18..26].copy_from_slice(&TAG);
        Packet::new().payload(&frame)
    };
    let stranger = Ipv4Addr::new(198, 51, 100, 66);
    let wrong = udp(9).checksum(Checksum::Wrong);
    let probe = packet(stranger, HERE, wrong, 0xff_ffff, inner(303));
    let mut model = model();
    let unknown = Fate::Refused(Refusal::new("unknown_vni", Who::Nobody));
    assert_eq!(model.receive(&probe), unknown, "without keys it is no probe");
    model.config.peers[0].tag = Some(TAG);
    let Fate::Probe(probe_event) = model.receive(&probe) else { panic!("it is a probe") };
    assert_eq!(
        (probe_event.length, probe_event.source_port, probe_event.ttl),
        (20 + 8 + 8 + 303, 9, 64)
    );
    assert_eq!(probe_event.bytes, probe[42..42 + 8 + 302]);
    assert_eq!(model.counters.0[&(Who::Peer(0), Counter::Probes)], 1);
    let denied = Fate::Refused(Refusal::new("probe_denied", Who::Peer(0)));
    let short = packet(THERE, HERE, udp(9), 0xff_ffff, inner(301));
    assert_eq!(model.receive(&short), denied);
}
