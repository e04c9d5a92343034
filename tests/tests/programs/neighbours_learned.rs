//! Received ARP and neighbour discovery from which `decap` learns the MAC address of a neighbour,
//! and for how long `encap` answers from it.

use aya::maps::{HashMap, MapData};
use vxlan_common::{
    reason::TxDrop::NoNeighbour,
    table::{Neighbour, NeighbourKey},
};

use crate::{
    encap::{To, sent},
    neighbour_proxy::{REMOTE_MAC, advertisement, answered, arp_for, arp_reply, ns_for},
    prelude::*,
};

const OTHER_REMOTE_MAC: Mac = [2, 0, 0, 0, 0x78, 8];

#[track_caller]
fn receives(bench: &mut Bench, frame: &Packet) {
    let outcome = bench.run(Program::Decap, Context::DEFAULT, &from_aws(frame).build());
    assert_eq!(outcome.verdict, XDP_PASS, "{:?}", outcome.deltas);
}

#[test]
fn arp_teaches_who_has_an_address() {
    let second = Ipv4Addr::new(192, 168, 44, 2);
    for (name, frame) in [
        ("reply", arp_reply(AWS_HOST, REMOTE_MAC)),
        (
            "request",
            Packet::new()
                .with(Eth::new(BROADCAST, REMOTE_MAC))
                .with(Arp::request(REMOTE_MAC, AWS_HOST, GCP_HOST)),
        ),
        (
            "announcement",
            Packet::new()
                .with(Eth::new(BROADCAST, REMOTE_MAC))
                .with(Arp::request(REMOTE_MAC, AWS_HOST, AWS_HOST)),
        ),
    ] {
        let mut bench = Bench::gcp();
        check(&mut bench, Program::Encap, &[sent("before", &arp_for(AWS_HOST), To::Aws)]);
        receives(&mut bench, &frame);
        let rows = [
            answered(name, &arp_for(AWS_HOST), &arp_reply(AWS_HOST, REMOTE_MAC), AWS_43),
            sent("another address of the member", &arp_for(second), To::Aws),
            // It shares a slot of the member's neighbour table.
            sent("one sixteen addresses on", &arp_for([192, 168, 44, 17]), To::Aws),
            sent("a solicitation", &ns_for(AWS_HOST6), To::Aws),
        ];
        check(&mut bench, Program::Encap, &rows);
        receives(&mut bench, &arp_reply(second, OTHER_REMOTE_MAC));
        receives(&mut bench, &arp_reply(AWS_HOST, OTHER_REMOTE_MAC));
        let rows = [
            answered("second", &arp_for(second), &arp_reply(second, OTHER_REMOTE_MAC), AWS_43),
            answered("moved", &arp_for(AWS_HOST), &arp_reply(AWS_HOST, OTHER_REMOTE_MAC), AWS_43),
        ];
        check(&mut bench, Program::Encap, &rows);
    }
}

#[test]
fn advertisements_teach_who_has_an_address() {
    let mut bench = Bench::gcp();
    check(&mut bench, Program::Encap, &[sent("before", &ns_for(AWS_HOST6), To::Aws)]);
    receives(&mut bench, &advertisement(AWS_HOST6, GCP_HOST6, REMOTE_MAC));
    let second: Ipv6Addr = "2001:db8:44::2".parse().expect("is an address");
    let rows = [
        answered(
            "learned",
            &ns_for(AWS_HOST6),
            &advertisement(AWS_HOST6, GCP_HOST6, REMOTE_MAC),
            AWS_43,
        ),
        sent("another address", &ns_for(second), To::Aws),
        sent("ARP", &arp_for(AWS_HOST), To::Aws),
    ];
    check(&mut bench, Program::Encap, &rows);
    // From one address of its own about another, to everybody.
    let unsolicited = Packet::new()
        .with(Eth::new(ALL_NODES_MAC, OTHER_REMOTE_MAC))
        .with(Ipv6::new(AWS_HOST6, ALL_NODES).hop_limit(255))
        .with(Icmp::neighbour_advertisement(second, OTHER_REMOTE_MAC));
    receives(&mut bench, &unsolicited);
    let rows = [
        answered(
            "first",
            &ns_for(AWS_HOST6),
            &advertisement(AWS_HOST6, GCP_HOST6, REMOTE_MAC),
            AWS_43,
        ),
        answered(
            "second",
            &ns_for(second),
            &advertisement(second, GCP_HOST6, OTHER_REMOTE_MAC),
            AWS_43,
        ),
    ];
    check(&mut bench, Program::Encap, &rows);
}

