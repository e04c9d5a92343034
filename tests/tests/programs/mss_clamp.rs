//! The maximum segment size of a TCP SYN, lowered to what fits the tunnel, in both directions and
//! over both families on either side; the TCP checksum is right afterwards.

use crate::{
    encap::{To, outer},
    prelude::*,
};

const SYN_ACK: u8 = flags::SYN | flags::ACK;

fn tcp(flags: u8, options: &[u8]) -> Tcp {
    Tcp::new(40_000, 443).flags(flags).options(options.to_vec())
}

/// Segments with the options that they leave with, if the largest that fits is `max`.
fn segments(max: u16) -> Vec<(&'static str, u8, Vec<u8>, Vec<u8>)> {
    let with_mss = |before: &[u8], value: u16, behind: &[u8]| {
        [before, &[2, 4], &value.to_be_bytes(), behind].concat()
    };
    let lowered = |name, flags, before: &[u8], value: u16, behind: &[u8]| {
        (name, flags, with_mss(before, value, behind), with_mss(before, max, behind))
    };
    let kept = |name, flags, options: Vec<u8>| (name, flags, options.clone(), options);
    let linux = &[4, 2, 8, 10, 0, 1, 2, 3, 0, 0, 0, 0, 1, 3, 3, 7];
    let over = max + 1;
    vec![
        lowered("SYN", flags::SYN, &[], 1460, &[]),
        lowered("SYN+ACK", SYN_ACK, &[], 1460, &[]),
        lowered("SYN with ECE and CWR", 0xc2, &[], 1460, &[]),
        lowered("SYN with FIN and RST", 0x07, &[], 1460, &[]),
        lowered("1 too large", flags::SYN, &[], over, &[]),
        lowered("65535", SYN_ACK, &[], u16::MAX, &[]),
        lowered("as Linux sends it", flags::SYN, &[], 1460, linux),
        lowered("as Linux answers it", SYN_ACK, &[], 8961, linux),
        lowered("behind 1 byte", flags::SYN, &[1], 1460, &[1, 1, 1]),
        lowered("behind 2 bytes", flags::SYN, &[1, 1], 1460, &[1, 1]),
        lowered("behind 3 bytes", SYN_ACK, &[1, 1, 1], 1460, &[0]),
        lowered("behind a window scale", flags::SYN, &[3, 3, 7], 1460, &[1]),
        lowered("behind an odd option and more", flags::SYN, &[3, 3, 7, 4, 2], 8960, &[1, 1, 1]),
        lowered("behind timestamps", flags::SYN, &linux[2..12], 1460, &[1, 1]),
        lowered("at the very end of 40 bytes", flags::SYN, &[1; 36], 1460, &[]),
        lowered("behind 35 bytes", SYN_ACK, &[1; 35], 1460, &[0]),
        lowered(
            "behind an option of 36",
            flags::SYN,
            &[&[254, 36][..], &[9; 34]].concat(),
            1460,
            &[],
        ),
        lowered(
            "behind an option of 35",
            flags::SYN,
            &[&[254, 35][..], &[9; 33]].concat(),
            1460,
            &[1],
        ),
        lowered("in front of another", flags::SYN, &[], 1460, &[2, 4, 0x05, 0xb4]),
        kept("fits exactly", flags::SYN, with_mss(&[], max, &[])),
        kept("fits", SYN_ACK, with_mss(&[], 536, linux)),
        kept("zero", flags::SYN, with_mss(&[], 0, &[])),
        kept("no options", flags::SYN, vec![]),
        kept("no such option", flags::SYN, vec![4, 2, 1, 3, 3, 7, 1, 1]),
        kept("no SYN", flags::ACK, with_mss(&[], 1460, &[])),
        kept("RST", flags::RST, with_mss(&[], 1460, &[])),
        kept("no flag", 0, with_mss(&[], 1460, &[])),
        kept("behind the end of the list", flags::SYN, with_mss(&[0, 0, 0, 0], 1460, &[])),
        kept("a length of 3", flags::SYN, vec![2, 3, 0x05, 0xb4]),
        kept("a length of 5", flags::SYN, vec![2, 5, 0x05, 0xb4, 0, 1, 1, 1]),
        kept("behind a length of 0", flags::SYN, with_mss(&[3, 0, 1, 1], 1460, &[])),
        kept("behind a length of 1", flags::SYN, with_mss(&[3, 1, 1, 1], 1460, &[])),
        kept("behind a length of 200", flags::SYN, with_mss(&[3, 200, 1, 1], 1460, &[])),
        kept("a second one, the first fits", flags::SYN, with_mss(&[2, 4, 2, 0], 1460, &[])),
        kept("cut off by the header's end", flags::SYN, vec![1, 1, 2, 4]),
        kept("padding to the end", flags::SYN, vec![1; 40]),
    ]
}

