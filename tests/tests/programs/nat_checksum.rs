//! What a UDP checksum tells of a NAT: one that a sender of none has, and a wrong one that would be
//! right with what was rewritten.

use vxlan_common::reason::RxDrop::{BadChecksum, MalformedInner};

use crate::prelude::*;

fn bench(underlay: &str, keys: &str) -> Bench {
    Bench::new(&with_peer(&gcp6(&format!("{PUBLIC6}\n{underlay}")), "aws", keys), GCP6)
}

/// What a NAT rewrote, or did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rewritten {
    src: bool,
    dst: bool,
    port: bool,
}

impl Rewritten {
    const NOTHING: Self = Self { src: false, dst: false, port: false };

    fn all() -> impl Iterator<Item = Self> {
        let bit = |bits: u8, bit| bits & bit != 0;
        (0..8).map(move |bits| Self { src: bit(bits, 1), dst: bit(bits, 2), port: bit(bits, 4) })
    }

    fn is_part_of(self, of: Self) -> bool {
        (!self.src || of.src) && (!self.dst || of.dst) && (!self.port || of.port)
    }
}

/// The port that is written, and what a NAT makes of it.
type Ports = [u16; 2];

fn packet(
    family: Family,
    rewritten: Rewritten,
    ports: Ports,
    checksum: Checksum,
    inner: &[u8],
) -> Vec<u8> {
    let src = if rewritten.src { family.aws_public() } else { family.aws_private() };
    let dst = if rewritten.dst { family.gcp_private() } else { family.gcp_public() };
    let ip = Ip::new(src, dst);
    let udp = outer_udp().src_port(ports[usize::from(rewritten.port)]).checksum(checksum);
    wrap(ip, udp, vxlan(), &Packet::new().payload(inner)).build().to_vec()
}

/// The right checksum of a packet of which that was rewritten.
fn sum_of(family: Family, rewritten: Rewritten, ports: Ports, inner: &[u8]) -> Checksum {
    let packet = packet(family, rewritten, ports, Checksum::Right, inner);
    Checksum::Value(u16::from_be_bytes(family.udp_checksum(&packet)))
}

fn accepted(name: String, bench: &Bench, packet: &[u8], inner: &[u8], arrived: Rewritten) -> Row {
    let mut row = Row::accepted(name, bench, packet, AWS_43, inner);
    for (is, field) in
        [(arrived.src, SrcAddress), (arrived.dst, DstAddress), (arrived.port, SrcPort)]
    {
        if is {
            row = row.nat(field, AWS_43);
        }
    }
    row
}

fn refused(name: String, packet: &[u8], counted: bool) -> Row {
    let row = Row::refused(name, packet, BadChecksum, AWS_43);
    if counted { row.nat(Mended, AWS_43) } else { row }
}

/// Everything that can have been rewritten, with checksums for everything that can have been
/// mended. `by_port`: the port that the sender wrote is known, so another port shows that it was
/// rewritten.
fn matrix(bench: &mut Bench, inner: &[u8], ports: Ports, by_port: bool) {
    for family in Family::BOTH {
        let mut rows = Vec::new();
        for arrived in Rewritten::all() {
            for mended in Rewritten::all() {
                let name = format!("{family:?}, rewritten {arrived:?}, sum of {mended:?}");
                let sum = sum_of(family, mended, ports, inner);
                let bytes = packet(family, arrived, ports, sum, inner);
                if arrived == mended {
                    let arrived = Rewritten { port: arrived.port && by_port, ..arrived };
                    rows.push(accepted(name, bench, &bytes, inner, arrived));
                    continue;
                }
                let needs_port = arrived.port != mended.port;
                let explained = mended.is_part_of(arrived) && (by_port || !needs_port);
                rows.push(refused(name, &bytes, explained));
            }
            let name = format!("{family:?}, rewritten {arrived:?}, wrong");
            let bytes = packet(family, arrived, ports, Checksum::Wrong, inner);
            rows.push(refused(name, &bytes, false));
        }
        check(bench, Program::Decap, &rows);
    }
}