#[test]
fn what_teaches_no_neighbour() {
    let mut bench = Bench::gcp();
    let question = Packet::new()
        .with(Eth::new(SOLICITED_MAC, REMOTE_MAC))
        .with(Ipv6::new(AWS_HOST6, SOLICITED).hop_limit(255))
        .with(Icmp::neighbour_solicitation(GCP_HOST6, REMOTE_MAC));
    receives(&mut bench, &question);
    let eth = || Eth::new(GCP_MAC, REMOTE_MAC);
    receives(&mut bench, &Packet::new().with(eth()).with(ipv4()).with(Udp::new(1, 2)));
    receives(&mut bench, &Packet::new().with(eth()).with(ipv6()).with(Udp::new(1, 2)));
    // Refused: speaks for the MAC of another, for an address of another, and comes from a stranger.
    let borrowed =
        Packet::new().with(eth()).with(Arp::reply(OTHER_REMOTE_MAC, AWS_HOST, GCP_MAC, GCP_HOST));
    let reply = arp_reply(AWS_HOST, REMOTE_MAC);
    let foreign = from_aws(&arp_reply(LONE_HOST, REMOTE_MAC));
    let stranger = wrap(outer_ip().src(STRANGER), outer_udp(), vxlan(), &reply);
    let office = from_office(&reply);
    for packet in [from_aws(&borrowed), foreign, stranger, office] {
        let outcome = bench.run(Program::Decap, Context::DEFAULT, &packet.build());
        assert_eq!(outcome.verdict, XDP_DROP);
    }
    let lone = Row::not_sent("lone", &arp_for(LONE_HOST).build(), NoNeighbour, LONE_43);
    let rows = [
        sent("ARP for aws' address", &arp_for(AWS_HOST), To::Aws),
        sent("solicitation of aws' address", &ns_for(AWS_HOST6), To::Aws),
        lone,
    ];
    check(&mut bench, Program::Encap, &rows);
}

#[test]
fn a_neighbour_is_believed_in_for_fifteen_seconds() {
    const SECOND: u64 = 1_000_000_000;
    let mut bench = Bench::gcp();
    receives(&mut bench, &arp_reply(AWS_HOST, REMOTE_MAC));
    let age = |bench: &mut Bench, seconds: u64| {
        let map = bench.plane.maps().map_mut("NEIGHBOURS").expect("is a map");
        let mut map: HashMap<&mut MapData, NeighbourKey, Neighbour> =
            map.try_into().expect("is a hash");
        let (key, value) = map.iter().next().expect("one").expect("can be read");
        // A machine may have been up for less than that; the program's subtraction wraps too.
        let seen = value.seen.wrapping_sub(seconds * SECOND);
        map.insert(key, Neighbour { seen, ..value }, 0).expect("takes it");
    };
    let question = arp_for(AWS_HOST);
    let row = answered("13 s", &question, &arp_reply(AWS_HOST, REMOTE_MAC), AWS_43);
    age(&mut bench, 12);
    check(&mut bench, Program::Encap, &[row]);
    age(&mut bench, 5);
    check(&mut bench, Program::Encap, &[sent("over 15 s", &question, To::Aws)]);
    receives(&mut bench, &arp_reply(AWS_HOST, OTHER_REMOTE_MAC));
    let row = answered("again", &question, &arp_reply(AWS_HOST, OTHER_REMOTE_MAC), AWS_43);
    check(&mut bench, Program::Encap, &[row]);
}

/// One member's word counts for its own addresses, and no one else's.
#[test]
fn members_teach_their_own_addresses() {
    let mut bench = Bench::gcp();
    receives(&mut bench, &arp_reply(AWS_HOST, REMOTE_MAC));
    // The declared MAC stands, whatever is learned.
    let office = Packet::new().with(Eth::new(GCP_MAC, REMOTE_MAC)).with(Arp::reply(
        REMOTE_MAC,
        OFFICE_HOST,
        GCP_MAC,
        GCP_HOST,
    ));
    let outcome = bench.run(Program::Decap, Context::DEFAULT, &from_office(&office).build());
    assert_eq!(outcome.verdict, XDP_PASS);
    let rows = [
        answered("declared", &arp_for(OFFICE_HOST), &arp_reply(OFFICE_HOST, OFFICE_MAC), OFFICE_43),
        answered("learned", &arp_for(AWS_HOST), &arp_reply(AWS_HOST, REMOTE_MAC), AWS_43),
        sent("traffic goes out", &ping_out(), To::Aws),
    ];
    check(&mut bench, Program::Encap, &rows);
    let ip = Ipv4::new(GCP_HOST, AWS_HOST);
    let eth = Eth::new(REMOTE_MAC, GCP_MAC);
    let row =
        sent("to the station", &Packet::new().with(eth).with(ip).with(Udp::new(1, 2)), To::Aws);
    check(&mut bench, Program::Encap, &[row]);
}

