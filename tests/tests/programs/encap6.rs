//! What `encap` sends over IPv6, byte for byte: the kernel's UDP checksum is zero there too, and the
//! flow label carries the flow's hash.

use vxlan_common::reason::TxDrop::{NoNeighbour, NoRoute};
use vxlan_tests::packet::{Eth, Icmp, Ipv4, Ipv6, Packet, Udp, Vxlan};

use crate::{
    bench::{Bench, Program},
    encap::{To, frames},
    flow::{hash_of, port_of},
    moves::Who,
    rows::{Row, check},
    too_big::message,
    world::*,
    world6::*,
};

const OFFICE_43: Who = Who::Member("office", VNI);

/// The packet that a frame leaves as, with that traffic class and hop limit.
pub(crate) fn outer6(frame: &[u8], to: To, class: u8, hop_limit: u8, port: u16) -> Vec<u8> {
    let (endpoint, udp) = match to {
        To::Aws => (AWS_PUBLIC6, Udp::vxlan(port)),
        To::Office => (OFFICE6, Udp::vxlan(port).dst_port(8472)),
    };
    let ip = Ipv6::new(GCP_PRIVATE6, endpoint)
        .traffic_class(class)
        .flow_label(hash_of(frame) % (1 << 20))
        .hop_limit(hop_limit);
    let packet = Packet::new()
        .with(Eth::new([0; 6], [0; 6]))
        .with(ip)
        .with(udp)
        .with(Vxlan::new(VNI))
        .payload(frame);
    packet.build().to_vec()
}

fn sent6(name: impl Into<String>, frame: &Packet, to: To) -> Row {
    let frame = frame.build();
    Row::sent(name, &frame, &outer6(&frame, to, 0, 64, port_of(&frame)), to.who())
}

/// All of them but one fit over IPv6 too.
fn fitting() -> Vec<(&'static str, Packet)> {
    let all = frames();
    let count = all.len();
    let fitting: Vec<_> =
        all.into_iter().filter(|(_, frame)| frame.build().len() <= LARGEST_FRAME6).collect();
    assert_eq!(fitting.len(), count - 1);
    fitting
}

#[test]
fn every_kind_of_frame_over_ipv6() {
    let rows: Vec<_> = fitting().iter().map(|(name, frame)| sent6(*name, frame, To::Aws)).collect();
    check(&mut bench6(), Program::Encap, &rows);
}

#[test]
fn a_fixed_source_port_over_ipv6() {
    let text = gcp6(&format!("source_port = \"fixed\"\nport = 5000\n{PUBLIC6}"));
    let rows: Vec<_> = fitting()
        .iter()
        .map(|(name, frame)| {
            let frame = frame.build();
            let outer = outer6(&frame, To::Aws, 0, 64, 5000);
            Row::sent(*name, &frame, &outer, AWS_43)
        })
        .collect();
    check(&mut Bench::new(&text, GCP6), Program::Encap, &rows);
}

#[test]
fn congestion_marks_go_outside_over_ipv6() {
    let mut rows = Vec::new();
    for ecn in 0..4 {
        for dscp in [0, 0xb8, 0xfc] {
            let v4 = Ipv4::new(GCP_HOST, AWS_HOST).tos(dscp | ecn);
            let v6 = Ipv6::new(GCP_HOST6, AWS_HOST6).traffic_class(dscp | ecn);
            let udp = || Udp::new(5353, 5353);
            let v4 = Packet::new().with(eth_out()).with(v4).with(udp());
            let v6 = Packet::new().with(eth_out()).with(v6).with(udp());
            for (family, frame) in [("IPv4", v4), ("IPv6", v6)] {
                let frame = frame.build();
                let name = format!("ECN {ecn:02b}, DSCP {:#x} over {family}", dscp >> 2);
                let outer = outer6(&frame, To::Aws, ecn, 64, port_of(&frame));
                rows.push(Row::sent(name, &frame, &outer, AWS_43));
            }
        }
    }
    check(&mut bench6(), Program::Encap, &rows);
}