fn frames() -> Vec<Vec<u8>> {
    let tcp = Packet::new().with(eth()).with(ipv4()).with(Tcp::new(40_000, 443));
    let arp = Arp::request(AWS_MAC, AWS_HOST, GCP_HOST);
    let arp = Packet::new().with(Eth::new(BROADCAST, AWS_MAC)).with(arp);
    let v6 = Packet::new().with(eth()).with(ipv6()).with(Udp::new(5_000, 53)).payload(b"odd");
    [ping(), tcp, arp, v6].iter().map(|frame| frame.build().to_vec()).collect()
}

#[test]
fn explained_with_a_port_of_the_flow() {
    let mut bench = bench("", "source_port = \"flow\"\nudp_checksum = \"any\"");
    for inner in frames() {
        matrix(&mut bench, &inner, [port_of(&inner), 1_024], true);
        matrix(&mut bench, &inner, [port_of(&inner), 0], true);
    }
}

#[test]
fn explained_with_a_fixed_port() {
    let mut bench = bench("", "source_port = \"fixed\"\nudp_checksum = \"any\"");
    for inner in frames() {
        matrix(&mut bench, &inner, [4_789, 1_024], true);
    }
}

#[test]
fn a_port_that_may_be_any_explains_nothing() {
    let mut bench = bench("", "source_port = \"any\"");
    for inner in frames() {
        matrix(&mut bench, &inner, [50_000, 50_001], false);
    }
}

/// Without a `private_address` or `public_address` nothing else was there.
#[test]
fn what_was_not_declared_explains_nothing() {
    let declared = "private_address = \"10.0.0.119\"\n        accept_private = true";
    let text = gcp("").replace(declared, "");
    let text = with_peer(&text, "aws", "source_port = \"flow\"\nudp_checksum = \"any\"");
    let mut bench = Bench::new(&text, GCP);
    let inner = ping().build().to_vec();
    let ports = [port_of(&inner), 1_024];
    let arrived = Rewritten { src: true, dst: true, port: false };
    let rows: Vec<_> = Rewritten::all()
        .filter(|sum| *sum != arrived)
        .map(|sum| {
            let bytes =
                packet(Family::V4, arrived, ports, sum_of(Family::V4, sum, ports, &inner), &inner);
            refused(format!("sum of {sum:?}"), &bytes, false)
        })
        .collect();
    check(&mut bench, Program::Decap, &rows);
}

/// A sender of no checksums: a NAT has put in any that is there.
#[test]
fn a_peer_that_sends_none() {
    for keys in ["", "udp_checksum = \"zero\"", "source_port = \"any\"\nudp_checksum = \"zero\""] {
        let mut bench = bench("", keys);
        let inner = ping().build().to_vec();
        // In the range of a kernel peer's ports, too.
        let ports = [port_of(&inner); 2];
        for family in Family::BOTH {
            let bytes =
                |checksum, inner: &[u8]| packet(family, Rewritten::NOTHING, ports, checksum, inner);
            let (zero, right, wrong) = (Checksum::Zero, Checksum::Right, Checksum::Wrong);
            let accepted =
                |name: &str, packet: &[u8]| Row::accepted(name, &bench, packet, AWS_43, &inner);
            let rows = [
                accepted("none", &bytes(zero, &inner)),
                accepted("right", &bytes(right, &inner)).nat(Mended, AWS_43),
                refused("wrong".into(), &bytes(wrong, &inner), true),
                // The frame is not looked at before.
                refused("wrong, and no frame".into(), &bytes(wrong, &inner[..13]), true),
                // What is refused for another reason is not counted.
                Row::refused(
                    "right, and no frame",
                    &bytes(right, &inner[..13]),
                    MalformedInner,
                    AWS_43,
                ),
            ];
            check(&mut bench, Program::Decap, &rows);
        }
    }
}

