//! Genuine probes whose outer source somebody on the way has changed to an address where no peer
//! can be: nobody is learned to be there.

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    inject::inject,
    nat_lab::{Nat, PROBES},
    sniff::Sniffer,
};

use crate::{
    probe_frame::{from, is_plain, is_reply, to},
    world::{Host, Node, PATIENCE, World},
};

/// What becomes of every probe, whatever it is.
fn counted(host: &Host) -> Result<f64> {
    let metrics = host.metrics()?;
    let received = host.report(Node::A)?["probes"]["received"].as_f64().context("received")?;
    let refused = metrics.total("vxlan_probes_refused_total", &[]);
    Ok(received + refused + metrics.total("vxlan_drops_total", &[("direction", "rx")]))
}

#[test]
fn a_probe_from_where_no_peer_can_be_moves_nobody() -> Result<()> {
    let world = World::new(Nat::Mapped(40_000), Nat::None)?;
    let b = world.host(Node::B)?;
    let (mac, own) = (world.lab.b.host.mac("eth0")?, world.lab.b.own());
    let endpoint = b.report(Node::A)?["endpoint"].clone();
    // Requests of `a` get no further than here.
    let caught = Sniffer::start(&world.lab.internet, "to-a", is_plain)?;
    let stopped = world.lab.lose("a", "b", PROBES)?;
    let mut used = 0;
    let mut fresh = || -> Result<Vec<u8>> {
        let requests = |frames: &[vxlan_tests::sniff::Captured]| {
            let requests = frames.iter().filter(|seen| !seen.outgoing && !is_reply(&seen.frame));
            requests.map(|seen| seen.frame.clone()).collect::<Vec<_>>()
        };
        ensure!(caught.wait_until(PATIENCE, |frames| requests(frames).len() > used));
        let all = requests(&caught.wait_for(1, PATIENCE));
        used = all.len();
        all.last().cloned().context("no request")
    };
    // One that came in before the others were stopped.
    fresh()?;
    // Its own address, that of its network and of everybody there, and what nobody has.
    for source in [
        own.octets(),
        [198, 51, 100, 128],
        [198, 51, 100, 191],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [240, 0, 0, 1],
        [255; 4],
        [0; 4],
        [0, 1, 2, 3],
    ] {
        let before = counted(b)?;
        let forged = from(&to(&fresh()?, mac, own.octets()), source, 4789);
        inject(&world.lab.b.router, "lan", &[forged], 1)?;
        b.wait(Node::A, "counted", |_| counted(b).is_ok_and(|now| now > before))?;
        let now = b.report(Node::A)?["endpoint"].clone();
        ensure!(now == endpoint, "{source:?}: {now}, was {endpoint}\n{}", b.daemon.log());
    }
    // From where a peer can be, the same is believed.
    let moved = from(&to(&fresh()?, mac, own.octets()), [192, 0, 2, 77], 4789);
    inject(&world.lab.b.router, "lan", &[moved], 1)?;
    b.wait(Node::A, "where it can be", |report| report["endpoint"] == "192.0.2.77:4789")?;
    drop(stopped);
    b.wait(Node::A, "where it is", |report| report["endpoint"] == endpoint)?;
    world.all_up()?;
    world.stop()
}
