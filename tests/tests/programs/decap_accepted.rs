//! What `decap` accepts: it strips the outer headers and what lies behind the outer IP packet, tags
//! the frame, changes no other bit, and counts the addresses that a NAT rewrote.

use vxlan_common::counters::NatField::{DstAddress, SrcAddress, SrcPort};
use vxlan_tests::packet::{
    Arp, BROADCAST, Checksum, Eth, Icmp, Ipv4, Ipv6, Packet, Tcp, Udp, Vxlan, flags,
};

use crate::{
    bench::{Bench, GCP, Program},
    moves::Who,
    rows::{Row, check, padded},
    world::*,
};

const AWS: (&str, u32) = ("aws", VNI);

fn inner(name: &'static str, frame: Packet) -> (&'static str, Packet) {
    (name, frame)
}

/// Frames from `aws` that this host takes.
pub(crate) fn frames() -> Vec<(&'static str, Packet)> {
    let v4 = || Packet::new().with(eth()).with(ipv4());
    let v6 = || Packet::new().with(eth()).with(ipv6());
    let all = |ip: Ipv4| Packet::new().with(Eth::new(BROADCAST, AWS_MAC)).with(ip);
    let to = |mac, ip: Ipv6| Packet::new().with(Eth::new(mac, AWS_MAC)).with(ip);
    let discovery = || Ipv6::new(AWS_LINK_LOCAL, SOLICITED).hop_limit(255);
    vec![
        inner("TCP SYN over IPv4", v4().with(Tcp::new(40_000, 443).flags(flags::SYN))),
        inner(
            "TCP over IPv4 with options and payload",
            v4().with(Tcp::new(40_000, 443).options(vec![1; 12])).payload(&[0x5a; 1000]),
        ),
        inner("UDP over IPv4", v4().with(Udp::new(5000, 53)).payload(b"query")),
        inner("UDP over IPv4 with 1 byte", v4().with(Udp::new(5000, 53)).payload(b"q")),
        inner("UDP over IPv4 that fills the MTU", v4().with(Udp::new(1, 2)).payload(&[7; 1382])),
        inner("ICMP echo request", ping()),
        inner("ICMP echo reply", v4().with(Icmp::echo_reply(7, 1))),
        inner("IPv4 header without payload", v4().payload(b"")),
        inner(
            "UDP over IPv4 with 40 bytes of options",
            Packet::new().with(eth()).with(ipv4().options(vec![1; 40])).with(Udp::new(1, 2)),
        ),
        inner(
            "first fragment",
            Packet::new().with(eth()).with(ipv4().fragment(flags::MF)).with(Udp::new(1, 2)),
        ),
        inner(
            "last fragment",
            Packet::new()
                .with(eth())
                .with(ipv4().fragment(185).protocol(Some(17)))
                .payload(&[9; 33]),
        ),
        inner(
            "IPv4 behind aws, TTL 1",
            Packet::new()
                .with(eth())
                .with(Ipv4::new([192, 168, 44, 200], [192, 168, 43, 77]).ttl(1).id(0x1234))
                .with(Icmp::echo_request(1, 1)),
        ),
        inner("protocol 132 over IPv4", Packet::new().with(eth()).with(ipv4().protocol(Some(132)))),
        inner("broadcast of the subnet", all(ipv4().dst([192, 168, 43, 255].into())).with(udp())),
        inner("limited broadcast", all(ipv4().dst([255; 4].into())).with(udp())),
        inner(
            "IPv4 multicast",
            Packet::new()
                .with(Eth::new([1, 0, 0x5e, 0x7f, 2, 3], AWS_MAC))
                .with(ipv4().dst([239, 255, 2, 3].into()))
                .with(udp()),
        ),
        inner("UDP over IPv6", v6().with(Udp::new(5000, 53)).payload(b"query")),
        inner("TCP over IPv6", v6().with(Tcp::new(40_000, 443)).payload(b"data")),
        inner("ICMPv6 echo request", v6().with(Icmp::echo_request_v6(7, 1)).payload(b"payload")),
        inner(
            "IPv6 with a fragment header",
            Packet::new()
                .with(eth())
                .with(ipv6().next_header(Some(44)))
                .payload(&[17, 0, 0, 1, 0, 0, 0, 9, 1, 2, 3, 4]),
        ),
        inner("mDNS over IPv6", to(ALL_NODES_MAC, ipv6().dst(ALL_NODES)).with(udp())),
        inner(
            "neighbour solicitation from a global address",
            to(SOLICITED_MAC, ipv6().dst(SOLICITED).hop_limit(255))
                .with(Icmp::neighbour_solicitation(GCP_HOST6, AWS_MAC)),
        ),
        inner(
            "neighbour solicitation from a link-local address",
            to(SOLICITED_MAC, discovery()).with(Icmp::neighbour_solicitation(GCP_HOST6, AWS_MAC)),
        ),
        inner(
            "neighbour solicitation for a link-local address",
            to(SOLICITED_MAC, discovery())
                .with(Icmp::neighbour_solicitation(GCP_LINK_LOCAL, AWS_MAC)),
        ),
        inner(
            "neighbour advertisement",
            v6_discovery(AWS_HOST6, GCP_HOST6)
                .with(Icmp::neighbour_advertisement(AWS_HOST6, AWS_MAC)),
        ),
        inner(
            "neighbour advertisement of a link-local address",
            v6_discovery(AWS_LINK_LOCAL, GCP_LINK_LOCAL)
                .with(Icmp::neighbour_advertisement(AWS_LINK_LOCAL, AWS_MAC)),
        ),
        inner(
            "neighbour advertisement to all nodes",
            to(ALL_NODES_MAC, ipv6().dst(ALL_NODES).hop_limit(255))
                .with(Icmp::neighbour_advertisement(AWS_HOST6, AWS_MAC)),
        ),
        inner(
            "ARP request to everybody",
            arp(BROADCAST, Arp::request(AWS_MAC, AWS_HOST, GCP_HOST)),
        ),
        inner("ARP request to this host", arp(GCP_MAC, Arp::request(AWS_MAC, AWS_HOST, GCP_HOST))),
        inner("ARP reply", arp(GCP_MAC, Arp::reply(AWS_MAC, AWS_HOST, GCP_MAC, GCP_HOST))),
        inner("ARP announcement", arp(BROADCAST, Arp::request(AWS_MAC, AWS_HOST, AWS_HOST))),
        inner(
            "ARP request padded to 60 bytes",
            arp(GCP_MAC, Arp::request(AWS_MAC, AWS_HOST, GCP_HOST)).payload(&[0; 18]),
        ),
        inner(
            "IPv4 padded to 60 bytes",
            Packet::new()
                .with(eth())
                .with(ipv4().total_length(Some(28)))
                .with(udp().length(Some(8)))
                .payload(&[0; 18]),
        ),
    ]
}

