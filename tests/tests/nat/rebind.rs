//! The box forgets its mapping, or changes it, while data pass both ways. The daemon that has
//! learned the mapping finds the new one by the next probe, and by nothing else; what is lost until
//! then is counted.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use vxlan_tests::nat_lab::Nat;

use crate::{
    stream::Stream,
    world::{INTERVAL, Node, PATIENCE, World},
};

/// Long enough before and after for the silence in between to be the longest one.
const AROUND: u64 = 3;

fn moves(world: &World) -> Result<f64> {
    Ok(world.host(Node::B)?.metrics()?.get("vxlan_nat_mapping_changes_total", &[("peer", "a")]))
}

/// Waits until `b` has accepted so many more probes of `a`, which is a matter of as many intervals.
fn probes_pass(world: &World, more: u64) -> Result<()> {
    let b = world.host(Node::B)?;
    let count = |report: &serde_json::Value| report["probes"]["received"].as_u64().unwrap_or(0);
    let before = count(&b.report(Node::A)?);
    b.wait(Node::A, &format!("{more} more probes"), |report| count(report) >= before + more)?;
    Ok(())
}

/// `rebind` is done to the box under traffic. `changes`: the mapping is another one afterwards.
fn recovers(nat: Nat, rebind: impl FnOnce(&mut World) -> Result<()>, changes: bool) -> Result<()> {
    let mut world = World::new(nat, Nat::None)?;
    world.traffic_passes(Node::A, Node::B)?;
    let moved = moves(&world)?;
    let endpoint = world.host(Node::B)?.report(Node::A)?["endpoint"].clone();
    let before = world.read()?;
    let swallowed = world.lab.a.swallowed()?;
    let [a, b] = world.ends()?;
    let streams = [Stream::start(a, b)?, Stream::start(b, a)?];
    probes_pass(&world, AROUND)?;

    rebind(&mut world)?;
    probes_pass(&world, AROUND)?;
    let [there, back] = streams.map(Stream::finish);
    let (there, back) = (there?, back?);
    let [left, right] = world.added(&before, [Node::A, Node::B])?;
    let swallowed = world.lab.a.swallowed()? - swallowed;

    println!(
        "{nat:?}: silent for {:?} and {:?}; lost {} of {} and {} of {}",
        there.longest_silence(),
        back.longest_silence(),
        there.lost(),
        there.sent,
        back.lost(),
        back.sent
    );
    for (name, flow) in [("there", &there), ("back", &back)] {
        ensure!(flow.in_order(), "{nat:?}, {name}: out of order");
        let silent = flow.longest_silence().max(flow.longest_gap());
        ensure!(silent <= 2 * INTERVAL, "{nat:?}, {name}: no recovery for {silent:?}");
    }
    // What left as data has arrived, or is counted for its one reason: by the peer that did not
    // know the new mapping yet, or by the box that did not know the old one any more.
    let unknown = right.dropped("rx unknown_source");
    let (sent, got) = (left.of(Node::B).tx, right.of(Node::A).rx);
    ensure!(sent == got + unknown, "{sent} sent, {got} received, {unknown} unknown: {right:?}");
    ensure!(right.drops.keys().all(|reason| reason == "rx unknown_source"), "{right:?}");
    ensure!(there.lost() == unknown && there.sent <= sent, "{there:?} {unknown}");
    let (sent, got) = (right.of(Node::A).tx, left.of(Node::B).rx);
    ensure!(sent == got + swallowed, "{sent} sent, {got} received, {swallowed} swallowed");
    ensure!(left.drops.is_empty() && back.lost() == swallowed, "{left:?} {swallowed}");

    let report = world.host(Node::B)?.report(Node::A)?;
    ensure!(report["endpoint"] == world.endpoint_of(Node::A, Node::B)?, "{report:#}");
    ensure!((report["endpoint"] != endpoint) == changes, "{endpoint} and now {report:#}");
    ensure!((unknown > 0) == changes, "{unknown} packets came from nowhere");
    ensure!(moves(&world)? == moved + f64::from(u8::from(changes)), "{report:#}");
    if changes {
        let log = world.host(Node::B)?.daemon.log();
        let now = report["endpoint"].as_str().unwrap_or("none");
        ensure!(log.contains(now), "{now} is not in the log:\n{log}");
    }
    world.traffic_passes(Node::A, Node::B)?;
    world.stop()
}

