//! Frames that try to get past XDP: put on the underlay's wire as `deliver` would get them, without
//! VXLAN. They are not ours, and not counted; they must not enter either.

use anyhow::Result;
use vxlan_tests::{
    packet::{Arp, BROADCAST, Eth, Icmp, Ipv4, Mac, Packet},
    sniff::Sniffer,
};

use crate::{
    row::{Row, assert_fates, assert_good_is_delivered},
    victim::{
        Count, INNER_FRIEND, INNER_FRIEND_MAC, INNER_VICTIM, MANY, Mode, NATIVE_MAC, Victim,
        in_modes,
    },
};

/// The layout of a tag: a secret, a network, a counter slot.
fn tag(secret: u64, network: u32, slot: u32) -> Vec<u8> {
    [&secret.to_ne_bytes()[..], &network.to_ne_bytes(), &slot.to_ne_bytes()].concat()
}

fn rows(victim: &Victim) -> Vec<Row> {
    let build = |packet: Packet| packet.build().to_vec();
    let inner = || victim.inner(INNER_FRIEND, INNER_VICTIM);
    let to = |mac: Mac| {
        Packet::new()
            .with(Eth::new(mac, INNER_FRIEND_MAC))
            .with(Ipv4::new(INNER_FRIEND, INNER_VICTIM))
            .with(Icmp::echo_reply(1, 1))
    };
    let tagged = |secret: u64| {
        // Networks and slots that exist, and some that do not.
        [(0, 3), (0, 4), (1, 6), (2, 2), (u32::MAX, u32::MAX)]
            .map(|(network, slot)| {
                build(Packet::new().payload(&tag(secret, network, slot)).carrying(inner()))
            })
            .to_vec()
    };
    vec![
        Row::not_ours(
            "an inner frame to the overlay's MAC, as it is",
            vec![build(inner()), build(to(victim.overlay_mac))],
        ),
        Row::not_ours(
            "ARP for the overlay's address, to its MAC and to everybody",
            [victim.overlay_mac, BROADCAST]
                .map(|mac| {
                    let reply = Arp::reply(
                        INNER_FRIEND_MAC,
                        INNER_FRIEND,
                        victim.overlay_mac,
                        INNER_VICTIM,
                    );
                    build(Packet::new().with(Eth::new(mac, INNER_FRIEND_MAC)).with(reply))
                })
                .to_vec(),
        ),
        Row::not_ours("a tag with secret 0 in front of an inner frame", tagged(0)),
        Row::not_ours(
            "a tag with a made-up secret in front of an inner frame",
            tagged(0xa5a5_5a5a_dead_beef),
        ),
    ]
}

/// Locally administered MACs, different in every one of the bits that a secret has.
fn guesses() -> Vec<Mac> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..MANY)
        .map(|number| {
            let [a, b, c, d, e, f, ..] = next().to_ne_bytes();
            // Each kind of cast that the last two bits can mean, and the value that means none.
            [(a & !3) | 2, b, c, d, e, (f & !3) | (number & 3) as u8]
        })
        .collect()
}

/// 20,000 guesses at the MAC that stands for a member, and those that are special.
fn guessed_macs_enter_nothing(mode: Mode) -> Result<()> {
    let victim = Victim::new(mode)?;
    assert_good_is_delivered(&victim)?;
    let to = |mac: Mac| {
        Packet::new()
            .with(Eth::new(mac, INNER_FRIEND_MAC))
            .with(Ipv4::new(INNER_FRIEND, INNER_VICTIM))
            .with(Icmp::echo_reply(1, 1))
            .build()
            .to_vec()
    };
    let mut macs = guesses();
    macs.extend([[0; 6], [0, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 0], BROADCAST, victim.overlay_mac]);
    let frames: Vec<Vec<u8>> = macs.into_iter().map(to).collect();
    let total = frames.len() as u64;
    let grown = victim.attack(&frames, total, 0)?;
    assert_eq!(grown, Count { arrived: total, ..Count::default() });
    assert_good_is_delivered(&victim)?;
    victim.stop()
}

fn forged_frames_enter_nothing(mode: Mode) -> Result<()> {
    let victim = Victim::new(mode)?;
    assert_fates(&victim, &rows(&victim))?;
    victim.stop()
}

/// The secret MAC stays on this host: the overlay sees the inner frame as its sender wrote it, to
/// the byte, and two starts have different secrets.
#[test]
fn the_secret_mac_is_taken_off_before_the_overlay() -> Result<()> {
    let victim = Victim::new(NATIVE_MAC)?;
    let overlay =
        Sniffer::start(&victim.pair.b, "vxlan43", |frame| frame[6..12] == INNER_FRIEND_MAC)?;
    let inside = victim.inner(INNER_FRIEND, INNER_VICTIM).build().to_vec();
    let underlay =
        Sniffer::start(&victim.pair.b, "eth0", |frame| frame[6..12] == INNER_FRIEND_MAC)?;
    assert_good_is_delivered(&victim)?;
    let seen = overlay.finish()?;
    assert_eq!((seen.frames.len(), seen.lost), (100, 0));
    for captured in &seen.frames {
        assert_eq!(captured.frame, inside);
    }
    // On the way there it has the secret one.
    let tagged = underlay.finish()?.frames;
    assert_eq!(tagged.len(), 100);
    let secret: Mac = tagged[0].frame[..6].try_into()?;
    assert_ne!(secret, victim.overlay_mac);
    assert_eq!(secret[0] & 3, 2, "locally administered, for one station");

    // Sent from the wire of another host with another secret, the same MAC opens nothing.
    let second = Victim::new(NATIVE_MAC)?;
    let forged = tagged[0].frame.clone();
    let grown = second.attack(&[forged], 100, 0)?;
    assert_eq!(grown, Count { arrived: 100, ..Count::default() });
    second.stop()?;
    victim.stop()
}

in_modes!(
    guessed_macs_enter_nothing:
    native = NATIVE_MAC, generic = GENERIC_MAC,
);

in_modes!(
    forged_frames_enter_nothing:
    native_metadata = NATIVE, native_mac = NATIVE_MAC, generic_metadata = GENERIC,
    without_xdp = OFF,
);