/// The port of the flow is known of a frame that rules 14 and 15 find nothing wrong with.
#[test]
fn a_port_of_a_frame_that_cannot_be_read() {
    let mut bench = bench("", "source_port = \"flow\"\nudp_checksum = \"any\"");
    let v4 = |ip| Packet::new().with(eth()).with(ip).with(Icmp::echo_request(7, 1));
    let unreadable = [
        ("a total length over what is there", v4(ipv4().total_length(Some(29)))),
        ("a header that is too short", v4(ipv4().version_ihl(Some(0x44)))),
        ("another version", v4(ipv4().version_ihl(Some(0x55)))),
        ("another EtherType", Packet::new().with(eth().ethertype(Some(0x88cc))).payload(&[2; 46])),
        ("neither request nor reply", {
            let arp = Arp::request(AWS_MAC, AWS_HOST, GCP_HOST).operation(3);
            Packet::new().with(Eth::new(BROADCAST, AWS_MAC)).with(arp)
        }),
    ];
    let readable = [
        (
            "concerns one link",
            Packet::new().with(eth()).with(ipv6().next_header(Some(60))).payload(&[0; 8]),
        ),
        ("another's source", v4(ipv4().src(OFFICE_HOST))),
        ("a tunnel", Packet::new().with(eth()).with(ipv4()).with(Udp::new(1, 4789))),
        ("to somebody else", v4(ipv4().dst(NOWHERE))),
    ];
    for family in Family::BOTH {
        let mut rows = Vec::new();
        let cases = unreadable.iter().map(|case| (case, false));
        for ((name, frame), explained) in cases.chain(readable.iter().map(|case| (case, true))) {
            let inner = frame.build().to_vec();
            let ports = [port_of(&inner), 1_024];
            let row = |arrived, mended, counted| {
                let bytes =
                    packet(family, arrived, ports, sum_of(family, mended, ports, &inner), &inner);
                refused(format!("{name}, {arrived:?}, sum of {mended:?}"), &bytes, counted)
            };
            let (nothing, port) =
                (Rewritten::NOTHING, Rewritten { port: true, ..Rewritten::NOTHING });
            let src = Rewritten { src: true, ..nothing };
            let both = Rewritten { src: true, ..port };
            rows.push(row(port, nothing, explained));
            rows.push(row(src, nothing, true));
            rows.push(row(both, nothing, explained));
            // The port was mended, the address not.
            rows.push(row(both, port, true));
        }
        check(&mut bench, Program::Decap, &rows);
    }
}

/// Nothing is refused then; what a sender of none cannot have written is counted still.
#[test]
fn checksums_that_are_ignored() {
    let inner = ping().build().to_vec();
    for (keys, none) in [("", true), ("source_port = \"flow\"\nudp_checksum = \"any\"", false)] {
        let mut bench = bench("udp_checksum = \"ignore\"", keys);
        let ports = [port_of(&inner), 1_024];
        let src = Rewritten { src: true, ..Rewritten::NOTHING };
        for family in Family::BOTH {
            let explained = sum_of(family, Rewritten::NOTHING, ports, &inner);
            let rows: Vec<_> = [
                ("none", Checksum::Zero, false),
                ("right", Checksum::Right, none),
                ("wrong", Checksum::Wrong, none),
                ("explained", explained, none),
            ]
            .into_iter()
            .map(|(name, checksum, counted)| {
                let bytes = packet(family, src, ports, checksum, &inner);
                let row = accepted(name.to_owned(), &bench, &bytes, &inner, src);
                if counted { row.nat(Mended, AWS_43) } else { row }
            })
            .collect();
            check(&mut bench, Program::Decap, &rows);
        }
    }
}

/// One packet is counted once, whatever else is wrong, and for the member whose peer sends none.
#[test]
fn it_is_of_the_peer() {
    let text = with_peer(&gcp(PUBLIC), "office", "udp_checksum = \"zero\"\nsource_port = \"any\"");
    let mut bench = Bench::new(&text, GCP);
    let ip = outer_ip().src(OFFICE);
    let inner = Packet::new()
        .with(Eth::new(GCP_MAC, OFFICE_MAC))
        .with(ipv4().src(OFFICE_HOST))
        .with(Icmp::echo_request(1, 1));
    let with = |ip, checksum| wrap(ip, outer_udp().checksum(checksum), vxlan(), &inner).build();
    let right = with(ip.clone(), Checksum::Right);
    let rows = [
        Row::accepted("right", &bench, &right, OFFICE_43, &inner.build()).nat(Mended, OFFICE_43),
        Row::refused("wrong", &with(ip, Checksum::Wrong), BadChecksum, OFFICE_43)
            .nat(Mended, OFFICE_43),
    ];
    check(&mut bench, Program::Decap, &rows);
}
