//! BUM traffic (broadcast, unknown unicast, multicast) by head-end replication: each member gets a
//! copy, checked, encapsulated and counted by itself. The last member gets the frame itself, which
//! is what a test run shows; the other copies leave by the loopback device of this namespace, where
//! `encap` is attached as on an overlay interface.

use aya::programs::{
    LinkOrder, TcAttachType,
    tc::{NlOptions, SchedClassifierLink, TcAttachOptions, qdisc_add_clsact},
};
use vxlan_common::reason::TxDrop::NoRoute;
use vxlan_tests::kernel::{self, Feature};
use vxlan_user::dataplane::names;

use crate::prelude::*;

const REMOTE_MAC: Mac = [2, 0, 0, 0, 0x77, 7];
const MDNS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const DEPOT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 40);

pub(crate) fn member(name: &'static str) -> Who {
    Who::Member(name, VNI)
}

/// `aws`, `office` and, in the place of `lone`, `depot`, which is reached.
pub(crate) fn text(unknown_unicast: &str) -> String {
    let flood = format!("unknown_unicast = \"{unknown_unicast}\"");
    let text = gcp(PUBLIC).replacen("unknown_unicast = \"drop\"", &flood, 1);
    text.replace("\"lone\"", "\"depot\"")
}

/// A bench on whose overlay interface `encap` runs for what is really sent there.
pub(crate) fn attached(text: &str) -> (Bench, SchedClassifierLink) {
    let mut bench = Bench::new(text, GCP);
    let encap = bench.plane.classifier(names::ENCAP).expect("is loaded");
    let hook = if kernel::has(Feature::Tcx).expect("a release") {
        TcAttachOptions::TcxOrder(LinkOrder::default())
    } else {
        qdisc_add_clsact("lo").expect("a qdisc");
        TcAttachOptions::Netlink(NlOptions::default())
    };
    let id = encap.attach_with_options("lo", TcAttachType::Egress, hook).expect("attaches");
    let link = encap.take_link(id).expect("its link");
    (bench, link)
}

/// The packet that carries the frame to that endpoint.
pub(crate) fn packet(frame: &[u8], endpoint: Ipv4Addr, port: u16) -> Vec<u8> {
    let ip = Ipv4::new(GCP_PRIVATE, endpoint);
    let udp = Udp::vxlan(port_of(frame)).dst_port(port);
    let headers = Packet::new().with(Eth::new([0; 6], [0; 6])).with(ip).with(udp);
    headers.with(Vxlan::new(VNI)).payload(frame).build().to_vec()
}

/// To these, of which the last gets the frame itself.
pub(crate) fn sent_to(frame: &[u8], all: &[&'static str]) -> Deltas {
    let sent = all.iter().map(|name| Deltas::sent(member(name), 1, frame.len()));
    sent.fold(Deltas::none(), |all, one| all.with(&one))
}

pub(crate) fn copied(name: &str, frame: &Packet, all: &[&'static str]) -> Row {
    let frame = frame.build();
    let (endpoint, port) = match *all.last().expect("at least one") {
        "aws" => (AWS_PUBLIC, 4789),
        "office" => (OFFICE, 8472),
        "depot" => (DEPOT, 4789),
        other => panic!("{other} is no member"),
    };
    let last = member(all.last().expect("at least one"));
    Row::sent(name, &frame, &packet(&frame, endpoint, port), last).deltas(sent_to(&frame, all))
}

pub(crate) fn ether(to: Mac) -> Packet {
    Packet::new().with(Eth::new(to, GCP_MAC))
}

pub(crate) fn udp() -> Udp {
    Udp::new(5353, 5353)
}

fn v4(mac: Mac, to: Ipv4Addr) -> Packet {
    ether(mac).with(Ipv4::new(GCP_HOST, to)).with(udp()).payload(b"to all")
}

pub(crate) fn broadcast() -> Packet {
    v4(BROADCAST, Ipv4Addr::BROADCAST)
}

pub(crate) const ALL: &[&str] = &["aws", "office", "depot"];

#[test]
fn every_kind_of_bum_traffic() {
    let (mut bench, _link) = attached(&text("drop"));
    let arp =
        |sender: Ipv4Addr, target| ether(BROADCAST).with(Arp::request(GCP_MAC, sender, target));
    let advertisement = Packet::new()
        .with(Eth::new(ALL_NODES_MAC, GCP_MAC))
        .with(Ipv6::new(GCP_HOST6, ALL_NODES).hop_limit(255))
        .with(Icmp::neighbour_advertisement(GCP_HOST6, GCP_MAC));
    let own = Ipv4Addr::new(192, 168, 43, 255);
    let dhcp = ether(BROADCAST).with(Ipv4::new([0; 4], [255; 4])).with(Udp::new(68, 67));
    let mdns6: Ipv6Addr = "ff02::fb".parse().expect("is an address");
    let site: Ipv6Addr = "ff05::1:3".parse().expect("is an address");
    let v6 = |mac, to| ether(mac).with(Ipv6::new(GCP_HOST6, to)).with(udp());
    let reply = Arp::reply(GCP_MAC, GCP_HOST, [0; 6], GCP_HOST);
    let nowhere6: Ipv6Addr = "2001:db8:99::1".parse().expect("is an address");
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

/// A station behind a bridge here must not get its own broadcast back.
#[test]
fn not_to_the_member_behind_which_its_source_is() {
    let (mut bench, _link) = attached(&text("drop"));
    let from = |mac: Mac| {
        let ip = Ipv4::new(GCP_HOST, Ipv4Addr::BROADCAST);
        Packet::new().with(Eth::new(BROADCAST, mac)).with(ip).with(udp())
    };
    let rows = [
        copied("a station that nobody knows", &from(REMOTE_MAC), ALL),
        copied("a declared station", &from(OFFICE_MAC), &["aws", "depot"]),
    ];
    check(&mut bench, Program::Encap, &rows);
    for (peer, source, address, rest) in [
        ("aws", AWS_PUBLIC, AWS_HOST, ["office", "depot"]),
        ("office", OFFICE, OFFICE_HOST, ["aws", "depot"]),
        ("depot", DEPOT, LONE_HOST, ["aws", "office"]),
    ] {
        let inner = Packet::new()
            .with(Eth::new(GCP_MAC, REMOTE_MAC))
            .with(Ipv4::new(address, GCP_HOST))
            .with(udp());
        let arriving = wrap(outer_ip().src(source), outer_udp(), vxlan(), &inner).build();
        // The member that it was behind before is silent for long enough.
        bench.seconds_pass(10);
        let outcome = bench.run(Program::Decap, Context::DEFAULT, &arriving);
        assert_eq!(outcome.verdict, XDP_PASS);
        let row = copied(&format!("a station behind {peer}"), &from(REMOTE_MAC), &rest);
        check(&mut bench, Program::Encap, &[row]);
    }
}
