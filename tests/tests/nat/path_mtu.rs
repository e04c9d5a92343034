//! A path that is narrower one way than the other: each side knows both values, exactly.

use anyhow::{Result, ensure};
use vxlan_tests::{
    nat_lab::{Nat, Side},
    traffic::tcp_transfer,
};

use crate::world::{Host, Node, World};

const TO_B: u32 = 1437;
const TO_A: u32 = 1361;

fn knows(host: &Host, peer: Node, tx: u32, rx: u32) -> Result<()> {
    host.wait(peer, &format!("tx {tx} and rx {rx}"), |report| {
        report["path_mtu"]["tx"] == tx && report["path_mtu"]["rx"] == rx
    })?;
    let metrics = host.metrics()?;
    for (direction, wanted) in [("tx", tx), ("rx", rx)] {
        let labels = [("peer", peer.name()), ("direction", direction)];
        let value = metrics.get("vxlan_path_mtu_bytes", &labels);
        ensure!(value == f64::from(wanted), "{} has {direction} {value}", host.node.name());
    }
    Ok(())
}

fn each_way_for_itself(a: Nat, silently: bool) -> Result<()> {
    let world = World::new(a, Nat::None)?;
    let [a, b] = world.ends()?;
    knows(a, Node::B, 1500, 1500)?;
    knows(b, Node::A, 1500, 1500)?;
    let holes = if silently {
        let holes = [(Side::B, TO_B), (Side::A, TO_A)];
        holes
            .map(|(side, mtu)| world.lab.narrow_silently(side, mtu))
            .into_iter()
            .collect::<Result<Vec<_>>>()?
    } else {
        world.lab.narrow(Side::B, TO_B)?;
        world.lab.narrow(Side::A, TO_A)?;
        Vec::new()
    };
    knows(a, Node::B, TO_B, TO_A)?;
    knows(b, Node::A, TO_A, TO_B)?;
    // Searching is allowed to lose what it searches with, and nothing else is lost.
    world.no_probe_went_wrong()?;
    for (host, peer) in [(a, Node::B), (b, Node::A)] {
        let report = host.report(peer)?;
        ensure!(report["loss"]["tx"] == 0.0 && report["loss"]["rx"] == 0.0, "{report:#}");
    }
    // TCP finds its way through both.
    for (from, to) in [(a, b), (b, a)] {
        let transfer = tcp_transfer(&from.ns, &to.ns, to.node.inner().into(), 4 << 20)?;
        ensure!(transfer.intact() && transfer.bytes == 4 << 20, "{transfer:?}");
    }
    drop(holes);
    world.stop()
}

#[test]
fn routers_say_so() -> Result<()> {
    each_way_for_itself(Nat::None, false)
}

#[test]
fn routers_say_so_through_nat() -> Result<()> {
    each_way_for_itself(Nat::Mapped(40_000), false)
}

#[test]
fn routers_say_nothing() -> Result<()> {
    each_way_for_itself(Nat::OneToOne, true)
}
