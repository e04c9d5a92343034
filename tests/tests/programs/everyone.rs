//! What is for everyone: each member gets a copy, by itself checked, headed and counted. The last one
//! gets the frame itself, which is what a test run shows; the others' leave by the loopback device of
//! this namespace, where `encap` is attached as on an overlay interface.

use std::net::Ipv4Addr;

use aya::programs::{
    LinkOrder, TcAttachType,
    tc::{SchedClassifierLink, TcAttachOptions},
};
use vxlan_common::reason::TxDrop::{MtuExceeded, NoNeighbour, NoRoute};
use vxlan_tests::packet::{Arp, BROADCAST, Eth, Icmp, Ipv4, Ipv6, Mac, Packet, Udp, Vxlan};
use vxlan_user::dataplane::names;

use crate::{
    bench::{Bench, Context, GCP, Program},
    flow::port_of,
    moves::{Moves, Who},
    rows::{Row, TC_ACT_SHOT, XDP_PASS, check},
    world::*,
};

const NETWORK: Who = Who::Network(VNI);
const STATION: Mac = [2, 0, 0, 0, 0x77, 7];
const MDNS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const DEPOT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 40);

fn member(name: &'static str) -> Who {
    Who::Member(name, VNI)
}

/// `aws`, `office` and, in the place of `lone`, `depot`, which is reached.
fn text(unknown_unicast: &str) -> String {
    let flood = format!("unknown_unicast = \"{unknown_unicast}\"");
    let text = gcp(PUBLIC).replacen("unknown_unicast = \"drop\"", &flood, 1);
    text.replace("\"lone\"", "\"depot\"")
}

/// A bench on whose overlay interface `encap` runs for what is really sent there.
fn attached(text: &str) -> (Bench, SchedClassifierLink) {
    let mut bench = Bench::new(text, GCP);
    let encap = bench.plane.classifier(names::ENCAP).expect("is loaded");
    let options = TcAttachOptions::TcxOrder(LinkOrder::default());
    let id = encap.attach_with_options("lo", TcAttachType::Egress, options).expect("attaches");
    let link = encap.take_link(id).expect("its link");
    (bench, link)
}

/// The frame on its way to that endpoint.
fn packet(frame: &[u8], endpoint: Ipv4Addr, port: u16) -> Vec<u8> {
    let ip = Ipv4::new(GCP_PRIVATE, endpoint);
    let udp = Udp::vxlan(port_of(frame)).dst_port(port);
    let headers = Packet::new().with(Eth::new([0; 6], [0; 6])).with(ip).with(udp);
    headers.with(Vxlan::new(VNI)).payload(frame).build().to_vec()
}

