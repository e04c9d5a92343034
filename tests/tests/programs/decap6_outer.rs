//! What `decap` refuses over IPv6 for its outer headers, its VNI or its sender.

use vxlan_common::{
    counters::NatField::SrcAddress,
    reason::RxDrop::{InvalidVxlanHeader, MalformedOuter, NotAMember, UnknownSource, UnknownVni},
};
use vxlan_tests::packet::{Ipv6, Packet, Udp, Vxlan};

use crate::{
    bench::Program,
    decap_accepted,
    decap_outer::refused,
    moves::{Moves, Who},
    rows::{Row, check, padded},
    world::*,
    world6::*,
};

const AWS: Who = Who::Peer("aws");

fn ip(ip: Ipv6) -> Packet {
    wrap(ip, outer_udp(), vxlan(), &ping())
}

fn udp(udp: Udp) -> Packet {
    wrap(outer_ip6(), udp, vxlan(), &ping())
}

#[test]
fn lengths_over_ipv6() {
    // 8 + 8 + 14 + 20 + 8 + 7 bytes behind the IPv6 header.
    let whole = 65_u16;
    assert_eq!(from_aws6(&ping()).build().len(), 14 + 40 + usize::from(whole));
    let payload = |n| ip(outer_ip6().payload_length(Some(n)));
    let length = |n| udp(outer_udp().length(Some(n)));
    let both = |n| {
        wrap(outer_ip6().payload_length(Some(n)), outer_udp().length(Some(n)), vxlan(), &ping())
    };
    let stranger = outer_ip6().src(STRANGER6).payload_length(Some(whole + 1));
    let mut rows = vec![
        refused("payload 1 past the frame", &payload(whole + 1), MalformedOuter, AWS),
        refused("payload 65535", &payload(u16::MAX), MalformedOuter, AWS),
        refused("payload and UDP 1 past the frame", &both(whole + 1), MalformedOuter, AWS),
        refused("payload 0, as a jumbogram's", &payload(0), MalformedOuter, AWS),
        refused("payload 7", &payload(7), MalformedOuter, AWS),
        refused("payload and UDP 7", &both(7), MalformedOuter, AWS),
        refused("payload 8 above a longer UDP length", &payload(8), MalformedOuter, AWS),
        refused("payload 1 short of the UDP length", &payload(whole - 1), MalformedOuter, AWS),
        refused("UDP 1 short of the payload", &length(whole - 1), MalformedOuter, AWS),
        refused("UDP 1 past the payload", &length(whole + 1), MalformedOuter, AWS),
        refused("UDP 0", &length(0), MalformedOuter, AWS),
        refused("UDP 7", &length(7), MalformedOuter, AWS),
        refused("UDP 65535", &length(u16::MAX), MalformedOuter, AWS),
        refused("lying payload of a stranger", &ip(stranger), MalformedOuter, Who::Nobody),
        refused(
            "lying payload from aws' private address",
            &ip(outer_ip6().src(AWS_PRIVATE6).payload_length(Some(whole + 1))),
            MalformedOuter,
            AWS,
        ),
        refused(
            "lying payload of office, to our private address",
            &ip(Ipv6::new(OFFICE6, GCP_PRIVATE6).payload_length(Some(whole + 1))),
            MalformedOuter,
            Who::Peer("office"),
        ),
        Row::refused(
            "UDP length that takes in the padding",
            &padded(&length(whole + 4), 4),
            MalformedOuter,
            AWS,
        ),
    ];
    for n in 8..16 {
        let name = format!("{n} bytes, no room for a VXLAN header");
        rows.push(refused(name, &both(n), InvalidVxlanHeader, AWS));
    }
    check(&mut bench6(), Program::Decap, &rows);
}

#[test]
fn every_bit_of_the_vxlan_header_outside_the_vni_over_ipv6() {
    let good = from_aws6(&ping()).build();
    let bits = (0..64).filter(|bit| !(32..56).contains(bit));
    let mut rows: Vec<_> = bits
        .map(|bit| {
            let mut bad = good.clone();
            bad[62 + bit / 8] ^= 0x80 >> (bit % 8);
            Row::refused(
                format!("bit {bit} of the VXLAN header turned"),
                &bad,
                InvalidVxlanHeader,
                AWS,
            )
        })
        .collect();
    let stranger = wrap(outer_ip6().src(STRANGER6), outer_udp(), vxlan().flags(0), &ping());
    rows.push(refused("no flag, stranger", &stranger, InvalidVxlanHeader, Who::Nobody));
    let unknown = wrap(outer_ip6(), outer_udp(), Vxlan::new(UNKNOWN_VNI).flags(0), &ping());
    rows.push(refused("no flag, unknown VNI", &unknown, InvalidVxlanHeader, AWS));
    check(&mut bench6(), Program::Decap, &rows);
}

