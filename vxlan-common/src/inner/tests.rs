//! Frames as the RFCs draw them, whole, cut off and lying.

use super::*;
use crate::wire::ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6};

const DST: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SRC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const NEIGHBOUR: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];

fn frame(ether_type: [u8; 2], payload: &[u8]) -> Vec<u8> {
    [&DST[..], &SRC, &ether_type, payload].concat()
}

fn ipv4(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let len = (20 + payload.len() as u16).to_be_bytes();
    let f = fragment.to_be_bytes();
    let header = [
        0x45, 0xb9, len[0], len[1], 0, 1, f[0], f[1], 64, protocol, 0, 0, 192, 168, 43, 1, 192,
        168, 44, 2,
    ];
    frame(ETHERTYPE_IPV4, &[&header[..], payload].concat())
}

fn ipv6(next: u8, hop_limit: u8, destination: [u8; 16], payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u16).to_be_bytes();
    let start = [0x6b, 0x90, 0, 0, len[0], len[1], next, hop_limit];
    let mut source = NEIGHBOUR;
    source[15] = 1;
    frame(ETHERTYPE_IPV6, &[&start[..], &source, &destination, payload].concat())
}

fn arp(operation: u8) -> Vec<u8> {
    let body = [
        0, 1, 8, 0, 6, 4, 0, operation, 2, 0, 0, 0, 0, 2, 192, 168, 43, 1, 0, 0, 0, 0, 0, 0, 192,
        168, 44, 2,
    ];
    frame(ETHERTYPE_ARP, &body)
}

fn read(frame: &[u8]) -> Result<Inner, InnerError> {
    parse(frame, 0, frame.len() as u32)
}

#[test]
fn ipv4_fields() {
    let inner = read(&ipv4(17, 0, &[0x12, 0x34, 0, 53, 0, 8, 0, 0])).unwrap();
    assert_eq!((inner.destination_mac.octets(), inner.source_mac.octets()), (DST, SRC));
    assert_eq!((inner.kind, inner.family, inner.tos), (FrameKind::Ip, IPV4, 0xb9));
    assert_eq!(inner.source.first(), [192, 168, 43, 1]);
    assert_eq!(inner.destination.first(), [192, 168, 44, 2]);
    assert_eq!((inner.transport, inner.has_ports), (34, true));
}

#[test]
fn ipv6_fields() {
    let inner = read(&ipv6(6, 64, NEIGHBOUR, &[0; 20])).unwrap();
    assert_eq!((inner.kind, inner.family, inner.tos), (FrameKind::Ip, IPV6, 0xb9));
    assert_eq!(inner.destination, Address::ipv6(NEIGHBOUR));
    assert_eq!((inner.transport, inner.has_ports), (54, true));
}

#[test]
fn ports_are_read_from_whole_packets_of_protocols_that_have_them() {
    const MORE_FRAGMENTS: u16 = 0x2000;
    const DONT_FRAGMENT: u16 = 0x4000;
    for (protocol, fragment, expected) in [
        (6, 0, true),
        (17, DONT_FRAGMENT, true),
        (1, 0, false),
        (17, MORE_FRAGMENTS, false),
        (17, 1, false),
    ] {
        let inner = read(&ipv4(protocol, fragment, &[0; 8])).unwrap();
        assert_eq!(inner.has_ports, expected, "protocol {protocol} fragment {fragment:#x}");
    }
    assert!(!read(&ipv4(17, 0, &[0; 3])).unwrap().has_ports, "cut off before the ports end");
}

#[test]
fn arp_names_sender_and_target() {
    for operation in [1, 2] {
        let inner = read(&arp(operation)).unwrap();
        assert_eq!(inner.kind, FrameKind::Arp);
        assert_eq!(inner.source.first(), [192, 168, 43, 1]);
        assert_eq!(inner.destination.first(), [192, 168, 44, 2]);
    }
    assert_eq!(read(&arp(3)), Err(InnerError::Malformed), "RARP");
    for (at, value) in [(14, 1), (15, 6), (16, 9), (18, 8), (19, 16)] {
        let mut other = arp(1);
        other[at] = value;
        assert_eq!(read(&other), Err(InnerError::Malformed), "byte {at}");
    }
}

