//! Ours and a stock kernel vxlan device: every kind of traffic, started from either end.

use std::time::Duration;

use anyhow::{Result, ensure};
use vxlan_tests::{
    Wire,
    conserve::NftCounter,
    traffic::{ping_with, udp_exchange},
    two_hosts::{Family, OVERLAY, Side, TwoHosts as _},
    wait::wait_until,
};

use crate::{
    ledger::Merging,
    meter::quiet,
    world::{DEVICE, KERNEL, OURS, World},
};

const PATIENCE: Duration = Duration::from_secs(10);
const MEGABYTES_100: u64 = 100 << 20;
const WIRES: [Wire; 2] = [Wire::Default, Wire::Real];

/// Neither host has ever heard of the other: the first frame is an ARP request from `first`.
fn cold_ping(wire: Wire, first: Side) -> Result<()> {
    let world = World::new(wire, Family::V4)?;
    let before = world.rest()?;
    let arriving = NftCounter::ingress(&world.pair.b, DEVICE, "arp operation request")?;
    let leaving = NftCounter::egress(&world.pair.b, DEVICE, "arp operation request")?;
    world.ping(first, 20)?;
    let requests = (arriving.packets()?, leaving.packets()?);
    ensure!(
        requests == if first == OURS { (1, 0) } else { (0, 1) },
        "ARP requests from us and from the kernel: {requests:?}"
    );
    world.ping(first.other(), 20)?;
    let ours = world.settle(&before, &[], Merging::None)?;
    // 40 echoes and 40 answers, request and answer of ARP; a probe of an entry may come on top.
    ensure!(ours.tx() > 40 && ours.rx() > 40, "{ours:?}");
    Ok(())
}

#[test]
fn the_first_ping_comes_from_us() -> Result<()> {
    WIRES.into_iter().try_for_each(|wire| cold_ping(wire, OURS))
}

#[test]
fn the_first_ping_comes_from_the_kernel() -> Result<()> {
    WIRES.into_iter().try_for_each(|wire| cold_ping(wire, KERNEL))
}

#[test]
fn full_frames_are_answered() -> Result<()> {
    for wire in WIRES {
        let world = World::new(wire, Family::V4)?;
        let before = world.rest()?;
        for from in Side::BOTH {
            let to = from.other().overlay(world.inner);
            // 1500 less the outer headers less 28.
            let full = ping_with(world.pair.ns(from), None, to, 3, "-i 0.02 -W 2 -M do -s 1422")?;
            ensure!(full.all_answered(), "{wire:?}, from {from:?}: {}", full.output);
        }
        world.settle(&before, &[], Merging::None)?;
    }
    Ok(())
}

#[test]
fn tcp_with_gso_both_ways() -> Result<()> {
    for wire in WIRES {
        let world = World::new(wire, Family::V4)?;
        for from in Side::BOTH {
            let before = world.rest()?;
            world.transfer(from, MEGABYTES_100)?;
            let ours = world.settle(&before, &[], Merging::TCP4)?;
            // 1398 bytes of payload fit one packet.
            let packets = if from == OURS { ours.tx() } else { ours.rx() };
            ensure!(packets > MEGABYTES_100 / 1398, "{ours:?}");
        }
    }
    Ok(())
}

#[test]
fn numbered_datagrams_both_ways() -> Result<()> {
    for wire in WIRES {
        let world = World::new(wire, Family::V4)?;
        for from in Side::BOTH {
            let to = from.other();
            for size in [18, 1422] {
                let before = world.rest()?;
                let result = udp_exchange(
                    world.pair.ns(from),
                    world.pair.ns(to),
                    to.overlay(world.inner),
                    5_000,
                    size,
                    20_000,
                )?;
                let context = format!("{wire:?}, from {from:?}, {size} bytes: {result:?}");
                ensure!((result.sent, result.received) == (5_000, 5_000), context);
                ensure!((result.duplicates, result.damaged) == (0, 0), context);
                world.settle(&before, &[], Merging::None)?;
            }
        }
    }
    Ok(())
}

/// What an IPv6 host says by itself concerns its own link and does not cross: joining groups (RFC
/// 3810), looking for routers (RFC 4861) and for duplicates of an address (RFC 4862). All of it is
/// dropped, each under its reason, and counted.
#[test]
fn inner_ipv6_both_ways() -> Result<()> {
    const JOINS: &str = "ip6 daddr ff02::16";
    const FOR_ROUTERS: &str = "icmpv6 type nd-router-solicit";
    const FOR_DUPLICATES: &str = "ip6 saddr :: icmpv6 type nd-neighbor-solicit";
    for wire in WIRES {
        let world = World::half(wire, Family::V6)?;
        let (a, b) = (&world.pair.a, &world.pair.b);
        let theirs = |matching| NftCounter::output(b, DEVICE, matching);
        let (joins, routers) = (theirs(JOINS)?, theirs(FOR_ROUTERS)?);
        let duplicates = theirs(FOR_DUPLICATES)?;
        let chatter = NftCounter::egress(a, OVERLAY, "ip6 daddr ff02::/120")?;
        let own_duplicates = NftCounter::egress(a, OVERLAY, FOR_DUPLICATES)?;
        let before = quiet(|| Ok((world.read()?, chatter.packets()? + own_duplicates.packets()?)))?;
        world.add_kernel()?;
        for end in Side::BOTH {
            wait_for_addresses(&world, end)?;
        }
        let settle = |how| {
            world.settle_with(&before.0, how, |_| {
                Ok(vec![
                    ("rx inner_protocol_denied", joins.packets()? + routers.packets()?),
                    ("rx inner_source_denied", duplicates.packets()?),
                    ("tx no_route", chatter.packets()? + own_duplicates.packets()? - before.1),
                ])
            })
        };
        world.ping(OURS, 10)?;
        world.ping(KERNEL, 10)?;
        let ours = settle(Merging::None)?;
        ensure!(joins.packets()? > 0 && duplicates.packets()? > 0, "no chatter: {ours:?}");
        for from in Side::BOTH {
            world.transfer(from, MEGABYTES_100 / 4)?;
            settle(Merging::TCP6)?;
        }
    }
    Ok(())
}

/// Until the host is sure that nobody else has its address, it does not use it.
fn wait_for_addresses(world: &World, end: Side) -> Result<()> {
    let device = if end == OURS { OVERLAY } else { DEVICE };
    let ns = world.pair.ns(end);
    wait_until("the addresses are known to be unique", PATIENCE, || {
        Ok(ns.run(&format!("ip -6 addr show dev {device} tentative"))?.trim().is_empty())
    })
}
