//! Packets from the friend that are cut off, that lie about their lengths, or that carry what the
//! overlay does not.

use anyhow::Result;
use vxlan_tests::packet::{
    Arp, BROADCAST, Checksum, Eth, Icmp, Ipv4, Ipv6, Packet, Tcp, Udp, Vlan, Vxlan, flags,
};

use crate::{
    row::{Row, assert_fates},
    victim::{
        ATTACKER, FRIEND, INNER_FRIEND, INNER_FRIEND_MAC, INNER_VICTIM, Mode, UNLISTED, VICTIM,
        Victim, in_modes,
    },
};

/// Length of Ethernet, IPv4 and UDP header.
const TO_UDP: usize = 14 + 20 + 8;

fn rows(victim: &Victim) -> Vec<Row> {
    let mut rows = outer(victim);
    rows.extend(cut_off(victim));
    rows.extend(inner(victim));
    rows
}

/// The outer headers of a good packet, each field of them wrong in turn.
fn outer(victim: &Victim) -> Vec<Row> {
    let with = |ip: Ipv4, udp: Udp, vxlan: Vxlan| {
        Packet::new()
            .with(Eth::new(victim.mac, ATTACKER))
            .with(ip)
            .with(udp)
            .with(vxlan)
            .carrying(victim.inner(INNER_FRIEND, INNER_VICTIM))
            .build()
            .to_vec()
    };
    let (ip, udp, vxlan) = (|| Ipv4::new(FRIEND, VICTIM), || Udp::vxlan(50_000), || Vxlan::new(43));
    let ip_only = |ip| with(ip, udp(), vxlan());
    let vxlan_only = |vxlan| with(ip(), udp(), vxlan);
    let length = (victim.good().len() - 14) as u16;
    let friends = |reason| (reason, "friend", "");
    vec![
        Row::refused(
            "IPv4 total length beyond the frame, or UDP length other than the IP payload's",
            friends("malformed_outer"),
            vec![
                ip_only(ip().total_length(Some(length + 1))),
                ip_only(ip().total_length(Some(u16::MAX))),
                ip_only(ip().total_length(Some(length - 1))),
                ip_only(ip().total_length(Some(20))),
                ip_only(ip().total_length(Some(0))),
                with(ip(), udp().length(Some(0)), vxlan()),
                with(ip(), udp().length(Some(length - 21)), vxlan()),
                with(ip(), udp().length(Some(u16::MAX)), vxlan()),
            ],
        ),
        Row::refused(
            "IPv4 header with 4 and with 40 bytes of options",
            friends("ip_options"),
            vec![ip_only(ip().options(vec![1; 4])), ip_only(ip().options(vec![1; 40]))],
        ),
        Row::refused(
            "first fragment, with and without DF",
            friends("outer_fragment"),
            [flags::MF, flags::MF | flags::DF].map(|bits| ip_only(ip().fragment(bits))).to_vec(),
        ),
        Row::not_ours(
            "later fragments, the last one among them",
            [1, 185, flags::MF | 185, 0x1fff].map(|bits| ip_only(ip().fragment(bits))).to_vec(),
        ),
        Row::refused(
            "IPv4 header checksum wrong",
            friends("bad_checksum"),
            [0, 0xffff, 0x1234].map(|sum| ip_only(ip().checksum(Checksum::Value(sum)))).to_vec(),
        ),
        Row::refused(
            "the same from an unlisted source",
            ("bad_checksum", "", ""),
            vec![ip_only(Ipv4::new(UNLISTED, VICTIM).checksum(Checksum::Value(0x1234)))],
        ),
        Row::refused(
            "VXLAN header without the I flag, with another flag, with a reserved byte",
            friends("invalid_vxlan_header"),
            vec![
                vxlan_only(vxlan().flags(0)),
                vxlan_only(vxlan().flags(0xff)),
                vxlan_only(vxlan().flags(0x88)),
                vxlan_only(vxlan().reserved([0, 0, 1])),
                vxlan_only(vxlan().reserved([0x80, 0, 0])),
                vxlan_only(vxlan().last(1)),
            ],
        ),
        Row::refused(
            "congestion mark on the outer header, inner transport that knows none",
            ("ecn_error", "friend", "43"),
            vec![ip_only(ip().tos(3))],
        ),
    ]
}

