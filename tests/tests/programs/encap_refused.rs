//! What `encap` does not send, and for whom that is counted.

use vxlan_common::reason::TxDrop::{self, EncapFailed, MalformedInner, NoNeighbour, NoRoute};

use crate::{icmp_ptb::message, prelude::*};

fn refused(name: impl Into<String>, frame: &Packet, why: TxDrop, who: Who) -> Row {
    Row::not_sent(name, &frame.build(), why, who)
}

fn ether(mac: Mac) -> Packet {
    Packet::new().with(Eth::new(mac, GCP_MAC))
}

fn to(mac: Mac, destination: Ipv4Addr) -> Packet {
    ether(mac).with(Ipv4::new(GCP_HOST, destination)).with(Icmp::echo_request(1, 1))
}

fn to6(mac: Mac, destination: Ipv6Addr) -> Packet {
    ether(mac).with(Ipv6::new(GCP_HOST6, destination)).with(Icmp::echo_request_v6(1, 1))
}

fn arp(mac: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Packet {
    ether(mac).with(Arp::request(GCP_MAC, sender, target))
}

#[test]
fn destinations_of_nobody() {
    let no_route = |name: &str, frame| refused(name, &frame, NoRoute, NETWORK);
    let solicitation = |target| {
        ether(SOLICITED_MAC)
            .with(Ipv6::new(GCP_HOST6, SOLICITED).hop_limit(255))
            .with(Icmp::neighbour_solicitation(target, GCP_MAC))
    };
    let rows = [
        no_route("nobody's address", to(STRANGE_MAC, NOWHERE)),
        no_route("own subnet", to(STRANGE_MAC, [192, 168, 43, 9].into())),
        no_route("own subnet, office's declared MAC", to(OFFICE_MAC, [192, 168, 43, 9].into())),
        no_route("own address", to(GCP_MAC, GCP_HOST)),
        no_route(
            "ARP answer to a probe of nobody known",
            arp(STRANGE_MAC, GCP_HOST, [0; 4].into()),
        ),
        no_route("a member's address in the other network", to(STRANGE_MAC, OFFICE_OTHER_HOST)),
        no_route("0.0.0.0", to(STRANGE_MAC, Ipv4Addr::UNSPECIFIED)),
        no_route("nobody's IPv6 address", to6(STRANGE_MAC, "2001:db8:99::1".parse().unwrap())),
        no_route("own IPv6 subnet", to6(STRANGE_MAC, "2001:db8:43::9".parse().unwrap())),
        no_route("link-local address", to6(STRANGE_MAC, AWS_LINK_LOCAL)),
        no_route("ARP for the own subnet", arp(BROADCAST, GCP_HOST, [192, 168, 43, 9].into())),
        no_route("ARP for nobody's address", arp(BROADCAST, GCP_HOST, NOWHERE)),
        no_route(
            "solicitation of nobody's address",
            solicitation("2001:db8:99::1".parse().unwrap()),
        ),
        no_route("solicitation of a link-local address", solicitation(AWS_LINK_LOCAL)),
        no_route(
            "router solicitation",
            ether([0x33, 0x33, 0, 0, 0, 2])
                .with(Ipv6::new(GCP_LINK_LOCAL, "ff02::2".parse().unwrap()).hop_limit(255))
                .with(Icmp::new(133, 0, vec![0; 4])),
        ),
    ];
    check(&mut Bench::gcp(), Program::Encap, &rows);
}

#[test]
fn peers_that_cannot_be_reached() {
    let rows = [
        refused("IPv4", &to(STRANGE_MAC, LONE_HOST), NoNeighbour, LONE_43),
        refused("IPv6", &to6(STRANGE_MAC, LONE_HOST6), NoNeighbour, LONE_43),
        refused("ARP", &arp(BROADCAST, GCP_HOST, LONE_HOST), NoNeighbour, LONE_43),
    ];
    check(&mut Bench::gcp(), Program::Encap, &rows);
}

#[test]
fn frames_without_form() {
    let malformed = |name: &str, frame| refused(name, &frame, MalformedInner, NETWORK);
    let ethertype = |n| Packet::new().with(eth_out().ethertype(Some(n))).payload(&[0; 46]);
    let ip = || Ipv4::new(GCP_HOST, AWS_HOST);
    let v4 = |ip: Ipv4| ether(AWS_MAC).with(ip).with(Udp::new(1, 2));
    let tagged = ether(AWS_MAC).with(Vlan::new(7)).with(ip()).with(Udp::new(1, 2));
    let mut rows = vec![
        malformed("LLDP", ethertype(0x88cc)),
        malformed("local ethertype", ethertype(0x88b5)),
        malformed("spanning tree", ethertype(38)),
        malformed("802.1Q", tagged),
        malformed("802.1ad", ethertype(0x88a8)),
        malformed("IPv4 header of 4 words", v4(ip().version_ihl(Some(0x44)))),
        malformed("version 6 in IPv4", v4(ip().version_ihl(Some(0x65)))),
        malformed("IPv4 length past the frame", v4(ip().total_length(Some(29)))),
        malformed("IPv4 length 19", v4(ip().total_length(Some(19)))),
        malformed(
            "IPv6 length past the frame",
            ether(AWS_MAC)
                .with(Ipv6::new(GCP_HOST6, AWS_HOST6).payload_length(Some(9)))
                .with(Udp::new(1, 2)),
        ),
    ];
    let solicitation = ether(SOLICITED_MAC)
        .with(Ipv6::new(GCP_HOST6, SOLICITED).hop_limit(255))
        .with(Icmp::neighbour_solicitation(AWS_HOST6, GCP_MAC));
    for (name, whole) in [
        ("ping", to(AWS_MAC, AWS_HOST)),
        ("ICMPv6", to6(AWS_MAC, AWS_HOST6)),
        ("neighbour solicitation", solicitation),
        ("ARP", arp(BROADCAST, GCP_HOST, AWS_HOST)),
    ] {
        let whole = whole.build();
        // The kernel runs no TC program on less than the header that the Ethernet type promises.
        let shortest = match whole[12..14] {
            [0x08, 0x00] => 14 + 20,
            [0x86, 0xdd] => 14 + 40,
            _ => 14 + 1,
        };
        for len in shortest..whole.len() {
            let name = format!("{name}, {len} of {} bytes", whole.len());
            rows.push(malformed(&name, Packet::new().payload(&whole[..len])));
        }
    }
    check(&mut Bench::gcp(), Program::Encap, &rows);
}

/// A GSO frame counts as the packets it would have been. `BPF_PROG_TEST_RUN` makes GSO frames that
/// say their size and not their kind, which the kernel makes no room in: that they are sent, and
/// counted, is shown end to end.
#[test]
fn segments_are_counted_when_they_are_dropped() {
    let tcp = |destination, payload: usize| {
        let ip = Ipv4::new(GCP_HOST, destination);
        ether(STRANGE_MAC).with(ip).with(Tcp::new(1, 2)).payload(&vec![7; payload])
    };
    let gso = |name: &str, frame: &Packet, [size, segs]: [u32; 2], why, who, packets| {
        refused(name, frame, why, who)
            .context(Context { gso_size: size, gso_segs: segs, ..Context::DEFAULT })
            .deltas(Deltas::tx_drop(why, who, packets))
    };
    // 54 bytes of headers in each segment.
    let max = LARGEST_FRAME as u32 - 54;
    let aws = tcp(AWS_HOST, 3000);
    let sctp = Ipv4::new(GCP_HOST, AWS_HOST).protocol(Some(132));
    let sctp = ether(AWS_MAC).with(sctp).payload(&[7; 3000]);
    let frame = aws.build();
    let name = "segments 1 byte too large";
    let too_large = Row::too_big(name, &frame, &message(&frame, 1410), AWS_43, 3)
        .context(Context { gso_size: max + 1, gso_segs: 3, ..Context::DEFAULT });
    let rows = [
        gso("no route", &tcp(NOWHERE, 3000), [1000, 3], NoRoute, NETWORK, 3),
        gso("no path", &tcp(LONE_HOST, 3000), [1000, 3], NoNeighbour, LONE_43, 3),
        gso("no path, not counted", &tcp(LONE_HOST, 2001), [1000, 0], NoNeighbour, LONE_43, 3),
        too_large,
        gso("segments that fit, of no kind", &aws, [max, 3], EncapFailed, AWS_43, 3),
        // 0xffff is no size (GSO_BY_FRAGS): SCTP is cut up at its fragments. Its sender sends
        // nothing that is too big, and is not told so.
        gso("SCTP", &sctp, [0xffff, 3], EncapFailed, AWS_43, 3),
    ];
    check(&mut Bench::gcp(), Program::Encap, &rows);
}
