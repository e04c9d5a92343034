//! A daemon that starts where another one has run: it adopts what is right, changes what is not,
//! and removes what is asked for no more.

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::daemon::Daemon;

use crate::host::{
    CONFIG, CONFIG_A, Host, assert_one_of_each, blackhole, changed, lab_of, own_routes, tc,
    while_all_arrive, xdp,
};

/// `CONFIG` with a second prefix of the member, and a second network.
fn larger() -> String {
    changed("[\"192.168.43.0/24\"]", "[\"192.168.43.0/24\", \"10.9.0.0/16\"]") + &lab_of("a")
}

fn restarts(end: impl Fn(&mut Daemon) -> Result<()>) -> Result<()> {
    let mut host = Host::new(&CONFIG)?;
    let other = host.start_peer()?;
    let before = host.state()?;
    host.daemon.launch()?;
    host.assert_ping("now")?;
    let index = host.ns().ifindex("vxlan43")?;
    let mac = host.ns().mac("vxlan43")?;
    let mut programs = vec![assert_one_of_each(&host, &["vxlan43"])?];
    for _ in 0..3 {
        end(&mut host.daemon)?;
        host.daemon.launch()?;
        assert_eq!(host.ns().ifindex("vxlan43")?, index);
        assert_eq!(host.ns().mac("vxlan43")?, mac);
        programs.push(assert_one_of_each(&host, &["vxlan43"])?);
        host.assert_ping("now")?;
    }
    programs.dedup();
    assert_eq!(programs.len(), 4, "each start has its own program, and it is the one attached");
    host.daemon.terminate()?;
    let out = host.vxlan(&["down"])?;
    assert_eq!(out.status.code(), Some(0), "{}", out.stderr);
    host.state()?.assert_is(&before, "all of it");
    other.stop()
}

#[test]
fn adopts_after_sigkill() -> Result<()> {
    restarts(Daemon::kill)
}

#[test]
fn adopts_after_sigterm() -> Result<()> {
    restarts(Daemon::terminate)
}

/// The state is written after the programs are attached: killed in between, a daemon leaves one
/// that does not know them. Whose the programs are is told by the pins.
#[test]
fn adopts_programs_that_the_state_does_not_know() -> Result<()> {
    let (mut host, other) = Host::up(&CONFIG)?;
    host.daemon.kill()?;
    let file = host.daemon.run_dir().join("state.json");
    let mut state: serde_json::Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    ensure!(state["underlay"]["xdp"].is_object(), "{state:#}");
    state["underlay"]["xdp"] = serde_json::Value::Null;
    std::fs::write(&file, state.to_string())?;
    host.daemon.launch()?;
    assert_one_of_each(&host, &["vxlan43"])?;
    host.assert_ping("now")?;
    host.daemon.stop()?;
    other.stop()
}

/// Programs are swapped in their links, and the old and the new one understand each other's tags.
#[test]
fn a_restart_loses_no_packet() -> Result<()> {
    let (mut host, other) = Host::up(&CONFIG)?;
    host.assert_ping("now")?;
    while_all_arrive(&mut host, 4, |host| {
        for _ in 0..3 {
            host.daemon.terminate()?;
            host.daemon.launch()?;
        }
        Ok(())
    })?;
    host.daemon.stop()?;
    other.stop()
}

#[test]
fn a_smaller_configuration_removes_what_it_no_longer_has() -> Result<()> {
    for end in [Daemon::kill, Daemon::terminate] {
        let (mut host, other) = Host::up(&larger())?;
        assert_one_of_each(&host, &["vxlan43", "lab"])?;
        let index = host.ns().ifindex("vxlan43")?;
        assert!(host.ns().run("ip route show proto 143")?.contains("10.9.0.0/16"));
        end(&mut host.daemon)?;
        host.daemon.write_config(&CONFIG)?;
        host.daemon.launch()?;
        assert_eq!(host.ns().ifindex("vxlan43")?, index);
        assert!(!host.ns().has_interface("lab")? && !host.ns().has_interface("vxport7")?);
        assert_eq!(
            own_routes(host.ns())?,
            [
                "192.168.43.0/24 dev vxlan43 scope link src 192.168.44.1".to_owned(),
                blackhole("192.168.43.0/24")
            ]
        );
        assert!(!host.state()?.mentions("link_encap_7"));
        assert_one_of_each(&host, &["vxlan43"])?;
        host.assert_ping("now")?;
        host.daemon.stop()?;
        other.stop()?;
    }
    Ok(())
}

