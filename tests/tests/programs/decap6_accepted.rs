//! What `decap` accepts over IPv6, and what it leaves to the host there.

use vxlan_common::counters::NatField::{DstAddress, SrcAddress, SrcPort};
use vxlan_tests::packet::{Checksum, Eth, Icmp, Ipv4, Ipv6, Layer, Packet, Tcp, Udp, Vlan, Vxlan};

use crate::{
    bench::{Bench, Host, Program},
    decap_accepted,
    moves::Who,
    rows::{Row, check, padded},
    world::*,
    world6::*,
};

const AWS: (&str, u32) = ("aws", VNI);

#[test]
fn every_kind_of_frame_over_ipv6() {
    let mut bench = bench6();
    let rows: Vec<_> = decap_accepted::frames()
        .into_iter()
        .filter(|(_, inner)| inner.build().len() <= LARGEST_FRAME6)
        .map(|(name, inner)| {
            let packet = from_aws6(&inner).build();
            Row::accepted(name, &bench, &packet, AWS, &inner.build()).nat(SrcAddress, AWS_43)
        })
        .collect();
    assert!(rows.len() > 30);
    check(&mut bench, Program::Decap, &rows);
}

#[test]
fn addresses_that_a_nat_rewrote_in_either_family() {
    let mut bench = bench6();
    let inner = ping();
    let office = Packet::new()
        .with(Eth::new(GCP_MAC, OFFICE_MAC))
        .with(Ipv4::new(OFFICE_HOST, GCP_HOST))
        .with(Icmp::echo_request(1, 1));
    let other = Packet::new()
        .with(Eth::new(OTHER_MAC, OFFICE_MAC))
        .with(Ipv4::new(OFFICE_OTHER_HOST, GCP_OTHER_HOST))
        .with(Icmp::echo_request(1, 1));
    let aws = |bench: &Bench, name: &str, ip: Layer| {
        let packet = wrap(ip, outer_udp(), vxlan(), &inner).build();
        Row::accepted(name, bench, &packet, AWS, &inner.build())
    };
    let from = |bench: &Bench, name: &str, to, vni, inner: &Packet| {
        let packet = wrap(Ipv6::new(OFFICE6, to), outer_udp(), Vxlan::new(vni), inner).build();
        Row::accepted(name, bench, &packet, ("office", vni), &inner.build())
    };
    let (v6, v4) = (outer_ip6, outer_ip);
    let rows = [
        aws(&bench, "endpoint to public", v6().into()).nat(SrcAddress, AWS_43),
        aws(&bench, "endpoint to private", v6().dst(GCP_PRIVATE6).into())
            .nat(SrcAddress, AWS_43)
            .nat(DstAddress, AWS_43),
        aws(&bench, "private to public", v6().src(AWS_PRIVATE6).into()),
        aws(&bench, "private to private", v6().src(AWS_PRIVATE6).dst(GCP_PRIVATE6).into())
            .nat(DstAddress, AWS_43),
        aws(&bench, "IPv4, endpoint to public", v4().into()).nat(SrcAddress, AWS_43),
        aws(&bench, "IPv4, endpoint to private", v4().dst(GCP_PRIVATE).into())
            .nat(SrcAddress, AWS_43)
            .nat(DstAddress, AWS_43),
        aws(&bench, "IPv4, private to public", v4().src(AWS_PRIVATE).into()),
        from(&bench, "a peer without NAT to public", GCP_PUBLIC6, VNI, &office),
        from(&bench, "a peer without NAT to private", GCP_PRIVATE6, VNI, &office)
            .nat(DstAddress, Who::Member("office", VNI)),
        from(&bench, "the same peer in its other network", GCP_PRIVATE6, OTHER_VNI, &other)
            .nat(DstAddress, Who::Member("office", OTHER_VNI)),
    ];
    check(&mut bench, Program::Decap, &rows);
}

#[test]
fn outer_headers_that_vary_and_mean_nothing() {
    let mut bench = bench6();
    let inner = ping();
    let aws = |bench: &Bench, name: &str, packet: &[u8]| {
        Row::accepted(name, bench, packet, AWS, &inner.build()).nat(SrcAddress, AWS_43)
    };
    let ip = |ip: Ipv6| wrap(ip, outer_udp(), vxlan(), &inner).build();
    let udp = |udp: Udp| wrap(outer_ip6(), udp, vxlan(), &inner).build();
    let mut rows = vec![
        aws(&bench, "hop limit 0", &ip(outer_ip6().hop_limit(0))),
        aws(&bench, "hop limit 1", &ip(outer_ip6().hop_limit(1))),
        aws(&bench, "hop limit 255", &ip(outer_ip6().hop_limit(255))),
        aws(&bench, "flow label", &ip(outer_ip6().flow_label(0xf_ffff))),
        aws(&bench, "DSCP EF outside, none inside", &ip(outer_ip6().traffic_class(0xb8))),
        aws(&bench, "source port 4789", &udp(Udp::vxlan(4789))).nat(SrcPort, AWS_43),
        aws(&bench, "source port 0", &udp(Udp::vxlan(0))).nat(SrcPort, AWS_43),
        aws(&bench, "UDP checksum", &udp(outer_udp().checksum(Checksum::Right))),
    ];
    for n in [1, 2, 4, 46, 150] {
        let name = format!("{n} bytes behind the IP packet");
        rows.push(aws(&bench, &name, &padded(&from_aws6(&inner), n)));
    }
    check(&mut bench, Program::Decap, &rows);
}

