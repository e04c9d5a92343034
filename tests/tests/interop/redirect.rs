//! UDP that XDP redirects into the hidden port: all of it arrives, in order, and what does not is
//! counted. The wire has no offloads, so that checksums are whole, as those from a network card
//! are.

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use vxlan_tests::{
    Wire,
    conserve::{NftCounter, driver_stats, quiet},
    inject::inject,
    numbered::Stream,
    packet::{Eth, Ipv4, Packet, Udp},
    sniff::Sniffer,
    traffic::udp_exchange,
    two_hosts::{Family, OVERLAY, TwoHosts as _},
};

use crate::{
    ledger::Merging,
    world::{DEVICE, KERNEL, OURS, World},
};

const HIDDEN: &str = "vxport43";
const ON: &str = "redirect = \"on\"\n";

fn world() -> Result<World> {
    World::with(Wire::Real, Family::V4, ON)
}

/// Frames that the overlay interface took from XDP.
fn redirected(world: &World) -> Result<u64> {
    let stats = driver_stats(&world.pair.a, OVERLAY)?;
    let queues = stats.iter().filter(|(name, _)| name.ends_with("_xdp_packets"));
    Ok(queues.map(|(_, count)| count).sum())
}

fn datagrams(world: &World, size: usize) -> Result<()> {
    let (a, b) = (&world.pair.a, &world.pair.b);
    let to = OURS.overlay(world.inner);
    let udp = udp_exchange(b, a, to, 5_000, size, 20_000)?;
    ensure!(
        (udp.sent, udp.received, udp.duplicates, udp.damaged) == (5_000, 5_000, 0, 0),
        "{udp:?}"
    );
    Ok(())
}

#[test]
fn datagrams_arrive_and_are_counted() -> Result<()> {
    let world = world()?;
    for size in [18, 1_422] {
        let (before, frames) = (world.rest()?, redirected(&world)?);
        datagrams(&world, size)?;
        world.settle(&before, &[], Merging::None)?;
        let frames = redirected(&world)? - frames;
        ensure!(frames >= 5_000, "{frames} of 5000 were redirected");
    }
    // TCP goes up the stack, where GRO merges it.
    let (before, frames) = (world.rest()?, redirected(&world)?);
    world.transfer(KERNEL, 20 << 20)?;
    world.settle(&before, &[], Merging::TCP4)?;
    let frames = redirected(&world)? - frames;
    ensure!(frames == 0, "{frames} frames of TCP were redirected");
    Ok(())
}

#[test]
fn a_flow_stays_in_order_through_reloads_and_restarts() -> Result<()> {
    let mut world = world()?;
    world.ping(KERNEL, 2)?;
    let before = world.rest()?;
    let ends = [KERNEL, OURS].map(|side| (world.pair.ns(side).clone(), side));
    let [from, to] = &ends;
    let address = |side: vxlan_tests::two_hosts::Side| match side.overlay(Family::V4) {
        std::net::IpAddr::V4(address) => address,
        std::net::IpAddr::V6(_) => unreachable!("it is IPv4"),
    };
    let stream = Stream::start((&from.0, address(from.1)), (&to.0, address(to.1)), 10)?;
    for _ in 0..3 {
        stream.wait_for(1_000)?;
        let reload = world.daemon.vxlan(&["reload"])?;
        ensure!(reload.success(), "{}{}", reload.stdout, reload.stderr);
        stream.wait_for(1_000)?;
        world.daemon.terminate()?;
        world.daemon.launch()?;
    }
    stream.wait_for(1_000)?;
    let tally = stream.finish()?;
    ensure!(tally.is_whole() && tally.late == 0, "{tally:?}");
    world.settle(&before, &[], Merging::None)?;
    Ok(())
}

