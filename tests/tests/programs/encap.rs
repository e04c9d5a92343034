//! What `encap` sends: to which member, behind which outer headers, byte for byte. The Ethernet
//! addresses in front are zero; the neighbour layer writes them after the program.

use std::net::{Ipv4Addr, Ipv6Addr};

use vxlan_tests::packet::{
    Arp, BROADCAST, Eth, Icmp, Ipv4, Ipv6, Mac, Packet, Tcp, Udp, Vxlan, flags,
};

use crate::{
    bench::{Bench, GCP, Program},
    flow::port_of,
    moves::Who,
    rows::{Row, check},
    world::*,
};

/// Where a member's packets go.
#[derive(Clone, Copy)]
pub(crate) enum To {
    Aws,
    Office,
}

impl To {
    pub(crate) fn who(self) -> Who {
        match self {
            Self::Aws => Who::Member("aws", VNI),
            Self::Office => Who::Member("office", VNI),
        }
    }

    fn udp(self, source_port: u16) -> Udp {
        match self {
            Self::Aws => Udp::vxlan(source_port),
            Self::Office => Udp::vxlan(source_port).dst_port(8472),
        }
    }

    fn ip(self) -> Ipv4 {
        let endpoint = match self {
            Self::Aws => AWS_PUBLIC,
            Self::Office => OFFICE,
        };
        Ipv4::new(GCP_PRIVATE, endpoint).ttl(64).id(0).fragment(flags::DF)
    }
}

/// The packet that a frame leaves as, with that TOS byte.
pub(crate) fn outer(frame: &[u8], to: To, tos: u8, source_port: u16) -> Vec<u8> {
    outer_with(frame, to, tos, 64, source_port)
}

/// The same with another time to live.
pub(crate) fn outer_with(frame: &[u8], to: To, tos: u8, ttl: u8, source_port: u16) -> Vec<u8> {
    let packet = Packet::new()
        .with(Eth::new([0; 6], [0; 6]))
        .with(to.ip().tos(tos).ttl(ttl))
        .with(to.udp(source_port))
        .with(Vxlan::new(VNI))
        .payload(frame);
    packet.build().to_vec()
}

/// `frame` goes out, from the port of its flow, without a mark.
pub(crate) fn sent(name: impl Into<String>, frame: &Packet, to: To) -> Row {
    let frame = frame.build();
    Row::sent(name, &frame, &outer(&frame, to, 0, port_of(&frame)), to.who())
}

/// Frames of this host that `aws` owns the destination of.
pub(crate) fn frames() -> Vec<(&'static str, Packet)> {
    let v4 = || Packet::new().with(eth_out()).with(ip());
    let v6 = || Packet::new().with(eth_out()).with(ip6());
    let ether = |mac: Mac| Packet::new().with(Eth::new(mac, GCP_MAC));
    let discovery = |to| Ipv6::new(GCP_HOST6, to).hop_limit(255);
    vec![
        ("ICMP echo request", ping_out()),
        ("TCP SYN", v4().with(Tcp::new(40_000, 443).flags(flags::SYN).options(vec![1; 20]))),
        ("TCP with payload", v4().with(Tcp::new(40_000, 443)).payload(&[0x5a; 1000])),
        ("UDP", v4().with(Udp::new(5000, 53)).payload(b"query")),
        (
            "UDP that fills the underlay",
            v4().with(Udp::new(1, 2)).payload(&[7; LARGEST_FRAME - 42]),
        ),
        ("IPv4 header alone", v4()),
        ("first fragment", ether(AWS_MAC).with(ip().fragment(flags::MF)).with(Udp::new(1, 2))),
        (
            "last fragment",
            ether(AWS_MAC).with(ip().fragment(9).protocol(Some(17))).payload(&[1; 9]),
        ),
        (
            "UDP behind 8 bytes of options",
            ether(AWS_MAC).with(ip().options(vec![1; 8])).with(udp()),
        ),
        ("UDP of 2 bytes", ether(AWS_MAC).with(ip().protocol(Some(17))).payload(&[0, 1])),
        ("DSCP EF", ether(AWS_MAC).with(ip().tos(0xb8)).with(udp())),
        (
            "far end of the prefix",
            ether(AWS_MAC).with(ip().dst([192, 168, 44, 254].into())).with(udp()),
        ),
        (
            "broadcast of aws' subnet",
            ether(BROADCAST).with(ip().dst([192, 168, 44, 255].into())).with(udp()),
        ),
        ("UDP over IPv6", v6().with(udp()).payload(b"query")),
        ("TCP over IPv6", v6().with(Tcp::new(40_000, 443)).payload(&[1; 500])),
        ("ICMPv6 echo request", v6().with(Icmp::echo_request_v6(7, 1))),
        (
            "neighbour solicitation to the group",
            ether(SOLICITED_MAC)
                .with(discovery(SOLICITED))
                .with(Icmp::neighbour_solicitation(AWS_HOST6, GCP_MAC)),
        ),
        (
            "neighbour solicitation to aws",
            ether(AWS_MAC)
                .with(discovery(AWS_HOST6))
                .with(Icmp::neighbour_solicitation(AWS_HOST6, GCP_MAC)),
        ),
        (
            "neighbour advertisement to aws",
            ether(AWS_MAC)
                .with(discovery(AWS_HOST6))
                .with(Icmp::neighbour_advertisement(GCP_HOST6, GCP_MAC)),
        ),
        (
            "ARP request to everybody",
            ether(BROADCAST).with(Arp::request(GCP_MAC, GCP_HOST, AWS_HOST)),
        ),
        ("ARP request to aws", ether(AWS_MAC).with(Arp::request(GCP_MAC, GCP_HOST, AWS_HOST))),
        ("ARP reply", ether(AWS_MAC).with(Arp::reply(GCP_MAC, GCP_HOST, AWS_MAC, AWS_HOST))),
        (
            "ARP reply padded to 60 bytes",
            ether(AWS_MAC).with(Arp::reply(GCP_MAC, GCP_HOST, AWS_MAC, AWS_HOST)).payload(&[0; 18]),
        ),
    ]
}

