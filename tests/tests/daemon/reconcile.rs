//! A running daemon follows what changes under it.

use std::{fs::File, os::unix::fs::OpenOptionsExt as _, process::Command};

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{cmd, traffic::ping_with};

use crate::host::{CONFIG, Host, PATIENCE, changed, logged, own_routes, wait_until};

/// Unlike a kernel vxlan device, which goes on sending what the underlay no longer takes.
#[test]
fn the_underlays_mtu() -> Result<()> {
    let (host, other) = Host::up(&changed("[[network.member]]", "mtu = 1450\n[[network.member]]"))?;
    let full = |expected: bool| -> Result<bool> {
        let from = Some([192, 168, 44, 1].into());
        let out = ping_with(host.ns(), from, [192, 168, 43, 1].into(), 1, "-s 1422 -M do -W 1")?;
        Ok(out.all_answered() == expected)
    };
    ensure!(full(true)?, "1450 bytes do not fit 1500");
    let routes = || host.ns().run("ip route show proto 143");
    ensure!(!routes()?.contains("mtu"), "{}", routes()?);
    host.ns().run("ip link set eth0 mtu 1499")?;
    // The interface has an MTU by configuration, and the routes tell what fits.
    wait_until("1450 bytes are too many", || Ok(full(false)? && routes()?.contains("mtu 1449")))?;
    ensure!(full(false)?, "1450 bytes fit 1499");
    host.ns().run("ip link set eth0 mtu 1500")?;
    wait_until("1450 bytes fit again", || {
        // The host was told that 1449 bytes are the most, and would believe that for ten minutes.
        host.ns().run("ip route flush cache")?;
        full(true)
    })?;
    host.daemon.stop()?;
    other.stop()
}

/// Both ends of a pair, as `ip` says.
fn mtus(host: &Host, ends: [&str; 2]) -> Result<[u64; 2]> {
    let mtu = |name: &str| -> Result<u64> {
        let links = host.ns().run(&format!("ip -j link show dev {name}"))?;
        let links: serde_json::Value = serde_json::from_str(&links)?;
        links[0]["mtu"].as_u64().context("an interface without MTU")
    };
    Ok([mtu(ends[0])?, mtu(ends[1])?])
}

/// An overlay interface goes with the underlay, down and up, unless the configuration gives it an
/// MTU.
#[test]
fn the_overlays_mtu() -> Result<()> {
    const FIXED: &str = r#"
[[network]]
vni = 44
interface = "fixed"
addresses = ["198.51.100.129/25"]
mtu = 1300
[[network.member]]
peer = "a"
allowed_ips = ["198.51.100.0/25"]
[[network]]
vni = 45
interface = "six.45"
addresses = ["2001:db8:45::1/64"]
[[network.member]]
peer = "a"
allowed_ips = ["2001:db8:46::/64"]
"#;
    let (host, other) = Host::up(&format!("{}{FIXED}", *CONFIG))?;
    for ns in [host.ns(), &host.pair.a] {
        ns.run("ip link set eth0 mtu 1700")?;
    }
    for (underlay, overlay, six) in
        [(1700, 1650, 1650), (1400, 1350, 1350), (1310, 1260, 1280), (1500, 1450, 1450)]
    {
        host.ns().run(&format!("ip link set eth0 mtu {underlay}"))?;
        wait_until("the overlay follows", || {
            Ok(mtus(&host, ["vxlan43", "vxport43"])? == [overlay; 2]
                && mtus(&host, ["six.45", "vxport45"])? == [six; 2])
        })?;
        assert_eq!(mtus(&host, ["fixed", "vxport44"])?, [1300; 2]);
        logged(&host.daemon, &format!("MTU of vxlan43: {overlay}, was "))?;
        // The whole of it gets through, and is what the host sends of its own accord.
        let ping = |size: u64| {
            let from = Some([192, 168, 44, 1].into());
            let options = format!("-s {} -M do -W 1", size - 28);
            ping_with(host.ns(), from, [192, 168, 43, 1].into(), 1, &options)
        };
        if underlay <= 1500 {
            wait_until("a full packet fits", || Ok(ping(overlay)?.all_answered()))?;
        }
        assert!(!ping(overlay + 1)?.all_answered(), "{}", overlay + 1);
        let shown = host.vxlan(&["show", "networks", "--json"])?.stdout;
        let shown: serde_json::Value = serde_json::from_str(&shown)?;
        assert_eq!(shown["networks"][0]["mtu"], overlay);
    }
    // IPv6 was not taken off the interface on the way.
    let addresses = host.ns().run("ip -6 addr show dev six.45")?;
    assert!(addresses.contains("2001:db8:45::1/64"), "{addresses}");
    logged(&host.daemon, "1260 bytes would fit eth0, and IPv6 needs 1280")?;
    host.daemon.stop()?;
    other.stop()
}

#[test]
fn the_underlays_carrier() -> Result<()> {
    let host = Host::launched(&CONFIG)?;
    host.pair.a.run("ip link set eth0 down")?;
    ensure!(host.daemon.wait_for_log("eth0 has no carrier", PATIENCE), "{}", host.daemon.log());
    ping_with(host.ns(), None, [192, 168, 43, 1].into(), 1, "-W 1")?;
    let labels = [("direction", "tx"), ("reason", "no_neighbour")];
    ensure!(host.daemon.metrics()?.total("vxlan_drops_total", &labels) >= 1.0, "not counted");
    host.pair.a.run("ip link set eth0 up")?;
    ensure!(host.daemon.wait_for_log("reachable via", PATIENCE), "{}", host.daemon.log());
    host.daemon.stop()
}

/// A FIFO that nobody reads stands where the next record is to be written: whoever opens it waits.
#[test]
fn whatever_changes_while_the_disk_hangs() -> Result<()> {
    let (host, other) = Host::up(&CONFIG)?;
    let next = host.daemon.run_dir().join("state.new");
    cmd::run(Command::new("mkfifo").arg(&next))?;
    // The interface that is made anew has another index, which belongs into the record.
    host.ns().run("ip link del vxlan43")?;
    wait_until("packets pass again", || Ok(host.assert_ping("after it was deleted").is_ok()))?;
    let routes = own_routes(host.ns())?;
    for _ in 0..3 {
        host.ns().run("ip route flush proto 143")?;
        wait_until("the routes are there again", || Ok(own_routes(host.ns())? == routes))?;
    }
    let json = |text: &str| -> Result<serde_json::Value> { Ok(serde_json::from_str(text)?) };
    let recorded = || -> Result<Option<u64>> {
        let record = json(&std::fs::read_to_string(host.daemon.run_dir().join("state.json"))?)?;
        Ok(record["networks"][0]["ifindex"].as_u64())
    };
    let links = json(&host.ns().run("ip -j link show dev vxlan43")?)?;
    let ifindex = links[0]["ifindex"].as_u64();
    assert_ne!(recorded()?, ifindex, "nothing was waited for");
    // What was being written goes nowhere, and the next record is a file.
    let reader = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&next)?;
    std::fs::remove_file(&next)?;
    logged(&host.daemon, "name another run directory")?;
    host.ns().run("ip route flush proto 143")?;
    wait_until("the interface is on record", || Ok(recorded()? == ifindex))?;
    drop(reader);
    host.daemon.stop()?;
    other.stop()
}
