//! The host behind a peer's address is replaced: the same address, another MAC, and nobody says so.
//! This host's kernel asks at the MAC that it knows, in vain, and then everybody: that question
//! must get to the new host, in whose name the old MAC must not be answered.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use vxlan_tests::{
    Pair, Wire,
    daemon::Daemon,
    netns::Ns,
    traffic::ping,
    two_hosts::{Family, OVERLAY, Side, Tunnel, VNI},
    wait::wait_until,
};

const PATIENCE: Duration = Duration::from_secs(30);
/// With the timers below the kernel gives an entry up within 6 s. What was learned of the old host
/// would be answered for 15 s, counted from when it was last heard.
const SOON: Duration = Duration::from_secs(11);

fn answers(ns: &Ns, family: Family) -> Result<bool> {
    let to = Side::B.overlay(family);
    Ok(ping(ns, Some(Side::A.overlay(family)), to, 1)?.all_answered())
}

fn is_found_again(family: Family, declared: bool) -> Result<()> {
    let pair = Pair::new(Wire::Real)?;
    let tunnel = Tunnel { inner: &Family::BOTH, peer: Tunnel::TO_KERNEL, ..Tunnel::default() };
    let mut config = tunnel.config(Side::A).to_string();
    if declared {
        config += "mac = \"02:00:00:00:00:b1\"\n";
    }
    let daemon = Daemon::start(&pair.a, &pair.run, "ours", &config)?;
    let protocol = if family == Family::V4 { "ipv4" } else { "ipv6" };
    let key = |name: &str| format!("net.{protocol}.neigh.{OVERLAY}.{name}");
    // The kernel draws the time from half to one and a half of this.
    pair.a.sysctl(&key("base_reachable_time_ms"), "2000")?;
    pair.a.sysctl(&key("delay_first_probe_time"), "1")?;
    pair.a.sysctl(&key("retrans_time_ms"), "300")?;
    // The one whose MAC is known.
    make(&pair.b, "02:00:00:00:00:b1")?;
    wait_until("the first host answers", PATIENCE, || answers(&pair.a, family))?;
    pair.b.run("ip link del vx0")?;
    make(&pair.b, "02:00:00:00:00:b2")?;
    let begin = Instant::now();
    wait_until("the second host answers", PATIENCE, || answers(&pair.a, family))?;
    let took = begin.elapsed();
    println!("{family:?}, declared: {declared}: after {took:?}");
    ensure!(took < SOON, "{family:?}, declared: {declared}: found after {took:?}");
    daemon.stop()
}

/// The far end's device, which says nothing of its addresses by itself.
fn make(ns: &Ns, mac: &str) -> Result<()> {
    let (own, other) = (Side::B, Side::A);
    let (local, remote) = (own.underlay(Family::V4), other.underlay(Family::V4));
    ns.run(&format!(
        "ip link add vx0 address {mac} type vxlan id {VNI} local {local} remote {remote} dstport \
         4789"
    ))?;
    for family in Family::BOTH {
        ns.run(&format!("ip addr add {} dev vx0", own.address(family)))?;
    }
    ns.run("ip link set vx0 up")?;
    for family in Family::BOTH {
        ns.run(&format!("ip route add {} dev vx0", other.prefix(family)))?;
    }
    Ok(())
}

#[test]
fn over_arp() -> Result<()> {
    is_found_again(Family::V4, false)
}

#[test]
fn over_neighbour_discovery() -> Result<()> {
    is_found_again(Family::V6, false)
}

#[test]
fn over_arp_where_the_old_mac_is_declared() -> Result<()> {
    is_found_again(Family::V4, true)
}

#[test]
fn over_neighbour_discovery_where_the_old_mac_is_declared() -> Result<()> {
    is_found_again(Family::V6, true)
}