fn udp() -> Udp {
    Udp::new(5353, 5353)
}

fn v6_discovery(from: std::net::Ipv6Addr, to: std::net::Ipv6Addr) -> Packet {
    Packet::new().with(eth()).with(Ipv6::new(from, to).hop_limit(255))
}

fn arp(to: [u8; 6], arp: Arp) -> Packet {
    Packet::new().with(Eth::new(to, AWS_MAC)).with(arp)
}

#[test]
fn every_kind_of_frame() {
    let mut bench = Bench::gcp();
    let rows: Vec<_> = frames()
        .into_iter()
        .map(|(name, inner)| {
            let packet = from_aws(&inner).build();
            Row::accepted(name, &bench, &packet, AWS, &inner.build()).nat(SrcAddress, AWS_43)
        })
        .collect();
    check(&mut bench, Program::Decap, &rows);
}

#[test]
fn addresses_that_a_nat_rewrote() {
    let mut bench = Bench::gcp();
    let inner = ping();
    let office = Packet::new()
        .with(Eth::new(GCP_MAC, OFFICE_MAC))
        .with(Ipv4::new(OFFICE_HOST, GCP_HOST))
        .with(Icmp::echo_request(1, 1));
    let other = Packet::new()
        .with(Eth::new(OTHER_MAC, OFFICE_MAC))
        .with(Ipv4::new(OFFICE_OTHER_HOST, GCP_OTHER_HOST))
        .with(Icmp::echo_request(1, 1));
    let aws = |bench: &Bench, name, ip: Ipv4| {
        let packet = wrap(ip, outer_udp(), vxlan(), &inner).build();
        Row::accepted(name, bench, &packet, AWS, &inner.build())
    };
    let from = |bench: &Bench, name, to: std::net::Ipv4Addr, vni, inner: &Packet| {
        let packet = wrap(Ipv4::new(OFFICE, to), outer_udp(), Vxlan::new(vni), inner).build();
        Row::accepted(name, bench, &packet, ("office", vni), &inner.build())
    };
    let rows = [
        aws(&bench, "from the endpoint to the public address", outer_ip()).nat(SrcAddress, AWS_43),
        aws(&bench, "from the endpoint to the private address", outer_ip().dst(GCP_PRIVATE))
            .nat(SrcAddress, AWS_43)
            .nat(DstAddress, AWS_43),
        aws(&bench, "from the private address to the public one", outer_ip().src(AWS_PRIVATE)),
        aws(&bench, "between private addresses", Ipv4::new(AWS_PRIVATE, GCP_PRIVATE))
            .nat(DstAddress, AWS_43),
        from(&bench, "from a peer without NAT to the public address", GCP_PUBLIC, VNI, &office),
        from(&bench, "from a peer without NAT to the private address", GCP_PRIVATE, VNI, &office)
            .nat(DstAddress, Who::Member("office", VNI)),
        from(&bench, "the same peer in its other network", GCP_PRIVATE, OTHER_VNI, &other)
            .nat(DstAddress, Who::Member("office", OTHER_VNI)),
    ];
    check(&mut bench, Program::Decap, &rows);
}