#[test]
fn senders_over_ipv6() {
    let from = |ip, vni| wrap(ip, outer_udp(), Vxlan::new(vni), &ping());
    let refused = |name, ip, vni, reason, who| refused(name, &from(ip, vni), reason, who);
    let not_a_member = |name, ip, moved| {
        let row = Row::refused(name, &from(ip, OTHER_VNI).build(), NotAMember, Who::Nobody);
        row.moves(moved)
    };
    let (aws, office) = (outer_ip6, || outer_ip6().src(OFFICE6));
    let stranger = || outer_ip6().src(STRANGER6);
    let lone = || outer_ip6().src("2001:db8:c::40".parse().expect("is an address"));
    let pair = |peer| Moves::none().non_member(peer, OTHER_VNI, 1);
    let source = |text: &str| outer_ip6().src(text.parse().expect("is an address"));
    let rows = [
        refused("unknown VNI from aws", aws(), UNKNOWN_VNI, UnknownVni, AWS),
        refused("unknown VNI from office", office(), UNKNOWN_VNI, UnknownVni, Who::Peer("office")),
        refused(
            "unknown VNI from aws' private address",
            aws().src(AWS_PRIVATE6),
            UNKNOWN_VNI,
            UnknownVni,
            AWS,
        ),
        refused("unknown VNI from a stranger", stranger(), UNKNOWN_VNI, UnknownVni, Who::Nobody),
        refused("VNI 0", aws(), 0, UnknownVni, AWS),
        refused("VNI ffffff", aws(), 0xff_ffff, UnknownVni, AWS),
        refused("stranger", stranger(), VNI, UnknownSource, Who::Network(VNI)),
        refused(
            "stranger in the other network",
            stranger(),
            OTHER_VNI,
            UnknownSource,
            Who::Network(OTHER_VNI),
        ),
        refused(
            "one above a peer's",
            source("2001:db8:c::21"),
            VNI,
            UnknownSource,
            Who::Network(VNI),
        ),
        refused("this host", source("2001:db8:b::10"), VNI, UnknownSource, Who::Network(VNI)),
        refused("::", source("::"), VNI, UnknownSource, Who::Network(VNI)),
        refused(
            "a peer's IPv4 address, mapped",
            source("::ffff:198.51.100.20"),
            VNI,
            UnknownSource,
            Who::Network(VNI),
        ),
        refused(
            "an address that begins as a peer's IPv4 one",
            source("c633:6414::"),
            VNI,
            UnknownSource,
            Who::Network(VNI),
        ),
        not_a_member("aws in a network of office", aws(), pair("aws")),
        not_a_member("aws there, private", aws().src(AWS_PRIVATE6), pair("aws")),
        not_a_member("lone in a network of office", lone(), pair("lone")),
    ];
    check(&mut bench6(), Program::Decap, &rows);
}

/// The whole UDP header in the frame.
const PORT_IS_KNOWN: usize = 14 + 40 + 8;

#[test]
fn truncated_over_ipv6_at_every_byte() {
    let mut bench = bench6();
    for (name, frame) in decap_accepted::frames() {
        if frame.build().len() > 100 {
            continue;
        }
        let whole = from_aws6(&frame).build();
        let rows: Vec<_> = (14..whole.len())
            .map(|len| {
                let row = format!("{name}, {len} of {} bytes", whole.len());
                if len < PORT_IS_KNOWN {
                    Row::not_ours(row, &whole[..len])
                } else {
                    Row::refused(row, &whole[..len], MalformedOuter, AWS)
                }
            })
            .collect();
        check(&mut bench, Program::Decap, &rows);
    }
}

/// IPv6 has no header checksum: what is no length, protocol or address may turn.
#[test]
fn every_bit_of_the_outer_ipv6_header() {
    let inner = ping();
    let good = from_aws6(&inner).build();
    let mut bench = bench6();
    let mut rows = Vec::new();
    for bit in 0..320 {
        let mut bad = good.clone();
        bad[14 + bit / 8] ^= 0x80 >> (bit % 8);
        let name = format!("bit {bit} of the outer IPv6 header turned");
        rows.push(match bit {
            // Version, next header, destination.
            0..4 | 48..56 | 192..320 => Row::not_ours(name, &bad),
            // Traffic class, flow label, hop limit. One bit makes no congestion mark.
            4..32 | 56..64 => Row::accepted(name, &bench, &bad, ("aws", VNI), &inner.build())
                .nat(SrcAddress, AWS_43),
            32..48 => Row::refused(name, &bad, MalformedOuter, AWS),
            _ => Row::refused(name, &bad, UnknownSource, Who::Network(VNI)),
        });
    }
    check(&mut bench, Program::Decap, &rows);
}
