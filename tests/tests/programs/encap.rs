//! What `encap` sends: to which member, behind which outer headers, byte for byte. The Ethernet
//! addresses in front are zero; the neighbour layer writes them after the program. The kernel's UDP
//! checksum is zero over IPv6 too, whose flow label carries the flow's hash.

use vxlan_common::reason::TxDrop::{NoNeighbour, NoRoute};

use crate::prelude::*;

/// The member that packets go to.
#[derive(Clone, Copy)]
pub(crate) enum To {
    Aws,
    Office,
}

impl To {
    pub(crate) fn who(self) -> Who {
        match self {
            Self::Aws => AWS_43,
            Self::Office => OFFICE_43,
        }
    }

    fn endpoint(self, family: Family) -> IpAddr {
        match self {
            Self::Aws => family.aws_public(),
            Self::Office => family.office(),
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Aws => VXLAN_PORT,
            Self::Office => 8472,
        }
    }
}

/// The packet that a frame leaves as, with that type of service and time to live.
pub(crate) fn outer(
    family: Family,
    frame: &[u8],
    to: To,
    tos: u8,
    ttl: u8,
    source_port: u16,
) -> Vec<u8> {
    let ip = match Ip::new(family.gcp_private(), to.endpoint(family)).tos(tos).ttl(ttl) {
        Ip::V4(ip) => ip.id(0).fragment(flags::DF).into(),
        Ip::V6(ip) => Layer::from(ip.flow_label(hash_of(frame) % (1 << 20))),
    };
    let packet = Packet::new()
        .with(Eth::new([0; 6], [0; 6]))
        .with(ip)
        .with(Udp::vxlan(source_port).dst_port(to.port()))
        .with(Vxlan::new(VNI))
        .payload(frame);
    packet.build().to_vec()
}

/// `frame` goes out over IPv4, from the port of its flow, without a congestion mark.
pub(crate) fn sent(name: impl Into<String>, frame: &Packet, to: To) -> Row {
    sent_over(Family::V4, name, frame, to)
}

pub(crate) fn sent_over(family: Family, name: impl Into<String>, frame: &Packet, to: To) -> Row {
    let frame = frame.build();
    Row::sent(name, &frame, &outer(family, &frame, to, 0, 64, port_of(&frame)), to.who())
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

/// Those that fit the underlay: over IPv6 all but the one that fills it over IPv4.
pub(crate) fn frames_over(family: Family) -> Vec<(&'static str, Packet)> {
    let all = frames();
    let count = all.len();
    let fits = |(_, frame): &(_, Packet)| frame.build().len() <= family.largest_frame();
    let fitting: Vec<_> = all.into_iter().filter(fits).collect();
    assert_eq!(fitting.len(), count - family.pick(0, 1));
    fitting
}

over_both_families!(
    every_kind_of_frame,
    congestion_marks_go_outside,
    a_fixed_source_port,
    a_packet_of_literal_bytes,
    questions_for_addresses_whose_mac_is_unknown,
);

fn every_kind_of_frame(family: Family) {
    let rows: Vec<_> = frames_over(family)
        .iter()
        .map(|(name, frame)| sent_over(family, *name, frame, To::Aws))
        .collect();
    check(&mut family.bench(), Program::Encap, &rows);
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
        sent("aws' address, office's MAC", &to(OFFICE_MAC, AWS_HOST), To::Aws),
        sent("nobody's IPv6 address, office's MAC", &ipv6(OFFICE_MAC, GCP_LINK_LOCAL), To::Office),
        sent("ARP for aws' address", &arp(BROADCAST, AWS_HOST), To::Aws),
        sent("ARP for aws' address to office's MAC", &arp(OFFICE_MAC, AWS_HOST), To::Aws),
        sent("ARP for nobody's address to office's MAC", &arp(OFFICE_MAC, NOWHERE), To::Office),
        sent("ARP answer to an address probe", &arp(OFFICE_MAC, [0; 4].into()), To::Office),
    ];
    check(&mut Bench::gcp(), Program::Encap, &rows);
}

