//! The forwarding table: learned from accepted frames only, never over a declared entry, and
//! followed when a station moves.

use vxlan_common::reason::TxDrop::NoRoute;

use crate::{
    bench::Fdb,
    encap::{To, sent},
    prelude::*,
};

const REMOTE_MAC: Mac = [2, 0, 0, 0, 0x77, 7];

fn inner(from: Mac, source: Ipv4Addr) -> Packet {
    Packet::new()
        .with(Eth::new(GCP_MAC, from))
        .with(Ipv4::new(source, GCP_HOST))
        .with(Icmp::echo_request(1, 1))
}

fn aws_sends(bench: &mut Bench, from: Mac) -> Outcome {
    let packet = from_aws(&inner(from, AWS_HOST)).build();
    bench.run(Program::Decap, Context::DEFAULT, &packet)
}

fn office_sends(bench: &mut Bench, from: Mac) -> Outcome {
    let packet = from_office(&inner(from, OFFICE_HOST)).build();
    bench.run(Program::Decap, Context::DEFAULT, &packet)
}

/// To that station, at an address that is nobody's.
fn to(station: Mac) -> Packet {
    Packet::new()
        .with(Eth::new(station, GCP_MAC))
        .with(Ipv4::new(GCP_HOST, NOWHERE))
        .with(Icmp::echo_request(1, 1))
}

#[track_caller]
fn goes_to(bench: &mut Bench, station: Mac, member: To) {
    check(bench, Program::Encap, &[sent("to the station", &to(station), member)]);
}

#[track_caller]
fn goes_nowhere(bench: &mut Bench, station: Mac) {
    let row = Row::not_sent("to nobody", &to(station).build(), NoRoute, NETWORK);
    check(bench, Program::Encap, &[row]);
}

#[test]
fn an_accepted_frame_teaches_its_station_and_no_other() {
    let mut bench = Bench::gcp();
    let declared: Fdb = [((1, OFFICE_MAC), bench.member(OFFICE_43))].into();
    goes_nowhere(&mut bench, REMOTE_MAC);
    let outcome = aws_sends(&mut bench, REMOTE_MAC);
    assert_eq!(outcome.verdict, XDP_PASS);
    assert_eq!(outcome.fdb_before, declared);
    let mut expected = declared;
    expected.insert((1, REMOTE_MAC), bench.member(AWS_43));
    assert_eq!(outcome.fdb, expected);
    goes_to(&mut bench, REMOTE_MAC, To::Aws);
    goes_nowhere(&mut bench, STRANGE_MAC);
    // A second time there is nothing new, and a second station does not push the first one out.
    assert_eq!(aws_sends(&mut bench, REMOTE_MAC).fdb, expected);
    aws_sends(&mut bench, AWS_MAC);
    goes_to(&mut bench, REMOTE_MAC, To::Aws);
    goes_to(&mut bench, AWS_MAC, To::Aws);
}

/// A station's address goes by its MAC, also where the address alone would go nowhere.
#[test]
fn link_local_answers_go_by_mac_address() {
    let mut bench = Bench::gcp();
    let answer = Packet::new()
        .with(eth_out())
        .with(Ipv6::new(GCP_LINK_LOCAL, AWS_LINK_LOCAL).hop_limit(255))
        .with(Icmp::neighbour_advertisement(GCP_LINK_LOCAL, GCP_MAC));
    let row = Row::not_sent("before", &answer.build(), NoRoute, NETWORK);
    check(&mut bench, Program::Encap, &[row]);
    let question = Packet::new()
        .with(Eth::new(SOLICITED_MAC, AWS_MAC))
        .with(Ipv6::new(AWS_LINK_LOCAL, SOLICITED).hop_limit(255))
        .with(Icmp::neighbour_solicitation(GCP_LINK_LOCAL, AWS_MAC));
    let outcome = bench.run(Program::Decap, Context::DEFAULT, &from_aws(&question).build());
    assert_eq!(outcome.verdict, XDP_PASS);
    check(&mut bench, Program::Encap, &[sent("after", &answer, To::Aws)]);
}

