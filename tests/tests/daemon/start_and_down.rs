//! What a start makes, that it outlives the daemon, and that `down` removes it to the last piece.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vxlan_tests::{
    kernel::{self, Feature},
    traffic::ping,
    two_hosts::{Family, Side, TwoHosts as _},
};

use crate::host::{Host, changed, logged, tc, xdp};

/// Two prefixes of the member, one of them IPv6, and a second network without a member of its own.
fn config() -> String {
    changed("xdp = \"auto\"", "xdp = \"native\"")
        .replace("[\"192.168.44.1/24\"]", "[\"192.168.44.1/24\", \"2001:db8:44::1/64\"]")
        .replace(
            "[\"192.168.43.0/24\"]",
            "[\"192.168.43.0/24\", \"2001:db8:43::/64\", \"10.9.0.0/16\"]",
        )
        + r#"[[network]]
vni = 7
interface = "lab"
addresses = ["10.7.0.1/24"]
mtu = 1300
[[network.member]]
peer = "a"
allowed_ips = ["10.7.0.2/32"]
"#
}

fn json(host: &Host, line: &str) -> Result<Vec<Value>> {
    let value: Value = serde_json::from_str(&host.ns().run(line)?)?;
    value.as_array().cloned().with_context(|| format!("`{line}` gave no list"))
}

/// Our routes through an interface: prefix and preferred source, in their order.
fn routes(host: &Host, family: &str, interface: &str) -> Result<Vec<(String, String)>> {
    let routes = json(host, &format!("ip {family} -j route show proto 143 dev {interface}"))?;
    let text = |route: &Value, key: &str| route[key].as_str().unwrap_or("none").to_owned();
    let mut found: Vec<_> =
        routes.iter().map(|route| (text(route, "dst"), text(route, "prefsrc"))).collect();
    found.sort();
    Ok(found)
}

/// Address and MTU of an interface, as (addresses, mtu).
fn interface(host: &Host, name: &str) -> Result<(Vec<String>, u64)> {
    let found = json(host, &format!("ip -j addr show dev {name}"))?;
    let addresses = found[0]["addr_info"].as_array().context("no addresses")?;
    let global = addresses.iter().filter(|address| address["scope"] == "global");
    let text = global.map(|address| {
        format!("{}/{}", address["local"].as_str().unwrap_or("none"), address["prefixlen"])
    });
    Ok((text.collect(), found[0]["mtu"].as_u64().context("no MTU")?))
}

fn pair(prefix: &str, source: &str) -> (String, String) {
    (prefix.to_owned(), source.to_owned())
}

#[test]
fn run_makes_what_is_declared_and_says_so() -> Result<()> {
    let host = Host::launched(&config())?;
    let (mode, id) = xdp(host.ns(), "eth0")?.context("no XDP program")?;
    assert_eq!(mode, "native");
    let hooks = if kernel::has(Feature::Tcx)? { "TCX" } else { "clsact" };
    for line in [
        format!(
            "eth0: decap in XDP (native mode, program {id}), deliver in TC ingress ({hooks}); from \
            203.0.113.2\n"
        ),
        "vxlan43: VNI 43, 192.168.44.1/24 2001:db8:44::1/64, MTU 1450, encap in TC egress, 3 \
        routes\n"
            .to_owned(),
        "lab: VNI 7, 10.7.0.1/24, MTU 1300, encap in TC egress, 1 route\n".to_owned(),
        "metrics: http://127.0.0.1:9839/metrics\n".to_owned(),
    ] {
        logged(&host.daemon, &line)?;
    }
    assert_eq!(
        interface(&host, "vxlan43")?,
        (vec!["192.168.44.1/24".to_owned(), "2001:db8:44::1/64".to_owned()], 1450)
    );
    assert_eq!(interface(&host, "lab")?, (vec!["10.7.0.1/24".to_owned()], 1300));
    assert_eq!(
        routes(&host, "-4", "vxlan43")?,
        [pair("10.9.0.0/16", "192.168.44.1"), pair("192.168.43.0/24", "192.168.44.1")]
    );
    assert_eq!(routes(&host, "-6", "vxlan43")?, [pair("2001:db8:43::/64", "2001:db8:44::1")]);
    assert_eq!(tc(host.ns(), "eth0")?, [vec!["deliver".to_owned()], vec![]]);
    for overlay in ["vxlan43", "lab"] {
        assert_eq!(tc(host.ns(), overlay)?, [vec![], vec!["encap".to_owned()]]);
    }
    host.daemon.stop()
}

/// The default MTU follows the underlay's.
#[test]
fn the_default_mtu_is_what_fits_the_underlay() -> Result<()> {
    for (underlay, overlay) in [(1460, 1410), (1280, 1230)] {
        let mut host = Host::new(&crate::host::CONFIG)?;
        host.ns().run(&format!("ip link set eth0 mtu {underlay}"))?;
        host.daemon.launch()?;
        assert_eq!(interface(&host, "vxlan43")?.1, overlay);
        host.daemon.stop()?;
    }
    Ok(())
}