/// RFC 6040 section 4.1, normal mode: the ECN field goes outside, DSCP stays inside.
fn congestion_marks_go_outside(family: Family) {
    let mut rows = Vec::new();
    for ecn in 0..4 {
        for dscp in [0, 0xb8, 0xfc] {
            for (inner, ip) in [("IPv4", Ip::V4(ip())), ("IPv6", Ip::V6(ip6()))] {
                let frame = Packet::new().with(eth_out()).with(ip.tos(dscp | ecn)).with(udp());
                let frame = frame.build();
                let name = format!("ECN {ecn:02b}, DSCP {:#x} over {inner}", dscp >> 2);
                let outer = outer(family, &frame, To::Aws, ecn, 64, port_of(&frame));
                rows.push(Row::sent(name, &frame, &outer, AWS_43));
            }
        }
    }
    check(&mut family.bench(), Program::Encap, &rows);
}

fn a_fixed_source_port(family: Family) {
    // Over IPv4, a port of our own would be the peers' too.
    let (keys, port) = family.pick(("", VXLAN_PORT), ("port = 5000", 5000));
    let mut bench = family.bench_with(&format!("source_port = \"fixed\"\n{keys}"));
    let rows: Vec<_> = frames_over(family)
        .iter()
        .map(|(name, frame)| {
            let frame = frame.build();
            let outer = outer(family, &frame, To::Aws, 0, 64, port);
            Row::sent(*name, &frame, &outer, AWS_43)
        })
        .collect();
    check(&mut bench, Program::Encap, &rows);
}

/// Every byte written out by hand, but for source port and flow label, which `flow` holds down.
fn a_packet_of_literal_bytes(family: Family) {
    #[rustfmt::skip]
    let frame = [
        0x02, 0, 0, 0, 0x44, 1, 0x02, 0, 0, 0, 0x43, 1, 0x08, 0x00,
        0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0xa2, 0x5c, 192, 168, 43, 1, 192, 168, 44, 1,
    ];
    let [_, a, b, c] = hash_of(&frame).to_be_bytes();
    #[rustfmt::skip]
    let ip: &[u8] = match family {
        Family::V4 => &[
            0x08, 0x00,
            0x45, 0, 0, 70, 0, 0, 0x40, 0, 64, 17, 0x06, 0x5e, 10, 0, 0, 2, 198, 51, 100, 20,
        ],
        Family::V6 => &[
            0x86, 0xdd,
            0x60, a & 0x0f, b, c, 0, 50, 17, 64, // 16 bytes of UDP and VXLAN, 34 of the frame
            0x20, 0x01, 0x0d, 0xb8, 0, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
            0x20, 0x01, 0x0d, 0xb8, 0, 0x0c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20,
        ],
    };
    let [high, low] = port_of(&frame).to_be_bytes();
    #[rustfmt::skip]
    let behind = [
        high, low, 0x12, 0xb5, 0, 50, 0, 0, // UDP to 4789
        0x08, 0, 0, 0, 0, 0, 43, 0, // VXLAN
    ];
    let packet = [&[0; 12], ip, &behind, &frame].concat();
    let row = Row::sent("IPv4 header alone", &frame, &packet, AWS_43);
    check(&mut family.bench(), Program::Encap, &[row]);
}

/// A solicitation goes out as it is where nobody has declared the MAC.
fn questions_for_addresses_whose_mac_is_unknown(family: Family) {
    let ask = |target| {
        let ip = Ipv6::new(GCP_HOST6, SOLICITED).hop_limit(255);
        let eth = Eth::new(SOLICITED_MAC, GCP_MAC);
        Packet::new().with(eth).with(ip).with(Icmp::neighbour_solicitation(target, GCP_MAC))
    };
    let rows = [
        sent_over(family, "aws' address", &ask(AWS_HOST6), To::Aws),
        Row::not_sent("lone's", &ask(LONE_HOST6).build(), NoNeighbour, LONE_43),
        Row::not_sent("our own", &ask(GCP_HOST6).build(), NoRoute, NETWORK),
    ];
    check(&mut family.bench(), Program::Encap, &rows);
}