#[test]
fn a_refused_frame_teaches_nothing() {
    let mut bench = Bench::gcp();
    let good = inner(REMOTE_MAC, AWS_HOST);
    let truncated = from_aws(&good).build();
    let refused = [
        ("foreign source", from_aws(&inner(REMOTE_MAC, OFFICE_HOST)).build()),
        ("stranger", wrap(outer_ip().src(STRANGER), outer_udp(), vxlan(), &good).build()),
        ("unknown VNI", wrap(outer_ip(), outer_udp(), vxlan().vni(UNKNOWN_VNI), &good).build()),
        ("not a member", wrap(outer_ip(), outer_udp(), vxlan().vni(OTHER_VNI), &good).build()),
        (
            "congestion, Not-ECT inside",
            wrap(outer_ip().tos(3), outer_udp(), vxlan(), &good).build(),
        ),
        ("cut off", truncated[..truncated.len() - 1].into()),
        (
            "foreign destination",
            from_aws(
                &Packet::new()
                    .with(Eth::new(GCP_MAC, REMOTE_MAC))
                    .with(Ipv4::new(AWS_HOST, OFFICE_HOST))
                    .with(Icmp::echo_request(1, 1)),
            )
            .build(),
        ),
    ];
    for (name, packet) in refused {
        let outcome = bench.run(Program::Decap, Context::DEFAULT, &packet);
        assert_eq!(outcome.verdict, XDP_DROP, "{name}");
        assert_eq!(outcome.fdb, outcome.fdb_before, "{name}");
        goes_nowhere(&mut bench, REMOTE_MAC);
    }
    aws_sends(&mut bench, REMOTE_MAC);
    goes_to(&mut bench, REMOTE_MAC, To::Aws);
}

#[test]
fn a_declared_station_stays_where_it_is() {
    let mut bench = Bench::gcp();
    goes_to(&mut bench, OFFICE_MAC, To::Office);
    let outcome = aws_sends(&mut bench, OFFICE_MAC);
    assert_eq!(outcome.verdict, XDP_PASS, "the frame itself is in order");
    assert_eq!(outcome.fdb, outcome.fdb_before);
    goes_to(&mut bench, OFFICE_MAC, To::Office);
    office_sends(&mut bench, OFFICE_MAC);
    aws_sends(&mut bench, OFFICE_MAC);
    goes_to(&mut bench, OFFICE_MAC, To::Office);
}

/// A station that was silent for this many seconds may be behind another member now.
const HOLD: u32 = 10;

#[test]
fn a_station_that_moves_is_followed_there_and_back() {
    let mut bench = Bench::gcp();
    for _ in 0..3 {
        aws_sends(&mut bench, REMOTE_MAC);
        goes_to(&mut bench, REMOTE_MAC, To::Aws);
        bench.seconds_pass(HOLD);
        office_sends(&mut bench, REMOTE_MAC);
        goes_to(&mut bench, REMOTE_MAC, To::Office);
        bench.seconds_pass(HOLD);
    }
}

/// Any member can send with any source MAC: a station that is heard of stays where it is.
#[test]
fn a_station_is_not_taken_from_a_member_that_it_sends_through() {
    let mut bench = Bench::gcp();
    for _ in 0..3 {
        aws_sends(&mut bench, REMOTE_MAC);
        bench.seconds_pass(HOLD - 1);
        let announcement = Packet::new().with(Eth::new(BROADCAST, REMOTE_MAC)).with(Arp::request(
            REMOTE_MAC,
            OFFICE_HOST,
            OFFICE_HOST,
        ));
        let outcome =
            bench.run(Program::Decap, Context::DEFAULT, &from_office(&announcement).build());
        assert_eq!(outcome.verdict, XDP_PASS, "the frame itself is in order");
        for _ in 0..2 {
            assert_eq!(office_sends(&mut bench, REMOTE_MAC).verdict, XDP_PASS);
            goes_to(&mut bench, REMOTE_MAC, To::Aws);
        }
    }
    // What office sends by that address reaches it all the same.
    let answer = Packet::new()
        .with(Eth::new(REMOTE_MAC, GCP_MAC))
        .with(Ipv4::new(GCP_HOST, OFFICE_HOST))
        .with(Icmp::echo_request(1, 1));
    check(&mut bench, Program::Encap, &[sent("by address", &answer, To::Office)]);
    bench.seconds_pass(1);
    office_sends(&mut bench, REMOTE_MAC);
    goes_to(&mut bench, REMOTE_MAC, To::Office);
}

