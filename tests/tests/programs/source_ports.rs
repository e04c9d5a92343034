//! The UDP source port of an accepted packet against the one its sender must have written: computed
//! anew from the inner frame, the peer's own, or one of a range.

use vxlan_common::reason::RxDrop::InnerSourceDenied;

use crate::prelude::*;

fn bench(keys: &str) -> Bench {
    Bench::new(&with_peer(&gcp6(PUBLIC6), "aws", keys), GCP6)
}

/// One frame of each kind that the hash treats differently.
fn frames() -> Vec<(&'static str, Packet)> {
    let v4 = || Packet::new().with(eth()).with(ipv4());
    let v4_as = |ip: Ipv4| Packet::new().with(eth()).with(ip);
    let v6 = || Packet::new().with(eth()).with(ipv6());
    let v6_as = |ip: Ipv6| Packet::new().with(eth()).with(ip);
    let fragment = [17, 0, 0, 1, 0, 0, 0, 9];
    vec![
        ("TCP", v4().with(Tcp::new(40_000, 443))),
        ("TCP, other ports", v4().with(Tcp::new(40_001, 443)).payload(b"x")),
        ("UDP", v4().with(Udp::new(5_000, 53)).payload(b"query")),
        ("ICMP", ping()),
        ("TCP behind options", v4_as(ipv4().options(vec![1; 12])).with(Tcp::new(9, 10))),
        ("first fragment", v4_as(ipv4().fragment(flags::MF)).with(Udp::new(5_000, 53))),
        ("last fragment", v4_as(ipv4().fragment(9).protocol(Some(17))).payload(&[9; 33])),
        ("UDP cut short", v4_as(ipv4().protocol(Some(17))).payload(&[1, 2, 3])),
        (
            "ARP",
            Packet::new()
                .with(Eth::new(BROADCAST, AWS_MAC))
                .with(Arp::request(AWS_MAC, AWS_HOST, GCP_HOST)),
        ),
        ("TCP over IPv6", v6().with(Tcp::new(40_000, 443))),
        ("UDP over IPv6", v6().with(Udp::new(5_000, 53))),
        ("ICMPv6", v6().with(Icmp::echo_request_v6(7, 1))),
        ("fragment of IPv6", v6_as(ipv6().next_header(Some(44))).payload(&fragment)),
        (
            "solicitation",
            Packet::new()
                .with(Eth::new(SOLICITED_MAC, AWS_MAC))
                .with(Ipv6::new(AWS_LINK_LOCAL, SOLICITED).hop_limit(255))
                .with(Icmp::neighbour_solicitation(GCP_HOST6, AWS_MAC)),
        ),
    ]
}

/// Accepted from that port, and whether that counts as rewritten.
fn row(
    bench: &Bench,
    name: &str,
    family: Family,
    port: u16,
    inner: &Packet,
    rewritten: bool,
) -> Row {
    let name = format!("{}, {name}", family.name());
    let packet = wrap(family.outer_ip(), outer_udp().src_port(port), vxlan(), inner).build();
    let row = Row::accepted(name, bench, &packet, AWS_43, &inner.build()).nat(SrcAddress, AWS_43);
    if rewritten { row.nat(SrcPort, AWS_43) } else { row }
}

#[test]
fn a_port_of_the_flow() {
    let mut bench = bench("source_port = \"flow\"");
    let mut ports = Vec::new();
    for family in Family::BOTH {
        let mut rows = Vec::new();
        for (kind, inner) in frames() {
            let right = port_of(&inner.build());
            ports.push(right);
            rows.push(row(&bench, kind, family, right, &inner, false));
            for (how, port) in [
                ("one more", right.checked_add(1).unwrap_or(49_152)),
                ("one less", right - 1),
                ("another high bit", right ^ 0x8000),
                ("none", 0),
                ("our own", 4789),
            ] {
                let name = format!("{kind}, {how}");
                rows.push(row(&bench, &name, family, port, &inner, true));
            }
        }
        check(&mut bench, Program::Decap, &rows);
    }
    ports.sort_unstable();
    ports.dedup();
    assert!(ports.len() >= frames().len() - 2, "flows that say little: {ports:?}");
}

