//! ICMP packet-too-big: what `encap` answers the sender of a packet that is too large for the path
//! to its member, byte for byte, and the packets that get no answer.

use vxlan_common::reason::TxDrop::{MtuExceeded, NoNeighbour, NoRoute};

use crate::{
    encap::{To, sent_over},
    prelude::*,
};

/// What is left of 1460 and of 1400 bytes for an inner packet: 50 bytes are outer IPv4, UDP, VXLAN
/// and the inner Ethernet header.
const TO_AWS: u16 = 1410;
const TO_OFFICE: u16 = 1350;
/// Of the packet, from its IP header on.
const QUOTED: usize = 512;

/// The message about `frame`, from the overlay interface's address of its family: RFC 792 and 1191,
/// or RFC 4443 section 3.2.
pub(crate) fn message(frame: &[u8], mtu: u16) -> Vec<u8> {
    let mac = |at: usize| -> Mac { frame[at..at + 6].try_into().expect("six bytes") };
    let eth = Eth::new(mac(6), mac(0));
    let mtu = u32::from(mtu).to_be_bytes().to_vec();
    let headers = if frame[12..14] == [0x08, 0x00] {
        let to: [u8; 4] = frame[26..30].try_into().expect("an address");
        let ip = Ipv4::new(GCP_HOST, to).tos(0xc0).ttl(64).id(0).fragment(flags::DF);
        Packet::new().with(eth).with(ip).with(Icmp::new(3, 4, mtu))
    } else {
        let to: [u8; 16] = frame[22..38].try_into().expect("an address");
        let ip = Ipv6::new(GCP_HOST6, to.into()).traffic_class(0xc0).hop_limit(64);
        Packet::new().with(eth).with(ip).with(Icmp::new(2, 0, mtu))
    };
    headers.payload(&frame[14..14 + QUOTED]).build().to_vec()
}

fn reported(name: &str, frame: &Packet, mtu: u16, who: Who) -> Row {
    let frame = frame.build();
    Row::too_big(name, &frame, &message(&frame, mtu), who, 1)
}

fn silent(name: impl Into<String>, frame: &Packet, who: Who) -> Row {
    Row::not_sent(name, &frame.build(), MtuExceeded, who)
}

fn ip() -> Ipv4 {
    Ipv4::new(GCP_HOST, AWS_HOST)
}

fn ip6() -> Ipv6 {
    Ipv6::new(GCP_HOST6, AWS_HOST6)
}

/// A frame of `len` bytes, all of them counted, whose payload is not all alike.
fn sized(headers: &Packet, len: usize) -> Packet {
    let payload: Vec<u8> = (0..len - headers.build().len()).map(|n| (n * 7 % 251) as u8).collect();
    headers.clone().payload(&payload)
}

fn v4(ip: Ipv4) -> Packet {
    Packet::new().with(Eth::new(STRANGE_MAC, GCP_MAC)).with(ip).with(Udp::new(1, 2))
}

fn v6(ip: Ipv6) -> Packet {
    Packet::new().with(Eth::new(STRANGE_MAC, GCP_MAC)).with(ip).with(Udp::new(1, 2))
}

over_both_families!(the_mtu_of_the_path_to_the_byte);

