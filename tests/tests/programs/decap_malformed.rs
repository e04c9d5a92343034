//! Inner frames that are cut off, lie about their lengths, or are of a protocol that stays outside.

use vxlan_common::reason::RxDrop::{self, InnerProtocolDenied, MalformedInner};

use crate::prelude::*;

fn refused(name: impl Into<String>, inner: &Packet, reason: RxDrop) -> Row {
    Row::refused(name, &from_aws(inner).build(), reason, AWS_43)
}

fn v4(ip: Ipv4) -> Packet {
    Packet::new().with(eth()).with(ip).with(Udp::new(1, 2)).payload(b"data")
}

fn v6(ip: Ipv6) -> Packet {
    Packet::new().with(eth()).with(ip).with(Udp::new(1, 2)).payload(b"data")
}

fn arp() -> Packet {
    Packet::new().with(eth()).with(Arp::request(AWS_MAC, AWS_HOST, GCP_HOST))
}

#[test]
fn lengths_and_versions() {
    let total = |n| v4(ipv4().total_length(Some(n)));
    let first = |n| v4(ipv4().version_ihl(Some(n)));
    let payload = |n| v6(ipv6().payload_length(Some(n)));
    let ethertype = |n| Packet::new().with(eth().ethertype(Some(n)));
    let rows = [
        refused("IPv4 length 1 past the frame", &total(33), MalformedInner),
        refused("IPv4 length 65535", &total(u16::MAX), MalformedInner),
        refused("IPv4 length 19", &total(19), MalformedInner),
        refused("IPv4 length 0", &total(0), MalformedInner),
        refused("IPv4 header of 4 words", &first(0x44), MalformedInner),
        refused("IPv4 header of 0 words", &first(0x40), MalformedInner),
        refused("IPv4 header of 60 bytes in 32", &first(0x4f), MalformedInner),
        refused("version 6 in IPv4", &first(0x65), MalformedInner),
        refused("version 0 in IPv4", &first(0x05), MalformedInner),
        refused("IPv6 length 1 past the frame", &payload(13), MalformedInner),
        refused("IPv6 length 65535", &payload(u16::MAX), MalformedInner),
        refused(
            "version 4 in IPv6",
            &ethertype(0x86dd).with(ipv4()).payload(&[0; 40]),
            MalformedInner,
        ),
        refused("IPv6 in the ethertype of IPv4", &ethertype(0x0800).with(ipv6()), MalformedInner),
        Row::refused(
            "IPv4 length that takes in bytes behind the outer packet",
            &padded(&from_aws(&total(40)), 8),
            MalformedInner,
            AWS_43,
        ),
        Row::refused(
            "IPv6 length that takes in bytes behind the outer packet",
            &padded(&from_aws(&payload(20)), 8),
            MalformedInner,
            AWS_43,
        ),
    ];
    check(&mut Bench::gcp(), Program::Decap, &rows);
}

/// Cut to every length, with outer lengths that say so, alone and in a frame with bytes behind it.
#[test]
fn frames_cut_at_every_byte() {
    let solicitation = Packet::new()
        .with(Eth::new(SOLICITED_MAC, AWS_MAC))
        .with(Ipv6::new(AWS_HOST6, SOLICITED).hop_limit(255))
        .with(Icmp::neighbour_solicitation(GCP_HOST6, AWS_MAC));
    let mut rows = Vec::new();
    for (name, whole) in [
        ("UDP over IPv4", v4(ipv4())),
        ("UDP over IPv6", v6(ipv6())),
        ("neighbour solicitation", solicitation),
        ("ARP request", arp()),
    ] {
        let whole = whole.build();
        for len in 0..whole.len() {
            let cut = Packet::new().payload(&whole[..len]);
            let name = format!("{name}, {len} of {} bytes", whole.len());
            rows.push(refused(&name, &cut, MalformedInner));
            let packet = padded(&from_aws(&cut), 64);
            rows.push(Row::refused(name + ", padded", &packet, MalformedInner, AWS_43));
        }
    }
    check(&mut Bench::gcp(), Program::Decap, &rows);
}

