//! A million packets of each class that must not get in, one class at a time: not one enters an
//! overlay interface or goes up the underlay's stack, and each is counted once, for its one reason.

use std::{net::Ipv6Addr, time::Instant};

use anyhow::{Result, ensure};
use vxlan_tests::{
    conserve::{NftCounter, driver_stats},
    packet::{Arp, Eth, Icmp, Ipv4, Ipv6, Packet, Tcp, Udp, VXLAN_PORT, Vxlan, flags},
};

use crate::{
    row::{Row, assert_fate, assert_good_is_delivered},
    victim::{
        FRIEND, GENERIC, INNER_FRIEND, INNER_FRIEND_MAC, INNER_VICTIM, Mode, NATIVE, NATIVE_MAC,
        OTHER, UNLISTED, VICTIM, Victim,
    },
};

const MILLION: u64 = 1_000_000;

/// One class of frames in one receive mode.
fn nothing_gets_in(mode: Mode, class: impl Fn(&Victim) -> Row) -> Result<()> {
    let victim = Victim::new(mode)?;
    let row = class(&victim);
    assert_good_is_delivered(&victim)?;
    // Behind XDP, and behind the program that redirects: what the host's own stack gets.
    let up = NftCounter::ingress(&victim.pair.b, "eth0", "")?;
    // What the driver says that its XDP program dropped, and what it dropped itself.
    let driver = |suffix: &str| -> Result<u64> {
        let counts = driver_stats(&victim.pair.b, "eth0")?;
        Ok(counts.iter().filter(|(name, _)| name.ends_with(suffix)).map(|(_, n)| n).sum())
    };
    let before = [driver("_xdp_drops")?, driver("_drops")?];
    let start = Instant::now();
    assert_fate(&victim, &row, MILLION)?;
    println!("{mode:?}, {}: {:.2} s", row.name, start.elapsed().as_secs_f64());
    let passed = if row.fate.is_none() { MILLION } else { 0 };
    ensure!(up.packets()? == passed, "{}: {} went up the stack", row.name, up.packets()?);
    // That the wire lost none is what makes `arrived` the number of those that were looked at.
    let in_driver = if mode.xdp == "native" { MILLION - passed } else { 0 };
    let dropped = [driver("_xdp_drops")? - before[0], driver("_drops")? - before[1]];
    ensure!(dropped == [in_driver; 2], "{}: the driver dropped {dropped:?}", row.name);
    assert_good_is_delivered(&victim)?;
    victim.stop()
}

fn unlisted_source(victim: &Victim) -> Row {
    let sources = (0..=255).filter(|last| ![FRIEND[3], OTHER[3]].contains(last));
    let frame = |last| {
        let source = [UNLISTED[0], UNLISTED[1], UNLISTED[2], last];
        victim.tunnelled(source, 43, victim.inner(INNER_FRIEND, INNER_VICTIM))
    };
    let frames = sources.map(frame).collect();
    Row::refused("from addresses that are no peer's", ("unknown_source", "", "43"), frames)
}

fn foreign_inner_source(victim: &Victim) -> Row {
    // Each bit of the friend's prefix turned, the other peer's prefix, and ours.
    let turned = (8..32).map(|bit| u32::from_be_bytes(INNER_FRIEND) ^ 1 << bit);
    let others = [[192, 168, 54, 7], INNER_VICTIM, [192, 168, 43, 9], [192, 168, 53, 1], FRIEND];
    let sources = turned.chain(others.map(u32::from_be_bytes)).map(u32::to_be_bytes);
    let frame = |source| victim.tunnelled(FRIEND, 43, victim.inner(source, INNER_VICTIM));
    let frames = sources.map(frame).collect();
    let fate = ("inner_source_denied", "friend", "43");
    Row::refused("from the friend, with inner sources that are not its own", fate, frames)
}

fn unknown_vni(victim: &Victim) -> Row {
    // Every VNI that differs in one bit from one of ours, without ours.
    let near = (0..24).flat_map(|bit| [43 ^ 1 << bit, 44 ^ 1 << bit]);
    let frame = |vni| victim.tunnelled(FRIEND, vni, victim.inner(INNER_FRIEND, INNER_VICTIM));
    let frames = near.filter(|vni| ![43, 44].contains(vni)).map(frame).collect();
    Row::refused("from the friend, in no network of ours", ("unknown_vni", "friend", ""), frames)
}

