//! Well-formed packets from senders, or with inner addresses, that the configuration does not
//! allow.

use anyhow::Result;
use vxlan_tests::packet::{Arp, BROADCAST, Eth, Icmp, Ipv4, Ipv6, Packet, Vxlan};

use crate::{
    row::{Row, assert_fates, assert_good_is_delivered},
    victim::{
        Count, FRIEND, FRIEND_PRIVATE, INNER_FRIEND, INNER_FRIEND_MAC, INNER_VICTIM, Mode, OTHER,
        UNLISTED, VICTIM, Victim, in_modes, labels,
    },
};

/// 200,000 frames from addresses that are no peer's, each otherwise just as the friend's: none is
/// delivered, all are counted as `unknown_source` of the network they were meant for.
fn unlisted_sources_deliver_nothing(mode: Mode) -> Result<()> {
    const TOTAL: u64 = 200_000;
    let victim = Victim::new(mode)?;
    assert_good_is_delivered(&victim)?;
    let sources: [[u8; 4]; 8] = [
        UNLISTED,
        VICTIM,
        [203, 0, 113, 0],
        [203, 0, 113, 255],
        [1, 113, 0, 203],
        [127, 0, 0, 1],
        INNER_FRIEND,
        [0, 0, 0, 0],
    ];
    let frames = sources.map(|source| {
        assert!(source != FRIEND && source != OTHER);
        victim.tunnelled(source, 43, victim.inner(INNER_FRIEND, INNER_VICTIM))
    });
    let grown = victim.attack(&frames, TOTAL, TOTAL)?;
    let dropped = [(labels("unknown_source", "", "43"), TOTAL)].into();
    assert_eq!(grown, Count { arrived: TOTAL, dropped, delivered: 0, entered: 0 });
    assert_good_is_delivered(&victim)?;
    victim.stop()
}