/// Whoever may learn more gets the room for it, and nobody less than there always is.
#[test]
fn tables_are_as_large_as_the_configuration_needs() -> Result<()> {
    for (max_stations, mac, room) in
        [("", "", 16_384), ("max_stations = 65536", "mac = \"02:00:00:00:43:01\"\n", 65_537)]
    {
        let config = changed("vni = 43\n", &format!("vni = 43\n{max_stations}\n")) + mac;
        let host = Host::launched(&config)?;
        let capacity = |map| -> Result<f64> {
            Ok(host.daemon.metrics()?.get("vxlan_map_capacity", &[("map", map)]))
        };
        assert_eq!((capacity("fdb")?, capacity("neighbours")?), (f64::from(room), 1_024.0));
        host.daemon.stop()?;
    }
    Ok(())
}

#[test]
fn down_leaves_the_host_as_it_was() -> Result<()> {
    let mut host = Host::new(&config())?;
    // Others' things, some of them much like ours.
    for line in [
        "ip link add other type veth peer name other1",
        "ip addr add 198.51.100.1/24 dev other",
        "ip link set other alias vxlan",
        "ip link set other up",
        "ip link set other1 up",
        "ip addr add 203.0.113.200/24 dev eth0",
        "ip route add 192.0.2.0/25 via 203.0.113.1",
        "ip route add 192.0.2.128/25 via 203.0.113.1 proto 143",
        "ip route add 192.168.43.7/32 dev other proto 143",
    ] {
        host.ns().run(line)?;
    }
    // Not empty, so that it is not ours to remove.
    std::fs::write(host.daemon.run_dir().join("note"), "kept")?;
    let before = host.state()?;
    host.daemon.launch()?;
    assert!(host.state()?.mentions("vxlan43"));
    host.daemon.terminate()?;
    let out = host.vxlan(&["down"])?;
    assert_eq!((out.status.code(), out.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = out.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "removed interface vxlan43",
            "removed interface lab",
            "removed programs, maps and 4 routes"
        ]
    );
    host.state()?.assert_is(&before, "it");

    let out = host.vxlan(&["down"])?;
    assert_eq!((out.status.code(), out.stderr.as_str()), (Some(0), ""));
    assert_eq!(out.stdout, "nothing of ours was here\n");
    host.state()?.assert_is(&before, "it");
    Ok(())
}

#[test]
fn down_where_nothing_ever_ran_makes_nothing() -> Result<()> {
    let host = Host::new(&crate::host::CONFIG)?;
    std::fs::remove_dir(host.daemon.run_dir())?;
    let before = host.state()?;
    let out = host.vxlan(&["down"])?;
    assert_eq!((out.status.code(), out.stderr.as_str()), (Some(0), ""));
    assert_eq!(out.stdout, "nothing of ours was here\n");
    assert!(!host.daemon.run_dir().exists());
    host.state()?.assert_is(&before, "it");
    Ok(())
}

/// What a killed daemon has left goes as well.
#[test]
fn down_after_sigkill_leaves_the_host_as_it_was() -> Result<()> {
    let mut host = Host::new(&config())?;
    std::fs::write(host.daemon.run_dir().join("note"), "kept")?;
    let before = host.state()?;
    host.daemon.launch()?;
    host.daemon.kill()?;
    let out = host.vxlan(&["down"])?;
    assert_eq!((out.status.code(), out.stderr.as_str()), (Some(0), ""));
    host.state()?.assert_is(&before, "it");
    Ok(())
}

/// Under other names, and with an end in another namespace, they are still this program's.
#[test]
fn down_finds_what_was_renamed_or_moved() -> Result<()> {
    let mut host = Host::new(&config())?;
    std::fs::write(host.daemon.run_dir().join("note"), "kept")?;
    let elsewhere = host.pair.run.netns("elsewhere")?;
    let before = host.state()?;
    for lines in [
        ["ip link set vxlan43 name uplink0", "ip link set vxport7 name uplink1"],
        ["ip link set lab netns {elsewhere}", "ip link set vxport43 netns {elsewhere} name moved"],
    ] {
        host.daemon.launch()?;
        host.daemon.terminate()?;
        for line in lines {
            host.ns().run(&line.replace("{elsewhere}", elsewhere.name()))?;
        }
        let out = host.vxlan(&["down"])?;
        assert_eq!((out.status.code(), out.stderr.as_str()), (Some(0), ""));
        for line in ["removed interface vxlan43\n", "removed interface lab\n"] {
            assert!(out.stdout.contains(line), "{lines:?}: {}", out.stdout);
        }
        host.state()?.assert_is(&before, "it");
        assert!(!elsewhere.has_interface("lab")? && !elsewhere.has_interface("moved")?);
    }
    Ok(())
}

#[test]
fn traffic_flows_while_both_daemons_are_dead() -> Result<()> {
    let (mut host, mut other) = Host::up(&crate::host::CONFIG)?;
    other.terminate()?;
    host.daemon.kill()?;
    assert!(host.daemon.metrics().is_err(), "somebody still serves metrics");
    host.pair.ping_from_both(Family::V4, 20)?;
    // Counted all the same, and told by a daemon that comes later or by `show`.
    let out = host.vxlan(&["show", "peers", "--json"])?;
    let peers: Value = serde_json::from_str(&out.stdout)?;
    let rx = peers["peers"][0]["networks"][0]["rx"]["packets"].as_u64();
    ensure!(rx >= Some(40), "{peers:#}");
    let out = host.vxlan(&["down"])?;
    assert_eq!(out.status.code(), Some(0), "{}", out.stderr);
    let [from, to] = Side::BOTH.map(|end| end.overlay(Family::V4));
    let answers = ping(&host.pair.a, Some(from), to, 2)?;
    assert_eq!(answers.received, 0, "{}", answers.output);
    other.stop()
}