/// To these, of which the last gets the frame itself.
fn sent_to(frame: &[u8], all: &[&'static str]) -> Moves {
    let sent = all.iter().map(|name| Moves::sent(member(name), 1, frame.len()));
    sent.fold(Moves::none(), |all, one| all.with(&one))
}

fn copied(name: &str, frame: &Packet, all: &[&'static str]) -> Row {
    let frame = frame.build();
    let (endpoint, port) = match *all.last().expect("at least one") {
        "aws" => (AWS_PUBLIC, 4789),
        "office" => (OFFICE, 8472),
        "depot" => (DEPOT, 4789),
        other => panic!("{other} is no member"),
    };
    let last = member(all.last().expect("at least one"));
    Row::sent(name, &frame, &packet(&frame, endpoint, port), last).moves(sent_to(&frame, all))
}

fn ether(to: Mac) -> Packet {
    Packet::new().with(Eth::new(to, GCP_MAC))
}

fn udp() -> Udp {
    Udp::new(5353, 5353)
}

fn v4(mac: Mac, to: Ipv4Addr) -> Packet {
    ether(mac).with(Ipv4::new(GCP_HOST, to)).with(udp()).payload(b"to all")
}

fn broadcast() -> Packet {
    v4(BROADCAST, Ipv4Addr::BROADCAST)
}

const ALL: &[&str] = &["aws", "office", "depot"];

#[test]
fn every_kind_that_is_for_everyone() {
    let (mut bench, _link) = attached(&text("drop"));
    let arp =
        |sender: Ipv4Addr, target| ether(BROADCAST).with(Arp::request(GCP_MAC, sender, target));
    let advertisement = Packet::new()
        .with(Eth::new(ALL_NODES_MAC, GCP_MAC))
        .with(Ipv6::new(GCP_HOST6, ALL_NODES).hop_limit(255))
        .with(Icmp::neighbour_advertisement(GCP_HOST6, GCP_MAC));
    let own = Ipv4Addr::new(192, 168, 43, 255);
    let dhcp = ether(BROADCAST).with(Ipv4::new([0; 4], [255; 4])).with(Udp::new(68, 67));
    let mdns6: std::net::Ipv6Addr = "ff02::fb".parse().expect("is an address");
    let site: std::net::Ipv6Addr = "ff05::1:3".parse().expect("is an address");
    let v6 = |mac, to| ether(mac).with(Ipv6::new(GCP_HOST6, to)).with(udp());
    let reply = Arp::reply(GCP_MAC, GCP_HOST, [0; 6], GCP_HOST);
    let nowhere6: std::net::Ipv6Addr = "2001:db8:99::1".parse().expect("is an address");
    let copied = |name: &str, frame: Packet| copied(name, &frame, ALL);
    let rows = [
        copied("limited broadcast", broadcast()),
        copied("DHCP", dhcp),
        copied("broadcast of the own subnet", v4(BROADCAST, own)),
        copied(
            "an address of the own subnet in a broadcast",
            v4(BROADCAST, [192, 168, 43, 9].into()),
        ),
        copied("nobody's address in a broadcast", v4(BROADCAST, NOWHERE)),
        copied("nobody's IPv6 address in a broadcast", v6(BROADCAST, nowhere6)),
        copied("multicast", v4([1, 0, 0x5e, 0, 0, 251], MDNS)),
        copied("multicast in a broadcast", v4(BROADCAST, MDNS)),
        copied("IPv6 multicast of the link", v6([0x33, 0x33, 0, 0, 0, 0xfb], mdns6)),
        copied("IPv6 multicast of the site", v6([0x33, 0x33, 0, 1, 0, 3], site)),
        copied("announcement", arp(GCP_HOST, GCP_HOST)),
        copied("announcement of a member's address", arp(AWS_HOST, AWS_HOST)),
        copied("announcement of nobody's address", arp(NOWHERE, NOWHERE)),
        copied("announcement as a reply", ether(BROADCAST).with(reply)),
        copied("unsolicited advertisement", advertisement),
    ];
    check(&mut bench, Program::Encap, &rows);
}

#[test]
fn unknown_unicast_where_it_floods() {
    let (mut bench, _link) = attached(&text("flood"));
    let to6 = |text: &str| {
        let to = text.parse().expect("is an address");
        ether(STRANGE_MAC).with(Ipv6::new(GCP_HOST6, to)).with(udp())
    };
    let ask = |target| {
        ether(STRANGE_MAC)
            .with(Ipv6::new(GCP_HOST6, SOLICITED).hop_limit(255))
            .with(Icmp::neighbour_solicitation(target, GCP_MAC))
    };
    let arp = |target| ether(STRANGE_MAC).with(Arp::request(GCP_MAC, GCP_HOST, target));
    let no_route = |name, frame: Packet| Row::not_sent(name, &frame.build(), NoRoute, NETWORK);
    let one = |name, frame: Packet, to| copied(name, &frame, &[to]);
    let rows = [
        copied("nobody's address", &v4(STRANGE_MAC, NOWHERE), ALL),
        copied("nobody's IPv6 address", &to6("2001:db8:99::1"), ALL),
        copied("link-local address", &to6("fe80::44:1"), ALL),
        copied("multicast", &v4(STRANGE_MAC, MDNS), ALL),
        copied("ARP for nobody's address", &arp(NOWHERE), ALL),
        copied("solicitation of a link-local address", &ask(AWS_LINK_LOCAL), ALL),
        one("a member's address", v4(STRANGE_MAC, AWS_HOST), "aws"),
        one("a declared station", v4(OFFICE_MAC, NOWHERE), "office"),
        one("ARP for a member's address", arp(AWS_HOST), "aws"),
        one("solicitation of a member's address", ask(AWS_HOST6), "aws"),
        no_route("own subnet", v4(STRANGE_MAC, [192, 168, 43, 9].into())),
        no_route("own address", v4(GCP_MAC, GCP_HOST)),
        no_route("solicitation of our address", ask(GCP_HOST6)),
        no_route("ARP for our address", arp(GCP_HOST)),
        no_route(
            "a question to all, of nobody's address",
            ether(BROADCAST).with(Arp::request(GCP_MAC, GCP_HOST, NOWHERE)),
        ),
        no_route(
            "router solicitation",
            ether([0x33, 0x33, 0, 0, 0, 2])
                .with(Ipv6::new(GCP_LINK_LOCAL, "ff02::2".parse().expect("is one")).hop_limit(255))
                .with(Icmp::new(133, 0, vec![0; 4])),
        ),
    ];
    check(&mut bench, Program::Encap, &rows);
}

/// A frame to a group with a member's address is that member's alone.
#[test]
fn an_owner_gets_it_alone() {
    let (mut bench, _link) = attached(&text("flood"));
    let frame = |mac, to| v4(mac, to);
    let all = Ipv4Addr::new(192, 168, 45, 255);
    let rows = [
        copied("address in a broadcast", &frame(BROADCAST, AWS_HOST), &["aws"]),
        copied("broadcast of a member's subnet", &frame(BROADCAST, all), &["office"]),
        copied("address in a multicast", &frame([1, 0, 0x5e, 1, 2, 3], AWS_HOST), &["aws"]),
    ];
    check(&mut bench, Program::Encap, &rows);
}

/// Its own broadcast must not come back to a station, by way of a bridge here.
#[test]
fn not_to_the_member_behind_which_its_source_is() {
    let (mut bench, _link) = attached(&text("drop"));
    let from = |mac: Mac| {
        let ip = Ipv4::new(GCP_HOST, Ipv4Addr::BROADCAST);
        Packet::new().with(Eth::new(BROADCAST, mac)).with(ip).with(udp())
    };
    let rows = [
        copied("a station that nobody knows", &from(STATION), ALL),
        copied("a declared station", &from(OFFICE_MAC), &["aws", "depot"]),
    ];
    check(&mut bench, Program::Encap, &rows);
    for (peer, source, address, rest) in [
        ("aws", AWS_PUBLIC, AWS_HOST, ["office", "depot"]),
        ("office", OFFICE, OFFICE_HOST, ["aws", "depot"]),
        ("depot", DEPOT, LONE_HOST, ["aws", "office"]),
    ] {
        let inner = Packet::new()
            .with(Eth::new(GCP_MAC, STATION))
            .with(Ipv4::new(address, GCP_HOST))
            .with(udp());
        let arriving = wrap(outer_ip().src(source), outer_udp(), vxlan(), &inner).build();
        let outcome = bench.run(Program::Decap, Context::DEFAULT, &arriving);
        assert_eq!(outcome.verdict, XDP_PASS);
        let row = copied(&format!("a station behind {peer}"), &from(STATION), &rest);
        check(&mut bench, Program::Encap, &[row]);
    }
}

/// A copy that fails takes no other with it, and tells nobody.
#[test]
fn each_copy_by_itself() {
    let (mut bench, _link) = attached(&text("drop"));
    let ip = || Ipv4::new(GCP_HOST, Ipv4Addr::BROADCAST);
    let large = |len: usize| ether(BROADCAST).with(ip()).with(udp()).payload(&vec![7; len - 42]);
    let narrow = large(1400 - 36 + 1);
    let too_large = large(LARGEST_FRAME + 1).build();
    let bytes = narrow.build();
    let dropped = |name: &'static str| Moves::tx_drop(MtuExceeded, member(name), 1);
    let nobody = ALL.iter().fold(Moves::none(), |all, name| all.with(&dropped(name)));
    let rows = [
        copied("too large for office", &narrow, ALL)
            .moves(sent_to(&bytes, &["aws", "depot"]).with(&dropped("office"))),
        Row::not_sent("too large for all", &too_large, MtuExceeded, member("depot")).moves(nobody),
    ];
    check(&mut bench, Program::Encap, &rows);
    drop((bench, _link));

    // The last cannot be reached.
    let (mut bench, _link) = attached(&gcp(PUBLIC));
    let frame = broadcast().build();
    let row = Row::not_sent("lone", &frame, NoNeighbour, member("lone"));
    let lone = Moves::tx_drop(NoNeighbour, member("lone"), 1);
    let row = row.moves(sent_to(&frame, &["aws", "office"]).with(&lone));
    check(&mut bench, Program::Encap, &[row]);
}

/// `count` members, reached like `depot`.
fn many(count: usize) -> String {
    let mut text = r#"
        [node]
        name = "gcp"
        [underlay]
        interface = "ens4"
        address = "10.0.0.2"
        public_address = "203.0.113.10"
        "#
    .to_owned();
    for n in 0..count {
        text += &format!("[[peer]]\nname = \"p{n}\"\nendpoint = \"198.51.100.{}\"\n", n + 1);
    }
    let network = |vni, name, address| {
        format!(
            "[[network]]\nvni = {vni}\ninterface = \"{name}\"\naddresses = [\"{address}/24\"]\n"
        )
    };
    // Members in another order than the peers.
    text += &network(43, "vxlan43", "192.168.43.1");
    for n in (0..count).rev() {
        text += &format!(
            "[[network.member]]\npeer = \"p{n}\"\nallowed_ips = [\"10.9.{n}.0/24\"]\n\
             mac = \"02:00:00:09:00:{n:02x}\"\n"
        );
    }
    text += &network(1_193_046, "vxlan1193046", "172.31.0.1");
    text
}

#[test]
fn sixty_four_copies_at_most() {
    for (count, from, skipped) in [
        (70, GCP_MAC, None),
        (70, [2, 0, 0, 9, 0, 60], Some(60)),
        (70, [2, 0, 0, 9, 0, 2], None),
        (64, GCP_MAC, None),
        (65, [2, 0, 0, 9, 0, 1], Some(1)),
    ] {
        let (mut bench, _link) = attached(&many(count));
        let ip = Ipv4::new(GCP_HOST, Ipv4Addr::BROADCAST);
        let frame = Packet::new().with(Eth::new(BROADCAST, from)).with(ip).with(udp()).build();
        // The first 64 in the order of the file, which is from the last peer down.
        let all: Vec<usize> = (count - 64..count).rev().filter(|n| Some(*n) != skipped).collect();
        let names: Vec<&'static str> =
            all.iter().map(|n| &*Box::leak(format!("p{n}").into_boxed_str())).collect();
        let endpoint = Ipv4Addr::new(198, 51, 100, *all.last().expect("many") as u8 + 1);
        let last = member(names.last().expect("many"));
        let row = Row::sent(format!("{count}"), &frame, &packet(&frame, endpoint, 4789), last);
        let row = row.moves(sent_to(&frame, &names));
        check(&mut bench, Program::Encap, &[row]);
    }
}

#[test]
fn nobody_is_there() {
    let frame = broadcast().build();
    let row = || Row::not_sent("broadcast", &frame, NoRoute, NETWORK);
    let (mut bench, _link) = attached(&many(0));
    check(&mut bench, Program::Encap, &[row()]);
    drop((bench, _link));
    // The only member has sent it.
    let (mut bench, _link) = attached(&many(1));
    let ip = Ipv4::new(GCP_HOST, Ipv4Addr::BROADCAST);
    let from = Eth::new(BROADCAST, [2, 0, 0, 9, 0, 0]);
    let own = Packet::new().with(from).with(ip).with(udp()).build();
    check(&mut bench, Program::Encap, &[Row::not_sent("its own", &own, NoRoute, NETWORK)]);
    let outcome = bench.run(Program::Encap, Context { ifindex: 1, ..Context::DEFAULT }, &frame);
    assert_ne!(outcome.verdict, TC_ACT_SHOT);
    assert_eq!(outcome.moved, sent_to(&frame, &["p0"]));
}
