//! Captures on the receiving host while traffic flows. A capture holds a clone of every frame, and
//! a frame that has one is copied before it is written to; what `decap` tagged it with must
//! survive.

use std::time::Duration;

use anyhow::{Result, ensure};
use vxlan_tests::{
    Wire,
    packet::fields,
    sniff::{Captured, Sniffer},
    traffic::udp_exchange,
    two_hosts::{Family, OVERLAY, VNI},
};

use crate::{
    ledger::Merging,
    world::{KERNEL, OURS, World},
};

const PATIENCE: Duration = Duration::from_secs(10);

/// Is the frame one that `decap` has passed on?
fn is_inner(frame: &[u8]) -> bool {
    !fields(frame).iter().any(|field| field.name.starts_with("outer"))
}

/// `tag` is how the frame is tagged between the programs.
fn nothing_is_lost(wire: Wire, tag: &str) -> Result<()> {
    let world = World::with(wire, Family::V4, &format!("tag = \"{tag}\""))?;
    let underlay = Sniffer::start(&world.pair.a, "eth0", is_inner)?;
    let overlay = Sniffer::start(&world.pair.a, OVERLAY, is_inner)?;
    let before = world.rest()?;
    ensure!((underlay.count(), overlay.count()) == (0, 0), "frames before there was traffic");
    world.ping(KERNEL, 20)?;
    let to = OURS.overlay(world.inner);
    let udp = udp_exchange(&world.pair.b, &world.pair.a, to, 5_000, 1_000, 20_000)?;
    ensure!((udp.sent, udp.received, udp.damaged) == (5_000, 5_000, 0), "{udp:?}");
    world.transfer(KERNEL, 20 << 20)?;
    world.transfer(OURS, 20 << 20)?;
    let ours = world.settle(&before, &[], Merging::TCP4)?;
    let delivered = ours.networks.get(&VNI).map_or(0, |network| network.delivered) as usize;
    for (name, sniffer) in [("underlay", &underlay), ("overlay", &overlay)] {
        sniffer.wait_until(PATIENCE, |frames| frames.len() >= delivered);
        ensure!(sniffer.count() == delivered, "{name}: {} of {delivered}", sniffer.count());
    }
    let (underlay, overlay) = (underlay.finish()?, overlay.finish()?);
    ensure!((underlay.lost, overlay.lost) == (0, 0), "the captures themselves were too slow");
    // The same frames, from behind the Ethernet header, where a secret MAC may be. Sorted: between
    // the two lies each CPU's own queue.
    let bodies = |frames: &[Captured]| -> Vec<Vec<u8>> {
        let bodies = frames.iter().map(|captured| captured.frame[14..].to_vec());
        let mut bodies: Vec<_> = bodies.collect();
        bodies.sort_unstable();
        bodies
    };
    ensure!(bodies(&underlay.frames) == bodies(&overlay.frames), "the two captures differ");
    ensure!(overlay.frames.iter().all(|captured| !captured.outgoing), "sent, and not received");
    Ok(())
}

#[test]
fn captures_lose_nothing_with_tags_in_metadata() -> Result<()> {
    nothing_is_lost(Wire::Default, "metadata")?;
    nothing_is_lost(Wire::Real, "metadata")
}

#[test]
fn captures_lose_nothing_with_tags_in_the_mac_address() -> Result<()> {
    nothing_is_lost(Wire::Real, "mac")
}
