//! A path that is narrower one way than the other: each side knows both values, exactly.

use std::time::Instant;

use anyhow::{Result, ensure};
use vxlan_tests::{
    conserve::NftCounter,
    inject::inject,
    model::flow_port,
    nat_lab::{Nat, Side},
    packet::{Eth, Icmp, Ipv4, Packet, Udp, Vxlan},
    traffic::{ping_with, tcp_transfer},
};

use crate::world::{Host, Node, PATIENCE, Setup, VNI, World};

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

/// Both ends know both values, and have lost nothing to find them but what they searched with.
fn each_way_for_itself(world: &World) -> Result<()> {
    let [a, b] = world.ends()?;
    knows(a, Node::B, TO_B, TO_A)?;
    knows(b, Node::A, TO_A, TO_B)?;
    world.no_probe_went_wrong()?;
    for (host, peer) in [(a, Node::B), (b, Node::A)] {
        let report = host.report(peer)?;
        ensure!(report["loss"]["tx"] == 0.0 && report["loss"]["rx"] == 0.0, "{report:#}");
    }
    Ok(())
}

fn tcp_passes(world: &World) -> Result<()> {
    let [a, b] = world.ends()?;
    for (from, to) in [(a, b), (b, a)] {
        let transfer = tcp_transfer(&from.ns, &to.ns, to.node.inner().into(), 4 << 20)?;
        ensure!(transfer.intact() && transfer.bytes == 4 << 20, "{transfer:?}");
    }
    Ok(())
}

/// It has been so from the start.
fn is_found(a: Nat, silently: bool) -> Result<()> {
    let setup = Setup::new(a, Nat::None)?;
    let mut holes = Vec::new();
    for (side, mtu) in [(Side::B, TO_B), (Side::A, TO_A)] {
        if silently {
            holes.push(setup.lab.narrow_silently(side, mtu)?);
        } else {
            setup.lab.narrow(side, mtu)?;
        }
    }
    let world = setup.start()?;
    world.all_up()?;
    each_way_for_itself(&world)?;
    tcp_passes(&world)?;
    for hole in &holes {
        ensure!(hole.packets()? > 0, "nothing was too long");
    }
    drop(holes);
    world.stop()
}

#[test]
fn routers_say_so() -> Result<()> {
    is_found(Nat::None, false)
}

#[test]
fn routers_say_so_through_nat() -> Result<()> {
    is_found(Nat::Mapped(40_000), false)
}

#[test]
fn routers_say_nothing() -> Result<()> {
    is_found(Nat::OneToOne, true)
}

/// Data meet the narrow place first. The router's word goes for data at once, and nobody behind the
/// tunnel is told of less, which he would believe for minutes.
#[test]
fn it_becomes_narrow_under_traffic() -> Result<()> {
    let world = World::new(Nat::OneToOne, Nat::None)?;
    let [a, b] = world.ends()?;
    knows(a, Node::B, 1500, 1500)?;
    knows(b, Node::A, 1500, 1500)?;
    world.lab.narrow(Side::B, TO_B)?;
    world.lab.narrow(Side::A, TO_A)?;
    for (host, peer, outer) in [(a, Node::B, TO_B), (b, Node::A, TO_A)] {
        let deadline = Instant::now() + PATIENCE;
        while !knows_mtu(host, peer, outer)? {
            ensure!(Instant::now() < deadline, "nobody is told");
            // Too long: the first makes the router speak, a later one ours.
            ping_with(&host.ns, None, peer.inner().into(), 1, "-W 0.2 -M do -s 1422")?;
        }
    }
    each_way_for_itself(&world)?;
    tcp_passes(&world)?;
    ensure!(knows_mtu(a, Node::B, TO_B)? && knows_mtu(b, Node::A, TO_A)?);
    world.stop()
}

/// Has the host's own routing heard how wide the tunnel is? It must not have heard another number.
fn knows_mtu(host: &Host, peer: Node, outer: u32) -> Result<bool> {
    let route = host.ns.run(&format!("ip route get {}", peer.inner()))?;
    let known = route.contains(" mtu ");
    let right = route.contains(&format!(" mtu {} ", outer - 50));
    ensure!(!known || right, "{} of {}: {route}", peer.name(), host.node.name());
    Ok(right)
}

/// Anyone can say what a router would, about a packet that might be ours in everything that is
/// quoted. It makes the sender look, again and again, and that is all.
#[test]
fn nobody_makes_it_narrow_by_saying_so() -> Result<()> {
    let world = World::new(Nat::None, Nat::None)?;
    let [a, b] = world.ends()?;
    knows(a, Node::B, 1500, 1500)?;
    knows(b, Node::A, 1500, 1500)?;
    let (own, public) = (world.lab.a.own(), world.lab.b.public());
    let (from, to) = (Node::A.inner(), Node::B.inner());
    let quoted = |length: u16| {
        let inner = Packet::new()
            .with(Eth::new([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]))
            .with(Ipv4::new(from, to))
            .with(Udp::new(7000, 7001))
            .payload(&vec![0; usize::from(length) - 78]);
        let port = flow_port(&inner.build()).unwrap_or_default();
        Packet::new()
            .with(Ipv4::new(own, public))
            .with(Udp::vxlan(port))
            .with(Vxlan::new(VNI))
            .carrying(inner)
            .build()
    };
    let ethernet = Eth::new(a.ns.mac("eth0")?, world.lab.a.router.mac("lan")?);
    let message = |mtu: u16, quoted: &[u8]| {
        let [high, low] = mtu.to_be_bytes();
        let body = [&[0, 0, high, low], quoted].concat();
        let stranger = Ipv4::new([203, 0, 113, 77], own);
        Packet::new().with(ethernet.clone()).with(stranger).with(Icmp::new(3, 4, body)).build()
    };
    let whole = quoted(1500);
    let messages = [68, 576, 1280, 1400, 1499]
        .map(|mtu| [28, 36, 548].map(|length| message(mtu, &whole[..length])));
    let looked = NftCounter::ingress(&world.lab.a.router, "lan", "ip length 1500 udp dport 4789")?;
    let deadline = Instant::now() + PATIENCE;
    while looked.packets()? < 3 {
        ensure!(Instant::now() < deadline, "the size in use was not looked at again");
        inject(&world.lab.a.router, "lan", messages.as_flattened(), 15)?;
        knows(a, Node::B, 1500, 1500)?;
    }
    ensure!(!a.ns.run(&format!("ip route get {to}"))?.contains(" mtu "), "the host was told");
    tcp_passes(&world)?;
    knows(a, Node::B, 1500, 1500)?;
    let log = a.daemon.log();
    ensure!(!log.contains("had to drop a packet"), "{log}");
    world.stop()
}

/// A black hole opens: the next confirmation, one in a minute, falls into it.
#[test]
fn it_becomes_narrow_and_nobody_says_so() -> Result<()> {
    let world = World::new(Nat::None, Nat::None)?;
    let [a, b] = world.ends()?;
    knows(a, Node::B, 1500, 1500)?;
    knows(b, Node::A, 1500, 1500)?;
    let holes =
        [world.lab.narrow_silently(Side::B, TO_B)?, world.lab.narrow_silently(Side::A, TO_A)?];
    each_way_for_itself(&world)?;
    tcp_passes(&world)?;
    drop(holes);
    world.stop()
}