fn not_a_member(victim: &Victim) -> Row {
    let inner = [
        victim.inner([192, 168, 54, 7], [192, 168, 53, 1]),
        victim.inner(INNER_FRIEND, INNER_VICTIM),
    ];
    let frames = inner.map(|inner| victim.tunnelled(FRIEND, 44, inner)).to_vec();
    let fate = ("not_a_member", "friend", "44");
    Row::refused("from the friend, in a network of which it is no member", fate, frames)
}

/// Without VXLAN, as it would look behind `decap`, to the MAC address of the overlay interface.
fn plain(victim: &Victim) -> Row {
    let to_overlay = || Packet::new().with(Eth::new(victim.overlay_mac, INNER_FRIEND_MAC));
    let ip = || Ipv4::new(INNER_FRIEND, INNER_VICTIM);
    let mut frames: Vec<_> = (1..=64)
        .flat_map(|port| {
            [
                to_overlay().with(ip()).with(Udp::new(port, port)).payload(&[0x5a; 40]),
                to_overlay().with(ip()).with(Tcp::new(port, port).flags(flags::SYN)),
                to_overlay().with(ip()).with(Icmp::echo_reply(1, port)),
            ]
        })
        .collect();
    let (mac, sender) = (INNER_FRIEND_MAC, INNER_FRIEND);
    frames.push(to_overlay().with(Arp::reply(mac, sender, victim.overlay_mac, INNER_VICTIM)));
    frames.push(to_overlay().with(Arp::request(mac, sender, INNER_VICTIM)));
    let frames = frames.into_iter().map(|frame| frame.build().to_vec()).collect();
    Row::not_ours("plain frames to the overlay's MAC address", frames)
}

/// To the two VXLAN ports, in IPv4 whole and as a first fragment; and tunnels to our own underlay.
fn nested(victim: &Victim) -> Row {
    let inside = || victim.inner(INNER_FRIEND, INNER_VICTIM);
    let ip = |destination| Ipv4::new(INNER_FRIEND, destination);
    let start = || Packet::new().with(Eth::new(victim.overlay_mac, INNER_FRIEND_MAC));
    let vxlan = |ip, port| {
        start().with(ip).with(Udp::new(50_000, port)).with(Vxlan::new(43)).carrying(inside())
    };
    let mut frames = Vec::new();
    for port in [VXLAN_PORT, 8472] {
        frames.push(vxlan(ip(INNER_VICTIM), port));
        frames.push(vxlan(ip(INNER_VICTIM).fragment(flags::MF), port));
        frames.push(vxlan(ip(VICTIM), port));
    }
    // A GRE header that says IPv4; then IPv4 and IPv6 without one.
    let gre = start().with(ip(VICTIM).protocol(Some(47))).payload(&[0, 0, 8, 0]);
    let packet = || ip(INNER_VICTIM);
    frames.push(gre.with(packet()).with(Icmp::echo_reply(1, 1)));
    frames.push(start().with(ip(VICTIM)).with(packet()).with(Icmp::echo_reply(1, 1)));
    let v6 = Ipv6::new(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
    frames.push(start().with(ip(VICTIM)).with(v6).with(Icmp::echo_reply_v6(1, 1)));
    let frames = frames.into_iter().map(|inner| victim.tunnelled(FRIEND, 43, inner)).collect();
    Row::refused("a tunnel in the friend's tunnel", ("nested_tunnel", "friend", "43"), frames)
}

macro_rules! classes {
    ($($class:ident)+) => {
        $(mod $class {
            use super::*;

            #[test]
            fn a_million_native() -> Result<()> {
                nothing_gets_in(NATIVE, super::$class)
            }

            #[test]
            fn a_million_generic() -> Result<()> {
                nothing_gets_in(GENERIC, super::$class)
            }
        })+
    };
}

classes! { unlisted_source foreign_inner_source unknown_vni not_a_member plain nested }

/// The one class that meets the program which reads the tag.
#[test]
fn a_million_plain_frames_where_the_tag_is_a_mac_address() -> Result<()> {
    nothing_gets_in(NATIVE_MAC, plain)
}
