//! Inner sources that a peer may not use.

use vxlan_common::reason::RxDrop::{InnerSourceDenied, OwnMac};

use crate::prelude::*;

fn denied(name: impl Into<String>, inner: &Packet) -> Row {
    Row::refused(name, &from_aws(inner).build(), InnerSourceDenied, AWS_43)
}

fn own(name: &str, inner: &Packet) -> Row {
    Row::refused(name, &from_aws(inner).build(), OwnMac, AWS_43)
}

#[test]
fn ip_sources() {
    let ip = |source: [u8; 4]| {
        Packet::new().with(eth()).with(ipv4().src(source.into())).with(Icmp::echo_request(1, 1))
    };
    let ip6 = |source: Ipv6Addr| {
        Packet::new().with(eth()).with(ipv6().src(source)).with(Icmp::echo_request_v6(1, 1))
    };
    let mut rows: Vec<_> = [
        ("nobody's", NOWHERE.octets()),
        ("below its prefix", [192, 168, 43, 255]),
        ("above its prefix", [192, 168, 45, 0]),
        ("this host's own", GCP_HOST.octets()),
        ("this host's subnet", [192, 168, 43, 9]),
        ("office's", OFFICE_HOST.octets()),
        ("lone's", LONE_HOST.octets()),
        ("the other network's, local", GCP_OTHER_HOST.octets()),
        ("the other network's, office", OFFICE_OTHER_HOST.octets()),
        ("aws' own outer address", AWS_PUBLIC.octets()),
        ("unspecified", [0, 0, 0, 0]),
        ("in 0/8", [0, 1, 2, 3]),
        ("loopback", [127, 0, 0, 1]),
        ("in 127/8", [127, 255, 255, 254]),
        ("multicast", [224, 0, 0, 1]),
        ("in 240/4", [240, 0, 0, 1]),
        ("broadcast", [255; 4]),
        ("link-local", [169, 254, 1, 1]),
    ]
    .into_iter()
    .map(|(what, source)| denied(format!("{what} ({})", Ipv4Addr::from(source)), &ip(source)))
    .collect();
    for (what, source) in [
        ("nobody's", "2001:db8:99::1"),
        ("this host's own", "2001:db8:43::1"),
        ("lone's", "2001:db8:46::1"),
        ("one bit off its prefix", "2001:db8:44:1::1"),
        ("unspecified", "::"),
        ("loopback", "::1"),
        ("multicast", "ff02::1"),
        ("link-local, not discovery", "fe80::44:1"),
        ("IPv4-mapped", "::ffff:192.168.44.1"),
    ] {
        let source: Ipv6Addr = source.parse().expect("is an address");
        rows.push(denied(format!("{what} ({source})"), &ip6(source)));
    }
    check(&mut Bench::gcp(), Program::Decap, &rows);
}

#[test]
fn mac_sources() {
    let from = |mac: Mac| {
        Packet::new().with(Eth::new(GCP_MAC, mac)).with(ipv4()).with(Icmp::echo_request(1, 1))
    };
    let rows = [
        own("this host's own MAC", &from(GCP_MAC)),
        denied("MAC of zeros", &from([0; 6])),
        denied("broadcast MAC", &from(BROADCAST)),
        denied("IPv4 multicast MAC", &from([1, 0, 0x5e, 0, 0, 1])),
        denied("group bit on aws' MAC", &from([3, 0, 0, 0, 0x44, 1])),
    ];
    check(&mut Bench::gcp(), Program::Decap, &rows);
}

#[test]
fn arp_senders() {
    let arp = |arp| Packet::new().with(Eth::new(BROADCAST, AWS_MAC)).with(arp);
    let request = |sender: Ipv4Addr| arp(Arp::request(AWS_MAC, sender, GCP_HOST));
    let reply = |sender: Ipv4Addr| arp(Arp::reply(AWS_MAC, sender, GCP_MAC, GCP_HOST));
    let announcement = |sender: Ipv4Addr| arp(Arp::request(AWS_MAC, sender, sender));
    let own_mac = Packet::new()
        .with(Eth::new(BROADCAST, GCP_MAC))
        .with(Arp::request(GCP_MAC, AWS_HOST, GCP_HOST));
    let rows = [
        denied("request from nobody's address", &request(NOWHERE)),
        denied("request from office's address", &request(OFFICE_HOST)),
        denied("request from this host's address", &request(GCP_HOST)),
        denied("probe, from 0.0.0.0", &request(Ipv4Addr::UNSPECIFIED)),
        denied("reply for office's address", &reply(OFFICE_HOST)),
        denied("reply for this host's address", &reply(GCP_HOST)),
        denied("reply for nobody's address", &reply(NOWHERE)),
        denied("announcement of this host's address", &announcement(GCP_HOST)),
        denied("announcement of office's address", &announcement(OFFICE_HOST)),
        denied("announcement of 127.0.0.1", &announcement(Ipv4Addr::LOCALHOST)),
        own("request with this host's MAC", &own_mac),
    ];
    check(&mut Bench::gcp(), Program::Decap, &rows);
}