fn rows(victim: &Victim) -> Vec<Row> {
    let allowed = || victim.inner(INNER_FRIEND, INNER_VICTIM);
    let from_friend = |inner| victim.tunnelled(FRIEND, 43, inner);
    let with_source = |source| from_friend(victim.inner(source, INNER_VICTIM));
    let with_destination = |destination| from_friend(victim.inner(INNER_FRIEND, destination));
    let eth = || Eth::new(victim.overlay_mac, INNER_FRIEND_MAC);
    let arp = |sender| {
        let request = Arp::request(INNER_FRIEND_MAC, sender, INNER_VICTIM);
        from_friend(Packet::new().with(Eth::new(BROADCAST, INNER_FRIEND_MAC)).with(request))
    };
    let echo = || Icmp::echo_reply(1, 1);
    let v6 = |source: &str| {
        let address = |text: &str| text.parse().expect("an IPv6 address");
        let ip = Ipv6::new(address(source), address("2001:db8::1"));
        from_friend(Packet::new().with(eth()).with(ip).with(Icmp::echo_reply_v6(1, 1)))
    };
    let martian_mac = |mac| {
        let ip = Ipv4::new(INNER_FRIEND, INNER_VICTIM);
        from_friend(Packet::new().with(Eth::new(victim.overlay_mac, mac)).with(ip).with(echo()))
    };
    let to_mac = |mac| {
        let ip = Ipv4::new(INNER_FRIEND, INNER_VICTIM);
        from_friend(Packet::new().with(Eth::new(mac, INNER_FRIEND_MAC)).with(ip).with(echo()))
    };
    let wrong_vni = |source, vni| victim.tunnelled(source, vni, allowed());
    let friends = |reason| (reason, "friend", "43");
    vec![
        Row::refused(
            "from the friend, inner source in no allowed_ips, in its neighbours and in a peer's of \
             another network",
            friends("inner_source_denied"),
            [[192, 168, 45, 1], [192, 168, 43, 255], [192, 168, 54, 7], [198, 51, 100, 1]]
                .map(with_source)
                .to_vec(),
        ),
        Row::refused(
            "from the friend, inner source is the victim's own address or subnet",
            friends("inner_source_denied"),
            [INNER_VICTIM, [192, 168, 43, 2], [192, 168, 53, 1], VICTIM].map(with_source).to_vec(),
        ),
        Row::refused(
            "from the friend, inner source 0.0.0.0, 127.0.0.1, 224.0.0.1, 255.255.255.255",
            friends("inner_source_denied"),
            [[0; 4], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4]].map(with_source).to_vec(),
        ),
        Row::refused(
            "from the friend, inner source MAC zero, broadcast, multicast",
            friends("inner_source_denied"),
            [[0; 6], BROADCAST, [1, 0, 0x5e, 0, 0, 1]].map(martian_mac).to_vec(),
        ),
        Row::refused(
            "from the friend, inner source MAC the overlay's own",
            friends("own_mac"),
            vec![martian_mac(victim.overlay_mac)],
        ),
        Row::refused(
            "from the friend, ARP requests for the victim by a sender that is not the friend's",
            friends("inner_source_denied"),
            [INNER_VICTIM, [192, 168, 45, 1], [192, 168, 54, 7]].map(arp).to_vec(),
        ),
        Row::refused(
            "from the friend, inner IPv6 in a network without any",
            friends("inner_source_denied"),
            ["2001:db8::7", "fe80::7", "::ffff:192.168.44.7"].map(v6).to_vec(),
        ),
        Row::refused(
            "from the friend, inner destination on another network, on the underlay, anywhere",
            friends("inner_destination_denied"),
            [[192, 168, 53, 1], VICTIM, [198, 51, 100, 1], [192, 168, 44, 8]]
                .map(with_destination)
                .to_vec(),
        ),
        Row::refused(
            "from the friend, inner destination MAC is not the overlay's",
            friends("inner_destination_denied"),
            [INNER_FRIEND_MAC, victim.mac, [2, 9, 9, 9, 9, 9]].map(to_mac).to_vec(),
        ),
        Row::refused(
            "from the friend, VNIs that are no network here",
            ("unknown_vni", "friend", ""),
            [42, 45, 0, 0x2b00, 0x2b_0000, 0xff_ffff].map(|vni| wrong_vni(FRIEND, vni)).to_vec(),
        ),
        Row::refused(
            "from an unlisted source, VNIs that are no network here",
            ("unknown_vni", "", ""),
            [42, 0xff_ffff].map(|vni| wrong_vni(UNLISTED, vni)).to_vec(),
        ),
        Row::refused(
            "from the friend into network 44, of which it is no member",
            ("not_a_member", "friend", "44"),
            vec![
                wrong_vni(FRIEND, 44),
                victim.tunnelled(FRIEND, 44, victim.inner([192, 168, 54, 7], [192, 168, 53, 1])),
            ],
        ),
        Row::refused(
            "from the other peer into network 43, of which it is no member",
            ("not_a_member", "other", "43"),
            vec![wrong_vni(OTHER, 43)],
        ),
        Row::refused(
            "from whoever really has the friend's private address, into both networks",
            ("unknown_source", "friend", ""),
            [43, 44].map(|vni| wrong_vni(FRIEND_PRIVATE, vni)).to_vec(),
        ),
        Row::refused(
            "from an unlisted source into network 44",
            ("unknown_source", "", "44"),
            vec![wrong_vni(UNLISTED, 44)],
        ),
        Row::refused(
            "from an unlisted source, outer destination MAC is the overlay's",
            ("unknown_source", "", "43"),
            vec![
                Victim::outer_to(victim.overlay_mac, UNLISTED)
                    .with(Vxlan::new(43))
                    .carrying(allowed())
                    .build()
                    .to_vec(),
            ],
        ),
    ]
}

fn senders_are_held_to_what_they_may(mode: Mode) -> Result<()> {
    let victim = Victim::new(mode)?;
    assert_fates(&victim, &rows(&victim))?;
    victim.stop()
}

in_modes!(
    unlisted_sources_deliver_nothing:
    native_metadata = NATIVE, native_mac = NATIVE_MAC, generic_metadata = GENERIC,
    generic_mac = GENERIC_MAC, without_xdp = OFF,
);

in_modes!(
    senders_are_held_to_what_they_may:
    native_metadata = NATIVE, native_mac = NATIVE_MAC, generic_metadata = GENERIC,
);
