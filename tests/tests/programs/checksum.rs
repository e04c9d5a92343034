//! The UDP checksum of a received packet: zero is none, right is accepted, wrong is refused; at every
//! length that one of the steps in which it is summed could miss.

use vxlan_common::{
    counters::NatField::{Checksum as Mended, SrcAddress},
    reason::RxDrop::{BadChecksum, MalformedInner, NotAMember, UnknownSource, UnknownVni},
};
use vxlan_tests::packet::{Checksum, Layer, Packet, Udp, Vxlan};

use crate::{
    bench::{Bench, Program},
    moves::{Moves, Who},
    rows::{Row, check, padded},
    world::*,
    world6::*,
};

const AWS: (&str, u32) = ("aws", VNI);

fn families() -> [(&'static str, Layer); 2] {
    [("IPv4", outer_ip().into()), ("IPv6", outer_ip6().into())]
}

/// A packet around `inner` with that checksum.
fn packet(ip: Layer, checksum: Checksum, inner: &[u8]) -> Packet {
    let udp = outer_udp().checksum(checksum);
    wrap(ip, udp, vxlan(), &Packet::new().payload(inner))
}

/// A frame of `len` bytes whose payload has no symmetry that a sum could lose.
fn frame(len: usize) -> Vec<u8> {
    let headers = Packet::new().with(eth()).with(ipv4()).with(Udp::new(1, 2));
    let payload: Vec<u8> = (0..len - 42).map(|n| (n * n / 3 + n) as u8).collect();
    headers.payload(&payload).build().to_vec()
}

fn rows_for(bench: &Bench, family: &str, ip: &Layer, inner: &[u8]) -> Vec<Row> {
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
            Row::accepted(name, bench, &bytes, AWS, inner).nat(SrcAddress, AWS_43)
        });
    }
    rows
}

/// What is cut off has a checksum too, which is judged first.
#[test]
fn inner_lengths_of_0_to_41() {
    let mut bench = bench6();
    let whole = frame(60);
    for (family, ip) in families() {
        let rows: Vec<_> =
            (0..42).flat_map(|len| rows_for(&bench, family, &ip, &whole[..len])).collect();
        check(&mut bench, Program::Decap, &rows);
    }
}

/// Around every power of two that is summed at once, 512 bytes several times, and the largest packets
/// that the kernel runs a program on.
#[test]
fn longer_ones() {
    let mut bench = bench6();
    let lengths = (42..60).chain(110..130).chain(230..260).chain(475..531).chain(1000..1030);
    let lengths: Vec<_> = lengths.chain(1400..1461).chain(2020..2040).chain(3380..3400).collect();
    for (family, ip) in families() {
        let rows = lengths.iter().flat_map(|len| rows_for(&bench, family, &ip, &frame(*len)));
        let rows: Vec<_> = rows.collect();
        check(&mut bench, Program::Decap, &rows);
    }
}

/// Any bit that turns is noticed: in the datagram, and in what the pseudo header has of the addresses.
#[test]
fn every_byte_counts() {
    let mut bench = bench6();
    for (family, ip) in families() {
        let good = packet(ip.clone(), Checksum::Right, &frame(71)).build();
        let udp = if family == "IPv4" { 34 } else { 54 };
        // Source port, checksum, the inner frame. Other ports and lengths are refused before.
        let places = (udp..udp + 2).chain(udp + 6..udp + 8).chain(udp + 16..good.len());
        let rows: Vec<_> = places
            .map(|at| {
                let mut bad = good.clone();
                bad[at] ^= 1 << (at % 8);
                Row::refused(format!("{family}, byte {at}"), &bad, BadChecksum, AWS_43)
            })
            .collect();
        check(&mut bench, Program::Decap, &rows);
    }
    // Right for another address of this host, as if a NAT had not mended it; one that a NAT can have
    // rewritten is counted.
    for (name, from, to, explained) in [
        ("IPv4", Layer::from(outer_ip()), Layer::from(outer_ip().dst(GCP_PRIVATE)), false),
        ("IPv6", outer_ip6().into(), outer_ip6().dst(GCP_PRIVATE6).into(), false),
        ("IPv6, one more bit", outer_ip6().into(), outer_ip6().src(AWS_PRIVATE6).into(), true),
    ] {
        let inner = frame(64);
        let other = packet(to, Checksum::Right, &inner).build();
        let at = if name == "IPv4" { 40 } else { 60 };
        let theirs = u16::from_be_bytes([other[at], other[at + 1]]);
        let bytes = packet(from, Checksum::Value(theirs), &inner).build();
        let row = Row::refused(name, &bytes, BadChecksum, AWS_43);
        let row = if explained { row.nat(Mended, AWS_43) } else { row };
        check(&mut bench, Program::Decap, &[row]);
    }
}

#[test]
fn ways_to_write_a_checksum() {
    let mut bench = bench6();
    for (family, ip) in families() {
        // The sum of everything is zero with a source port chosen for it: written as ffff.
        let inner = frame(80);
        let bytes = (32_768..=60_999).find_map(|port| {
            let udp = outer_udp().src_port(port).checksum(Checksum::Right);
            let packet = wrap(ip.clone(), udp, vxlan(), &Packet::new().payload(&inner)).build();
            let at = if family == "IPv4" { 40 } else { 60 };
            (packet[at..at + 2] == [0xff, 0xff]).then_some(packet)
        });
        let bytes = bytes.expect("some port makes it so");
        let ffff = Row::accepted(format!("{family}, ffff"), &bench, &bytes, AWS, &inner)
            .nat(SrcAddress, AWS_43);
        // What lies behind the IP packet is not part of it.
        let right = packet(ip.clone(), Checksum::Right, &inner);
        let wrong = packet(ip.clone(), Checksum::Wrong, &inner);
        let tail =
            Row::accepted(format!("{family}, padded"), &bench, &padded(&right, 7), AWS, &inner)
                .nat(SrcAddress, AWS_43);
        let bad = Row::refused(
            format!("{family}, wrong, padded"),
            &padded(&wrong, 7),
            BadChecksum,
            AWS_43,
        );
        let private = if family == "IPv4" {
            Layer::from(outer_ip().src(AWS_PRIVATE))
        } else {
            outer_ip6().src(AWS_PRIVATE6).into()
        };
        let private = packet(private, Checksum::Wrong, &inner).build();
        let private =
            Row::refused(format!("{family}, wrong, private"), &private, BadChecksum, AWS_43);
        // The sender is known first, and nobody else's checksum is summed.
        let with = |ip: Layer, vni: u32| {
            let udp = outer_udp().checksum(Checksum::Wrong);
            wrap(ip, udp, Vxlan::new(vni), &ping()).build()
        };
        let stranger: Layer = if family == "IPv4" {
            outer_ip().src(STRANGER).into()
        } else {
            outer_ip6().src(STRANGER6).into()
        };
        let (peer, network) = (Who::Peer("aws"), Who::Network(VNI));
        let pair = Moves::none().non_member("aws", OTHER_VNI, 1);
        let rows = [
            ffff,
            tail,
            bad,
            private,
            Row::refused("unknown VNI", &with(ip.clone(), UNKNOWN_VNI), UnknownVni, peer),
            Row::refused("stranger", &with(stranger, VNI), UnknownSource, network),
            Row::refused("not a member", &with(ip, OTHER_VNI), NotAMember, peer).moves(pair),
        ];
        check(&mut bench, Program::Decap, &rows);
    }
}
