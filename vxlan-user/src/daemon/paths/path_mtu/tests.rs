//! Messages byte by byte, and a clock that stands still until it is moved.

use std::net::Ipv6Addr;

use super::*;

const ENDPOINT: &str = "198.51.100.20:4789";
const ENDPOINT6: &str = "[2001:db8::20]:4789";

fn own_packets() -> OwnPackets {
    OwnPackets {
        addresses: ["10.0.0.2", "203.0.113.10", "2001:db8::2"].map(|at| at.parse().unwrap()).into(),
        fixed_source_port: None,
        vnis: vec![[0, 0, 43], [0, 1, 0]],
        endpoints: vec![ENDPOINT.parse().unwrap(), ENDPOINT6.parse().unwrap()],
    }
}

/// A quotation of a packet of this host: 1460 bytes from 10.0.0.2, VNI 43.
fn quoted_v4() -> Vec<u8> {
    let ip = [0x45, 0, 0x05, 0xb4, 0, 0, 0x40, 0, 63, 17, 0, 0, 10, 0, 0, 2, 198, 51, 100, 20];
    [&ip[..], &udp(1440)].concat()
}

fn quoted_v6() -> Vec<u8> {
    let mut ip = vec![0x60, 0x01, 0x23, 0x45, 0x05, 0x8c, 17, 63];
    for address in ["2001:db8::2", "2001:db8::20"] {
        ip.extend(address.parse::<Ipv6Addr>().unwrap().octets());
    }
    [&ip[..], &udp(1420)].concat()
}

/// UDP and VXLAN.
fn udp(length: u16) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    [[0xc1, 0x23, 0x12, 0xb5, high, low, 0, 0], [8, 0, 0, 0, 0, 0, 43, 0]].concat()
}

/// An ICMP message with a right checksum.
fn v4(kind: u8, code: u8, mtu: u16, quoted: &[u8]) -> Vec<u8> {
    let [high, low] = mtu.to_be_bytes();
    let mut message = [&[kind, code, 0, 0, 0, 0, high, low], quoted].concat();
    let mut sum: u32 = 0;
    for pair in message.chunks(2) {
        sum += u32::from(pair[0]) * 256 + u32::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    message[2..4].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    message
}

fn too_big_v4(mtu: u16) -> Vec<u8> {
    v4(3, 4, mtu, &quoted_v4())
}

fn too_big_v6(mtu: u32, quoted: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0], &mtu.to_be_bytes()[..], quoted].concat()
}

fn reports(endpoint: &str, mtu: u32) -> Option<PacketTooBig> {
    Some(PacketTooBig { endpoint: endpoint.parse().unwrap(), mtu })
}

#[test]
fn a_router_is_believed_about_a_packet_of_this_host() {
    assert_eq!(own_packets().parse(&too_big_v4(1400), false), reports(ENDPOINT, 1400));
    assert_eq!(
        own_packets().parse(&too_big_v6(1400, &quoted_v6()), true),
        reports(ENDPOINT6, 1400)
    );
    // With the address that a NAT puts in place of the own one.
    let mut public = quoted_v4();
    public[12..16].copy_from_slice(&[203, 0, 113, 10]);
    assert_eq!(own_packets().parse(&v4(3, 4, 1400, &public), false), reports(ENDPOINT, 1400));
    // Only the ports are certain to be quoted (RFC 792: 8 bytes).
    for length in [28, 32, 35] {
        let short = v4(3, 4, 1400, &quoted_v4()[..length]);
        assert_eq!(own_packets().parse(&short, false), reports(ENDPOINT, 1400), "{length}");
    }
    // A router that reports no MTU (RFC 1191, section 5).
    for (length, plateau) in
        [(1460, 1006), (1492, 1006), (1500, 1492), (65_535, 32_000), (576, 576)]
    {
        let mut quoted = quoted_v4();
        quoted[2..4].copy_from_slice(&u16::to_be_bytes(length));
        assert_eq!(
            own_packets().parse(&v4(3, 4, 0, &quoted), false),
            reports(ENDPOINT, plateau),
            "{length}"
        );
    }
}

#[test]
fn no_path_is_taken_to_be_narrower_than_any_can_be() {
    assert_eq!(own_packets().parse(&too_big_v4(576), false), reports(ENDPOINT, 576));
    for mtu in [1, 68, 575] {
        assert_eq!(own_packets().parse(&too_big_v4(mtu), false), reports(ENDPOINT, 576), "{mtu}");
    }
    assert_eq!(
        own_packets().parse(&too_big_v6(1280, &quoted_v6()), true),
        reports(ENDPOINT6, 1280)
    );
    for mtu in [0, 68, 1279] {
        assert_eq!(own_packets().parse(&too_big_v6(mtu, &quoted_v6()), true), None, "{mtu}");
    }
}