/// Every byte written out by hand, so that no builder stands between the RFCs and the program.
#[test]
fn a_packet_of_literal_bytes_over_ipv6() {
    #[rustfmt::skip]
    let packet = [
        0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x86, 0xdd, // Ethernet
        0x60, 0x0a, 0xbc, 0xde, 0, 50, 17, 64, // 16 bytes of UDP and VXLAN, 34 of the frame
        0x20, 0x01, 0x0d, 0xb8, 0, 0x0c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20,
        0x20, 0x01, 0x0d, 0xb8, 0, 0x0b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        0xc3, 0x50, 0x12, 0xb5, 0, 50, 0, 0, // UDP to 4789
        0x08, 0, 0, 0, 0, 0, 43, 0, // VXLAN
        0x02, 0, 0, 0, 0x43, 1, 0x02, 0, 0, 0, 0x44, 1, 0x08, 0x00, // inner Ethernet
        0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0xa2, 0x5c, 192, 168, 44, 1, 192, 168, 43, 1,
    ];
    let mut bench = bench6();
    let row = Row::accepted("IPv4 header alone", &bench, &packet, AWS, &packet[70..]);
    check(&mut bench, Program::Decap, &[row.nat(SrcAddress, AWS_43)]);
}

#[test]
fn other_traffic_over_ipv6_passes() {
    let row = |name: &str, packet: &Packet| Row::not_ours(name, &packet.build());
    let ip = |ip: Ipv6| wrap(ip, outer_udp(), vxlan(), &ping());
    let to = |text: &str| ip(outer_ip6().dst(text.parse().expect("is an address")));
    let port = |port| wrap(outer_ip6(), outer_udp().dst_port(port), vxlan(), &ping());
    let behind = |packet: Packet| packet.with(outer_udp()).with(vxlan()).carrying(ping());
    let tagged = behind(Packet::new().with(outer_eth()).with(Vlan::new(7)).with(outer_ip6()));
    let wrong_type = |ethertype, ip: Layer| {
        behind(Packet::new().with(outer_eth().ethertype(Some(ethertype))).with(ip))
    };
    let mut rows = vec![
        row("802.1Q in front of a packet to our port", &tagged),
        row("to another address", &to("2001:db8:b::11")),
        row("to ::", &to("::")),
        row("to ::1", &to("::1")),
        row("to all nodes", &to("ff02::1")),
        row("to our IPv4 address, mapped", &to("::ffff:10.0.0.2")),
        row("to an address that begins as our IPv4 one", &to("a00:2::")),
        row("to our overlay address", &to("2001:db8:43::1")),
        row("to port 4788", &port(4788)),
        row("to port 8472", &port(8472)),
        row("to port b512, ours with its bytes swapped", &port(0xb512)),
        row("IPv6 in the EtherType of IPv4", &wrong_type(0x0800, outer_ip6().into())),
        row("IPv4 in the EtherType of IPv6", &wrong_type(0x86dd, outer_ip().into())),
    ];
    let tcp = Packet::new().with(outer_eth()).with(outer_ip6());
    rows.push(row("TCP to 4789", &tcp.clone().with(Tcp::new(40_000, 4789)).payload(&[8; 64])));
    rows.push(row("ping", &tcp.with(Icmp::echo_request_v6(1, 1)).payload(&[0; 56])));
    // Authentication, ESP, no next header, mobility, HIP and shim6 among them: nothing looks behind.
    for next in [1, 4, 6, 41, 47, 50, 51, 58, 59, 132, 135, 136, 139, 140, 253, 255] {
        let name = format!("next header {next} whose bytes look like our port");
        rows.push(row(&name, &ip(outer_ip6().next_header(Some(next)))));
    }
    check(&mut bench6(), Program::Decap, &rows);
}

#[test]
fn a_host_without_ipv4_has_no_packets_there() {
    let text = gcp6("").replace(r#"["10.0.0.2", "2001:db8:a::2"]"#, r#""2001:db8:a::2""#);
    let text = text.replace(r#", "198.51.100.20"]"#, "]").replace(r#", "10.0.0.119"]"#, "]");
    let mut bench = Bench::new(&text, Host { v4: None, ..GCP6 });
    let inner = ping();
    let over = |ip: Layer| wrap(ip, outer_udp(), vxlan(), &inner).build();
    let private = over(outer_ip6().src(AWS_PRIVATE6).dst(GCP_PRIVATE6).into());
    let rows = [
        Row::accepted("IPv6 to our address", &bench, &private, AWS, &inner.build()),
        Row::not_ours("IPv6 to an address that is not configured", &over(outer_ip6().into())),
        Row::not_ours("IPv4", &over(outer_ip().into())),
        Row::not_ours("IPv4 to 0.0.0.0", &over(outer_ip().dst([0; 4].into()).into())),
        Row::not_ours(
            "IPv6 to ::, which the settings have for none",
            &over(outer_ip6().dst([0; 16].into()).into()),
        ),
    ];
    check(&mut bench, Program::Decap, &rows);
}