#[test]
fn the_mtu_of_the_way_to_the_byte_over_ipv6() {
    let sized = |to, len: usize| {
        let eth = Eth::new(STRANGE_MAC, GCP_MAC);
        let headers = Packet::new().with(eth).with(Ipv4::new(GCP_HOST, to)).with(Udp::new(1, 2));
        headers.payload(&vec![7; len - 42])
    };
    let sized6 = |len: usize| {
        let eth = Eth::new(STRANGE_MAC, GCP_MAC);
        let ip = Ipv6::new(GCP_HOST6, AWS_HOST6);
        Packet::new().with(eth).with(ip).with(Udp::new(1, 2)).payload(&vec![7; len - 62])
    };
    let told = |name: &str, frame: &Packet, mtu, who| {
        let frame = frame.build();
        Row::told(name, &frame, &message(&frame, mtu), who, 1)
    };
    // 56 bytes are IPv6, UDP and VXLAN, 70 with the inner Ethernet header.
    let office = 1400 - 56;
    let lone = Who::Member("lone", VNI);
    let rows = [
        sent6("1460 bytes outside", &sized(AWS_HOST, LARGEST_FRAME6), To::Aws),
        told("1461 bytes outside", &sized(AWS_HOST, LARGEST_FRAME6 + 1), 1390, AWS_43),
        told("fits over IPv4 alone", &sized(AWS_HOST, LARGEST_FRAME), 1390, AWS_43),
        sent6("1460 bytes outside, IPv6", &sized6(LARGEST_FRAME6), To::Aws),
        told("1461 bytes outside, IPv6", &sized6(LARGEST_FRAME6 + 1), 1390, AWS_43),
        sent6("1400 bytes outside to office", &sized(OFFICE_HOST, office), To::Office),
        told("1401 bytes to office", &sized(OFFICE_HOST, office + 1), 1330, OFFICE_43),
        Row::not_sent("nobody", &sized(NOWHERE, 1500).build(), NoRoute, Who::Network(VNI)),
        Row::not_sent("lone", &sized(LONE_HOST, 1500).build(), NoNeighbour, lone),
    ];
    check(&mut bench6(), Program::Encap, &rows);
}

/// Every byte written out by hand, but for source port and flow label, which `flow` holds down.
#[test]
fn a_packet_of_literal_bytes_over_ipv6() {
    #[rustfmt::skip]
    let frame = [
        0x02, 0, 0, 0, 0x44, 1, 0x02, 0, 0, 0, 0x43, 1, 0x08, 0x00,
        0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0xa2, 0x5c, 192, 168, 43, 1, 192, 168, 44, 1,
    ];
    let [high, low] = port_of(&frame).to_be_bytes();
    let [_, a, b, c] = hash_of(&frame).to_be_bytes();
    #[rustfmt::skip]
    let headers = [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x86, 0xdd, // Ethernet
        0x60, a & 0x0f, b, c, 0, 50, 17, 64, // 16 bytes of UDP and VXLAN, 34 of the frame
        0x20, 0x01, 0x0d, 0xb8, 0, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
        0x20, 0x01, 0x0d, 0xb8, 0, 0x0c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20,
        high, low, 0x12, 0xb5, 0, 50, 0, 0, // UDP to 4789
        0x08, 0, 0, 0, 0, 0, 43, 0, // VXLAN
    ];
    let packet = [&headers[..], &frame].concat();
    let row = Row::sent("IPv4 header alone", &frame, &packet, AWS_43);
    check(&mut bench6(), Program::Encap, &[row]);
}

/// Where nobody has declared a MAC, the question goes out as it is.
#[test]
fn questions_over_ipv6() {
    let ask = |target| {
        let ip = Ipv6::new(GCP_HOST6, SOLICITED).hop_limit(255);
        let eth = Eth::new(SOLICITED_MAC, GCP_MAC);
        Packet::new().with(eth).with(ip).with(Icmp::neighbour_solicitation(target, GCP_MAC))
    };
    let rows = [
        sent6("aws' address", &ask(AWS_HOST6), To::Aws),
        Row::not_sent("lone's", &ask(LONE_HOST6).build(), NoNeighbour, Who::Member("lone", VNI)),
        Row::not_sent("our own", &ask(GCP_HOST6).build(), NoRoute, Who::Network(VNI)),
    ];
    check(&mut bench6(), Program::Encap, &rows);
}