#[test]
fn other_messages_report_nothing() {
    for (kind, code) in [(3, 3), (3, 0), (11, 0), (0, 4), (5, 4)] {
        assert_eq!(
            own_packets().parse(&v4(kind, code, 1400, &quoted_v4()), false),
            None,
            "{kind} {code}"
        );
    }
    for (kind, code) in [(1, 0), (3, 0), (2, 1)] {
        let mut message = too_big_v6(1400, &quoted_v6());
        message[..2].copy_from_slice(&[kind, code]);
        assert_eq!(own_packets().parse(&message, true), None, "{kind} {code}");
    }
    // A message of one family in the socket of the other.
    assert_eq!(own_packets().parse(&too_big_v4(1400), true), None);
    assert_eq!(own_packets().parse(&too_big_v6(1400, &quoted_v6()), false), None);
    // The kernel does not verify ICMP for raw sockets.
    let good = too_big_v4(1400);
    for bit in 0..good.len() * 8 {
        let mut damaged = good.clone();
        damaged[bit / 8] ^= 0x80 >> (bit % 8);
        assert_eq!(own_packets().parse(&damaged, false), None, "bit {bit}");
    }
}

#[test]
fn a_quotation_of_a_foreign_packet_reports_nothing() {
    let alter = |packet: &[u8], at: usize, to: &[u8]| {
        let mut packet = packet.to_vec();
        packet[at..at + to.len()].copy_from_slice(to);
        packet
    };
    let quoted = quoted_v4();
    for (what, quoted) in [
        ("from somebody else", alter(&quoted, 12, &[10, 0, 0, 3])),
        ("from nobody", alter(&quoted, 12, &[0, 0, 0, 0])),
        ("to somebody else", alter(&quoted, 16, &[198, 51, 100, 21])),
        ("to another port", alter(&quoted, 22, &[0x12, 0xb6])),
        ("from a low port", alter(&quoted, 20, &49_151_u16.to_be_bytes())),
        ("from our port, which is not fixed", alter(&quoted, 20, &4789_u16.to_be_bytes())),
        ("another VNI", alter(&quoted, 34, &[44])),
        ("TCP", alter(&quoted, 9, &[6])),
        ("a later fragment", alter(&quoted, 6, &[0x20, 1])),
        ("with options", alter(&quoted, 0, &[0x46])),
        ("IPv6 in an ICMP message", alter(&quoted, 0, &[0x65])),
    ] {
        assert_eq!(own_packets().parse(&v4(3, 4, 1400, &quoted), false), None, "{what}");
    }
    let quoted = quoted_v6();
    for (what, quoted) in [
        ("from somebody else", alter(&quoted, 23, &[3])),
        ("to somebody else", alter(&quoted, 39, &[21])),
        ("to another port", alter(&quoted, 42, &[0x12, 0xb6])),
        ("from a low port", alter(&quoted, 40, &[0xbf, 0xff])),
        ("another VNI", alter(&quoted, 54, &[44])),
        ("TCP", alter(&quoted, 6, &[6])),
        ("IPv4 in an ICMPv6 message", alter(&quoted, 0, &[0x45])),
    ] {
        assert_eq!(own_packets().parse(&too_big_v6(1400, &quoted), true), None, "{what}");
    }
}

#[test]
fn a_message_that_is_cut_off_reports_nothing() {
    let (quoted4, quoted6) = (quoted_v4(), quoted_v6());
    for length in 0..24 {
        assert_eq!(
            own_packets().parse(&v4(3, 4, 1400, &quoted4[..length]), false),
            None,
            "{length}"
        );
    }
    for length in 0..44 {
        assert_eq!(
            own_packets().parse(&too_big_v6(1400, &quoted6[..length]), true),
            None,
            "{length}"
        );
    }
    for length in 0..8 {
        assert_eq!(own_packets().parse(&too_big_v4(1400)[..length], false), None, "{length}");
        assert_eq!(
            own_packets().parse(&too_big_v6(1400, &quoted6)[..length], true),
            None,
            "{length}"
        );
    }
}

#[test]
fn a_fixed_source_port_is_the_only_one() {
    let own = OwnPackets { fixed_source_port: Some(4789), ..own_packets() };
    let mut quoted = quoted_v4();
    assert_eq!(own.parse(&v4(3, 4, 1400, &quoted), false), None);
    quoted[20..22].copy_from_slice(&4789_u16.to_be_bytes());
    assert_eq!(own.parse(&v4(3, 4, 1400, &quoted), false), reports(ENDPOINT, 1400));
}