fn the_mtu_of_the_path_to_the_byte(family: Family) {
    let aws = |len| sized(&v4(ip()), len);
    let aws6 = |len| sized(&v6(ip6()), len);
    let to = |destination, len| sized(&v4(ip().dst(destination)), len);
    let sent = |name: &str, frame: &Packet, to| sent_over(family, name, frame, to);
    let not_sent = |name: &str, to: &Packet, why, who| Row::not_sent(name, &to.build(), why, who);
    // IPv6 takes 20 bytes more than IPv4.
    let (to_aws, to_office) = family.pick((TO_AWS, TO_OFFICE), (TO_AWS - 20, TO_OFFICE - 20));
    // The path to office has an MTU of 1400 bytes.
    let (max, office) = (family.largest_frame(), 1400 - family.header() - 8 - 8);
    let mut rows = vec![
        sent("1460 bytes outside", &aws(max), To::Aws),
        reported("1461 bytes outside", &aws(max + 1), to_aws, AWS_43),
        reported("3000 bytes outside", &aws(max + 1540), to_aws, AWS_43),
        sent("1460 bytes outside, IPv6", &aws6(max), To::Aws),
        reported("1461 bytes outside, IPv6", &aws6(max + 1), to_aws, AWS_43),
        reported("3000 bytes outside, IPv6", &aws6(max + 1540), to_aws, AWS_43),
        sent("1400 bytes outside to office", &to(OFFICE_HOST, office), To::Office),
        reported("1401 bytes to office", &to(OFFICE_HOST, office + 1), to_office, OFFICE_43),
        not_sent("too large for nobody", &to(NOWHERE, 1500), NoRoute, NETWORK),
        not_sent("too large for lone, not reached", &to(LONE_HOST, 1500), NoNeighbour, LONE_43),
    ];
    if family == Family::V6 {
        rows.push(reported("fits over IPv4 alone", &aws(LARGEST_FRAME), to_aws, AWS_43));
    }
    check(&mut family.bench(), Program::Encap, &rows);
}

#[test]
fn what_a_message_quotes() {
    let ether = |mac: Mac| Packet::new().with(Eth::new(mac, GCP_MAC));
    let v4 = |ip: Ipv4| ether(AWS_MAC).with(ip);
    let v6 = |ip: Ipv6| ether(AWS_MAC).with(ip);
    let big = |headers: Packet| sized(&headers, 1500);
    let icmp = |kind| big(v4(ip()).with(Icmp::new(kind, 0, vec![0; 4])));
    let icmp6 = |kind| big(v6(ip6()).with(Icmp::new(kind, 0, vec![0; 4])));
    let behind = Ipv4Addr::new(192, 168, 43, 77);
    let odd = big(v4(ip().options(vec![1; 40])).with(Tcp::new(40_000, 443).options(vec![1; 40])));
    let marked = big(v4(ip().tos(0xfd).ttl(1).id(0xffff)).with(Tcp::new(1, 2)));
    let rows = [
        reported("TCP", &big(v4(ip()).with(Tcp::new(40_000, 443))), TO_AWS, AWS_43),
        reported("TCP over IPv6", &big(v6(ip6()).with(Tcp::new(40_000, 443))), TO_AWS, AWS_43),
        reported("IPv4 and TCP with options", &odd, TO_AWS, AWS_43),
        reported("TTL 1, marked", &marked, TO_AWS, AWS_43),
        reported(
            "hop limit 1, marked",
            &big(v6(ip6().hop_limit(1).traffic_class(0xfd).flow_label(0xf_ffff))
                .with(Tcp::new(1, 2))),
            TO_AWS,
            AWS_43,
        ),
        reported("from behind this host", &big(v4(ip().src(behind)).with(udp())), TO_AWS, AWS_43),
        reported("protocol 132", &big(v4(ip().protocol(Some(132)))), TO_AWS, AWS_43),
        reported(
            "first fragment",
            &big(v4(ip().fragment(flags::DF | flags::MF)).with(udp())),
            TO_AWS,
            AWS_43,
        ),
        reported(
            "first fragment over IPv6",
            &big(v6(ip6().next_header(Some(44))).payload(&[17, 0, 0, 1, 0, 0, 0, 9])),
            TO_AWS,
            AWS_43,
        ),
        reported(
            "first fragment of an ICMPv6 echo request",
            &big(v6(ip6().next_header(Some(44)))
                .payload(&[58, 0, 0, 1, 0, 0, 0, 9, 128, 0, 0, 0, 0, 0, 0, 0])),
            TO_AWS,
            AWS_43,
        ),
        reported("ICMP echo request", &icmp(8), TO_AWS, AWS_43),
        reported("ICMP echo reply", &icmp(0), TO_AWS, AWS_43),
        reported("ICMP timestamp", &icmp(13), TO_AWS, AWS_43),
        reported("ICMPv6 echo request", &icmp6(128), TO_AWS, AWS_43),
        reported("ICMPv6 echo reply", &icmp6(129), TO_AWS, AWS_43),
        reported(
            "ICMPv6 in IPv4, type 1",
            &big(v4(ip().protocol(Some(58))).payload(&[1; 8])),
            TO_AWS,
            AWS_43,
        ),
        reported(
            "ICMP in IPv6, type 3",
            &big(v6(ip6().next_header(Some(1))).payload(&[3; 8])),
            TO_AWS,
            AWS_43,
        ),
        reported("IPv4 padded", &padded_ip(), TO_AWS, AWS_43),
    ];
    check(&mut Bench::gcp(), Program::Encap, &rows);
}

