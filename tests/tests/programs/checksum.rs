//! The UDP checksum of a received packet: zero is none, right is accepted, wrong is refused.
//! Lengths lie around the sizes of the steps in which the program sums.

use vxlan_common::reason::RxDrop::{
    BadChecksum, MalformedInner, NotAMember, UnknownSource, UnknownVni,
};

use crate::prelude::*;

/// A packet around `inner` with that checksum.
fn packet(ip: Ip, checksum: Checksum, inner: &[u8]) -> Packet {
    let udp = outer_udp().checksum(checksum);
    wrap(ip, udp, vxlan(), &Packet::new().payload(inner))
}

/// A frame of `len` bytes whose payload has no symmetry that a sum could lose.
fn frame(len: usize) -> Vec<u8> {
    let headers = Packet::new().with(eth()).with(ipv4()).with(Udp::new(1, 2));
    let payload: Vec<u8> = (0..len - 42).map(|n| (n * n / 3 + n) as u8).collect();
    headers.payload(&payload).build().to_vec()
}

fn rows_for(bench: &Bench, family: Family, inner: &[u8]) -> Vec<Row> {
    let (family, ip) = (family.name(), family.outer_ip());
    let len = inner.len();
    let wrong = packet(ip.clone(), Checksum::Wrong, inner).build();
    let mut rows =
        vec![Row::refused(format!("{family}, {len}, wrong"), &wrong, BadChecksum, AWS_43)];
    for (name, checksum) in [("right", Checksum::Right), ("zero", Checksum::Zero)] {
        let (name, bytes) =
            (format!("{family}, {len}, {name}"), packet(ip.clone(), checksum, inner).build());
        rows.push(if len < 42 {
            Row::refused(name, &bytes, MalformedInner, AWS_43)
        } else {
            Row::accepted(name, bench, &bytes, AWS_43, inner).nat(SrcAddress, AWS_43)
        });
    }
    rows
}

/// What is cut off has a checksum too, which is judged first.
#[test]
fn inner_lengths_of_0_to_41() {
    let mut bench = Family::V6.bench();
    let whole = frame(60);
    for family in Family::BOTH {
        let rows: Vec<_> =
            (0..42).flat_map(|len| rows_for(&bench, family, &whole[..len])).collect();
        check(&mut bench, Program::Decap, &rows);
    }
}

/// Around every power of two that is summed at once, 512 bytes several times, and the largest
/// packets that the kernel runs a program on.
#[test]
fn longer_ones() {
    let mut bench = Family::V6.bench();
    let lengths = (42..60).chain(110..130).chain(230..260).chain(475..531).chain(1000..1030);
    let lengths: Vec<_> = lengths.chain(1400..1461).chain(2020..2040).chain(3380..3400).collect();
    for family in Family::BOTH {
        let rows = lengths.iter().flat_map(|len| rows_for(&bench, family, &frame(*len)));
        let rows: Vec<_> = rows.collect();
        check(&mut bench, Program::Decap, &rows);
    }
}

/// Any bit that turns is noticed: in the datagram, and in what the pseudo header has of the
/// addresses.
#[test]
fn every_byte_counts() {
    let mut bench = Family::V6.bench();
    for family in Family::BOTH {
        let good = packet(family.outer_ip(), Checksum::Right, &frame(71)).build();
        let (family, udp) = (family.name(), family.udp_at());
        // Source port, checksum, the inner frame. Other ports and lengths are refused before.
        let offsets = (udp..udp + 2).chain(udp + 6..udp + 8).chain(udp + 16..good.len());
        let rows: Vec<_> = offsets
            .map(|at| {
                let mut bad = good.clone();
                bad[at] ^= 1 << (at % 8);
                Row::refused(format!("{family}, byte {at}"), &bad, BadChecksum, AWS_43)
            })
            .collect();
        check(&mut bench, Program::Decap, &rows);
    }
    // Right for another address of this host, as if a NAT had not mended it; one that a NAT can
    // have rewritten is counted.
    let (v4, v6) = (Family::V4, Family::V6);
    for (name, family, to, explained) in [
        ("IPv4", v4, v4.outer_ip().dst(GCP_PRIVATE), false),
        ("IPv6", v6, v6.outer_ip().dst(GCP_PRIVATE6), false),
        ("IPv6, one more bit", v6, v6.outer_ip().src(AWS_PRIVATE6), true),
    ] {
        let inner = frame(64);
        let other = packet(to, Checksum::Right, &inner).build();
        let theirs = u16::from_be_bytes(family.udp_checksum(&other));
        let bytes = packet(family.outer_ip(), Checksum::Value(theirs), &inner).build();
        let row = Row::refused(name, &bytes, BadChecksum, AWS_43);
        let row = if explained { row.nat(Mended, AWS_43) } else { row };
        check(&mut bench, Program::Decap, &[row]);
    }
}

#[test]
fn forms_of_a_checksum() {
    let mut bench = Family::V6.bench();
    for outer in Family::BOTH {
        let (family, ip) = (outer.name(), outer.outer_ip());
        // The sum of everything is zero with a source port chosen for it: written as ffff.
        let inner = frame(80);
        let bytes = (32_768..=60_999).find_map(|port| {
            let udp = outer_udp().src_port(port).checksum(Checksum::Right);
            let packet = wrap(ip.clone(), udp, vxlan(), &Packet::new().payload(&inner)).build();
            (outer.udp_checksum(&packet) == [0xff, 0xff]).then_some(packet)
        });
        let bytes = bytes.expect("some port makes it so");
        let ffff = Row::accepted(format!("{family}, ffff"), &bench, &bytes, AWS_43, &inner)
            .nat(SrcAddress, AWS_43);
        // What lies behind the IP packet is not part of it.
        let right = packet(ip.clone(), Checksum::Right, &inner);
        let wrong = packet(ip.clone(), Checksum::Wrong, &inner);
        let tail =
            Row::accepted(format!("{family}, padded"), &bench, &padded(&right, 7), AWS_43, &inner)
                .nat(SrcAddress, AWS_43);
        let bad = Row::refused(
            format!("{family}, wrong, padded"),
            &padded(&wrong, 7),
            BadChecksum,
            AWS_43,
        );
        let private = ip.clone().src(outer.aws_private());
        let private = packet(private, Checksum::Wrong, &inner).build();
        let private =
            Row::refused(format!("{family}, wrong, private"), &private, BadChecksum, AWS_43);
        // The sender is known first, and nobody else's checksum is summed.
        let with = |ip: Ip, vni: u32| {
            let udp = outer_udp().checksum(Checksum::Wrong);
            wrap(ip, udp, Vxlan::new(vni), &ping()).build()
        };
        let stranger = ip.clone().src(outer.stranger());
        let pair = Deltas::none().non_member("aws", OTHER_VNI, 1);
        let rows = [
            ffff,
            tail,
            bad,
            private,
            Row::refused("unknown VNI", &with(ip.clone(), UNKNOWN_VNI), UnknownVni, AWS),
            Row::refused("stranger", &with(stranger, VNI), UnknownSource, NETWORK),
            Row::refused("not a member", &with(ip, OTHER_VNI), NotAMember, AWS).deltas(pair),
        ];
        check(&mut bench, Program::Decap, &rows);
    }
}
