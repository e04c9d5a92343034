//! Traffic of the underlay that is none of the daemon's business passes as if it were not there.

use std::time::Duration;

use anyhow::{Result, ensure};
use vxlan_tests::{
    packet::{
        Arp, Eth, Icmp, Ipv4, Ipv6, PROTOCOL_UDP, Packet, Tcp, Udp, Vxlan, assert_frames_equal,
        flags,
    },
    sniff::Sniffer,
    traffic::{ping, tcp_transfer, udp_exchange},
};

use crate::victim::{
    ATTACKER, Count, FRIEND, INNER_FRIEND, INNER_VICTIM, Mode, UNLISTED, VICTIM, Victim, in_modes,
};

/// Frames that look like ours in all but one thing.
fn frames(victim: &Victim) -> Vec<Vec<u8>> {
    let eth = || Packet::new().with(Eth::new(victim.mac, ATTACKER));
    let ip = |source| Ipv4::new(source, VICTIM);
    let inside =
        || Packet::new().with(Vxlan::new(43)).carrying(victim.inner(INNER_FRIEND, INNER_VICTIM));
    let v6 = |last| std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
    let fragment = |bits| {
        let ip = ip(FRIEND).fragment(bits).protocol(Some(PROTOCOL_UDP));
        eth().with(ip).payload(&Packet::new().with(Udp::vxlan(1)).carrying(inside()).build())
    };
    let packets = [
        eth().with(ip(FRIEND)).with(Udp::new(4789, 4790)).carrying(inside()),
        eth().with(ip(UNLISTED)).with(Udp::new(4789, 8472)).carrying(inside()),
        eth().with(ip(FRIEND)).with(Udp::new(4789, 0xb512)).carrying(inside()),
        eth().with(Ipv4::new(FRIEND, [203, 0, 113, 77])).with(Udp::vxlan(1)).carrying(inside()),
        eth().with(Ipv4::new(FRIEND, [255; 4])).with(Udp::vxlan(1)).carrying(inside()),
        eth().with(Ipv4::new(FRIEND, INNER_VICTIM)).with(Udp::vxlan(1)).carrying(inside()),
        eth().with(ip(FRIEND)).with(Tcp::new(4789, 4789).flags(flags::RST)).carrying(inside()),
        eth().with(ip(FRIEND)).with(Icmp::echo_reply(4789, 4789)).carrying(inside()),
        eth().with(ip(FRIEND).protocol(Some(136))).with(Udp::vxlan(1)).carrying(inside()),
        eth().with(Ipv6::new(v6(1), v6(2))).with(Udp::vxlan(1)).carrying(inside()),
        eth().with(Arp::reply(ATTACKER, UNLISTED, victim.mac, VICTIM)),
        fragment(185),
        fragment(flags::MF | 1),
        Packet::new()
            .with(Eth::new(victim.mac, ATTACKER).ethertype(Some(0x88b5)))
            .with(ip(FRIEND))
            .with(Udp::vxlan(1))
            .carrying(inside()),
        Packet::new().with(Eth::new(victim.mac, ATTACKER).ethertype(Some(0x88b5))),
        eth().with(ip(FRIEND)).with(Udp::new(1, 9)).payload(&[0xa5; 1472]),
    ];
    packets.map(|packet| packet.build().to_vec()).to_vec()
}

/// Every frame comes up the stack as it was sent, in its order; nothing is counted.
fn passes_byte_for_byte(mode: Mode) -> Result<()> {
    const ROUNDS: usize = 100;
    let victim = Victim::new(mode)?;
    let frames = frames(&victim);
    let total = frames.len() * ROUNDS;
    let up = Sniffer::start(&victim.pair.b, "eth0", |frame| frame[6..12] == ATTACKER)?;
    let grown = victim.attack(&frames, total as u64, 0)?;
    // At least: the host answers some of them, and gets answers to that.
    ensure!(grown.arrived >= total as u64, "{grown:?}");
    assert_eq!(grown, Count { arrived: grown.arrived, ..Count::default() });
    up.wait_for(total, Duration::from_secs(5));
    let seen = up.finish()?;
    assert_eq!((seen.frames.len(), seen.lost), (total, 0));
    for (sent, captured) in frames.iter().cycle().zip(&seen.frames) {
        assert_frames_equal(sent, &captured.frame);
    }
    victim.stop()
}

/// Connections over the underlay, as ssh has them, and pings and datagrams, both ways.
fn conversations_pass(mode: Mode) -> Result<()> {
    const BYTES: u64 = 50_000_000;
    let victim = Victim::new(mode)?;
    let before = victim.count()?;
    let (a, b) = (&victim.pair.a, &victim.pair.b);
    let (a_address, b_address) = (victim.pair.a_address, victim.pair.b_address);
    for (from, to, address) in [(a, b, b_address), (b, a, a_address)] {
        let answers = ping(from, None, address, 20)?;
        ensure!(answers.all_answered(), "{}", answers.output);
        let transfer = tcp_transfer(from, to, address, BYTES)?;
        assert_eq!(transfer.bytes, BYTES);
        assert!(transfer.intact(), "{mode:?}: digests differ");
        let udp = udp_exchange(from, to, address, 2_000, 1_000, 20_000)?;
        assert_eq!((udp.sent, udp.received, udp.duplicates, udp.damaged), (2_000, 2_000, 0, 0));
    }
    let grown = victim.settle(&before, 2_000, 0)?;
    assert_eq!(grown, Count { arrived: grown.arrived, ..Count::default() });
    victim.stop()
}

in_modes!(
    passes_byte_for_byte:
    native_metadata = NATIVE, native_mac = NATIVE_MAC, generic_metadata = GENERIC,
    without_xdp = OFF,
);

in_modes!(
    conversations_pass:
    native = NATIVE, generic = GENERIC,
);