/// The largest that fits an MTU of 1460 bytes: the tunnel takes 50 or 70, and IPv4 or IPv6 with TCP
/// 40 or 60.
fn max(outer: Family, inner: Family) -> u16 {
    outer.pick(inner.pick(1370, 1350), inner.pick(1350, 1330))
}

/// Frames as they arrive and as they leave. `ips` are the inner headers of either family.
fn frames(eth: &Eth, ips: &[Layer; 2], outer: Family) -> Vec<(String, Packet, Packet)> {
    let mut all = Vec::new();
    for (inner, ip) in Family::BOTH.into_iter().zip(ips) {
        let family = inner.name();
        let frame = |flags, options: &[u8], checksum| {
            let tcp = tcp(flags, options).checksum(checksum);
            Packet::new().with(eth.clone()).with(ip.clone()).with(tcp)
        };
        for (name, flags, before, after) in segments(max(outer, inner)) {
            let pair = |payload: &[u8], checksum| {
                (
                    frame(flags, &before, checksum).payload(payload),
                    frame(flags, &after, checksum).payload(payload),
                )
            };
            let (plain, expected) = pair(&[], Checksum::Right);
            all.push((format!("{family}: {name}"), plain, expected));
            let (data, expected) = pair(b"data, as TCP Fast Open has it", Checksum::Right);
            all.push((format!("{family}: {name}, with data"), data, expected));
        }
    }
    let Layer::Ipv4(v4) = &ips[0] else { panic!("IPv4 comes first") };
    let max = max(outer, Family::V4);
    let mss = |value: u16| [&[2, 4][..], &value.to_be_bytes()].concat();
    let syn = |ip: Ipv4, value| {
        Packet::new().with(eth.clone()).with(ip).with(tcp(flags::SYN, &mss(value)))
    };
    for n in [4, 20, 40] {
        let ip = v4.clone().options(vec![1; n]);
        let name = format!("IPv4 with {n} bytes of options");
        all.push((name, syn(ip.clone(), 1460), syn(ip, max)));
    }
    // Nothing else in the packet may be taken for a SYN.
    let first = syn(v4.clone().fragment(flags::MF), 1460);
    all.push(("first fragment".into(), first.clone(), first));
    let later = syn(v4.clone().fragment(9), 1460);
    all.push(("later fragment".into(), later.clone(), later));
    let bytes = Packet::new().with(tcp(flags::SYN, &mss(1460))).build();
    let Layer::Ipv6(v6) = &ips[1] else { panic!("IPv6 comes second") };
    let atomic = [&[6, 0, 0, 0, 0, 0, 0, 9][..], &bytes].concat();
    let headers = Packet::new().with(eth.clone()).with(v6.clone().next_header(Some(44)));
    let atomic = headers.payload(&atomic);
    all.push(("behind a fragment header".into(), atomic.clone(), atomic));
    let other =
        Packet::new().with(eth.clone()).with(v4.clone().protocol(Some(132))).payload(&bytes);
    all.push(("protocol 132".into(), other.clone(), other));
    let udp = Packet::new().with(eth.clone()).with(v4.clone()).with(Udp::new(1, 2)).payload(&bytes);
    all.push(("UDP".into(), udp.clone(), udp));
    // The header ends where the option begins, or in its middle, or before any header can.
    for words in [0, 4, 5] {
        let mut cut = bytes.clone();
        cut[12] = words << 4;
        let headers = Packet::new().with(eth.clone()).with(v4.clone().protocol(Some(6)));
        let cut = headers.payload(&cut);
        all.push((format!("a header of {words} words"), cut.clone(), cut));
    }
    // A header that ends with the packet, before its options.
    let mut short = bytes.clone();
    short[12] = 15 << 4;
    let headers = Packet::new().with(eth.clone()).with(v4.clone().protocol(Some(6)));
    let short = headers.payload(&short[..20]);
    all.push(("options that are not there".into(), short.clone(), short));
    all
}

