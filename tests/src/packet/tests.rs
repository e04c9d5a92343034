//! Frames whose bytes are known from elsewhere, and the properties of the difference report.

use super::*;

const A: Mac = [2, 0, 0, 0, 0, 1];
const B: Mac = [2, 0, 0, 0, 0, 2];

/// A header whose checksum is worked out by hand in many textbooks: b861.
#[test]
fn ipv4_header_with_its_known_checksum() {
    let frame = Packet::new()
        .with(
            Ipv4::new([192, 168, 0, 1], [192, 168, 0, 199])
                .total_length(Some(0x73))
                .protocol(Some(PROTOCOL_UDP)),
        )
        .build();
    let known = [
        0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00,
        0x01, 0xc0, 0xa8, 0x00, 0xc7,
    ];
    assert_eq!(frame[..], known);
}

/// RFC 7348 section 5, figure 1: the whole stack, field by field.
#[test]
fn vxlan_over_ipv4_as_in_rfc_7348() {
    let frame = vxlan_frame();
    assert_eq!(frame[12..14], [0x08, 0x00]);
    assert_eq!(frame[16..18], 105_u16.to_be_bytes(), "outer total length");
    assert_eq!(frame[23], 17);
    assert_eq!(frame[34..42], [0xc0, 0x00, 0x12, 0xb5, 0x00, 85, 0x00, 0x00], "udp");
    assert_eq!(frame[42..50], [0x08, 0, 0, 0, 0, 0, 43, 0], "vxlan");
    assert_eq!(frame[50..56], B, "inner frame");
}

#[test]
fn a_right_checksum_sums_to_ffff_and_a_wrong_one_does_not() {
    let tcp = |checksum| {
        Packet::new()
            .with(Ipv4::new([192, 0, 2, 1], [192, 0, 2, 2]))
            .with(Tcp::new(1, 2).checksum(checksum))
            .payload(b"odd")
            .build()
    };
    let sum = |packet: &[u8]| {
        let pseudo = [&packet[12..20], &[0, 6, 0, 23]].concat();
        ones_complement_sum(&[&pseudo, &packet[20..]])
    };
    assert_eq!(sum(&tcp(Checksum::Right)), 0xffff);
    assert_ne!(sum(&tcp(Checksum::Wrong)), 0xffff);
}

#[test]
fn icmpv6_and_udp_over_ipv6_sum_with_the_pseudo_header() {
    let ip = Ipv6::new(
        std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
        std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2),
    );
    let frames = [
        Packet::new().with(ip.clone()).with(Icmp::echo_request_v6(1, 1)).payload(b"abc").build(),
        Packet::new().with(ip).with(Udp::new(7, 7)).payload(b"abc").build(),
    ];
    for (frame, protocol) in frames.iter().zip([PROTOCOL_ICMPV6, PROTOCOL_UDP]) {
        assert_eq!(frame[..6], [0x60, 0, 0, 0, 0, 11]);
        assert_eq!(frame[6], protocol);
        let pseudo = [&frame[8..40], &[0, 0, 0, 11, 0, 0, 0, protocol]].concat();
        assert_eq!(ones_complement_sum(&[&pseudo, &frame[40..]]), 0xffff);
    }
}

#[test]
fn lying_fields_are_written_as_given() {
    let frame = Packet::new()
        .with(Eth::new(B, A))
        .with(Vlan::new(5))
        .with(Ipv4::new([1, 1, 1, 1], [2, 2, 2, 2]).version_ihl(Some(0x4f)).options(vec![1; 4]))
        .with(Udp::new(1, 2).length(Some(9999)).checksum(Checksum::Value(0xabcd)))
        .build();
    assert_eq!(frame[12..18], [0x81, 0, 0, 5, 8, 0]);
    assert_eq!(frame[18], 0x4f);
    assert_eq!(frame[18 + 24 + 4..], [0x27, 0x0f, 0xab, 0xcd]);
}

#[test]
fn arp_request_as_in_rfc_826() {
    let frame = Packet::new()
        .with(Eth::new(BROADCAST, A))
        .with(Arp::request(A, [192, 0, 2, 1], [192, 0, 2, 2]))
        .build();
    assert_eq!(frame[12..22], [8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    assert_eq!(frame.len(), 42);
}

#[test]
fn a_difference_is_named_by_field() {
    let frame = vxlan_frame();
    assert_eq!(diff(&frame, &frame), None);
    for (byte, name) in [
        (0, "outer eth dst"),
        (22, "outer ipv4 ttl"),
        (35, "outer udp src port"),
        (48, "vxlan vni"),
        (50 + 14 + 8, "inner ipv4 ttl"),
        (frame.len() - 1, "inner payload"),
    ] {
        let mut changed = frame.clone();
        changed[byte] ^= 1;
        let text = diff(&frame, &changed).unwrap_or_default();
        assert!(text.starts_with(&format!("frames differ first at byte {byte}, in ")), "{text}");
        assert!(text.lines().next().is_some_and(|line| line.ends_with(name)), "{name}: {text}");
    }
    let text = diff(&frame, &frame[..62]).unwrap_or_default();
    assert!(text.contains("the frame ends before"), "{text}");
    assert!(text.contains("119 bytes expected, 62 there"), "{text}");
}

#[test]
fn fields_cover_a_frame_without_gaps() {
    let frame = vxlan_frame();
    let mut at = 0;
    for field in fields(&frame) {
        assert_eq!(field.range.start, at, "{field:?}");
        at = field.range.end;
    }
    assert_eq!(at, frame.len());
}

fn vxlan_frame() -> BytesMut {
    let inner = Packet::new()
        .with(Eth::new(B, A))
        .with(Ipv4::new([192, 168, 43, 1], [192, 168, 44, 1]))
        .with(Icmp::echo_request(1, 1))
        .payload(&[0xaa; 27]);
    Packet::new()
        .with(Eth::new(A, B))
        .with(Ipv4::new([203, 0, 113, 10], [198, 51, 100, 20]))
        .with(Udp::vxlan(49152))
        .with(Vxlan::new(43))
        .carrying(inner)
        .build()
}