/// A good packet cut off at every byte: without the headers knowing, and with.
fn cut_off(victim: &Victim) -> Vec<Row> {
    let good = victim.good();
    let prefixes = |range: std::ops::Range<usize>| range.map(|n| good[..n].to_vec()).collect();
    // What VXLAN carries, cut off: the outer lengths are right for what is left.
    let payload = |range: std::ops::Range<usize>| {
        let cut = |end| victim.outer(FRIEND).payload(&good[TO_UDP..TO_UDP + end]);
        range.map(|end| cut(end).build().to_vec()).collect()
    };
    vec![
        // The shortest frame that the kernel lets onto a wire has an Ethernet header.
        Row::not_ours("cut off before the end of the UDP header", prefixes(14..TO_UDP)),
        Row::refused(
            "cut off behind the UDP header",
            ("malformed_outer", "friend", ""),
            prefixes(TO_UDP..good.len()),
        ),
        Row::refused(
            "0 to 7 bytes of VXLAN header and nothing else",
            ("invalid_vxlan_header", "friend", ""),
            payload(0..8),
        ),
        Row::refused(
            "inner frame cut off at every byte of its Ethernet header, IPv4 header and payload",
            ("malformed_inner", "friend", "43"),
            payload(8..good.len() - TO_UDP),
        ),
    ]
}

fn inner(victim: &Victim) -> Vec<Row> {
    let from_friend = |inner: Packet| victim.tunnelled(FRIEND, 43, inner);
    let eth = || Packet::new().with(Eth::new(victim.overlay_mac, INNER_FRIEND_MAC));
    let ip = || Ipv4::new(INNER_FRIEND, INNER_VICTIM);
    let ip_only = |ip: Ipv4| from_friend(eth().with(ip).with(Icmp::echo_reply(1, 1)));
    let cut =
        |packet: Packet, end: usize| from_friend(Packet::new().payload(&packet.build()[..end]));
    let arp = || {
        let request = Arp::request(INNER_FRIEND_MAC, INNER_FRIEND, INNER_VICTIM);
        Packet::new().with(Eth::new(BROADCAST, INNER_FRIEND_MAC)).with(request)
    };
    let v6 = || {
        let address = |last| std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
        eth().with(Ipv6::new(address(7), address(1))).with(Icmp::echo_reply_v6(1, 1))
    };
    let friends = |reason| (reason, "friend", "43");
    vec![
        Row::refused(
            "inner IPv4 header with a length, version or header length that cannot be",
            friends("malformed_inner"),
            vec![
                ip_only(ip().total_length(Some(19))),
                ip_only(ip().total_length(Some(29))),
                ip_only(ip().total_length(Some(u16::MAX))),
                ip_only(ip().version_ihl(Some(0x44))),
                ip_only(ip().version_ihl(Some(0x65))),
                ip_only(ip().version_ihl(Some(0x4f))),
            ],
        ),
        Row::refused(
            "inner ARP and IPv6 cut off at every byte behind the Ethernet header",
            friends("malformed_inner"),
            (14..14 + 28)
                .map(|end| cut(arp(), end))
                .chain((14..14 + 40 + 8).map(|end| cut(v6(), end)))
                .collect(),
        ),
        Row::refused(
            "inner frame that is 802.1Q, 802.1ad, LLDP, MPLS, or has a length for a type",
            friends("inner_protocol_denied"),
            [0x88a8, 0x88cc, 0x8847, 0x88b5, 46]
                .map(|kind| {
                    let eth = Eth::new(victim.overlay_mac, INNER_FRIEND_MAC).ethertype(Some(kind));
                    from_friend(Packet::new().with(eth).payload(&[0; 46]))
                })
                .into_iter()
                .chain([from_friend(
                    eth().with(Vlan::new(5)).with(ip()).with(Icmp::echo_reply(1, 1)),
                )])
                .collect(),
        ),
        Row::refused(
            "16 bytes as a tag would have them in front of a good inner frame",
            friends("inner_protocol_denied"),
            vec![from_friend(
                Packet::new()
                    .payload(&[
                        0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0, 0, 0, 0, 3, 0, 0, 0,
                    ])
                    .carrying(victim.inner(INNER_FRIEND, INNER_VICTIM)),
            )],
        ),
        Row::refused(
            "TCP to the VXLAN port inside, for a host that is not there",
            friends("inner_destination_denied"),
            vec![from_friend(
                eth()
                    .with(Ipv4::new(INNER_FRIEND, [192, 168, 99, 1]))
                    .with(Tcp::new(4789, 4789).flags(flags::SYN)),
            )],
        ),
    ]
}

fn nothing_malformed_enters(mode: Mode) -> Result<()> {
    let victim = Victim::new(mode)?;
    assert_fates(&victim, &rows(&victim))?;
    victim.stop()
}

in_modes!(
    nothing_malformed_enters:
    native_metadata = NATIVE, native_mac = NATIVE_MAC, generic_metadata = GENERIC,
    without_xdp = OFF,
);