fn udp() -> Udp {
    Udp::new(5000, 53)
}

/// The IP packet fits, its Ethernet frame does not: the frame is what is carried.
fn padded_ip() -> Packet {
    let ip = ip().total_length(Some(1000));
    sized(&Packet::new().with(Eth::new(AWS_MAC, GCP_MAC)).with(ip).with(udp()), 1500)
}

#[test]
fn packets_that_get_no_message() {
    let ether = |mac: Mac| Packet::new().with(Eth::new(mac, GCP_MAC));
    let from = |mac: Mac| Packet::new().with(Eth::new(AWS_MAC, mac));
    let big = |headers: Packet| sized(&headers, 1500);
    let aws = |name: String, frame: Packet| silent(name, &frame, AWS_43);
    let unused = "198.18.0.1".parse().expect("an address");
    let mut rows = vec![
        aws("without DF".into(), big(v4(ip().fragment(0)))),
        aws("first fragment without DF".into(), big(v4(ip().fragment(flags::MF)))),
        aws("last fragment".into(), big(v4(ip().fragment(flags::DF | 185)))),
        aws(
            "last fragment over IPv6".into(),
            big(ether(AWS_MAC)
                .with(ip6().next_header(Some(44)))
                .payload(&[17, 0, 0, 8, 0, 0, 0, 9])),
        ),
        aws("unicast in a broadcast".into(), big(ether(BROADCAST).with(ip()).with(udp()))),
        aws("unicast in a multicast".into(), big(ether(ALL_NODES_MAC).with(ip6()).with(udp()))),
        aws("ARP".into(), big(ether(AWS_MAC).with(Arp::request(GCP_MAC, GCP_HOST, AWS_HOST)))),
        aws("from MAC 0".into(), big(from([0; 6]).with(ip()).with(udp()))),
        aws("from a group MAC".into(), big(from([1, 0, 0x5e, 0, 0, 1]).with(ip()).with(udp()))),
        silent(
            "multicast to a declared station",
            &big(ether(OFFICE_MAC).with(ip().dst([239, 1, 2, 3].into())).with(udp())),
            OFFICE_43,
        ),
        silent(
            "limited broadcast to a declared station",
            &big(ether(OFFICE_MAC).with(ip().dst(Ipv4Addr::BROADCAST)).with(udp())),
            OFFICE_43,
        ),
        silent(
            "IPv6 multicast to a declared station",
            &big(ether(OFFICE_MAC).with(ip6().dst(ALL_NODES)).with(udp())),
            OFFICE_43,
        ),
        aws(
            "solicitation with a long tail".into(),
            big(ether(AWS_MAC)
                .with(ip6().hop_limit(255))
                .with(Icmp::neighbour_solicitation(AWS_HOST6, GCP_MAC))),
        ),
    ];
    for source in [[0, 0, 0, 0], [0, 1, 2, 3], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4]] {
        let source = Ipv4Addr::from(source);
        rows.push(aws(format!("from {source}"), big(v4(ip().src(source)))));
    }
    for source in ["::", "::1", "ff02::1", "ff0e::5"] {
        let address: Ipv6Addr = source.parse().expect("is an address");
        rows.push(aws(format!("from {source}"), big(v6(ip6().src(address)))));
    }
    // Destination unreachable, source quench, redirect, time exceeded, parameter problem.
    for kind in [3, 4, 5, 11, 12] {
        let icmp = ether(AWS_MAC).with(ip()).with(Icmp::new(kind, 0, vec![0; 4]));
        rows.push(aws(format!("ICMP error {kind}"), big(icmp)));
    }
    for kind in [1, 2, 3, 4, 100, 127] {
        let icmp = ether(AWS_MAC).with(ip6()).with(Icmp::new(kind, 0, vec![0; 4]));
        rows.push(aws(format!("ICMPv6 error {kind}"), big(icmp)));
    }
    rows.push(aws(
        "first fragment of an ICMPv6 error".into(),
        big(ether(AWS_MAC)
            .with(ip6().next_header(Some(44)))
            .payload(&[58, 0, 0, 1, 0, 0, 0, 9, 2, 0, 0, 0, 0, 0, 0, 0])),
    ));
    let row = reported("from an address of no member", &big(v4(ip().src(unused))), TO_AWS, AWS_43);
    rows.push(row);
    check(&mut Bench::gcp(), Program::Encap, &rows);
}

