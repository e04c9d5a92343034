//! Messages byte by byte, and a clock that stands still until it is moved.

use std::{net::Ipv6Addr, path::Path};

use vxlan_common::{addr::Address, flow};

use super::*;
use crate::{
    config,
    plan::{Inherited, OverlayFacts, PeerPath, Plan, UnderlayFacts},
};

const ENDPOINT: &str = "198.51.100.20:4789";
const ENDPOINT6: &str = "[2001:db8::20]:4789";

const CONFIG: &str = r#"
    [node]
    name = "gcp"
    [underlay]
    interface = "ens4"
    public_address = "203.0.113.10"
    SOURCE_PORT
    [[peer]]
    name = "aws"
    endpoint = "198.51.100.20"
    [[peer]]
    name = "six"
    endpoint = "[2001:db8::20]:4789"
    [[network]]
    vni = 43
    interface = "vxlan43"
    addresses = ["192.168.43.1/24"]
    [[network.member]]
    peer = "aws"
    allowed_ips = ["192.168.44.0/24"]
    [[network.member]]
    peer = "six"
    allowed_ips = ["192.168.46.0/24"]
    [[network]]
    vni = 256
    interface = "vxlan256"
    addresses = ["192.168.56.1/24"]
    [[network.member]]
    peer = "six"
    allowed_ips = ["192.168.56.0/24"]
"#;

/// Where this host's packets of 1500 bytes go, over both families.
fn plan_with(source_port: &str) -> Plan {
    let text = CONFIG.replace("SOURCE_PORT", source_port);
    let config = config::parse(&text, Path::new("test.toml")).unwrap();
    let v4 = Some([10, 0, 0, 2].into());
    let v6 = Some("2001:db8::2".parse().unwrap());
    let underlay = UnderlayFacts { ifindex: 2, mtu: 1500, v4, v6 };
    let overlays =
        [10, 11].map(|ifindex| OverlayFacts { ifindex, mac: [2, 0, 0, 0, 0, 1], redirect: None });
    let paths = config.peers.iter().map(|peer| {
        let endpoint = peer.endpoint()?;
        Some(PeerPath { endpoint, gateway: endpoint.ip(), resolved: true, mtu: 1500 })
    });
    let paths: Vec<_> = paths.collect();
    let mut plan = Plan::new(&config, &underlay, &[], &Inherited::default(), &mut rand::rng());
    plan.set_overlays(&overlays);
    plan.set_paths(&config, &underlay, &[], &paths);
    plan
}

fn read(plan: &Plan, message: &[u8], is_ipv6: bool) -> Option<PacketTooBig> {
    Message::parse(&plan.settings, message, is_ipv6)?.report(plan)
}

fn read_v4(mtu: u16, quoted: &[u8]) -> Option<PacketTooBig> {
    read(&plan_with(""), &v4(3, 4, mtu, quoted), false)
}

fn read_v6(mtu: u32, quoted: &[u8]) -> Option<PacketTooBig> {
    read(&plan_with(""), &too_big_v6(mtu, quoted), true)
}

/// A quotation of a packet of this host: 1460 bytes from 10.0.0.2, VNI 43, of a TCP flow.
fn quoted_v4() -> Vec<u8> {
    let ip = [0x45, 0, 0x05, 0xb4, 0, 0, 0x40, 0, 63, 17, 0, 0, 10, 0, 0, 2, 198, 51, 100, 20];
    let quoted = [&ip[..], &tunnel(1440), &frame(1410)].concat();
    frame_to(&quoted, [192, 168, 44, 9])
}

fn quoted_v6() -> Vec<u8> {
    let mut ip = vec![0x60, 0x01, 0x23, 0x45, 0x05, 0x8c, 17, 63];
    for address in ["2001:db8::2", "2001:db8::20"] {
        ip.extend(address.parse::<Ipv6Addr>().unwrap().octets());
    }
    let quoted = [&ip[..], &tunnel(1420), &frame(1390)].concat();
    let port = port_of([192, 168, 46, 7]);
    altered(&altered(&quoted, 40 + 30 + 16, &[192, 168, 46, 7]), 40, &port)
}

/// UDP and VXLAN.
fn tunnel(length: u16) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    [[0xc1, 0x23, 0x12, 0xb5, high, low, 0, 0], [8, 0, 0, 0, 0, 0, 43, 0]].concat()
}