#[test]
fn a_larger_configuration_adds() -> Result<()> {
    let (mut host, other) = Host::up(&CONFIG)?;
    let index = host.ns().ifindex("vxlan43")?;
    host.daemon.terminate()?;
    host.daemon.write_config(&larger())?;
    host.daemon.launch()?;
    assert_eq!(host.ns().ifindex("vxlan43")?, index);
    assert_one_of_each(&host, &["vxlan43", "lab"])?;
    assert!(host.ns().run("ip route show proto 143")?.contains("10.9.0.0/16"));
    host.assert_ping("now")?;
    host.daemon.stop()?;
    other.stop()
}

#[test]
fn address_and_mtu_of_an_adopted_interface_are_brought_in_line() -> Result<()> {
    let mut host = Host::launched(&CONFIG)?;
    let index = host.ns().ifindex("vxlan43")?;
    host.daemon.kill()?;
    let changed = changed("[\"192.168.44.1/24\"]", "[\"192.168.44.9/25\"]\nmtu = 1300");
    host.daemon.write_config(&changed)?;
    host.daemon.launch()?;
    assert_eq!(host.ns().ifindex("vxlan43")?, index);
    let shown = host.ns().run("ip addr show dev vxlan43")?;
    assert!(shown.contains("192.168.44.9/25") && shown.contains("mtu 1300"), "{shown}");
    assert!(!shown.contains("192.168.44.1/"), "{shown}");
    assert_eq!(
        own_routes(host.ns())?,
        [
            "192.168.43.0/24 dev vxlan43 scope link src 192.168.44.9".to_owned(),
            blackhole("192.168.43.0/24")
        ]
    );
    host.daemon.stop()
}

/// A change of the XDP mode takes the old program off.
#[test]
fn another_xdp_mode() -> Result<()> {
    let (mut host, other) = Host::up(&changed("xdp = \"auto\"", "xdp = \"generic\""))?;
    assert_eq!(xdp(host.ns(), "eth0")?.context("no XDP program")?.0, "generic");
    host.daemon.terminate()?;
    host.daemon.write_config(&changed("xdp = \"auto\"", "xdp = \"native\""))?;
    host.daemon.launch()?;
    assert_one_of_each(&host, &["vxlan43"])?;
    host.assert_ping("now")?;
    host.daemon.stop()?;
    other.stop()
}

/// The same network under another VNI, and the same VNI under another name, are ours to change.
#[test]
fn a_network_that_changes_its_vni_or_its_name() -> Result<()> {
    for (piece, by) in
        [("vni = 43", "vni = 45"), ("interface = \"vxlan43\"", "interface = \"office\"")]
    {
        let mut host = Host::new(&CONFIG)?;
        let other_config = CONFIG_A.replace(piece, by);
        let other = Daemon::start(&host.pair.a, &host.pair.run, "a", &other_config)?;
        host.daemon.launch()?;
        host.daemon.terminate()?;
        host.daemon.write_config(&changed(piece, by))?;
        host.daemon.launch()?;
        host.assert_ping("now")?;
        host.daemon.stop()?;
        let left = host.pair.b.run("ip -br link")?;
        assert!(!left.contains("vxport") && !left.contains("vxlan43"), "{left}");
        other.stop()?;
    }
    Ok(())
}

/// The programs move with the underlay.
#[test]
fn another_underlay_interface() -> Result<()> {
    let mut host = Host::new(&CONFIG)?;
    let (a, b) = (&host.pair.a, &host.pair.b);
    a.run(&format!("ip link add eth1 type veth peer name eth1 netns {}", b.name()))?;
    for (ns, address) in [(a, "198.51.100.1/24"), (b, "198.51.100.2/24")] {
        ns.run(&format!("ip addr add {address} dev eth1"))?;
        ns.run("ip link set eth1 up")?;
        ns.run("ethtool -K eth1 tx off tso off gso off gro on")?;
    }
    let moved = |config: &str| config.replace("eth0", "eth1").replace("203.0.113.", "198.51.100.");
    let other = Daemon::start(a, &host.pair.run, "a", &moved(&CONFIG_A))?;
    host.daemon.launch()?;
    host.daemon.terminate()?;
    host.daemon.write_config(&moved(&CONFIG))?;
    host.daemon.launch()?;
    assert!(xdp(host.ns(), "eth0")?.is_none() && xdp(host.ns(), "eth1")?.is_some());
    assert_eq!(tc(host.ns(), "eth0")?, [Vec::<String>::new(), vec![]]);
    assert_eq!(tc(host.ns(), "eth1")?, [vec!["deliver".to_owned()], vec![]]);
    host.assert_ping("now")?;
    host.daemon.stop()?;
    other.stop()
}
