//! A running daemon follows what changes under it.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use vxlan_tests::{daemon::Daemon, traffic::ping_with};

use crate::host::{CONFIG, CONFIG_A, Host, PATIENCE, wait_until};

/// Unlike a kernel vxlan device, which goes on sending what the underlay no longer takes.
#[test]
fn the_underlays_mtu() -> Result<()> {
    let mut host = Host::new(CONFIG)?;
    let other = Daemon::start(&host.pair.a, &host.pair.run, "a", CONFIG_A)?;
    host.daemon.launch()?;
    let full = |expected: bool| -> Result<bool> {
        let from = Some([192, 168, 44, 1].into());
        let out = ping_with(host.ns(), from, [192, 168, 43, 1].into(), 1, "-s 1422 -M do -W 1")?;
        Ok(out.all_answered() == expected)
    };
    ensure!(full(true)?, "1450 bytes do not fit 1500");
    let too_big = || -> Result<f64> {
        let labels = [("direction", "tx"), ("reason", "mtu_exceeded")];
        Ok(host.daemon.metrics()?.total("vxlan_drops_total", &labels))
    };
    assert_eq!(too_big()?, 0.0);
    host.ns().run("ip link set eth0 mtu 1499")?;
    wait_until("1450 bytes are too many", || Ok(full(false)? && too_big()? >= 1.0))?;
    ensure!(full(false)?, "1450 bytes fit 1499");
    host.ns().run("ip link set eth0 mtu 1500")?;
    wait_until("1450 bytes fit again", || full(true))?;
    host.daemon.stop()?;
    other.stop()
}

#[test]
fn the_underlays_carrier() -> Result<()> {
    let mut host = Host::new(CONFIG)?;
    host.daemon.launch()?;
    host.pair.a.run("ip link set eth0 down")?;
    ensure!(host.daemon.wait_for_log("eth0 has no carrier", PATIENCE), "{}", host.daemon.log());
    ping_with(host.ns(), None, [192, 168, 43, 1].into(), 1, "-W 1")?;
    let labels = [("direction", "tx"), ("reason", "no_neighbour")];
    ensure!(host.daemon.metrics()?.total("vxlan_drops_total", &labels) >= 1.0, "not counted");
    host.pair.a.run("ip link set eth0 up")?;
    ensure!(host.daemon.wait_for_log("now by way of", PATIENCE), "{}", host.daemon.log());
    host.daemon.stop()
}

#[test]
fn the_underlays_end() -> Result<()> {
    let mut host = Host::new(CONFIG)?;
    host.daemon.launch()?;
    host.ns().run("ip link delete eth0")?;
    let said = "the underlay interface eth0 is gone";
    ensure!(host.daemon.wait_for_log(said, PATIENCE), "{}", host.daemon.log());
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = host.daemon.exited()? {
            break status;
        }
        ensure!(Instant::now() < deadline, "the daemon goes on");
        thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(status.code(), Some(2));
    let out = host.vxlan(&["down"])?;
    assert_eq!(out.status.code(), Some(0), "{}", out.stderr);
    assert!(!host.ns().has_interface("vxlan43")?);
    Ok(())
}
