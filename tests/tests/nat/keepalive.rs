//! A box that forgets what is idle: the host behind it says something in time.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use vxlan_tests::{nat_lab::Nat, traffic::udp_exchange};

use crate::world::{Node, PATIENCE, Setup, World};

/// Seconds after which the box forgets.
const MEMORY: u64 = 5;

fn world(keepalive: u64) -> Result<World> {
    // Probes alone would come too late.
    let probe = format!("interval = {}\nkeepalive = {keepalive}", 60 * MEMORY);
    let setup = Setup::new(Nat::Mapped(40_000), Nat::None)?.probe(&probe);
    for key in ["nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"] {
        setup.lab.a.router.sysctl(&format!("net.netfilter.{key}"), &MEMORY.to_string())?;
    }
    let world = setup.start()?;
    world.each_answers()?;
    Ok(world)
}

fn remembers(world: &World) -> Result<bool> {
    Ok(world.lab.a.mapped_port(world.lab.a.own(), world.lab.b.public())?.is_some())
}

#[test]
fn an_idle_mapping_is_kept() -> Result<()> {
    let world = world(2)?;
    let start = Instant::now();
    // A time that is waited for: there is nothing to see but that nothing happens.
    while start.elapsed() < Duration::from_secs(4 * MEMORY) {
        ensure!(remembers(&world)?, "forgotten after {:?}", start.elapsed());
        std::thread::sleep(Duration::from_millis(200));
    }
    // It is `b` that begins to speak again.
    let [a, b] = world.ends()?;
    let udp = udp_exchange(&b.ns, &a.ns, Node::A.inner().into(), 100, 100, 5_000)?;
    ensure!((udp.sent, udp.received) == (100, 100), "{udp:?}");
    world.stop()
}

/// So that the other test can fail.
#[test]
fn without_it_the_box_forgets() -> Result<()> {
    let world = world(3_600)?;
    let deadline = Instant::now() + PATIENCE;
    while remembers(&world)? {
        ensure!(Instant::now() < deadline, "the box does not forget");
        std::thread::sleep(Duration::from_millis(200));
    }
    world.stop()
}
