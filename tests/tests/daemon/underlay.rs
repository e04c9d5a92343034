//! The underlay interface goes, comes back, is renamed or moved, and changes what it has. The
//! daemon stays, says so, and goes on with the same counters.

use std::{
    env,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use vxlan_tests::{
    Wire,
    daemon::Daemon,
    link::{End, connect, set_wire},
    traffic::ping_with,
};

use crate::{
    clsact,
    host::{CONFIG, CONFIG_A, Host, logged, tcx, wait_until, xdp},
};

/// How often the interface is deleted; `VXLAN_DELETIONS=50` is what was promised.
const DELETIONS: usize = 10;
/// Within this the daemon must have done what there is to do.
const SOON: Duration = Duration::from_secs(1);

/// `b` and its peer, both with a daemon, and traffic.
fn start() -> Result<(Host, Daemon)> {
    start_with(&CONFIG)
}

fn start_with(config: &str) -> Result<(Host, Daemon)> {
    let mut host = Host::new(config)?;
    // Ends of a pair that have the same number are to the kernel like hardware, of which it says,
    // and knows itself, up to a second later that there is carrier (net/core/link_watch.c).
    host.pair.a.run("ip link add spare type veth peer name spare2")?;
    host.pair.a.run("ip link delete spare")?;
    host.ns().run("ip link delete eth0")?;
    plug(&host)?;
    let other = host.start_peer()?;
    host.daemon.launch()?;
    host.assert_ping("before anything happens")?;
    Ok((host, other))
}

/// What the programs have counted, both directions.
fn packets(host: &Host) -> Result<f64> {
    Ok(host.daemon.metrics()?.total("vxlan_packets_total", &[]))
}

fn up(host: &Host) -> Result<bool> {
    Ok(host.daemon.metrics()?.get("vxlan_underlay_up", &[("interface", "eth0")]) == 1.0)
}

/// One program of each kind, where it belongs, and none elsewhere.
fn assert_attached(host: &Host, when: &str) -> Result<()> {
    let (mode, _) = xdp(host.ns(), "eth0")?.with_context(|| format!("{when}: no XDP program"))?;
    assert_eq!(mode, "native", "{when}");
    assert_eq!(tcx(host.ns(), "eth0")?, [vec!["deliver".to_owned()], vec![]], "{when}");
    assert_eq!(tcx(host.ns(), "vxlan43")?, [vec![], vec!["encap".to_owned()]], "{when}");
    let metrics = host.daemon.metrics()?;
    let labels = [("interface", "eth0"), ("mode", "native")];
    assert_eq!(metrics.total("vxlan_xdp_info", &labels), 1.0, "{when}");
    Ok(())
}

/// Until a packet gets from one host to the other and back.
fn until_traffic(host: &Host) -> Result<()> {
    let since = Instant::now();
    let (from, to) = (Some([192, 168, 43, 1].into()), [192, 168, 44, 1].into());
    while !ping_with(&host.pair.a, from, to, 1, "-W 0.05")?.all_answered() {
        ensure!(since.elapsed() < SOON * 10, "no packet gets through\n{}", host.daemon.log());
    }
    Ok(())
}

/// How long that takes once the hosts reach each other without us. An ARP request that gets lost
/// while the kernel brings the link up is repeated after a second, which nobody can shorten.
fn behind_the_kernel(host: &Host) -> Result<Duration> {
    let since = Instant::now();
    while !ping_with(&host.pair.a, None, host.pair.b_address, 1, "-W 0.05")?.all_answered() {
        ensure!(since.elapsed() < SOON * 10, "the hosts do not reach each other");
    }
    let since = Instant::now();
    until_traffic(host)?;
    Ok(since.elapsed())
}

/// A new cable, with everything that a host needs.
fn plug(host: &Host) -> Result<()> {
    let end = |ns, address| End { ns, interface: "eth0", address };
    let (a, b) = (&host.pair.a, &host.pair.b);
    connect(end(a, "203.0.113.1/24"), end(b, "203.0.113.2/24"), 1500, Wire::Real)
}

/// A new cable: how long it takes from the first end's birth until the programs are attached, or
/// from when the hosts reach each other by it until the tunnel works, whichever is longer.
fn replug(host: &Host) -> Result<Duration> {
    let born = Instant::now();
    plug(host)?;
    wait_until("the daemon says that it is up", || up(host))?;
    Ok(born.elapsed().max(behind_the_kernel(host)?))
}

#[test]
fn deleted_and_made_anew() -> Result<()> {
    let (host, other) = start()?;
    let mut counted = packets(&host)?;
    let times = env::var("VXLAN_DELETIONS").ok().map_or(Ok(DELETIONS), |text| text.parse())?;
    let mut slowest = Duration::ZERO;
    for time in 1..=times {
        host.ns().run("ip link delete eth0")?;
        wait_until("the daemon notices", || Ok(!up(&host)?))?;
        let metrics = host.daemon.metrics()?;
        assert_eq!(metrics.total("vxlan_xdp_info", &[]), 0.0);
        // Nobody there to send to: refused, not lost.
        let refused = |metrics: &vxlan_tests::metrics::Metrics| {
            metrics.total("vxlan_drops_total", &[("direction", "tx"), ("reason", "no_neighbour")])
        };
        let before = refused(&metrics);
        let (from, to) = (Some([192, 168, 44, 1].into()), [192, 168, 43, 1].into());
        ensure!(!ping_with(host.ns(), from, to, 1, "-W 0.01")?.all_answered());
        wait_until("what cannot be sent is counted", || {
            Ok(refused(&host.daemon.metrics()?) > before)
        })?;

        let took = replug(&host)?;
        slowest = slowest.max(took);
        assert_attached(&host, &format!("time {time}"))?;
        let now = packets(&host)?;
        ensure!(now > counted, "counters went from {counted} to {now}");
        counted = now;
    }
    eprintln!("{times} times, the slowest after {slowest:?}");
    ensure!(slowest < SOON, "attached again after {slowest:?}\n{}", host.daemon.log());
    host.assert_ping("after all of it")?;
    host.daemon.stop()?;
    other.stop()
}

/// Filters go with their interface, and the qdisc as well.
#[test]
fn deleted_and_made_anew_over_clsact() -> Result<()> {
    let (mut host, other) = start_with(&clsact::config())?;
    for _ in 0..2 {
        host.ns().run("ip link delete eth0")?;
        wait_until("the daemon notices", || Ok(!up(&host)?))?;
        let took = replug(&host)?;
        ensure!(took < SOON, "attached again after {took:?}");
        clsact::assert_one_filter_a_hook(&host)?;
    }
    host.daemon.terminate()?;
    host.daemon.down()?;
    let left = host.ns().run("tc qdisc show dev eth0")?;
    assert!(!left.contains("clsact"), "{left}");
    other.stop()
}

/// Without XDP the TC program goes the same way.
#[test]
fn deleted_and_made_anew_without_xdp() -> Result<()> {
    let (host, other) = start_with(&CONFIG.replace("xdp = \"auto\"", "xdp = \"off\""))?;
    for _ in 0..2 {
        host.ns().run("ip link delete eth0")?;
        wait_until("the daemon notices", || Ok(!up(&host)?))?;
        let took = replug(&host)?;
        ensure!(took < SOON, "attached again after {took:?}");
        assert!(xdp(host.ns(), "eth0")?.is_none());
        assert_eq!(tcx(host.ns(), "eth0")?, [vec!["decap_tc".to_owned()], vec![]]);
    }
    // Once for each device, though there was more news of it.
    let attached = host.daemon.log().matches("underlay interface eth0: attached").count();
    assert_eq!(attached, 2, "{}", host.daemon.log());
    host.daemon.stop()?;
    other.stop()
}

#[test]
fn renamed_and_back() -> Result<()> {
    let (host, other) = start()?;
    host.ns().run("ip link set eth0 name other0")?;
    wait_until("the daemon notices", || Ok(!up(&host)?))?;
    // The device lives on, without us.
    assert!(xdp(host.ns(), "other0")?.is_none());
    assert_eq!(tcx(host.ns(), "other0")?, [Vec::<String>::new(), vec![]]);
    let shown = host.vxlan(&["show", "networks"])?.stdout;
    let gone =
        "underlay interface eth0: it is gone; packets pass again when one of that name is there";
    assert!(shown.contains(gone) && shown.contains("XDP not attached"), "{shown}");
    logged(&host.daemon, gone)?;

    host.ns().run("ip link set other0 name eth0")?;
    let took = behind_the_kernel(&host)?;
    ensure!(took < SOON, "attached again after {took:?}");
    assert_attached(&host, "under its name again")?;
    host.daemon.stop()?;
    other.stop()
}

/// Another device may have the name by then: the name counts.
#[test]
fn another_device_of_that_name() -> Result<()> {
    let (host, other) = start()?;
    host.ns().run("ip link set eth0 name old0")?;
    wait_until("the daemon notices", || Ok(!up(&host)?))?;
    host.pair.a.run("ip link set eth0 name old0")?;
    for ns in [&host.pair.a, &host.pair.b] {
        ns.run("ip addr flush dev old0")?;
    }
    let took = replug(&host)?;
    ensure!(took < SOON, "attached after {took:?}");
    assert_attached(&host, "to the new device")?;
    assert!(xdp(host.ns(), "old0")?.is_none());
    host.daemon.stop()?;
    other.stop()
}

#[test]
fn moved_to_another_namespace_and_back() -> Result<()> {
    let (host, other) = start()?;
    let elsewhere = host.pair.run.netns("elsewhere")?;
    host.ns().run(&format!("ip link set eth0 netns {}", elsewhere.name()))?;
    wait_until("the daemon notices", || Ok(!up(&host)?))?;
    // The interfaces' numbers that the programs know are somebody else's there.
    assert!(xdp(&elsewhere, "eth0")?.is_none());
    assert_eq!(tcx(&elsewhere, "eth0")?, [Vec::<String>::new(), vec![]]);

    elsewhere.run(&format!("ip link set eth0 netns {}", host.ns().name()))?;
    host.ns().run("ip addr add 203.0.113.2/24 dev eth0")?;
    host.ns().run("ip link set eth0 up")?;
    set_wire(host.ns(), "eth0", Wire::Real)?;
    let took = behind_the_kernel(&host)?;
    ensure!(took < SOON, "attached again after {took:?}");
    assert_attached(&host, "back again")?;
    host.daemon.stop()?;
    other.stop()
}

/// Nothing of ours depends on it but the neighbours' tables.
#[test]
fn another_mac() -> Result<()> {
    let (host, other) = start()?;
    host.ns().run("ip link set eth0 address 02:00:00:00:00:77")?;
    // As when a host says by itself that it has another one.
    host.pair.a.run("ip neigh flush dev eth0")?;
    let took = behind_the_kernel(&host)?;
    ensure!(took < SOON, "after {took:?}");
    assert_attached(&host, "with another MAC")?;
    host.daemon.stop()?;
    other.stop()
}

#[test]
fn without_carrier_for_a_while() -> Result<()> {
    let (host, other) = start()?;
    host.pair.a.run("ip link set eth0 down")?;
    logged(&host.daemon, "eth0 has no carrier")?;
    // The interface is there all the same.
    assert!(up(&host)?);
    host.pair.a.run("ip link set eth0 up")?;
    let took = behind_the_kernel(&host)?;
    ensure!(took < SOON, "after {took:?}");
    assert_attached(&host, "with carrier again")?;
    host.daemon.stop()?;
    other.stop()
}

/// As after a DHCP lease of another address. The peer lets both in.
#[test]
fn another_address() -> Result<()> {
    let free = CONFIG.replace("address = \"203.0.113.2\"\n", "");
    let (host, other) = start_with(&free)?;
    host.ns().run("ip addr add 203.0.113.9/24 dev eth0")?;
    host.assert_ping("with a second address")?;
    host.ns().run("ip addr del 203.0.113.2/24 dev eth0")?;
    // The kernel makes the secondary one primary, or takes it off as well.
    host.ns().run("ip addr replace 203.0.113.9/24 dev eth0")?;
    logged(&host.daemon, "underlay interface eth0: packets leave from 203.0.113.9")?;
    drop(other);
    let there = CONFIG_A.replace("203.0.113.2", "203.0.113.9");
    let other = Daemon::start(&host.pair.a, &host.pair.run, "a2", &there)?;
    until_traffic(&host)?;
    let shown = host.vxlan(&["show", "networks"])?.stdout;
    assert!(shown.contains("underlay eth0, 203.0.113.9, XDP native"), "{shown}");
    assert!(up(&host)?);
    host.daemon.stop()?;
    other.stop()
}

/// An address that the configuration names is waited for.
#[test]
fn without_its_declared_address() -> Result<()> {
    let (host, other) = start()?;
    host.ns().run("ip addr replace 203.0.113.9/24 dev eth0")?;
    host.ns().run("ip addr del 203.0.113.2/24 dev eth0")?;
    logged(&host.daemon, "address = \"203.0.113.2\" is not on interface eth0, which has")?;
    wait_until("the metrics say so", || Ok(!up(&host)?))?;
    let (from, to) = (Some([192, 168, 44, 1].into()), [192, 168, 43, 1].into());
    ensure!(!ping_with(host.ns(), from, to, 1, "-W 0.1")?.all_answered());

    host.ns().run("ip addr add 203.0.113.2/24 dev eth0")?;
    let took = behind_the_kernel(&host)?;
    ensure!(took < SOON, "after {took:?}");
    wait_until("the daemon says that it is up", || up(&host))?;
    assert_attached(&host, "with its address")?;
    host.daemon.stop()?;
    other.stop()
}

/// More happens than the socket of the kernel's news has room for. What was lost is read anew.
#[test]
fn news_that_overrun_the_socket() -> Result<()> {
    let (host, other) = start()?;
    let pid = Pid::from_raw(host.daemon.pid().context("no daemon")?.cast_signed());
    kill(pid, Signal::SIGSTOP)?;
    host.ns().run("ip link delete eth0")?;
    // Each of them is news, and 212,992 bytes is all that a socket has room for by default.
    let storm: String = (0..6_000)
        .map(|n| format!("route add 10.{}.{}.0/24 dev lo\n", 64 + n / 256, n % 256))
        .collect();
    host.ns().run_with_input("ip -batch -", &storm)?;
    plug(&host)?;
    kill(pid, Signal::SIGCONT)?;
    let took = behind_the_kernel(&host)?;
    ensure!(took < SOON * 2, "after {took:?}");
    assert_attached(&host, "after the storm")?;
    assert!(up(&host)?);
    host.daemon.stop()?;
    other.stop()
}