fn ip() -> Ipv4 {
    Ipv4::new(GCP_HOST, AWS_HOST)
}

fn ip6() -> Ipv6 {
    Ipv6::new(GCP_HOST6, AWS_HOST6)
}

fn udp() -> Udp {
    Udp::new(5353, 5353)
}

#[test]
fn every_kind_of_frame() {
    let rows: Vec<_> = frames().iter().map(|(name, frame)| sent(*name, frame, To::Aws)).collect();
    check(&mut Bench::gcp(), Program::Encap, &rows);
}

#[test]
fn members_by_address_and_by_station() {
    let to = |mac: Mac, destination: Ipv4Addr| {
        let eth = Eth::new(mac, GCP_MAC);
        Packet::new().with(eth).with(ip().dst(destination)).with(Icmp::echo_request(1, 1))
    };
    let arp = |mac: Mac, target: Ipv4Addr| {
        Packet::new().with(Eth::new(mac, GCP_MAC)).with(Arp::request(GCP_MAC, GCP_HOST, target))
    };
    let ipv6 = |mac: Mac, destination: Ipv6Addr| {
        let eth = Eth::new(mac, GCP_MAC);
        Packet::new().with(eth).with(ip6().dst(destination)).with(Icmp::echo_request_v6(1, 1))
    };
    let rows = [
        sent("aws' address, unknown MAC", &to(STRANGE_MAC, AWS_HOST), To::Aws),
        sent("office's address, unknown MAC", &to(STRANGE_MAC, OFFICE_HOST), To::Office),
        sent("office's address, broadcast", &to(BROADCAST, OFFICE_HOST), To::Office),
        sent("office's address and declared MAC", &to(OFFICE_MAC, OFFICE_HOST), To::Office),
        sent("nobody's address, office's MAC", &to(OFFICE_MAC, NOWHERE), To::Office),
        sent("aws' address, office's MAC", &to(OFFICE_MAC, AWS_HOST), To::Office),
        sent("own subnet, office's MAC", &to(OFFICE_MAC, [192, 168, 43, 9].into()), To::Office),
        sent("nobody's IPv6 address, office's MAC", &ipv6(OFFICE_MAC, GCP_LINK_LOCAL), To::Office),
        sent("ARP for aws' address", &arp(BROADCAST, AWS_HOST), To::Aws),
        sent("ARP for aws' address to office's MAC", &arp(OFFICE_MAC, AWS_HOST), To::Office),
        sent("ARP for nobody's address to office's MAC", &arp(OFFICE_MAC, NOWHERE), To::Office),
    ];
    check(&mut Bench::gcp(), Program::Encap, &rows);
}

/// RFC 6040 section 4.1, normal mode: the ECN field goes outside, DSCP stays inside.
#[test]
fn congestion_marks_go_outside() {
    let mut rows = Vec::new();
    for ecn in 0..4 {
        for dscp in [0, 0xb8, 0xfc] {
            let v4 = Packet::new().with(eth_out()).with(ip().tos(dscp | ecn)).with(udp());
            let v6 =
                Packet::new().with(eth_out()).with(ip6().traffic_class(dscp | ecn)).with(udp());
            for (family, frame) in [("IPv4", v4), ("IPv6", v6)] {
                let frame = frame.build();
                let name = format!("ECN {ecn:02b}, DSCP {:#x} over {family}", dscp >> 2);
                let outer = outer(&frame, To::Aws, ecn, port_of(&frame));
                rows.push(Row::sent(name, &frame, &outer, To::Aws.who()));
            }
        }
    }
    check(&mut Bench::gcp(), Program::Encap, &rows);
}

#[test]
fn a_fixed_source_port() {
    let text = gcp(&format!("source_port = \"fixed\"\n{PUBLIC}"));
    let rows: Vec<_> = frames()
        .iter()
        .map(|(name, frame)| {
            let frame = frame.build();
            Row::sent(*name, &frame, &outer(&frame, To::Aws, 0, 4789), To::Aws.who())
        })
        .collect();
    check(&mut Bench::new(&text, GCP), Program::Encap, &rows);
}

/// Every byte written out by hand, but for the source port, which `flow` holds down.
#[test]
fn a_packet_of_literal_bytes() {
    #[rustfmt::skip]
    let frame = [
        0x02, 0, 0, 0, 0x44, 1, 0x02, 0, 0, 0, 0x43, 1, 0x08, 0x00,
        0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0xa2, 0x5c, 192, 168, 43, 1, 192, 168, 44, 1,
    ];
    let [high, low] = port_of(&frame).to_be_bytes();
    #[rustfmt::skip]
    let headers = [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x08, 0x00, // Ethernet
        0x45, 0, 0, 70, 0, 0, 0x40, 0, 64, 17, 0x06, 0x5e, 10, 0, 0, 2, 198, 51, 100, 20,
        high, low, 0x12, 0xb5, 0, 50, 0, 0, // UDP to 4789
        0x08, 0, 0, 0, 0, 0, 43, 0, // VXLAN
    ];
    let packet = [&headers[..], &frame].concat();
    let row = Row::sent("IPv4 header alone", &frame, &packet, To::Aws.who());
    check(&mut Bench::gcp(), Program::Encap, &[row]);
}
