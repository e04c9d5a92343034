//! A box that puts a wrong UDP checksum where there was none: what passes it is dropped, and
//! everybody can see why.

use anyhow::{Result, ensure};
use vxlan_tests::{
    nat_lab::{Nat, Side, breaker::Spoil},
    sniff::Sniffer,
    traffic::{ping_with, udp_exchange},
};

use crate::world::{Node, World};

const DATAGRAMS: u64 = 200;

fn breaks(spoil: Spoil) -> Result<()> {
    let world = World::new(Nat::OneToOne, Nat::None)?;
    world.traffic_passes(Node::A, Node::B)?;
    world.lab.spoil_checksums(Side::A, spoil)?;
    let [a, b] = world.ends()?;

    // Probes pass, whatever their checksum, and tell.
    let leave = "probes of a leave with checksum zero and arrive with a wrong checksum here";
    b.verdict(Node::A, "checksum_breaking", &[leave])?;
    let ours = "our probes leave with checksum zero and arrive with a wrong checksum at b";
    let report = a.verdict(Node::B, "checksum_breaking", &[ours])?;
    ensure!(report["ours"]["seen"]["checksum"] == "wrong", "{report:#}");
    ensure!(report["theirs"]["seen"]["checksum"] == "zero", "{report:#}");
    ensure!(report["liveness"]["up"] == true, "probes are refused: {report:#}");

    let value = spoil.checksum(&world.lab.a);
    let spoiled = Sniffer::start(&world.lab.b.router, "lan", move |frame| {
        frame.get(40..42) == Some(&value.to_be_bytes()) && frame.get(36..38) == Some(&[0x12, 0xb5])
    })?;
    let before = world.read()?;
    let udp = udp_exchange(&a.ns, &b.ns, Node::B.inner().into(), DATAGRAMS, 500, 5_000)?;
    ensure!((udp.sent, udp.received) == (DATAGRAMS, 0), "{spoil:?}: {udp:?}");
    let [left, right] = world.added(&before, [Node::A, Node::B])?;
    let (sent, got) = (left.of(Node::B), right.of(Node::A));
    ensure!(sent.tx >= DATAGRAMS && got.rx == 0, "{left:?} {right:?}");
    ensure!(right.dropped("rx bad_checksum") == sent.tx, "{left:?} {right:?}");
    ensure!(right.drops.len() == 1 && left.drops.is_empty(), "{left:?} {right:?}");
    ensure!(got.checksum == sent.tx && got.src_address == 0, "{right:?}");
    ensure!(spoiled.count() as u64 >= sent.tx, "the box has spoiled {}", spoiled.count());
    let dropped = "data packets of a were dropped for a wrong checksum";
    b.verdict(Node::A, "checksum_breaking", &[leave, dropped])?;

    // The other way nothing is spoiled.
    let before = world.read()?;
    let udp = udp_exchange(&b.ns, &a.ns, Node::A.inner().into(), DATAGRAMS, 500, 5_000)?;
    ensure!((udp.sent, udp.received) == (DATAGRAMS, DATAGRAMS), "{spoil:?}: {udp:?}");
    let [left, right] = world.added(&before, [Node::A, Node::B])?;
    ensure!(left.of(Node::B).rx == right.of(Node::A).tx, "{left:?} {right:?}");
    ensure!(left.of(Node::B).checksum == 0, "{left:?}");
    let echo = ping_with(&b.ns, None, Node::A.inner().into(), 1, "-W 0.2")?;
    ensure!(echo.received == 0, "an answer came through: {}", echo.output);
    world.stop()
}

#[test]
fn a_checksum_of_zero_that_is_brought_up_to_date() -> Result<()> {
    breaks(Spoil::Incremental)
}

#[test]
fn a_checksum_that_is_always_the_same() -> Result<()> {
    breaks(Spoil::Constant(0x1234))
}