#[test]
fn headers_that_are_whole_and_wrong() {
    let arp_with = |at: usize, value: u8| {
        let mut bytes = arp().build();
        bytes[at] = value;
        Packet::new().payload(&bytes)
    };
    let icmp = |kind, body: &[u8]| {
        Packet::new().with(eth()).with(ipv6().hop_limit(255)).with(Icmp::new(
            kind,
            0,
            body.to_vec(),
        ))
    };
    let empty = Packet::new().with(eth()).with(ipv6().next_header(Some(58)));
    let rows = [
        refused("ARP for IEEE 802 networks", &arp_with(15, 6), MalformedInner),
        refused("ARP for IPv6", &arp_with(16, 0x86), MalformedInner),
        refused("ARP with hardware addresses of 8 bytes", &arp_with(18, 8), MalformedInner),
        refused("ARP with protocol addresses of 16 bytes", &arp_with(19, 16), MalformedInner),
        refused("ARP operation 0", &arp_with(21, 0), MalformedInner),
        refused("reverse ARP request", &arp_with(21, 3), MalformedInner),
        refused("ICMPv6 of no bytes", &empty, MalformedInner),
        Row::refused(
            "ICMPv6 of no bytes, padded",
            &padded(&from_aws(&empty), 8),
            MalformedInner,
            AWS_43,
        ),
        refused("neighbour solicitation of 23 bytes", &icmp(135, &[0; 19]), MalformedInner),
        refused("neighbour advertisement of 4 bytes", &icmp(136, &[]), MalformedInner),
    ];
    check(&mut Bench::gcp(), Program::Decap, &rows);
}

#[test]
fn protocols_that_stay_outside() {
    let ether = |ethertype| Packet::new().with(eth().ethertype(Some(ethertype))).payload(&[0; 46]);
    let tagged = Packet::new().with(eth()).with(Vlan::new(7)).with(ipv4()).with(Udp::new(1, 2));
    let icmp = |ip: Ipv6, kind| {
        Packet::new()
            .with(Eth::new(ALL_NODES_MAC, AWS_MAC))
            .with(ip.hop_limit(255))
            .with(Icmp::new(kind, 0, vec![0; 20]))
    };
    let mut rows = vec![
        refused("802.1Q in front of IPv4", &tagged, InnerProtocolDenied),
        refused("VLAN 0", &ether(0x8100), InnerProtocolDenied),
        refused("802.1ad", &ether(0x88a8), InnerProtocolDenied),
        refused("LLDP", &ether(0x88cc), InnerProtocolDenied),
        refused("MPLS", &ether(0x8847), InnerProtocolDenied),
        refused("PPPoE", &ether(0x8864), InnerProtocolDenied),
        refused("reverse ARP", &ether(0x8035), InnerProtocolDenied),
        refused("spanning tree", &ether(38), InnerProtocolDenied),
        refused(
            "Ethernet header with a local type and no payload",
            &Packet::new().with(eth()),
            InnerProtocolDenied,
        ),
    ];
    for (name, kind) in [
        ("listener query", 130),
        ("listener report", 131),
        ("listener done", 132),
        ("router solicitation", 133),
        ("router advertisement", 134),
        ("redirect", 137),
        ("listener report of version 2", 143),
    ] {
        let own = Ipv6::new(AWS_LINK_LOCAL, ALL_NODES);
        rows.push(refused(
            format!("{name} from link-local"),
            &icmp(own, kind),
            InnerProtocolDenied,
        ));
        let global = ipv6().dst(ALL_NODES);
        rows.push(refused(format!("{name} from global"), &icmp(global, kind), InnerProtocolDenied));
        rows.push(refused(
            format!("{name} to this host"),
            &icmp(ipv6(), kind),
            InnerProtocolDenied,
        ));
    }
    let hidden = Packet::new()
        .with(Eth::new(ALL_NODES_MAC, AWS_MAC))
        .with(Ipv6::new(AWS_LINK_LOCAL, ALL_NODES).hop_limit(1).next_header(Some(0)))
        .payload(&[58, 0, 5, 2, 0, 0, 1, 0, 143, 0, 0, 0, 0, 0, 0, 0]);
    rows.push(refused("listener report behind a hop-by-hop header", &hidden, InnerProtocolDenied));
    // A stack finds discovery there: an advertisement of another's address, for this host alone.
    for (name, header) in [("hop-by-hop", 0), ("routing", 43), ("destination options", 60)] {
        let advertisement = [&[58, 0, 1, 4, 0, 0, 0, 0, 136, 0, 0, 0][..], &[0x20; 20]].concat();
        let hidden = Packet::new()
            .with(eth())
            .with(ipv6().hop_limit(255).next_header(Some(header)))
            .payload(&advertisement);
        let name = format!("advertisement behind a {name} header");
        rows.push(refused(name, &hidden, InnerProtocolDenied));
    }
    let ospf = Packet::new()
        .with(Eth::new(BROADCAST, AWS_MAC))
        .with(ipv6().dst(ALL_NODES).next_header(Some(89)))
        .payload(&[0; 20]);
    rows.push(refused("OSPF to ff02::1", &ospf, InnerProtocolDenied));
    check(&mut Bench::gcp(), Program::Decap, &rows);
}