#[test]
fn without_a_public_address_nothing_rewrites_the_destination() {
    let mut bench = Bench::new(&gcp("port = 4790"), GCP);
    let inner = ping();
    let to = |destination, port| {
        let ip = outer_ip().src(AWS_PRIVATE).dst(destination);
        wrap(ip, outer_udp().dst_port(port), vxlan(), &inner).build()
    };
    let private = to(GCP_PRIVATE, 4790);
    let rows = [
        Row::accepted("to our address and port", &bench, &private, AWS, &inner.build()),
        Row::not_ours("to our address and the standard port", &to(GCP_PRIVATE, 4789)),
        Row::not_ours("to 0.0.0.0, which the settings have for none", &to([0; 4].into(), 4790)),
        Row::not_ours("to an address that is not configured", &to(GCP_PUBLIC, 4790)),
    ];
    check(&mut bench, Program::Decap, &rows);
}

#[test]
fn outer_headers_that_vary_and_mean_nothing() {
    let mut bench = Bench::gcp();
    let inner = ping();
    let aws = |bench: &Bench, name: &str, packet: &[u8]| {
        Row::accepted(name, bench, packet, AWS, &inner.build()).nat(SrcAddress, AWS_43)
    };
    let ip = |ip: Ipv4| wrap(ip, outer_udp(), vxlan(), &inner).build();
    let udp = |udp: Udp| wrap(outer_ip(), udp, vxlan(), &inner).build();
    let mut rows = vec![
        aws(&bench, "TTL 1", &ip(outer_ip().ttl(1))),
        aws(&bench, "TTL 255", &ip(outer_ip().ttl(255))),
        aws(&bench, "identification, without DF", &ip(outer_ip().id(0xffff).fragment(0))),
        aws(&bench, "reserved flag of RFC 3514", &ip(outer_ip().fragment(0x8000))),
        aws(&bench, "DSCP EF outside, none inside", &ip(outer_ip().tos(0xb8))),
        aws(&bench, "source port 4789", &udp(Udp::vxlan(4789))).nat(SrcPort, AWS_43),
        aws(&bench, "source port 0", &udp(Udp::vxlan(0))).nat(SrcPort, AWS_43),
        aws(&bench, "UDP checksum", &udp(outer_udp().checksum(Checksum::Right))),
    ];
    for n in [1, 2, 4, 46, 150] {
        let name = format!("{n} bytes behind the IP packet");
        rows.push(aws(&bench, &name, &padded(&from_aws(&inner), n)));
    }
    check(&mut bench, Program::Decap, &rows);
}

/// Every byte written out by hand, so that no builder stands between the RFCs and the program.
#[test]
fn a_packet_of_literal_bytes() {
    #[rustfmt::skip]
    let packet = [
        0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00, // Ethernet
        0x45, 0, 0, 70, 0, 0, 0x40, 0, 64, 17, 0xd4, 0x54, 198, 51, 100, 20, 203, 0, 113, 10,
        0xc3, 0x50, 0x12, 0xb5, 0, 50, 0, 0, // UDP to 4789
        0x08, 0, 0, 0, 0, 0, 43, 0, // VXLAN
        0x02, 0, 0, 0, 0x43, 1, 0x02, 0, 0, 0, 0x44, 1, 0x08, 0x00, // inner Ethernet
        0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0xa2, 0x5c, 192, 168, 44, 1, 192, 168, 43, 1,
    ];
    let mut bench = Bench::gcp();
    let row = Row::accepted("IPv4 header alone", &bench, &packet, AWS, &packet[50..]);
    check(&mut bench, Program::Decap, &[row.nat(SrcAddress, AWS_43)]);
}
