//! The underlay's next hop is forgotten by the kernel under traffic, as by `ip neigh flush` or
//! garbage collection, and asked for again: what waits for the answer goes where it was to go.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use vxlan_tests::numbered::Stream;

use crate::{rounds, tunnel::Tunnel};

const OVERLAY: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 168, 44, 1), Ipv4Addr::new(192, 168, 43, 1)];
const PER_MILLISECOND: u32 = 10;

/// Forgets it again and again while datagrams go through the tunnel. A packet that is just about to
/// be handed to the neighbour that goes is lost with it (`__neigh_event_send`), as plain traffic
/// is: at most one each time. Those that wait for the answer are not.
fn forget(tunnel: &mut Tunnel, killed: bool) -> Result<()> {
    let host = &mut tunnel.host;
    if killed {
        host.daemon.kill()?;
    }
    let [own, other] = OVERLAY;
    let stream = Stream::start((&host.pair.b, own), (&host.pair.a, other), PER_MILLISECOND)?;
    let times = 4 * rounds();
    for _ in 0..times {
        stream.wait_for(200)?;
        host.ns().run("ip neigh flush dev eth0")?;
        let asked = host.ns().run("ip neigh show dev vxlan43")?;
        ensure!(!asked.contains("203.0.113."), "asked for on the overlay: {asked}");
    }
    stream.wait_for(200)?;
    let tally = stream.finish()?;
    ensure!(tally.lost <= u64::from(times), "forgotten {times} times: {tally:?}");
    Ok(())
}

#[test]
fn a_next_hop_that_is_forgotten_costs_no_packet_that_waits() -> Result<()> {
    let mut tunnel = Tunnel::up()?;
    forget(&mut tunnel, false)?;
    // Nobody is there to notice.
    forget(&mut tunnel, true)?;
    tunnel.host.daemon.launch()?;
    tunnel.down()
}
