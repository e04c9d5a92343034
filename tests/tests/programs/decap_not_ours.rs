//! What `decap` leaves to the host: it goes up untouched and moves no counter, as a host's other
//! traffic must never notice us.

use vxlan_tests::packet::{Arp, BROADCAST, Eth, Icmp, Ipv6, Packet, Tcp, Vlan, Vxlan, flags};

use crate::{
    bench::{Bench, GCP, Program},
    rows::{Row, check},
    world::*,
};

fn row(name: &str, packet: &Packet) -> Row {
    Row::not_ours(name, &packet.build())
}

#[test]
fn other_traffic_passes() {
    let ip = |ip| wrap(ip, outer_udp(), vxlan(), &ping());
    let port = |port| wrap(outer_ip(), outer_udp().dst_port(port), vxlan(), &ping());
    let ether = |ethertype| Packet::new().with(outer_eth().ethertype(Some(ethertype)));
    // The right port where the transport header would begin without options, another one behind them.
    let behind_options = wrap(
        outer_ip().options(vec![1, 1, 0x12, 0xb5]),
        outer_udp().dst_port(4790),
        vxlan(),
        &ping(),
    );
    let tagged = Packet::new()
        .with(outer_eth())
        .with(Vlan::new(7))
        .carrying(Packet::new().with(outer_ip()).with(outer_udp()).with(vxlan()).carrying(ping()));
    let twice = Packet::new()
        .with(outer_eth().ethertype(Some(0x88a8)))
        .with(Vlan::new(7))
        .with(Vlan::new(8))
        .carrying(Packet::new().with(outer_ip()).with(outer_udp()).with(vxlan()).carrying(ping()));
    let ipv6 = Packet::new()
        .with(outer_eth())
        .with(Ipv6::new(AWS_HOST6, GCP_HOST6))
        .with(outer_udp())
        .with(vxlan())
        .carrying(ping());
    let broadcast = Packet::new().with(Eth::new(BROADCAST, STRANGE_MAC)).with(Arp::request(
        STRANGE_MAC,
        STRANGER,
        GCP_PRIVATE,
    ));
    let mut rows = vec![
        row("ARP", &broadcast),
        row("LLDP", &ether(0x88cc).payload(&[2; 46])),
        row("MPLS", &ether(0x8847).payload(&[0; 46])),
        row("802.3 length instead of a type", &ether(46).payload(&[0x42; 46])),
        row("802.1Q in front of a packet to our port", &tagged),
        row("QinQ in front of a packet to our port", &twice),
        row("IPv6 to our port", &ipv6),
        row("to another address", &ip(outer_ip().dst([203, 0, 113, 11].into()))),
        row("to broadcast", &ip(outer_ip().dst([255; 4].into()))),
        row("to multicast", &ip(outer_ip().dst([239, 1, 1, 1].into()))),
        row("to 0.0.0.0", &ip(outer_ip().dst([0; 4].into()))),
        row("to the peer, from this host", &ip(outer_ip().src(GCP_PUBLIC).dst(AWS_PUBLIC))),
        row("to port 4788", &port(4788)),
        row("to port 4790", &port(4790)),
        row("to port 8472", &port(8472)),
        row("to port b512, ours with its bytes swapped", &port(0xb512)),
        row("to another port behind IP options", &behind_options),
        row("last fragment whose bytes look like our port", &ip(outer_ip().fragment(1))),
        row("middle fragment", &ip(outer_ip().fragment(flags::MF | 185))),
        row("IP version 6 in an IPv4 packet", &ip(outer_ip().version_ihl(Some(0x65)))),
        row("IP version 0", &ip(outer_ip().version_ihl(Some(0x05)))),
    ];
    let tcp = Packet::new().with(outer_eth()).with(outer_ip());
    rows.push(row("TCP to 4789", &tcp.clone().with(Tcp::new(40_000, 4789)).payload(&[8; 64])));
    rows.push(row("ssh", &tcp.clone().with(Tcp::new(40_000, 22)).payload(b"SSH-2.0-")));
    rows.push(row("ping", &tcp.with(Icmp::echo_request(1, 1)).payload(&[0; 56])));
    for protocol in [0, 4, 47, 50, 132, 136] {
        let name = format!("IP protocol {protocol} whose bytes look like our port");
        rows.push(row(&name, &ip(outer_ip().protocol(Some(protocol)))));
    }
    check(&mut Bench::gcp(), Program::Decap, &rows);
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
            vxlan_common::reason::RxDrop::UnknownSource,
            crate::moves::Who::Network(VNI),
        ),
    ];
    check(&mut bench, Program::Decap, &rows);
}
