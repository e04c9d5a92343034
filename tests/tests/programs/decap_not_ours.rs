//! What `decap` leaves to the host: it goes up untouched and moves no counter, as a host's other
//! traffic must never notice us.

use vxlan_common::reason::RxDrop::UnknownSource;

use crate::prelude::*;

fn row(name: &str, packet: &Packet) -> Row {
    Row::not_ours(name, &packet.build())
}

over_both_families!(other_traffic_passes);

fn other_traffic_passes(family: Family) {
    let ip = |ip: Ip| wrap(ip, outer_udp(), vxlan(), &ping());
    let usual = || family.outer_ip();
    let port = |port| wrap(usual(), outer_udp().dst_port(port), vxlan(), &ping());
    let behind = |packet: Packet| packet.with(outer_udp()).with(vxlan()).carrying(ping());
    let start = || Packet::new().with(outer_eth());
    let another = family.pick("203.0.113.11", "2001:db8:b::11");
    let mut rows = vec![
        row("802.1Q in front of our port", &behind(start().with(Vlan::new(7)).with(usual()))),
        row("to another address", &ip(usual().dst(address(another)))),
        row("to no address", &ip(usual().dst(family.unspecified()))),
        row("to the peer, from this host", &ip(Ip::new(family.gcp_public(), family.aws_public()))),
        row("to port 4788", &port(4788)),
        row("to port 4790", &port(4790)),
        row("to port 8472", &port(8472)),
        row("to port b512, ours with its bytes swapped", &port(0xb512)),
    ];
    let start = || start().with(usual());
    rows.push(row("TCP to 4789", &start().with(Tcp::new(40_000, 4789)).payload(&[8; 64])));
    rows.push(row("ssh", &start().with(Tcp::new(40_000, 22)).payload(b"SSH-2.0-")));
    let echo = family.pick(Icmp::echo_request(1, 1), Icmp::echo_request_v6(1, 1));
    rows.push(row("ping", &start().with(echo).payload(&[0; 56])));
    rows.extend(match family {
        Family::V4 => other_ipv4_traffic(),
        Family::V6 => other_ipv6_traffic(),
    });
    check(&mut family.bench(), Program::Decap, &rows);
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("is an address")
}

fn other_ipv4_traffic() -> Vec<Row> {
    let ip = |ip| wrap(ip, outer_udp(), vxlan(), &ping());
    let ether = |ethertype| Packet::new().with(outer_eth().ethertype(Some(ethertype)));
    // The right port where the transport header would begin without options, another one behind
    // them.
    let behind_options = wrap(
        outer_ip().options(vec![1, 1, 0x12, 0xb5]),
        outer_udp().dst_port(4790),
        vxlan(),
        &ping(),
    );
    let datagram = Packet::new().with(outer_ip()).with(outer_udp()).with(vxlan()).carrying(ping());
    let twice = ether(0x88a8).with(Vlan::new(7)).with(Vlan::new(8)).carrying(datagram);
    let arp = Arp::request(STRANGE_MAC, STRANGER, GCP_PRIVATE);
    let broadcast = Packet::new().with(Eth::new(BROADCAST, STRANGE_MAC)).with(arp);
    let ipv6 = wrap(Ipv6::new(AWS_HOST6, GCP_HOST6), outer_udp(), vxlan(), &ping());
    let mut rows = vec![
        row("ARP", &broadcast),
        row("LLDP", &ether(0x88cc).payload(&[2; 46])),
        row("MPLS", &ether(0x8847).payload(&[0; 46])),
        row("802.3 length instead of a type", &ether(46).payload(&[0x42; 46])),
        row("QinQ in front of a packet to our port", &twice),
        row("IPv6 to our port", &ipv6),
        row("to broadcast", &ip(outer_ip().dst([255; 4].into()))),
        row("to multicast", &ip(outer_ip().dst([239, 1, 1, 1].into()))),
        row("to another port behind IP options", &behind_options),
        row("last fragment whose bytes look like our port", &ip(outer_ip().fragment(1))),
        row("middle fragment", &ip(outer_ip().fragment(flags::MF | 185))),
        row("IP version 6 in an IPv4 packet", &ip(outer_ip().version_ihl(Some(0x65)))),
        row("IP version 0", &ip(outer_ip().version_ihl(Some(0x05)))),
    ];
    for protocol in [0, 4, 47, 50, 132, 136] {
        let name = format!("IP protocol {protocol} whose bytes look like our port");
        rows.push(row(&name, &ip(outer_ip().protocol(Some(protocol)))));
    }
    rows
}