#[test]
fn discovery_senders() {
    let solicitation = |from: Ipv6Addr| {
        Packet::new()
            .with(Eth::new(SOLICITED_MAC, AWS_MAC))
            .with(Ipv6::new(from, SOLICITED).hop_limit(255))
            .with(Icmp::neighbour_solicitation(GCP_HOST6, AWS_MAC))
    };
    let advertisement = |of: Ipv6Addr| {
        Packet::new()
            .with(eth())
            .with(Ipv6::new(AWS_HOST6, GCP_HOST6).hop_limit(255))
            .with(Icmp::neighbour_advertisement(of, AWS_MAC))
    };
    let spoofed = Packet::new()
        .with(eth())
        .with(Ipv6::new(GCP_HOST6, GCP_HOST6).hop_limit(255))
        .with(Icmp::neighbour_advertisement(GCP_HOST6, AWS_MAC));
    // Its own target in a packet with a source that it may not use.
    let lent = |from: Ipv6Addr| {
        Packet::new()
            .with(eth())
            .with(Ipv6::new(from, GCP_HOST6).hop_limit(255))
            .with(Icmp::neighbour_advertisement(AWS_HOST6, AWS_MAC))
    };
    let no_discovery = Packet::new()
        .with(Eth::new(SOLICITED_MAC, AWS_MAC))
        .with(Ipv6::new(AWS_LINK_LOCAL, SOLICITED).hop_limit(254))
        .with(Icmp::neighbour_solicitation(GCP_HOST6, AWS_MAC));
    let ipv4_only = Packet::new()
        .with(Eth::new(SOLICITED_MAC, OFFICE_MAC))
        .with(Ipv6::new(AWS_LINK_LOCAL, SOLICITED).hop_limit(255))
        .with(Icmp::neighbour_solicitation(GCP_LINK_LOCAL, OFFICE_MAC));
    let rows = [
        denied("solicitation from lone's address", &solicitation(LONE_HOST6)),
        denied("solicitation from this host's address", &solicitation(GCP_HOST6)),
        denied("duplicate address detection, from ::", &solicitation(Ipv6Addr::UNSPECIFIED)),
        denied("solicitation over more than one hop", &no_discovery),
        denied("advertisement of lone's address", &advertisement(LONE_HOST6)),
        denied("advertisement of this host's address", &advertisement(GCP_HOST6)),
        denied("advertisement by and of this host", &spoofed),
        denied("advertisement of a multicast address", &advertisement(ALL_NODES)),
        denied("advertisement from lone's address, of its own", &lent(LONE_HOST6)),
        denied("advertisement from this host's address, of its own", &lent(GCP_HOST6)),
        denied("advertisement from ::1, of its own", &lent(Ipv6Addr::LOCALHOST)),
        Row::refused(
            "link-local discovery from a member without IPv6",
            &from_office(&ipv4_only).build(),
            InnerSourceDenied,
            OFFICE_43,
        ),
    ];
    check(&mut Bench::gcp(), Program::Decap, &rows);
}

#[test]
fn a_member_of_two_networks_keeps_them_apart() {
    let frame = |mac, from: Ipv4Addr, to: Ipv4Addr| {
        Packet::new()
            .with(Eth::new(mac, OFFICE_MAC))
            .with(Ipv4::new(from, to))
            .with(Icmp::echo_request(1, 1))
    };
    let other = frame(OTHER_MAC, OFFICE_HOST, GCP_OTHER_HOST);
    let other = wrap(outer_ip().src(OFFICE), outer_udp(), Vxlan::new(OTHER_VNI), &other);
    let mine = from_office(&frame(GCP_MAC, OFFICE_OTHER_HOST, GCP_HOST));
    let aws = from_office(&frame(GCP_MAC, AWS_HOST, GCP_HOST));
    let other_office = Who::Member("office", OTHER_VNI);
    let rows = [
        Row::refused(
            "its address of 43 in the other",
            &other.build(),
            InnerSourceDenied,
            other_office,
        ),
        Row::refused("its other address in 43", &mine.build(), InnerSourceDenied, OFFICE_43),
        Row::refused("aws' address", &aws.build(), InnerSourceDenied, OFFICE_43),
    ];
    check(&mut Bench::gcp(), Program::Decap, &rows);
}
