//! `--log trace` tells of every dropped packet; without it nothing does.

use std::time::Duration;

use anyhow::{Result, ensure};
use vxlan_common::reason::RxDrop;
use vxlan_tests::{
    inject::inject,
    packet::{Eth, Ipv4, Packet, Udp, Vxlan},
};

use crate::host::{CONFIG, Host, PATIENCE};

/// Sends three frames that are no peer's and waits until they are counted.
fn three_drops(host: &Host) -> Result<()> {
    let frame = Packet::new()
        .with(Eth::new(host.ns().mac("eth0")?, [2, 0, 0, 0, 0, 9]))
        .with(Ipv4::new([203, 0, 113, 66], [203, 0, 113, 2]))
        .with(Udp::vxlan(50_000))
        .with(Vxlan::new(43))
        .with(Eth::new([2; 6], [4; 6]))
        .build();
    inject(&host.pair.a, "eth0", &[frame], 3)?;
    let deadline = std::time::Instant::now() + PATIENCE;
    while host.daemon.metrics()?.total("vxlan_drops_total", &[("reason", "unknown_source")]) < 3.0 {
        ensure!(std::time::Instant::now() < deadline, "the frames are not counted");
    }
    Ok(())
}

fn message() -> String {
    format!("decap: dropped, reason {}", RxDrop::UnknownSource as u8)
}

#[test]
fn trace_tells_of_each_dropped_packet() -> Result<()> {
    let mut host = Host::new(CONFIG)?;
    host.daemon.launch_with(&["run", "--log", "trace"])?;
    three_drops(&host)?;
    let told = || host.daemon.log().matches(&message()).count();
    let deadline = std::time::Instant::now() + PATIENCE;
    while told() < 3 {
        ensure!(
            std::time::Instant::now() < deadline,
            "{} of 3 packets told:\n{}",
            told(),
            host.daemon.log()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(told(), 3, "{}", host.daemon.log());
    host.daemon.stop()
}

#[test]
fn debug_does_not() -> Result<()> {
    let mut host = Host::new(CONFIG)?;
    host.daemon.launch_with(&["run", "--log", "debug"])?;
    three_drops(&host)?;
    let mut daemon = host.daemon;
    // Its log is whole once it has ended.
    daemon.terminate()?;
    assert!(!daemon.log().contains("dropped"), "{}", daemon.log());
    daemon.stop()
}