#[test]
fn discovery_speaks_of_its_target() {
    let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
    message.extend(NEIGHBOUR);
    let mut group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 9];
    let solicitation = read(&ipv6(58, 255, group, &message)).unwrap();
    assert_eq!(solicitation.kind, FrameKind::Solicitation);
    assert_eq!(solicitation.destination, Address::ipv6(group));
    assert_eq!(solicitation.target, Address::ipv6(NEIGHBOUR));
    assert_eq!(*solicitation.owner_address(), Address::ipv6(NEIGHBOUR));

    message[0] = 136;
    group[15] = 1;
    let advertisement = read(&ipv6(58, 255, group, &message)).unwrap();
    assert_eq!(advertisement.kind, FrameKind::Advertisement);
    assert_eq!(advertisement.target, Address::ipv6(NEIGHBOUR));
    assert_eq!(*advertisement.owner_address(), Address::ipv6(group));

    // RFC 4861 section 7.1: it did not come from this link.
    assert_eq!(read(&ipv6(58, 254, NEIGHBOUR, &message)).unwrap().kind, FrameKind::Ip);
    assert_eq!(read(&ipv6(58, 255, group, &message[..23])), Err(InnerError::Malformed));
    let empty = [ipv6(58, 255, group, &[]), vec![136; 24]].concat();
    assert_eq!(read(&empty), Err(InnerError::Malformed), "what lies behind the packet is not read");
}

#[test]
fn link_control_is_told_from_traffic() {
    let all_nodes = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    for kind in [130, 131, 132, 133, 134, 137, 143] {
        let inner = read(&ipv6(58, 255, all_nodes, &[kind; 24])).unwrap();
        assert_eq!(inner.kind, FrameKind::LinkControl, "ICMPv6 type {kind}");
    }
    let report = read(&ipv6(0, 1, all_nodes, &[58, 0, 5, 2, 0, 0, 1, 0])).unwrap();
    assert_eq!(report.kind, FrameKind::LinkControl, "behind a hop-by-hop header");
    for extension in [0, 43, 51, 60, 135, 139, 140] {
        let hidden = [&[58, 0, 1, 4, 0, 0, 0, 0, 136, 0, 0, 0][..], &[0; 20]].concat();
        let inner = read(&ipv6(extension, 255, NEIGHBOUR, &hidden)).unwrap();
        assert_eq!(inner.kind, FrameKind::LinkControl, "behind next header {extension}");
    }
    let behind_fragment = |next: u8| {
        let payload = [&[next][..], &[0; 15]].concat();
        read(&ipv6(44, 64, NEIGHBOUR, &payload)).unwrap().kind
    };
    for next in [6, 17, 58, 50] {
        assert_eq!(behind_fragment(next), FrameKind::Ip, "a fragment of next header {next}");
    }
    for next in [0, 43, 44, 51, 60] {
        assert_eq!(
            behind_fragment(next),
            FrameKind::LinkControl,
            "{next} behind a fragment header"
        );
    }
    assert_eq!(read(&ipv6(58, 64, NEIGHBOUR, &[128; 8])).unwrap().kind, FrameKind::Ip, "echo");
    assert_eq!(
        read(&ipv6(17, 1, all_nodes, &[0; 8])).unwrap().kind,
        FrameKind::Ip,
        "mDNS and its like"
    );
}

#[test]
fn every_truncation_is_malformed() {
    let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
    message.extend(NEIGHBOUR);
    let frames = [ipv4(6, 0, &[0; 20]), ipv6(58, 255, NEIGHBOUR, &message), arp(1)];
    for whole in frames {
        assert!(read(&whole).is_ok());
        for len in 0..whole.len() {
            // Cut off in the buffer, and in the length that the outer header gives.
            assert_eq!(read(&whole[..len]), Err(InnerError::Malformed), "{len} bytes");
            let lying = parse(&whole[..], 0, len as u32);
            assert_eq!(lying, Err(InnerError::Malformed), "said to be {len} bytes");
        }
    }
}

