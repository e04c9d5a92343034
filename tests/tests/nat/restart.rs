//! A daemon ends and starts again, on either side of a NAPT: data go on as if nothing were, the two
//! find each other again, and what was learned is not forgotten.

use anyhow::{Result, ensure};
use serde_json::Value;
use vxlan_tests::nat_lab::Nat;

use crate::{
    stream::Stream,
    world::{Node, World},
};

const ENDPOINT: &str = "203.0.113.10:40000";

/// How a daemon comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Told,
    Killed,
}

fn goes_on(which: Node, end: End) -> Result<()> {
    let mut world = World::new(Nat::Mapped(40_000), Nat::None)?;
    world.traffic_passes(Node::A, Node::B)?;
    let [a, b] = world.ends()?;
    let streams = [Stream::start(a, b)?, Stream::start(b, a)?];
    let other = if which == Node::A { Node::B } else { Node::A };
    let received = |world: &World| -> Result<u64> {
        Ok(world.host(other)?.report(which)?["probes"]["received"].as_u64().unwrap_or(0))
    };

    let host = world.host_mut(which)?;
    match end {
        End::Told => host.daemon.terminate()?,
        End::Killed => host.daemon.kill()?,
    }
    let before = received(&world)?;
    world.host_mut(which)?.daemon.launch()?;
    // The first thing it says.
    let first = world.host(Node::B)?.wait(Node::A, "there", Value::is_object)?;
    ensure!(first["endpoint"] == ENDPOINT && first["learned"] == true, "{first:#}");
    world.all_up()?;
    world.host(other)?.wait(which, "three probes of the new one", |report| {
        report["probes"]["received"].as_u64() >= Some(before + 3)
    })?;
    for flow in streams.map(Stream::finish) {
        let flow = flow?;
        ensure!(flow.lost() == 0 && flow.in_order(), "{which:?}, {end:?}: {} lost", flow.lost());
    }
    for node in [Node::A, Node::B] {
        let peer = if node == Node::A { Node::B } else { Node::A };
        let report = world.host(node)?.verdict(peer, "napt", &["203.0.113.10:40000"])?;
        ensure!(report["mapping_changes"] == 0, "{report:#}");
    }
    let report = world.host(Node::B)?.report(Node::A)?;
    ensure!(report["endpoint"] == ENDPOINT, "{report:#}");
    world.traffic_passes(Node::A, Node::B)?;
    world.stop()
}

#[test]
fn of_the_one_behind_the_box() -> Result<()> {
    goes_on(Node::A, End::Told)
}

#[test]
fn of_the_one_that_has_learned() -> Result<()> {
    goes_on(Node::B, End::Told)
}

#[test]
fn of_the_one_behind_the_box_by_force() -> Result<()> {
    goes_on(Node::A, End::Killed)
}

#[test]
fn of_the_one_that_has_learned_by_force() -> Result<()> {
    goes_on(Node::B, End::Killed)
}

/// The mapping changes while nobody is there to see it.
#[test]
fn what_was_learned_may_have_changed_meanwhile() -> Result<()> {
    let mut world = World::new(Nat::Mapped(40_000), Nat::None)?;
    world.host_mut(Node::B)?.daemon.terminate()?;
    world.lab.a.change_nat(Nat::Mapped(41_000))?;
    world.host_mut(Node::B)?.daemon.launch()?;
    let b = world.host(Node::B)?;
    b.wait(Node::A, "at port 41000", |report| report["endpoint"] == "203.0.113.10:41000")?;
    world.all_up()?;
    world.traffic_passes(Node::A, Node::B)?;
    world.stop()
}