#[test]
fn a_report_holds_until_it_is_too_old() {
    let endpoint = ENDPOINT.parse().unwrap();
    let elsewhere = ENDPOINT6.parse().unwrap();
    let mut paths = PathMtus::new(LIFETIME);
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let report = |mtu| PacketTooBig { endpoint, mtu };
    assert!(!paths.lower(&report(1500), 1500, at(0)), "an equal report changes nothing");
    assert!(!paths.lower(&report(9000), 1500, at(0)), "a path is not made wider");
    assert_eq!(paths.limit(endpoint, 1500), 1500);

    assert!(paths.lower(&report(1400), 1500, at(0)));
    assert_eq!((paths.limit(endpoint, 1500), paths.limit(elsewhere, 1500)), (1400, 1500));
    // Link or route may allow less than the report.
    assert_eq!(paths.limit(endpoint, 1300), 1300);
    assert!(!paths.lower(&report(1350), 1300, at(1)));

    // A lower report replaces it and begins anew; an equal or higher report does not prolong it.
    assert!(paths.lower(&report(1200), 1400, at(300)));
    for mtu in [1200, 1300, 1400] {
        assert!(!paths.lower(&report(mtu), 1200, at(500)));
    }
    assert_eq!(paths.expire(at(899)), []);
    assert_eq!(paths.limit(endpoint, 1500), 1200);
    assert_eq!(paths.expire(at(900)), [endpoint]);
    assert_eq!(paths.limit(endpoint, 1500), 1500);
    assert_eq!(paths.expire(at(901)), [], "nothing is left");
}

#[test]
fn a_quotation_that_no_dropped_packet_can_have_reports_nothing() {
    let with = |at: usize, bytes: &[u8]| {
        let mut quoted = quoted_v4();
        quoted[at..at + bytes.len()].copy_from_slice(bytes);
        own_packets().parse(&v4(3, 4, 1400, &quoted), false)
    };
    assert_eq!(with(2, &1401_u16.to_be_bytes()), reports(ENDPOINT, 1400));
    assert_eq!(with(2, &1400_u16.to_be_bytes()), None, "it would have fitted");
    assert_eq!(with(4, &[0, 1]), None, "an identification");
    assert_eq!(with(6, &[0, 0]), None, "no DF");
    let mut fits = quoted_v6();
    fits[4..6].copy_from_slice(&1360_u16.to_be_bytes());
    assert_eq!(own_packets().parse(&too_big_v6(1400, &fits), true), None, "it would have fitted");
    let short = &quoted_v6()[..40 + 14];
    assert_eq!(own_packets().parse(&too_big_v6(1400, short), true), None, "without the VNI");
}

#[test]
fn a_start_begins_with_the_record_of_the_previous_run() {
    let (now, lifetime) = (Instant::now(), LIFETIME);
    let endpoint: SocketAddr = ENDPOINT.parse().unwrap();
    let mut paths = PathMtus::new(lifetime);
    assert!(paths.lower(&PacketTooBig { endpoint, mtu: 1400 }, 1500, now));
    let later = now + Duration::from_secs(100);
    let record = |mtu, widest| paths.record([(endpoint, mtu, widest)].into_iter(), later, 7_100);
    assert_eq!(record(1400, 1500), [NarrowPath { endpoint, mtu: 1400, until: 7_600 }]);
    // Its route is no wider, so there is nothing to find out again.
    assert_eq!(record(1400, 1400), []);
    // Probes found less than the router reported; without a report the time begins now.
    assert_eq!(record(1390, 1500)[0].mtu, 1390);
    let found = PathMtus::new(lifetime);
    let found = found.record([(endpoint, 1390, 1500)].into_iter(), later, 7_100);
    assert_eq!(found, [NarrowPath { endpoint, mtu: 1390, until: 7_700 }]);

    let again = |uptime| PathMtus::from_record(lifetime, &record(1400, 1500), later, uptime);
    assert_eq!(again(7_599).limit(endpoint, 1500), 1400);
    assert_eq!(again(7_599).expire(later + Duration::from_secs(1)), [endpoint]);
    assert_eq!(again(7_600).limit(endpoint, 1500), 1500, "too old");
    // A record of another boot.
    assert_eq!(again(5).expire(later + lifetime), [endpoint]);
}

#[test]
fn only_real_changes_are_written_to_disk() {
    let endpoint = ENDPOINT.parse().unwrap();
    let path = |mtu, until| NarrowPath { endpoint, mtu, until };
    assert!(!differ(&[path(1400, 700)], &[path(1400, 701)]));
    assert!(differ(&[path(1400, 1000)], &[path(1400, 700)]), "half of the time is over");
    assert!(differ(&[path(1390, 700)], &[path(1400, 700)]));
    assert!(differ(&[], &[path(1400, 700)]) && differ(&[path(1400, 700)], &[]));
}