#[test]
fn a_box_that_changes_the_port() -> Result<()> {
    let change = |world: &mut World| world.lab.a.change_nat(Nat::Mapped(41_000));
    recovers(Nat::Mapped(40_000), change, true)
}

#[test]
fn a_box_that_forgets_and_draws_another_port() -> Result<()> {
    recovers(Nat::Symmetric, |world| world.lab.a.forget(), true)
}

#[test]
fn a_box_that_forgets_and_gives_the_same_port_again() -> Result<()> {
    recovers(Nat::PortPreserving, |world| world.lab.a.forget(), false)
}

#[test]
fn a_box_that_becomes_another_kind() -> Result<()> {
    let change = |world: &mut World| world.lab.a.change_nat(Nat::Symmetric);
    recovers(Nat::PortPreserving, change, true)
}

/// Data from a new mapping never move an endpoint: without probes nothing is learned, however much
/// comes.
#[test]
fn data_alone_move_nothing() -> Result<()> {
    let mut world = World::new(Nat::Mapped(40_000), Nat::None)?;
    world.traffic_passes(Node::A, Node::B)?;
    let moved = moves(&world)?;
    let endpoint = world.host(Node::B)?.report(Node::A)?["endpoint"].clone();
    let no_probes = world.lab.lose("a", "b", vxlan_tests::nat_lab::PROBES)?;
    world.lab.a.change_nat(Nat::Mapped(41_000))?;
    // Until then an echo request of the daemon may still come from the known port.
    let before = world.read()?;
    let [a, b] = world.ends()?;
    let stream = Stream::start(a, b)?;
    // As many probes are lost as would be needed several times over.
    let deadline = Instant::now() + PATIENCE;
    while no_probes.packets()? < 5 {
        ensure!(Instant::now() < deadline, "no probes are lost");
        std::thread::sleep(Duration::from_millis(50));
    }
    let flow = stream.finish()?;
    let [left, right] = world.added(&before, [Node::A, Node::B])?;
    let unknown = right.dropped("rx unknown_source");
    ensure!(flow.arrivals.is_empty() && unknown == left.of(Node::B).tx, "{right:?}");
    ensure!(unknown >= flow.sent && right.of(Node::A).rx == 0, "{right:?}");
    let report = world.host(Node::B)?.report(Node::A)?;
    ensure!(report["endpoint"] == endpoint && moves(&world)? == moved, "{report:#}");
    drop(no_probes);
    b.wait(Node::A, "at port 41000", |report| report["endpoint"] == "203.0.113.10:41000")?;
    world.all_up()?;
    world.traffic_passes(Node::A, Node::B)?;
    world.stop()
}

/// A box that changes its mind all the time moves the endpoint no more than once in a second.
#[test]
fn an_endpoint_moves_once_in_a_second_at_most() -> Result<()> {
    let mut world = World::new(Nat::Mapped(40_000), Nat::None)?;
    let (start, moved) = (Instant::now(), moves(&world)?);
    let mut port = 40_001;
    while start.elapsed() < 6 * INTERVAL {
        world.lab.a.change_nat(Nat::Mapped(port))?;
        port += 1;
    }
    let most = start.elapsed().as_secs_f64() + 1.0;
    let times = moves(&world)? - moved;
    println!("{} mappings, {times} moves in {:?}", port - 40_001, start.elapsed());
    ensure!(times <= most && times >= 2.0, "{times} moves in {most} s");
    let wanted = format!("203.0.113.10:{}", port - 1);
    world.host(Node::B)?.wait(Node::A, &wanted, |report| report["endpoint"] == wanted)?;
    world.all_up()?;
    world.traffic_passes(Node::A, Node::B)?;
    world.stop()
}