/// Ethernet, IPv4 of this length, the beginning of TCP.
fn frame(length: u16) -> Vec<u8> {
    let ethernet = [2, 0, 0, 0, 44, 1, 2, 0, 0, 0, 43, 1, 8, 0];
    let [high, low] = length.to_be_bytes();
    let ip = [0x45, 0, high, low, 0, 7, 0x40, 0, 64, 6, 0, 0, 192, 168, 43, 1, 0, 0, 0, 0];
    let tcp = [0x9c, 0x40, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 0, 9, 0, 0, 0, 0];
    [&ethernet[..], &ip, &tcp, &[0xee; 100]].concat()
}

/// The quotation of a packet of the same flow, to another inner destination.
fn frame_to(quoted: &[u8], to: [u8; 4]) -> Vec<u8> {
    altered(&altered(quoted, 20 + 30 + 16, &to), 20, &port_of(to))
}

/// The UDP source port of the flow to an inner destination.
fn port_of(to: [u8; 4]) -> [u8; 2] {
    let from = Address::ipv4([192, 168, 43, 1]);
    flow::source_port(flow::hash(&from, &Address::ipv4(to), 0x9c40_01bb, 6)).to_be_bytes()
}

/// The quotation of a packet of another length.
fn sized(quoted: &[u8], length: u16) -> Vec<u8> {
    let quoted = altered(quoted, 2, &length.to_be_bytes());
    altered(&quoted, 24, &(length - 20).to_be_bytes())
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

fn reports(endpoint: &str, reported: u32, mtu: u32) -> Option<PacketTooBig> {
    let endpoint = endpoint.parse().unwrap();
    Some(PacketTooBig { endpoint, reported, mtu, is_plausible: true })
}

fn altered(packet: &[u8], at: usize, to: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    packet[at..at + to.len()].copy_from_slice(to);
    packet
}

#[test]
fn paths_are_compared_with_the_record_after_a_change_and_from_time_to_time() {
    let start = Instant::now();
    let mut due = ComparisonDue::new(start);
    assert!(due.take(start));
    assert!(!due.take(start + COMPARISON / 2));
    due.request();
    assert!(due.take(start + COMPARISON / 2));
    assert!(!due.take(start + COMPARISON));
    assert!(due.take(start + COMPARISON / 2 + COMPARISON));
}

#[test]
fn a_router_is_believed_about_a_packet_of_this_host() {
    assert_eq!(read_v4(1400, &quoted_v4()), reports(ENDPOINT, 1400, 1400));
    assert_eq!(read_v6(1400, &quoted_v6()), reports(ENDPOINT6, 1400, 1400));
    // With the address that a NAT puts in place of the own one.
    let public = altered(&quoted_v4(), 12, &[203, 0, 113, 10]);
    assert_eq!(read_v4(1400, &public), reports(ENDPOINT, 1400, 1400));
    // The kernel numbers the segments of a GSO packet.
    for id in [1, 44, 0xffff] {
        let numbered = altered(&quoted_v4(), 4, &u16::to_be_bytes(id));
        assert_eq!(read_v4(1400, &numbered), reports(ENDPOINT, 1400, 1400), "{id}");
    }
    // The VXLAN header is enough; what is quoted of the rest is right.
    for length in 36..quoted_v4().len() {
        let report = read_v4(1400, &quoted_v4()[..length]);
        assert_eq!(report, reports(ENDPOINT, 1400, 1400), "{length}");
    }
    for length in 56..quoted_v6().len() {
        let report = read_v6(1400, &quoted_v6()[..length]);
        assert_eq!(report, reports(ENDPOINT6, 1400, 1400), "{length}");
    }
    // A router that reports no MTU (RFC 1191, section 5).
    for (length, reported, mtu) in [(1460, 1006, 1330), (1492, 1006, 1330), (1500, 1492, 1492)] {
        let quoted = sized(&quoted_v4(), length);
        assert_eq!(read_v4(0, &quoted), reports(ENDPOINT, reported, mtu), "{length}");
    }
}

/// RFC 792 asks for 8 bytes of what follows the IP header, and whoever knows the addresses can
/// guess those: such a message proves nothing.
#[test]
fn a_message_that_quotes_no_network_is_a_reason_to_probe_and_no_more() {
    for length in 28..36 {
        let report = read_v4(1400, &quoted_v4()[..length]).unwrap();
        assert_eq!((report.mtu, report.is_plausible), (1400, false), "{length}");
        let report = read_v6(1400, &quoted_v6()[..length + 20]).unwrap();
        assert_eq!((report.mtu, report.is_plausible), (1400, false), "{length}");
    }
    // A path MTU probe.
    let mut plan = plan_with("");
    (plan.settings.probes, plan.settings.probe_vni) = (1, [0xff; 3]);
    let probe = altered(&quoted_v4()[..50], 32, &[0xff; 3]);
    let report = read(&plan, &v4(3, 4, 1400, &probe), false).unwrap();
    assert!(!report.is_plausible);
}

#[test]
fn no_path_is_taken_to_be_too_narrow_for_inner_ipv6() {
    for mtu in [1330, 1329, 576, 68, 1] {
        let report = reports(ENDPOINT, mtu, 1330);
        assert_eq!(read_v4(mtu as u16, &quoted_v4()), report, "{mtu}");
    }
    for mtu in [1350, 1349, 1280] {
        assert_eq!(read_v6(mtu, &quoted_v6()), reports(ENDPOINT6, mtu, 1350), "{mtu}");
    }
    for mtu in [0, 68, 1279] {
        assert_eq!(read_v6(mtu, &quoted_v6()), None, "{mtu}");
    }
}

#[test]
fn other_messages_report_nothing() {
    let plan = plan_with("");
    for (kind, code) in [(3, 3), (3, 0), (11, 0), (0, 4), (5, 4)] {
        let message = v4(kind, code, 1400, &quoted_v4());
        assert_eq!(read(&plan, &message, false), None, "{kind} {code}");
    }
    for (kind, code) in [(1, 0), (3, 0), (2, 1)] {
        let message = altered(&too_big_v6(1400, &quoted_v6()), 0, &[kind, code]);
        assert_eq!(read(&plan, &message, true), None, "{kind} {code}");
    }
    // A message of one family in the socket of the other.
    assert_eq!(read(&plan, &too_big_v4(1400), true), None);
    assert_eq!(read(&plan, &too_big_v6(1400, &quoted_v6()), false), None);
    // The kernel does not verify ICMP for raw sockets.
    let good = too_big_v4(1400);
    for bit in 0..good.len() * 8 {
        let mut damaged = good.clone();
        damaged[bit / 8] ^= 0x80 >> (bit % 8);
        assert_eq!(read(&plan, &damaged, false), None, "bit {bit}");
    }
}

#[test]
fn a_quotation_of_a_foreign_packet_reports_nothing() {
    let quoted = quoted_v4();
    for (what, quoted) in [
        ("from somebody else", altered(&quoted, 12, &[10, 0, 0, 3])),
        ("from nobody", altered(&quoted, 12, &[0, 0, 0, 0])),
        ("to somebody else", altered(&quoted, 16, &[198, 51, 100, 21])),
        ("to another port", altered(&quoted, 22, &[0x12, 0xb6])),
        ("from a low port", altered(&quoted, 20, &49_151_u16.to_be_bytes())),
        ("from our port, which is not fixed", altered(&quoted, 20, &4789_u16.to_be_bytes())),
        ("from another port than the flow's", altered(&quoted, 20, &50_000_u16.to_be_bytes())),
        ("no VNI", altered(&quoted, 28, &[0])),
        ("a reserved flag", altered(&quoted, 28, &[0x88])),
        ("another VNI", altered(&quoted, 34, &[44])),
        ("the VNI of a network that the peer is not in", altered(&quoted, 33, &[1, 0])),
        ("TCP", altered(&quoted, 9, &[6])),
        ("a fragment", altered(&quoted, 6, &[0x20, 0])),
        ("a later fragment", altered(&quoted, 6, &[0x20, 1])),
        ("without DF", altered(&quoted, 6, &[0, 0])),
        ("with options", altered(&quoted, 0, &[0x46])),
        ("IPv6 in an ICMP message", altered(&quoted, 0, &[0x65])),
        ("a UDP length that is not the packet's", altered(&quoted, 24, &[5, 0])),
        ("a frame that is not carried", altered(&quoted, 48, &[0x81, 0])),
        ("an inner packet longer than its frame", altered(&quoted, 52, &[6, 0])),
        ("an inner destination of another member", frame_to(&quoted, [192, 168, 46, 7])),
        ("an inner destination of this host", frame_to(&quoted, [192, 168, 43, 1])),
    ] {
        assert_eq!(read_v4(1400, &quoted), None, "{what}");
    }
    // Whose destination nobody owns: the FDB knows.
    assert!(read_v4(1400, &frame_to(&quoted, [192, 168, 99, 1])).is_some());
    let quoted = quoted_v6();
    for (what, quoted) in [
        ("from somebody else", altered(&quoted, 23, &[3])),
        ("to somebody else", altered(&quoted, 39, &[21])),
        ("to another port", altered(&quoted, 42, &[0x12, 0xb6])),
        ("from a low port", altered(&quoted, 40, &[0xbf, 0xff])),
        ("another VNI", altered(&quoted, 54, &[44])),
        ("TCP", altered(&quoted, 6, &[6])),
        ("IPv4 in an ICMPv6 message", altered(&quoted, 0, &[0x45])),
    ] {
        assert_eq!(read_v6(1400, &quoted), None, "{what}");
    }
}

#[test]
fn a_message_that_is_cut_off_reports_nothing() {
    let plan = plan_with("");
    for length in 0..28 {
        assert_eq!(read_v4(1400, &quoted_v4()[..length]), None, "{length}");
    }
    for length in 0..48 {
        assert_eq!(read_v6(1400, &quoted_v6()[..length]), None, "{length}");
    }
    for length in 0..8 {
        assert_eq!(read(&plan, &too_big_v4(1400)[..length], false), None, "{length}");
        let message = too_big_v6(1400, &quoted_v6());
        assert_eq!(read(&plan, &message[..length], true), None, "{length}");
    }
}

#[test]
fn a_fixed_source_port_is_the_only_one() {
    let plan = plan_with("source_port = \"fixed\"");
    assert_eq!(read(&plan, &too_big_v4(1400), false), None);
    let quoted = altered(&quoted_v4(), 20, &4789_u16.to_be_bytes());
    let report = read(&plan, &v4(3, 4, 1400, &quoted), false);
    assert_eq!(report, reports(ENDPOINT, 1400, 1400));
}

#[test]
fn a_quotation_that_no_dropped_packet_can_have_reports_nothing() {
    let of_length = |length| read_v4(1400, &sized(&quoted_v4(), length));
    assert_eq!(of_length(1500), reports(ENDPOINT, 1400, 1400));
    assert_eq!(of_length(1501), None, "longer than what is sent");
    let fits = altered(&quoted_v4()[..36], 2, &1400_u16.to_be_bytes());
    let fits = altered(&fits, 24, &1380_u16.to_be_bytes());
    assert_eq!(read_v4(1400, &fits), None, "it would have fitted");
    assert!(read_v4(1399, &fits).is_some());
    let fits = altered(&quoted_v6()[..56], 4, &[1360_u16.to_be_bytes(); 1].concat());
    let fits = altered(&fits, 44, &1360_u16.to_be_bytes());
    assert_eq!(read_v6(1400, &fits), None, "it would have fitted");
    assert!(read_v6(1399, &fits).is_some());
}

#[test]
fn messages_cost_a_bounded_share_of_a_second() {
    let start = Instant::now();
    let mut budget = MessageBudget::new(start);
    let taken = (0..10_000).filter(|_| budget.take(start)).count();
    assert_eq!(taken, MAX_MESSAGES as usize);
    assert!(budget.take(start + Duration::from_secs(1)));
}

#[test]
fn a_report_holds_until_it_is_too_old() {
    let endpoint = ENDPOINT.parse().unwrap();
    let elsewhere = ENDPOINT6.parse().unwrap();
    let mut paths = PathMtus::new(LIFETIME);
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let report = |mtu| PacketTooBig { endpoint, reported: mtu, mtu, is_plausible: true };
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
fn a_start_begins_with_the_record_of_the_previous_run() {
    let (now, lifetime) = (Instant::now(), LIFETIME);
    let endpoint: SocketAddr = ENDPOINT.parse().unwrap();
    let mut paths = PathMtus::new(lifetime);
    let report = reports(ENDPOINT, 1400, 1400).unwrap();
    assert!(paths.lower(&report, 1500, now));
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