fn other_ipv6_traffic() -> Vec<Row> {
    let ip = |ip: Ipv6| wrap(ip, outer_udp(), vxlan(), &ping());
    let to = |text: &str| {
        let ip = Family::V6.outer_ip().dst(address(text));
        wrap(ip, outer_udp(), vxlan(), &ping())
    };
    let wrong_type = |ethertype, ip: Ip| {
        let start = Packet::new().with(outer_eth().ethertype(Some(ethertype))).with(ip);
        start.with(outer_udp()).with(vxlan()).carrying(ping())
    };
    let mut rows = vec![
        row("to ::1", &to("::1")),
        row("to all nodes", &to("ff02::1")),
        row("to our IPv4 address, mapped", &to("::ffff:10.0.0.2")),
        row("to an address that begins as our IPv4 one", &to("a00:2::")),
        row("to our overlay address", &to("2001:db8:43::1")),
        row("IPv6 in the EtherType of IPv4", &wrong_type(0x0800, Family::V6.outer_ip())),
        row("IPv4 in the EtherType of IPv6", &wrong_type(0x86dd, Family::V4.outer_ip())),
    ];
    // Authentication, ESP, no next header, mobility, HIP and shim6 among them: nothing looks
    // behind.
    for next in [1, 4, 6, 41, 47, 50, 51, 58, 59, 132, 135, 136, 139, 140, 253, 255] {
        let name = format!("next header {next} whose bytes look like our port");
        rows.push(row(&name, &ip(outer_ip6().next_header(Some(next)))));
    }
    rows
}

#[test]
fn a_packet_that_ends_before_its_port_passes() {
    let whole = from_aws(&ping()).build();
    let optioned = wrap(outer_ip().options(vec![1; 40]), outer_udp(), vxlan(), &ping()).build();
    let cut = |what: &str, frame: &[u8], len: usize| {
        Row::not_ours(format!("{what}, cut to {len} bytes"), &frame[..len])
    };
    // Ethernet ends at 14, IPv4 at 34 (with options at 74), UDP 8 bytes later.
    let mut rows: Vec<_> =
        [14, 15, 23, 24, 33, 34, 35, 36, 37, 38, 41].map(|n| cut("no options", &whole, n)).into();
    rows.extend([34, 42, 73, 74, 77, 78, 81].map(|n| cut("40 bytes of options", &optioned, n)));
    check(&mut Bench::gcp(), Program::Decap, &rows);
}

#[test]
fn an_unknown_vni_passes_where_another_program_shares_the_port() {
    let mut bench = Bench::new(&gcp(&format!("unknown_vni = \"pass\"\n{PUBLIC}")), GCP);
    let from = |ip, vni| wrap(ip, outer_udp(), Vxlan::new(vni), &ping());
    let rows = [
        row("VNI 44 from a peer", &from(outer_ip(), UNKNOWN_VNI)),
        row("VNI 44 from a stranger", &from(outer_ip().src(STRANGER), UNKNOWN_VNI)),
        row("VNI 0", &from(outer_ip(), 0)),
        row("VNI 2b0000, ours with its bytes swapped", &from(outer_ip(), 0x2b_0000)),
        row("VNI ffffff", &from(outer_ip(), 0xff_ffff)),
        Row::refused(
            "our VNI from a stranger is still refused",
            &from(outer_ip().src(STRANGER), VNI).build(),
            UnknownSource,
            NETWORK,
        ),
    ];
    check(&mut bench, Program::Decap, &rows);
}