/// The member's other stations do not hide that one of them moved away and came back.
#[test]
fn a_station_that_moves_among_others_is_followed() {
    let mut bench = Bench::gcp();
    aws_sends(&mut bench, REMOTE_MAC);
    aws_sends(&mut bench, AWS_MAC);
    bench.seconds_pass(HOLD);
    office_sends(&mut bench, REMOTE_MAC);
    goes_to(&mut bench, REMOTE_MAC, To::Office);
    bench.seconds_pass(HOLD);
    aws_sends(&mut bench, AWS_MAC);
    aws_sends(&mut bench, REMOTE_MAC);
    goes_to(&mut bench, REMOTE_MAC, To::Aws);
    goes_to(&mut bench, AWS_MAC, To::Aws);
    bench.seconds_pass(HOLD);
    office_sends(&mut bench, STRANGE_MAC);
    office_sends(&mut bench, REMOTE_MAC);
    goes_to(&mut bench, REMOTE_MAC, To::Office);
    goes_to(&mut bench, STRANGE_MAC, To::Office);
}

/// One MAC in two networks is two stations.
#[test]
fn networks_learn_for_themselves() {
    let mut bench = Bench::gcp();
    let frame = Packet::new()
        .with(Eth::new(OTHER_MAC, REMOTE_MAC))
        .with(Ipv4::new(OFFICE_OTHER_HOST, GCP_OTHER_HOST))
        .with(Icmp::echo_request(1, 1));
    let packet = wrap(outer_ip().src(OFFICE), outer_udp(), vxlan().vni(OTHER_VNI), &frame).build();
    let outcome = bench.run(Program::Decap, Context::DEFAULT, &packet);
    assert_eq!(outcome.verdict, XDP_PASS);
    let office = bench.member(Who::Member("office", OTHER_VNI));
    assert_eq!(outcome.fdb.get(&(9_999, REMOTE_MAC)), Some(&office));
    goes_nowhere(&mut bench, REMOTE_MAC);
    aws_sends(&mut bench, REMOTE_MAC);
    goes_to(&mut bench, REMOTE_MAC, To::Aws);
}

/// A member that sends with another's MAC draws nothing of the other's traffic, and what it wants
/// sent to itself does not go to the other: also where the MAC is declared.
#[test]
fn a_borrowed_mac_directs_no_traffic() {
    let mut bench = Bench::gcp();
    office_sends(&mut bench, AWS_MAC);
    goes_to(&mut bench, AWS_MAC, To::Office);
    let frame = |station, address| {
        Packet::new()
            .with(Eth::new(station, GCP_MAC))
            .with(Ipv4::new(GCP_HOST, address))
            .with(Icmp::echo_request(1, 1))
    };
    let frame6 = |station, address| {
        Packet::new()
            .with(Eth::new(station, GCP_MAC))
            .with(Ipv6::new(GCP_HOST6, address))
            .with(Icmp::echo_request_v6(1, 1))
    };
    let solicitation = Packet::new()
        .with(Eth::new(OFFICE_MAC, GCP_MAC))
        .with(Ipv6::new(GCP_HOST6, AWS_HOST6).hop_limit(255))
        .with(Icmp::neighbour_solicitation(AWS_HOST6, GCP_MAC));
    let fragment = Packet::new()
        .with(Eth::new(OFFICE_MAC, GCP_MAC))
        .with(Ipv4::new(GCP_HOST, AWS_HOST).fragment(9).protocol(Some(17)))
        .payload(&[7; 40]);
    let local = Ipv4Addr::new(192, 168, 43, 77);
    let own = |name, station| Row::not_sent(name, &frame(station, local).build(), NoRoute, NETWORK);
    let rows = [
        sent("aws' address, its MAC borrowed by office", &frame(AWS_MAC, AWS_HOST), To::Aws),
        sent("aws' address, office's declared MAC", &frame(OFFICE_MAC, AWS_HOST), To::Aws),
        sent("aws' IPv6 address, office's declared MAC", &frame6(OFFICE_MAC, AWS_HOST6), To::Aws),
        sent("aws' IPv6 address, learned MAC", &frame6(AWS_MAC, AWS_HOST6), To::Aws),
        sent("solicitation of aws at office's declared MAC", &solicitation, To::Aws),
        sent("a later fragment, office's declared MAC", &fragment, To::Aws),
        own("this host's own prefix at a learned station", AWS_MAC),
        own("this host's own prefix at a declared station", OFFICE_MAC),
    ];
    check(&mut bench, Program::Encap, &rows);
}