/// To one MAC: the kernel wants to know whether what it was told of the address still holds.
fn unicast(question: &Packet, to: Mac) -> Packet {
    let mut bytes = question.build().to_vec();
    bytes[..6].copy_from_slice(&to);
    Packet::new().payload(&bytes)
}

/// What was answered in the owner's name and did not hold is not answered again.
#[test]
fn a_neighbour_that_was_asked_in_vain_is_not_answered_for() {
    let mut bench = Bench::gcp();
    let advertised = || advertisement(AWS_HOST6, GCP_HOST6, REMOTE_MAC);
    let arp = (arp_for(AWS_HOST), arp_reply(AWS_HOST, REMOTE_MAC));
    let nd = (ns_for(AWS_HOST6), advertised());
    for (name, (question, answer)) in [("ARP", arp), ("discovery", nd)] {
        receives(&mut bench, &answer);
        let on_the_spot = || answered(name, &question, &answer, AWS_43);
        // Of another address, of another MAC, and no question.
        let elsewhere = arp_for([192, 168, 44, 2]);
        let reply = Packet::new()
            .with(Eth::new(REMOTE_MAC, GCP_MAC))
            .with(Arp::reply(GCP_MAC, GCP_HOST, REMOTE_MAC, AWS_HOST));
        let advertises = Packet::new()
            .with(Eth::new(REMOTE_MAC, GCP_MAC))
            .with(Ipv6::new(GCP_HOST6, AWS_HOST6).hop_limit(255))
            .with(Icmp::neighbour_advertisement(GCP_HOST6, GCP_MAC));
        let rows = [
            on_the_spot(),
            sent("another address", &unicast(&elsewhere, REMOTE_MAC), To::Aws),
            sent("another MAC", &unicast(&question, OTHER_REMOTE_MAC), To::Aws),
            sent("an ARP reply", &reply, To::Aws),
            sent("an advertisement", &advertises, To::Aws),
        ];
        check(&mut bench, Program::Encap, &rows);
        check(&mut bench, Program::Encap, &[on_the_spot()]);
        for _ in 0..2 {
            let rows = [
                sent("the probe", &unicast(&question, REMOTE_MAC), To::Aws),
                sent("the question goes to the owner", &question, To::Aws),
            ];
            check(&mut bench, Program::Encap, &rows);
        }
        receives(&mut bench, &answer);
        check(&mut bench, Program::Encap, &[on_the_spot()]);
    }
}

/// Also where the MAC is declared: the host behind the address may be another one by now.
#[test]
fn a_declared_neighbour_that_was_asked_in_vain_is_not_answered_for() {
    let mut bench = Bench::gcp();
    let question = arp_for(OFFICE_HOST);
    let on_the_spot =
        || answered("declared", &question, &arp_reply(OFFICE_HOST, OFFICE_MAC), OFFICE_43);
    check(&mut bench, Program::Encap, &[on_the_spot()]);
    let rows = [
        sent("a probe of another MAC", &unicast(&question, REMOTE_MAC), To::Office),
        answered("as before", &question, &arp_reply(OFFICE_HOST, OFFICE_MAC), OFFICE_43),
        sent("the probe", &unicast(&question, OFFICE_MAC), To::Office),
        sent("the question goes to the owner", &question, To::Office),
    ];
    check(&mut bench, Program::Encap, &rows);
    let heard = Packet::new().with(Eth::new(GCP_MAC, OFFICE_MAC)).with(Arp::reply(
        OFFICE_MAC,
        OFFICE_HOST,
        GCP_MAC,
        GCP_HOST,
    ));
    let outcome = bench.run(Program::Decap, Context::DEFAULT, &from_office(&heard).build());
    assert_eq!(outcome.verdict, XDP_PASS);
    check(&mut bench, Program::Encap, &[on_the_spot()]);
}