/// An overlay interface that is a port of a bridge has no address to answer from.
#[test]
fn without_an_own_address_of_the_family_there_is_no_message() {
    let text = |addresses: &str| {
        let list = r#"addresses = ["192.168.43.1/24", "2001:db8:43::1/64"]"#;
        gcp(PUBLIC).replace(list, addresses)
    };
    let (four, six) = (sized(&v4(ip()), 1500), sized(&v6(ip6()), 1500));
    let only4 = r#"addresses = ["192.168.43.1/24"]
        local_ips = ["192.168.43.0/24", "2001:db8:43::/64"]"#;
    let rows = [reported("IPv4", &four, TO_AWS, AWS_43), silent("IPv6", &six, AWS_43)];
    check(&mut Bench::new(&text(only4), GCP), Program::Encap, &rows);
    let only6 = r#"addresses = ["2001:db8:43::1/64"]
        local_ips = ["192.168.43.0/24", "2001:db8:43::/64"]"#;
    let rows = [silent("IPv4", &four, AWS_43), reported("IPv6", &six, TO_AWS, AWS_43)];
    check(&mut Bench::new(&text(only6), GCP), Program::Encap, &rows);
}

/// 100 at once; what real time refills meanwhile is allowed for.
#[test]
fn no_more_than_a_hundred_messages_per_second() {
    let mut bench = Bench::gcp();
    let frame = sized(&v4(ip()), 1500).build();
    let first = bench.run(Program::Encap, Context::DEFAULT, &frame);
    assert_eq!(first.verdict, TC_ACT_REDIRECT);
    let begin = std::time::Instant::now();
    let mut sent = 1;
    loop {
        // Each takes 10 ms of the limit's clock, which may be a second ahead.
        let (next, elapsed) = ((sent + 1) * 10, begin.elapsed().as_millis());
        let outcome = bench.run(Program::Encap, Context::DEFAULT, &frame);
        if outcome.verdict != TC_ACT_REDIRECT {
            let silent = Deltas::tx_drop(MtuExceeded, AWS_43, 1);
            assert_eq!((outcome.verdict, outcome.deltas), (TC_ACT_SHOT, silent));
            assert!(next > 1000 + elapsed, "{sent} sent in {elapsed} ms");
            break;
        }
        assert_eq!(outcome.deltas, Deltas::too_big(AWS_43, 1));
        sent += 1;
        assert!(sent < 10_000, "no limit");
    }
    let max = 100 + begin.elapsed().as_millis().div_ceil(10) + 1;
    assert!((100..=max).contains(&sent), "{sent} sent, not 100 to {max}");
}