#[test]
fn on_receive() {
    for family in Family::BOTH {
        // The path back to aws is over the family that this host prefers, however packets come.
        let mut bench = family.bench();
        let inner = [ipv4().into(), ipv6().into()];
        let rows: Vec<_> = frames(&eth(), &inner, family)
            .into_iter()
            .map(|(name, arriving, leaving)| {
                let packet = family.sent_by_aws(&arriving).build();
                let row = Row::accepted(name, &bench, &packet, AWS_43, &leaving.build());
                row.nat(SrcAddress, AWS_43)
            })
            .collect();
        check(&mut bench, Program::Decap, &rows);
    }
}

/// The path back decides, which is over IPv6 though the packet came over IPv4.
#[test]
fn the_path_back_decides() {
    let mut bench = Family::V6.bench();
    let frame = |size: u16| {
        let mss = [&[2, 4][..], &size.to_be_bytes()].concat();
        Packet::new().with(eth()).with(ipv4()).with(tcp(flags::SYN, &mss))
    };
    let row = |bench: &Bench, name: &str, before, after| {
        let packet = from_aws(&frame(before)).build();
        let row = Row::accepted(name, bench, &packet, AWS_43, &frame(after).build());
        row.nat(SrcAddress, AWS_43)
    };
    let rows = [
        row(&bench, "too large over IPv4", 1460, 1350),
        row(&bench, "too large over IPv6 alone", 1370, 1350),
        row(&bench, "fits", 1350, 1350),
    ];
    check(&mut bench, Program::Decap, &rows);
}

#[test]
fn on_transmit() {
    let ips = || [Ipv4::new(GCP_HOST, AWS_HOST).into(), Ipv6::new(GCP_HOST6, AWS_HOST6).into()];
    for family in Family::BOTH {
        let mut bench = family.bench();
        let rows: Vec<_> = frames(&eth_out(), &ips(), family)
            .into_iter()
            .map(|(name, frame, leaving)| {
                let (frame, leaving) = (frame.build(), leaving.build());
                let port = port_of(&frame);
                let packet = outer(family, &leaving, To::Aws, 0, 64, port);
                Row::sent(name, &frame, &packet, AWS_43)
            })
            .collect();
        check(&mut bench, Program::Encap, &rows);
    }
}

/// A path to another member with a smaller MTU.
#[test]
fn each_path_by_its_own_mtu() {
    let frame = |size: u16| {
        let mss = [&[2, 4][..], &size.to_be_bytes()].concat();
        let ip = Ipv4::new(GCP_HOST, OFFICE_HOST);
        let eth = Eth::new(OFFICE_MAC, GCP_MAC);
        Packet::new().with(eth).with(ip).with(tcp(flags::SYN, &mss)).build()
    };
    let sent = |name: &str, before, after| {
        let (before, after) = (frame(before), frame(after));
        let packet = outer(Family::V4, &after, To::Office, 0, 64, port_of(&before));
        Row::sent(name, &before, &packet, Who::Member("office", VNI))
    };
    let rows = [
        sent("too large for 1400 bytes", 1460, 1310),
        sent("1 too large", 1311, 1310),
        sent("fits", 1310, 1310),
    ];
    check(&mut Bench::gcp(), Program::Encap, &rows);
}

/// Only the difference is worked in: a checksum that was wrong stays wrong, for its receiver to
/// see.
#[test]
fn a_wrong_checksum_stays_wrong() {
    let frame = |size: u16, checksum| {
        let mss = [&[2, 4][..], &size.to_be_bytes()].concat();
        let tcp = tcp(flags::SYN, &mss).checksum(checksum);
        Packet::new().with(eth()).with(ipv4()).with(tcp).build()
    };
    let mut bench = Bench::gcp();
    let arriving = frame(1460, Checksum::Wrong);
    let packet = from_aws(&Packet::new().payload(&arriving)).build();
    let outcome = bench.run(Program::Decap, Context::DEFAULT, &packet);
    let right = frame(1370, Checksum::Right);
    let leaving = &outcome.bytes[16..];
    assert_eq!(leaving[..50], right[..50]);
    assert_ne!(leaving[50..52], right[50..52]);
    assert_eq!(leaving[52..], right[52..]);
}
