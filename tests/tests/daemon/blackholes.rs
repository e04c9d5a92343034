//! What becomes of packets to a peer's hosts while the overlay interface is away: they are dropped,
//! unless the configuration has them follow the host's other routes.

use anyhow::{Result, ensure};
use vxlan_tests::conserve::NftCounter;

use crate::host::{CONFIG, Host, blackhole, changed};

const PINGS: u32 = 3;

/// Sends pings into a tunnel whose interface somebody has deleted while no daemon runs, beside a
/// default route. Returns how many packets left in clear, and whether the host has a blackhole.
fn without_the_interface(host: &mut Host) -> Result<(u64, bool)> {
    let clear = NftCounter::ingress(&host.pair.a, "eth0", "ip daddr 192.168.43.0/24")?;
    host.daemon.kill()?;
    host.ns().run("ip link del vxlan43")?;
    // Where a blackhole takes them, `ping` itself is refused.
    host.ns().output(&format!("ping -n -c {PINGS} -i 0.2 -W 1 192.168.43.1"))?;
    let routes = host.ns().run("ip route show proto 143")?;
    Ok((clear.packets()?, routes.contains(&blackhole("192.168.43.0/24"))))
}

#[test]
fn nothing_leaves_in_clear_unless_that_is_wanted() -> Result<()> {
    let leaks = changed("vni = 43\n", "vni = 43\nblackhole = false\n");
    let (mut host, other) = Host::up(&CONFIG)?;
    host.ns().run("ip route add default via 203.0.113.1")?;
    ensure!(without_the_interface(&mut host)? == (0, true));
    host.daemon.launch()?;
    host.assert_ping("with the interface back")?;

    // A reload takes the blackhole away, and puts it back.
    host.daemon.write_config(&leaks)?;
    let out = host.vxlan(&["reload"])?;
    ensure!(out.success(), "{}", out.stderr);
    ensure!(without_the_interface(&mut host)? == (u64::from(PINGS), false));
    host.daemon.launch()?;
    host.assert_ping("without a blackhole")?;
    host.daemon.write_config(&CONFIG)?;
    let out = host.vxlan(&["reload"])?;
    ensure!(out.success(), "{}", out.stderr);
    ensure!(without_the_interface(&mut host)? == (0, true));
    host.daemon.launch()?;
    host.daemon.stop()?;
    other.stop()
}
