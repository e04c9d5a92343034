//! A path that is cut, in one direction or in both: told apart without a clock in common, by what
//! each side says that it has sent and has seen.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vxlan_tests::{nat_lab::Nat, traffic::udp_exchange};

use crate::world::{INTERVAL, Node, Setup, World, Wrong, says};

const DATAGRAMS: u64 = 100;

fn down(world: &World, node: Node, peer: Node) -> Result<bool> {
    let metrics = world.host(node)?.metrics()?;
    Ok(metrics.get("vxlan_peer_up", &[("peer", peer.name())]) == 0.0)
}

/// The numbers of the sentence "we sent N, b saw M, the latest of them the K."
fn sent_and_saw(report: &Value) -> Result<[u64; 3]> {
    let mut sentences =
        report["evidence"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let sentence = sentences.find(|text| text.contains("we sent"));
    let sentence = sentence.with_context(|| format!("nothing of what was sent: {report:#}"))?;
    let words = sentence.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
    let numbers: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>()?;
    <[u64; 3]>::try_from(numbers).ok().with_context(|| format!("not three numbers: {sentence}"))
}

/// Data from one to the other: lost on the way, or there, to the packet.
fn data(world: &World, from: Node, to: Node, lost: bool) -> Result<()> {
    let before = world.read()?;
    let (sender, receiver) = (world.host(from)?, world.host(to)?);
    let udp = udp_exchange(&sender.ns, &receiver.ns, to.inner().into(), DATAGRAMS, 200, 5_000)?;
    let wanted = if lost { 0 } else { DATAGRAMS };
    ensure!((udp.sent, udp.received) == (DATAGRAMS, wanted), "{udp:?}");
    let [left, right] = world.added(&before, [from, to])?;
    let (tx, rx) = (left.of(to).tx, right.of(from).rx);
    ensure!(tx >= DATAGRAMS && rx == if lost { 0 } else { tx }, "{left:?} {right:?}");
    ensure!(left.drops.is_empty() && right.drops.is_empty(), "{left:?} {right:?}");
    Ok(())
}

#[test]
fn one_direction() -> Result<()> {
    let world = World::new(Nat::None, Nat::OneToOne)?;
    world.traffic_passes(Node::A, Node::B)?;
    let [a, b] = world.ends()?;
    let lost = world.lab.block("a", "b")?;

    let report =
        a.verdict(Node::B, "one_way", &["requests to b in", "none was answered, but", "we sent"])?;
    let [sent, saw, latest] = sent_and_saw(&report)?;
    ensure!(sent >= saw + 3 && latest <= sent && saw > 0, "{report:#}");
    // It lives, as it is heard.
    ensure!(report["liveness"]["up"] == true && !down(&world, Node::A, Node::B)?, "{report:#}");
    let report =
        b.verdict(Node::A, "blocked", &["requests to a in", "and nothing came from it"])?;
    ensure!(report["liveness"]["up"] == false && down(&world, Node::B, Node::A)?, "{report:#}");

    let before = lost.packets()?;
    data(&world, Node::A, Node::B, true)?;
    ensure!(lost.packets()? >= before + DATAGRAMS);
    data(&world, Node::B, Node::A, false)?;
    // What is lost is counted as lost, by the one who knows.
    let before = world.wrong.borrow().get(&(Node::A, Node::B)).copied().unwrap_or_default();
    a.wait(Node::B, "three more lost", |report| {
        report["probes"]["lost"].as_f64() >= Some(before.lost + 3.0)
    })?;
    ensure!(Wrong::read(a, Node::B)?.lost >= before.lost + 3.0);

    drop(lost);
    for (host, peer) in [(a, Node::B), (b, Node::A)] {
        host.verdict(peer, "one_to_one", &[])?;
    }
    world.all_up()?;
    world.traffic_passes(Node::A, Node::B)?;
    world.stop()
}

/// The same before the two have ever spoken: `a` has no recording of `b` to believe, and yet hears
/// it.
#[test]
fn one_direction_from_the_start() -> Result<()> {
    let setup = Setup::new(Nat::None, Nat::None)?;
    let lost = setup.lab.block("a", "b")?;
    let world = setup.start()?;
    let [a, b] = world.ends()?;
    let report =
        a.verdict(Node::B, "one_way", &["none was answered, but", "of its requests came"])?;
    ensure!(says(&report, "bring the token that our replies offer"), "{report:#}");
    ensure!(says(&report, ", b saw 0"), "{report:#}");
    let report = b.verdict(Node::A, "blocked", &["and nothing came from it"])?;
    ensure!(report["liveness"]["up"] == false, "{report:#}");
    ensure!(lost.packets()? > 0);
    drop(lost);
    world.all_up()?;
    for (host, peer) in [(a, Node::B), (b, Node::A)] {
        host.verdict(peer, "none", &[])?;
    }
    world.traffic_passes(Node::A, Node::B)?;
    world.stop()
}

#[test]
fn both_directions() -> Result<()> {
    let world = World::new(Nat::None, Nat::None)?;
    world.traffic_passes(Node::A, Node::B)?;
    let [a, b] = world.ends()?;
    let lost = [world.lab.block("a", "b")?, world.lab.block("b", "a")?];
    for (host, peer) in [(a, Node::B), (b, Node::A)] {
        let report =
            host.verdict(peer, "blocked", &["none was answered, and nothing came from it"])?;
        ensure!(report["liveness"]["up"] == false && down(&world, host.node, peer)?, "{report:#}");
        let seen = report["liveness"]["last_seen"].as_f64().context("it has been seen")?;
        ensure!(seen >= INTERVAL.as_secs_f64() * 2.0, "{report:#}");
    }
    data(&world, Node::A, Node::B, true)?;
    data(&world, Node::B, Node::A, true)?;
    drop(lost);
    for (host, peer) in [(a, Node::B), (b, Node::A)] {
        host.verdict(peer, "none", &[])?;
    }
    world.all_up()?;
    world.traffic_passes(Node::A, Node::B)?;
    world.stop()
}

/// One peer's path says nothing of another's.
#[test]
fn another_peer_is_not_concerned() -> Result<()> {
    let world = Setup::new(Nat::None, Nat::None)?.with_third().start()?;
    world.all_up()?;
    let _lost = [world.lab.block("a", "b")?, world.lab.block("b", "a")?];
    let a = world.host(Node::A)?;
    a.verdict(Node::B, "blocked", &[])?;
    a.verdict(Node::Third, "none", &[])?;
    ensure!(!down(&world, Node::A, Node::Third)?);
    let third = world.wrong.borrow().get(&(Node::A, Node::Third)).copied();
    ensure!(third == Some(Wrong::read(a, Node::Third)?), "probes to the third host are lost");
    world.traffic_passes(Node::A, Node::Third)?;
    world.stop()
}