/// It is the hash of the frame as it came, whatever is changed in it then.
#[test]
fn a_port_of_a_flow_that_is_mended() {
    let mut bench = bench("source_port = \"flow\"");
    let syn = |mss: u16| {
        let [high, low] = mss.to_be_bytes();
        let tcp = Tcp::new(40_000, 443).flags(flags::SYN).options(vec![2, 4, high, low]);
        Packet::new().with(eth()).with(ipv4().tos(2)).with(tcp)
    };
    let sent = syn(9_000);
    let udp = outer_udp().src_port(port_of(&sent.build()));
    let packet = wrap(outer_ip().tos(3), udp, vxlan(), &sent).build();
    // The path back is over IPv6: 1460 - 70 - 40.
    let received = {
        let tcp = Tcp::new(40_000, 443).flags(flags::SYN).options(vec![2, 4, 0x05, 0x46]);
        Packet::new().with(eth()).with(ipv4().tos(3)).with(tcp)
    };
    let row =
        Row::accepted("a SYN that met congestion", &bench, &packet, AWS_43, &received.build());
    check(&mut bench, Program::Decap, &[row.nat(SrcAddress, AWS_43)]);
}

/// The default.
#[test]
fn without_a_word_it_is_of_the_flow() {
    let mut bench = bench("");
    let right = port_of(&ping().build());
    let rows = [
        row(&bench, "of the flow", Family::V4, right, &ping(), false),
        row(&bench, "another", Family::V4, right ^ 1, &ping(), true),
    ];
    check(&mut bench, Program::Decap, &rows);
}

#[test]
fn a_fixed_port_is_that_of_the_peers_endpoint() {
    let mut bench = bench("source_port = \"fixed\"");
    for family in Family::BOTH {
        for (kind, inner) in frames() {
            let of_flow = port_of(&inner.build());
            let rows: Vec<_> =
                [(4789, false), (4788, true), (0xb512, true), (of_flow, true), (0, true)]
                    .map(|(port, rewritten)| {
                        row(&bench, &format!("{kind}, {port}"), family, port, &inner, rewritten)
                    })
                    .to_vec();
            check(&mut bench, Program::Decap, &rows);
        }
    }
    // Where our own is another.
    let text = with_peer(&gcp(PUBLIC), "office", "source_port = \"fixed\"");
    let mut bench = Bench::new(&text, GCP);
    let inner = Packet::new()
        .with(Eth::new(GCP_MAC, OFFICE_MAC))
        .with(Ipv4::new(OFFICE_HOST, GCP_HOST))
        .with(Icmp::echo_request(1, 1));
    let from = |port| {
        let ip = outer_ip().src(OFFICE);
        let packet = wrap(ip, outer_udp().src_port(port), vxlan(), &inner).build();
        Row::accepted(port.to_string(), &bench, &packet, OFFICE_43, &inner.build())
    };
    let rows =
        [from(8472), from(4789).nat(SrcPort, OFFICE_43), from(50_000).nat(SrcPort, OFFICE_43)];
    check(&mut bench, Program::Decap, &rows);
}

#[test]
fn any_port_of_a_range() {
    for (keys, first, last) in [
        ("source_port = \"any\"", 32_768_u16, 60_999_u16),
        ("source_port = \"any\"\nsource_ports = \"1024-65535\"", 1_024, 65_535),
        ("source_port = \"any\"\nsource_ports = \"4789-4790\"", 4_789, 4_790),
        ("source_port = \"any\"\nsource_ports = \"255-256\"", 255, 256),
    ] {
        let mut bench = bench(keys);
        for family in Family::BOTH {
            let inside = [first, first + 1, last - 1, last].map(|port| (port, false));
            let below = first.checked_sub(1).map(|port| (port, true));
            let above = last.checked_add(1).map(|port| (port, true));
            let mut ports: Vec<_> = inside.into_iter().chain(below).chain(above).collect();
            ports.extend([
                (0, true),
                (first.swap_bytes(), !(first..=last).contains(&first.swap_bytes())),
            ]);
            ports.sort_unstable();
            ports.dedup();
            for (kind, inner) in [frames().remove(0), frames().remove(8)] {
                let rows: Vec<_> = ports
                    .iter()
                    .map(|&(port, rewritten)| {
                        let name = format!("{keys}, {kind}, {port}");
                        row(&bench, &name, family, port, &inner, rewritten)
                    })
                    .collect();
                check(&mut bench, Program::Decap, &rows);
            }
        }
    }
}

/// Only of what passes every rule.
#[test]
fn a_refused_packet_says_nothing_of_its_port() {
    let mut bench = bench("source_port = \"flow\"");
    let stolen =
        Packet::new().with(eth()).with(ipv4().src(OFFICE_HOST)).with(Icmp::echo_request(1, 1));
    let packet = wrap(outer_ip(), outer_udp().src_port(1), Vxlan::new(VNI), &stolen).build();
    let row = Row::refused("another's address", &packet, InnerSourceDenied, AWS_43);
    check(&mut bench, Program::Decap, &[row]);
}
