//! What `decap` accepts: it strips the outer headers and what lies behind the outer IP packet, tags
//! the frame, changes no other bit, and counts the addresses that a NAT rewrote.

use crate::prelude::*;

/// Frames from `aws` that this host takes.
pub(crate) fn frames() -> Vec<(&'static str, Packet)> {
    let v4 = || Packet::new().with(eth()).with(ipv4());
    let v6 = || Packet::new().with(eth()).with(ipv6());
    let all = |ip: Ipv4| Packet::new().with(Eth::new(BROADCAST, AWS_MAC)).with(ip);
    let to = |mac, ip: Ipv6| Packet::new().with(Eth::new(mac, AWS_MAC)).with(ip);
    let discovery = || Ipv6::new(AWS_LINK_LOCAL, SOLICITED).hop_limit(255);
    vec![
        ("TCP SYN over IPv4", v4().with(Tcp::new(40_000, 443).flags(flags::SYN))),
        (
            "TCP over IPv4 with options and payload",
            v4().with(Tcp::new(40_000, 443).options(vec![1; 12])).payload(&[0x5a; 1000]),
        ),
        ("UDP over IPv4", v4().with(Udp::new(5000, 53)).payload(b"query")),
        ("UDP over IPv4 with 1 byte", v4().with(Udp::new(5000, 53)).payload(b"q")),
        ("UDP over IPv4 that fills the MTU", v4().with(Udp::new(1, 2)).payload(&[7; 1382])),
        ("ICMP echo request", ping()),
        ("ICMP echo reply", v4().with(Icmp::echo_reply(7, 1))),
        ("IPv4 header without payload", v4().payload(b"")),
        (
            "UDP over IPv4 with 40 bytes of options",
            Packet::new().with(eth()).with(ipv4().options(vec![1; 40])).with(Udp::new(1, 2)),
        ),
        (
            "first fragment",
            Packet::new().with(eth()).with(ipv4().fragment(flags::MF)).with(Udp::new(1, 2)),
        ),
        (
            "last fragment",
            Packet::new()
                .with(eth())
                .with(ipv4().fragment(185).protocol(Some(17)))
                .payload(&[9; 33]),
        ),
        (
            "IPv4 behind aws, TTL 1",
            Packet::new()
                .with(eth())
                .with(Ipv4::new([192, 168, 44, 200], [192, 168, 43, 77]).ttl(1).id(0x1234))
                .with(Icmp::echo_request(1, 1)),
        ),
        ("protocol 132 over IPv4", Packet::new().with(eth()).with(ipv4().protocol(Some(132)))),
        ("broadcast of the subnet", all(ipv4().dst([192, 168, 43, 255].into())).with(udp())),
        ("limited broadcast", all(ipv4().dst([255; 4].into())).with(udp())),
        (
            "IPv4 multicast",
            Packet::new()
                .with(Eth::new([1, 0, 0x5e, 0x7f, 2, 3], AWS_MAC))
                .with(ipv4().dst([239, 255, 2, 3].into()))
                .with(udp()),
        ),
        ("UDP over IPv6", v6().with(Udp::new(5000, 53)).payload(b"query")),
        ("TCP over IPv6", v6().with(Tcp::new(40_000, 443)).payload(b"data")),
        ("ICMPv6 echo request", v6().with(Icmp::echo_request_v6(7, 1)).payload(b"payload")),
        (
            "IPv6 with a fragment header",
            Packet::new()
                .with(eth())
                .with(ipv6().next_header(Some(44)))
                .payload(&[17, 0, 0, 1, 0, 0, 0, 9, 1, 2, 3, 4]),
        ),
        ("mDNS over IPv6", to(ALL_NODES_MAC, ipv6().dst(ALL_NODES)).with(udp())),
        (
            "neighbour solicitation from a global address",
            to(SOLICITED_MAC, ipv6().dst(SOLICITED).hop_limit(255))
                .with(Icmp::neighbour_solicitation(GCP_HOST6, AWS_MAC)),
        ),
        (
            "neighbour solicitation from a link-local address",
            to(SOLICITED_MAC, discovery()).with(Icmp::neighbour_solicitation(GCP_HOST6, AWS_MAC)),
        ),
        (
            "neighbour solicitation for a link-local address",
            to(SOLICITED_MAC, discovery())
                .with(Icmp::neighbour_solicitation(GCP_LINK_LOCAL, AWS_MAC)),
        ),
        (
            "neighbour advertisement",
            v6_discovery(AWS_HOST6, GCP_HOST6)
                .with(Icmp::neighbour_advertisement(AWS_HOST6, AWS_MAC)),
        ),
        (
            "neighbour advertisement of a link-local address",
            v6_discovery(AWS_LINK_LOCAL, GCP_LINK_LOCAL)
                .with(Icmp::neighbour_advertisement(AWS_LINK_LOCAL, AWS_MAC)),
        ),
        (
            "neighbour advertisement to all nodes",
            to(ALL_NODES_MAC, ipv6().dst(ALL_NODES).hop_limit(255))
                .with(Icmp::neighbour_advertisement(AWS_HOST6, AWS_MAC)),
        ),
        ("ARP request to everybody", arp(BROADCAST, Arp::request(AWS_MAC, AWS_HOST, GCP_HOST))),
        ("ARP request to this host", arp(GCP_MAC, Arp::request(AWS_MAC, AWS_HOST, GCP_HOST))),
        ("ARP reply", arp(GCP_MAC, Arp::reply(AWS_MAC, AWS_HOST, GCP_MAC, GCP_HOST))),
        ("ARP announcement", arp(BROADCAST, Arp::request(AWS_MAC, AWS_HOST, AWS_HOST))),
        (
            "ARP request padded to 60 bytes",
            arp(GCP_MAC, Arp::request(AWS_MAC, AWS_HOST, GCP_HOST)).payload(&[0; 18]),
        ),
        (
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

fn v6_discovery(from: Ipv6Addr, to: Ipv6Addr) -> Packet {
    Packet::new().with(eth()).with(Ipv6::new(from, to).hop_limit(255))
}

fn arp(to: Mac, arp: Arp) -> Packet {
    Packet::new().with(Eth::new(to, AWS_MAC)).with(arp)
}

/// The row of an accepted packet from `aws`, whose address a NAT rewrote.
fn from_endpoint(name: impl Into<String>, bench: &Bench, packet: &[u8], inner: &Packet) -> Row {
    Row::accepted(name, bench, packet, AWS_43, &inner.build()).nat(SrcAddress, AWS_43)
}

over_both_families!(
    every_kind_of_frame,
    addresses_that_a_nat_rewrote,
    outer_headers_that_vary_and_mean_nothing,
    a_packet_of_literal_bytes,
);

fn every_kind_of_frame(family: Family) {
    let mut bench = family.bench();
    let fits = |(_, inner): &(_, Packet)| inner.build().len() <= family.largest_frame();
    let rows: Vec<_> = frames()
        .into_iter()
        .filter(fits)
        .map(|(name, inner)| {
            from_endpoint(name, &bench, &family.sent_by_aws(&inner).build(), &inner)
        })
        .collect();
    assert!(rows.len() > 30);
    check(&mut bench, Program::Decap, &rows);
}

fn addresses_that_a_nat_rewrote(family: Family) {
    let mut bench = family.bench();
    let inner = ping();
    let office = Packet::new()
        .with(Eth::new(GCP_MAC, OFFICE_MAC))
        .with(Ipv4::new(OFFICE_HOST, GCP_HOST))
        .with(Icmp::echo_request(1, 1));
    let other = Packet::new()
        .with(Eth::new(OTHER_MAC, OFFICE_MAC))
        .with(Ipv4::new(OFFICE_OTHER_HOST, GCP_OTHER_HOST))
        .with(Icmp::echo_request(1, 1));
    let aws = |bench: &Bench, name, ip: Ip| {
        let packet = wrap(ip, outer_udp(), vxlan(), &inner).build();
        Row::accepted(name, bench, &packet, AWS_43, &inner.build())
    };
    let from_office = |bench: &Bench, name, to: IpAddr, vni, inner: &Packet| {
        let ip = Ip::new(family.office(), to);
        let packet = wrap(ip, outer_udp(), Vxlan::new(vni), inner).build();
        Row::accepted(name, bench, &packet, Who::Member("office", vni), &inner.build())
    };
    let (ip, private) = (|| family.outer_ip(), family.gcp_private());
    let from_private = || ip().src(family.aws_private());
    let mut rows = vec![
        aws(&bench, "from the endpoint to the public address", ip()).nat(SrcAddress, AWS_43),
        aws(&bench, "from the endpoint to the private address", ip().dst(private))
            .nat(SrcAddress, AWS_43)
            .nat(DstAddress, AWS_43),
        aws(&bench, "from the private address to the public one", from_private()),
        aws(&bench, "between private addresses", from_private().dst(private))
            .nat(DstAddress, AWS_43),
        from_office(&bench, "without NAT to the public address", family.gcp_public(), VNI, &office),
        from_office(&bench, "without NAT to the private address", private, VNI, &office)
            .nat(DstAddress, OFFICE_43),
        from_office(&bench, "without NAT in the other network", private, OTHER_VNI, &other)
            .nat(DstAddress, Who::Member("office", OTHER_VNI)),
    ];
    if family == Family::V6 {
        let v4 = || Family::V4.outer_ip();
        rows.extend([
            aws(&bench, "IPv4, endpoint to public", v4()).nat(SrcAddress, AWS_43),
            aws(&bench, "IPv4, endpoint to private", v4().dst(GCP_PRIVATE))
                .nat(SrcAddress, AWS_43)
                .nat(DstAddress, AWS_43),
            aws(&bench, "IPv4, private to public", v4().src(AWS_PRIVATE)),
        ]);
    }
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
        Row::accepted("to our address and port", &bench, &private, AWS_43, &inner.build()),
        Row::not_ours("to our address and the standard port", &to(GCP_PRIVATE, 4789)),
        Row::not_ours("to 0.0.0.0, which the settings have for none", &to([0; 4].into(), 4790)),
        Row::not_ours("to an address that is not configured", &to(GCP_PUBLIC, 4790)),
    ];
    check(&mut bench, Program::Decap, &rows);
}

#[test]
fn a_host_without_ipv4_has_no_packets_there() {
    let text = gcp6("").replace(r#"["10.0.0.2", "2001:db8:a::2"]"#, r#""2001:db8:a::2""#);
    let text = text.replace(r#", "198.51.100.20"]"#, "]").replace(r#", "10.0.0.119"]"#, "]");
    let mut bench = Bench::new(&text, Host { v4: None, ..GCP6 });
    let inner = ping();
    let over = |ip: Ip| wrap(ip, outer_udp(), vxlan(), &inner).build();
    let (v4, v6) = (Family::V4.outer_ip(), Family::V6.outer_ip());
    let private = over(Ip::new(AWS_PRIVATE6, GCP_PRIVATE6));
    let rows = [
        Row::accepted("IPv6 to our address", &bench, &private, AWS_43, &inner.build()),
        Row::not_ours("IPv6 to an address that is not configured", &over(v6.clone())),
        Row::not_ours("IPv4", &over(v4.clone())),
        Row::not_ours("IPv4 to 0.0.0.0", &over(v4.dst([0; 4]))),
        Row::not_ours("IPv6 to ::, which the settings have for none", &over(v6.dst([0; 16]))),
    ];
    check(&mut bench, Program::Decap, &rows);
}

fn outer_headers_that_vary_and_mean_nothing(family: Family) {
    let mut bench = family.bench();
    let inner = ping();
    let around = |ip: Layer, udp: Udp| wrap(ip, udp, vxlan(), &inner).build();
    let ip = |ip: Ip| around(ip.into(), outer_udp());
    let udp = |udp: Udp| around(family.outer_ip().into(), udp);
    let row = |name: &str, packet: &[u8]| from_endpoint(name, &bench, packet, &inner);
    let usual = || family.outer_ip();
    let mut rows = vec![
        row("TTL 1", &ip(usual().ttl(1))),
        row("TTL 255", &ip(usual().ttl(255))),
        row("DSCP EF outside, none inside", &ip(usual().tos(0xb8))),
        row("source port 4789", &udp(Udp::vxlan(4789))).nat(SrcPort, AWS_43),
        row("source port 0", &udp(Udp::vxlan(0))).nat(SrcPort, AWS_43),
        row("UDP checksum", &udp(outer_udp().checksum(Checksum::Right))),
    ];
    let varied: [(&str, Layer); 2] = match family {
        Family::V4 => [
            ("identification, without DF", outer_ip().id(0xffff).fragment(0).into()),
            ("reserved flag of RFC 3514", outer_ip().fragment(0x8000).into()),
        ],
        Family::V6 => [
            ("hop limit 0", outer_ip6().hop_limit(0).into()),
            ("flow label", outer_ip6().flow_label(0xf_ffff).into()),
        ],
    };
    rows.extend(varied.map(|(name, ip)| row(name, &around(ip, outer_udp()))));
    for n in [1, 2, 4, 46, 150] {
        let name = format!("{n} bytes behind the IP packet");
        rows.push(row(&name, &padded(&family.sent_by_aws(&inner), n)));
    }
    check(&mut bench, Program::Decap, &rows);
}

/// Every byte written out by hand, so that no builder stands between the RFCs and the program.
fn a_packet_of_literal_bytes(family: Family) {
    #[rustfmt::skip]
    let ip: &[u8] = match family {
        Family::V4 => &[
            0x08, 0x00,
            0x45, 0, 0, 70, 0, 0, 0x40, 0, 64, 17, 0xd4, 0x54, 198, 51, 100, 20, 203, 0, 113, 10,
        ],
        Family::V6 => &[
            0x86, 0xdd,
            0x60, 0x0a, 0xbc, 0xde, 0, 50, 17, 64, // 16 bytes of UDP and VXLAN, 34 of the frame
            0x20, 0x01, 0x0d, 0xb8, 0, 0x0c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20,
            0x20, 0x01, 0x0d, 0xb8, 0, 0x0b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ],
    };
    #[rustfmt::skip]
    let behind = [
        0xc3, 0x50, 0x12, 0xb5, 0, 50, 0, 0, // UDP to 4789
        0x08, 0, 0, 0, 0, 0, 43, 0, // VXLAN
    ];
    #[rustfmt::skip]
    let inner = [
        0x02, 0, 0, 0, 0x43, 1, 0x02, 0, 0, 0, 0x44, 1, 0x08, 0x00,
        0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0xa2, 0x5c, 192, 168, 44, 1, 192, 168, 43, 1,
    ];
    let packet = [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1], ip, &behind, &inner].concat();
    let mut bench = family.bench();
    let row = Row::accepted("IPv4 header alone", &bench, &packet, AWS_43, &inner);
    check(&mut bench, Program::Decap, &[row.nat(SrcAddress, AWS_43)]);
}