#[test]
fn lying_ipv4_headers() {
    let good = ipv4(17, 0, &[0; 8]);
    for (what, at, value) in [
        ("version 6", 14, 0x65),
        ("IHL 4", 14, 0x44),
        ("IHL past the total length", 14, 0x4f),
        ("total length below the header's", 17, 19),
        ("total length past the frame", 17, 29),
    ] {
        let mut lying = good.clone();
        lying[at] = value;
        assert_eq!(read(&lying), Err(InnerError::Malformed), "{what}");
    }
}

#[test]
fn other_protocols_are_named_so() {
    for ether_type in [[0x81, 0], [0x88, 0xa8], [0x88, 0xcc], [0x88, 0x47], [0, 46]] {
        let other = frame(ether_type, &[0; 46]);
        assert_eq!(read(&other), Err(InnerError::Protocol), "{ether_type:02x?}");
    }
}

#[test]
fn martian_sources() {
    let with = |source: [u8; 4]| {
        let mut frame = ipv4(17, 0, &[0; 8]);
        frame[26..30].copy_from_slice(&source);
        read(&frame).unwrap().has_martian_source()
    };
    for source in [[0, 0, 0, 0], [0, 1, 2, 3], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4]] {
        assert!(with(source), "{source:?}");
    }
    for source in [[1, 0, 0, 0], [126, 255, 255, 255], [128, 0, 0, 0], [223, 255, 255, 255]] {
        assert!(!with(source), "{source:?}");
    }
    let with_mac = |mac: [u8; 6]| {
        let mut frame = arp(1);
        frame[6..12].copy_from_slice(&mac);
        read(&frame).unwrap().has_martian_source()
    };
    assert!(with_mac([0; 6]) && with_mac([0xff; 6]) && with_mac([1, 0, 0x5e, 0, 0, 1]));
    assert!(!with_mac(SRC));
    let with_ipv6 = |address: [u8; 16]| {
        let mut frame = ipv6(17, 64, NEIGHBOUR, &[0; 8]);
        frame[22..38].copy_from_slice(&address);
        read(&frame).unwrap().has_martian_source()
    };
    let mut loopback = [0; 16];
    assert!(with_ipv6(loopback), "unspecified");
    loopback[15] = 1;
    assert!(with_ipv6(loopback), "loopback");
    loopback[15] = 2;
    assert!(!with_ipv6(loopback));
    assert!(with_ipv6([0xff; 16]) && !with_ipv6(NEIGHBOUR));
}

#[test]
fn the_flow_hash_is_the_flows_own() {
    let hash = |frame: &[u8]| flow_hash(&read(frame).unwrap());
    let udp = ipv4(17, 0, &[0x12, 0x34, 0, 53, 0, 8, 0, 0]);
    let expected = flow::hash(
        &Address::ipv4([192, 168, 43, 1]),
        &Address::ipv4([192, 168, 44, 2]),
        0x1234_0035,
        17,
    );
    assert_eq!(hash(&udp), expected);
    let mut other_payload = udp.clone();
    other_payload[40] = 7;
    assert_eq!(hash(&other_payload), expected, "behind the ports nothing counts");
    assert_ne!(hash(&arp(1)), 0);
}

#[test]
fn segment_headers_end_where_the_payload_begins() {
    let mut tcp = [0; 40];
    tcp[12] = 8 << 4;
    let tcp = ipv4(6, 0, &tcp);
    assert_eq!(segment_headers(&tcp[..], 0, &read(&tcp).unwrap()), 14 + 20 + 32);
    let udp = ipv6(17, 64, NEIGHBOUR, &[0; 20]);
    assert_eq!(segment_headers(&udp[..], 0, &read(&udp).unwrap()), 14 + 40 + 8);
}