#[test]
fn what_the_interface_does_not_take_is_counted() -> Result<()> {
    const LOST: u32 = 1_000;
    let world = world()?;
    world.ping(KERNEL, 2)?;
    let before = world.rest()?;
    let pid = Pid::from_raw(i32::try_from(world.daemon.pid().unwrap_or_default())?);
    // Else it would set the interface up again.
    kill(pid, Signal::SIGSTOP)?;
    world.pair.a.run(&format!("ip link set {OVERLAY} down"))?;
    let to = OURS.overlay(world.inner);
    let (a, b) = (&world.pair.a, &world.pair.b);
    let sent = NftCounter::egress(b, "eth0", "udp dport 4789")?;
    for _ in 0..LOST {
        b.exec(|| UdpSocket::bind("0.0.0.0:0")?.send_to(b"lost", (to, 9)))??;
    }
    ensure!(sent.packets()? >= u64::from(LOST), "{} were sent", sent.packets()?);
    kill(pid, Signal::SIGCONT)?;
    a.run(&format!("ip link set {OVERLAY} up"))?;
    let lost = quiet(|| Ok(world.daemon.metrics()?.drops()))?;
    ensure!(lost.get("rx redirect_failed").copied() == Some(LOST.into()), "{lost:?}");
    datagrams(&world, 18)?;
    world.settle(&before, &[("rx redirect_failed", LOST.into())], Merging::None)?;
    Ok(())
}

/// `decap` takes a group's MAC off a tagged frame, `arrived` puts it back.
#[test]
fn multicast_arrives_as_it_was_sent() -> Result<()> {
    let world = world()?;
    let (a, b) = (&world.pair.a, &world.pair.b);
    b.run(&format!("ip route add 239.1.1.0/24 dev {DEVICE}"))?;
    let frames = redirected(&world)?;
    let group = |frame: &[u8]| frame[..6] == [0x01, 0x00, 0x5e, 1, 1, 7];
    let sniffer = Sniffer::start(a, OVERLAY, group)?;
    b.exec(|| UdpSocket::bind("0.0.0.0:0")?.send_to(b"to a group", ("239.1.1.7", 9)))??;
    let frames_to_it = sniffer.wait_for(1, Duration::from_secs(5));
    ensure!(!frames_to_it.is_empty(), "nothing to the group's MAC address");
    ensure!(redirected(&world)? > frames, "it went up the stack");
    Ok(())
}

/// The new pair has another hidden port, and takes what is redirected there from the start.
#[test]
fn a_pair_that_is_made_anew_takes_them_too() -> Result<()> {
    let world = world()?;
    world.ping(KERNEL, 2)?;
    world.pair.a.run(&format!("ip link del {OVERLAY}"))?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.ping(KERNEL, 1).is_err() {
        ensure!(Instant::now() < deadline, "the interface is not made anew");
    }
    let frames = redirected(&world)?;
    datagrams(&world, 18)?;
    let frames = redirected(&world)? - frames;
    ensure!(frames >= 5_000, "{frames} of 5000 were redirected");
    Ok(())
}

/// Who may send past every queue gets nothing into the overlay by the hidden port either.
#[test]
fn nothing_else_enters_by_the_hidden_port() -> Result<()> {
    const COUNT: u64 = 100;
    let world = world()?;
    let a = &world.pair.a;
    let before = world.rest()?;
    let entered = NftCounter::ingress(a, OVERLAY, "udp dport 7777")?;
    let forged = Packet::new()
        .with(Eth::new(a.mac(OVERLAY)?, [2, 0, 0, 0, 0, 0x77]))
        .with(Ipv4::new([192, 168, 44, 1], [192, 168, 43, 1]))
        .with(Udp::new(7_777, 7_777))
        .payload(b"forged")
        .build();
    inject(a, HIDDEN, &[forged.to_vec()], COUNT)?;
    datagrams(&world, 18)?;
    ensure!(entered.packets()? == 0, "{} of {COUNT} have entered", entered.packets()?);
    world.settle(&before, &[], Merging::None)?;
    Ok(())
}
