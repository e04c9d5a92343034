//! Underlays of IPv6, and of both families: what starts, what it says, and which endpoint of a peer
//! is used.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    check::RECEIVE,
    host::{Host, PATIENCE, changed, logged, wait_until},
};

const IPV4: &str = "203.0.113.1:4789";
const IPV6: &str = "[2001:db8::1]:4789";

/// `CONFIG` with another endpoint of `a`, and what the interface has for an address.
fn config(endpoint: &str) -> String {
    changed("address = \"203.0.113.2\"\n", "").replace("\"203.0.113.1\"", endpoint)
}

/// Both hosts with IPv6 beside IPv4.
fn dual_stack(endpoint: &str) -> Result<Host> {
    let host = Host::new(&config(endpoint))?;
    for (ns, last) in [(&host.pair.a, 1), (&host.pair.b, 2)] {
        ns.run(&format!("ip addr add fe80::{last}/64 dev eth0 nodad"))?;
        ns.run(&format!("ip addr add 2001:db8::{last}/64 dev eth0 nodad"))?;
        // Without detection too it is the kernel's worker that puts them to use.
        wait_until("local routes", || {
            let local = ns.run("ip -6 route show table local")?;
            Ok(["fe80", "2001:db8"].iter().all(|net| local.contains(&format!("{net}::{last} "))))
        })?;
    }
    Ok(host)
}

fn report(host: &Host, what: &str) -> Result<Value> {
    let out = host.vxlan(&["show", what, "--json"])?;
    ensure!(out.status.success(), "{}", out.stderr);
    Ok(serde_json::from_str(&out.stdout)?)
}

/// Which endpoint of `a` is in use, as `show` has it.
fn in_use(host: &Host) -> Result<String> {
    let peers = report(host, "peers")?;
    Ok(peers["peers"][0]["endpoint"].as_str().context("no endpoint")?.to_owned())
}

/// Until `show` and the metrics page agree on it.
fn wait_for(host: &Host, endpoint: &str) -> Result<()> {
    let labels = [("peer", "a"), ("endpoint", endpoint)];
    let in_metrics = || host.daemon.metrics().map(|page| page.total("vxlan_peer_info", &labels));
    wait_until(endpoint, || Ok(in_use(host)? == endpoint && in_metrics()? == 1.0))
        .with_context(|| host.daemon.log())
}

#[test]
fn an_underlay_of_ipv6_alone() -> Result<()> {
    let mut host = dual_stack("\"[2001:db8::1]\"")?;
    for ns in [&host.pair.a, &host.pair.b] {
        ns.run("ip -4 addr flush dev eth0")?;
    }
    let out = host.vxlan(&["check"])?;
    assert_eq!((out.status.code(), out.stderr.as_str()), (Some(0), ""));
    let file = host.daemon.config().display();
    assert_eq!(out.stdout, format!("{file}: 1 peer, 1 network; eth0 from 2001:db8::2\n{RECEIVE}"));
    let before = host.state()?;
    host.daemon.launch()?;
    logged(&host.daemon, "; from 2001:db8::2\n")?;
    assert_eq!(in_use(&host)?, IPV6);
    assert_eq!(report(&host, "networks")?["networks"][0]["mtu"], 1430);
    assert!(!host.daemon.log().contains("not reachable"), "{}", host.daemon.log());
    host.daemon.terminate()?;
    let out = host.vxlan(&["down"])?;
    assert_eq!((out.status.code(), out.stderr.as_str()), (Some(0), ""));
    host.state()?.assert_is(&before, "it");
    Ok(())
}

#[test]
fn an_underlay_of_both_families() -> Result<()> {
    let mut host = dual_stack("[\"[2001:db8::1]\", \"203.0.113.1\"]")?;
    let out = host.vxlan(&["check", "--json"])?;
    let answer: Value = serde_json::from_str(&out.stdout)?;
    assert_eq!(answer["address"], "203.0.113.2");
    assert_eq!(answer["addresses"], serde_json::json!(["203.0.113.2", "2001:db8::2"]));
    host.daemon.launch()?;
    logged(&host.daemon, "; from 203.0.113.2 and 2001:db8::2\n")?;
    let peer = &report(&host, "peers")?["peers"][0];
    assert_eq!(peer["endpoint"], IPV6);
    assert_eq!(peer["endpoints"], serde_json::json!([IPV6, IPV4]));
    let networks = report(&host, "networks")?;
    // Room for the longer headers, whichever endpoint is used.
    assert_eq!(networks["networks"][0]["mtu"], 1430);
    let addresses = serde_json::json!(["203.0.113.2", "2001:db8::2"]);
    assert_eq!(networks["underlay"]["addresses"], addresses);
    let table = host.vxlan(&["show", "networks"])?.stdout;
    let header = "underlay eth0, 203.0.113.2 and 2001:db8::2, XDP native\n";
    assert!(table.starts_with(header), "{table}");
    host.daemon.stop()
}

/// IPv6 beside an IPv4 peer changes nothing for it.
#[test]
fn an_ipv6_address_that_no_peer_needs() -> Result<()> {
    let mut host = dual_stack("\"203.0.113.1\"")?;
    host.daemon.launch()?;
    assert_eq!(in_use(&host)?, IPV4);
    assert_eq!(report(&host, "networks")?["networks"][0]["mtu"], 1450);
    host.daemon.stop()
}

/// Back to the first endpoint when its next hop answers again, which nobody but the daemon asks
/// for.
#[test]
fn the_second_endpoint_while_the_first_ones_next_hop_is_silent() -> Result<()> {
    let mut host = dual_stack("[\"[2001:db8::1]\", \"203.0.113.1\"]")?;
    // A quick verdict.
    for family in ["ipv4", "ipv6"] {
        host.ns().sysctl(&format!("net.{family}.neigh.eth0.retrans_time_ms"), "100")?;
    }
    host.daemon.launch()?;
    wait_for(&host, IPV6)?;
    host.pair.a.run("ip addr del 2001:db8::1/64 dev eth0")?;
    host.ns().run("ip neigh flush dev eth0")?;
    host.ns().output("ping -6 -c 1 -W 1 2001:db8::1")?;
    wait_for(&host, IPV4)?;
    logged(&host.daemon, &format!("packets go to its endpoint {IPV4}"))?;
    host.pair.a.run("ip addr add 2001:db8::1/64 dev eth0 nodad")?;
    wait_for(&host, IPV6)?;
    logged(&host.daemon, &format!("packets go to its endpoint {IPV6}"))?;
    host.daemon.stop()
}

#[test]
fn the_second_endpoint_while_there_is_no_route_to_the_first() -> Result<()> {
    let mut host = dual_stack("[\"[2001:db8:9::1]\", \"203.0.113.1\"]")?;
    host.daemon.launch()?;
    let first = "packets go to its endpoint 203.0.113.1:4789";
    ensure!(host.daemon.wait_for_log(first, PATIENCE), "{}", host.daemon.log());
    assert_eq!(in_use(&host)?, IPV4);
    host.pair.a.run("ip addr add 2001:db8:9::1/64 dev eth0 nodad")?;
    // The router is known by its link-local address, as routers in IPv6 are.
    host.ns().run("ip route add 2001:db8:9::/64 via fe80::1 dev eth0")?;
    wait_for(&host, "[2001:db8:9::1]:4789")?;
    host.ns().run("ip route del 2001:db8:9::/64")?;
    wait_for(&host, IPV4)?;
    host.daemon.stop()
}

#[test]
fn an_ipv6_underlay_without_a_link_local_address_is_a_warning() -> Result<()> {
    let mut host = dual_stack("[\"[2001:db8::1]\", \"203.0.113.1\"]")?;
    host.ns().run("ip addr del fe80::2/64 dev eth0")?;
    let out = host.vxlan(&["check", "--json"])?;
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    let answer: Value = serde_json::from_str(&out.stdout)?;
    let warning = "interface eth0 has no link-local IPv6 address (fe80::), so the kernel cannot \
        ask \
                   whether next hops answer: an IPv6 endpoint counts as working whenever there is \
                   a \
                   route";
    assert_eq!(answer["warnings"], serde_json::json!([warning]));
    host.daemon.launch()?;
    wait_for(&host, IPV6)?;
    host.daemon.stop()
}

/// What a start finds is said once, as a warning, with the reason for each endpoint.
#[test]
fn no_endpoint_can_be_reached() -> Result<()> {
    let mut host = dual_stack("[\"[2001:db8:9::1]\", \"198.51.100.1\"]")?;
    host.daemon.launch()?;
    for reason in
        ["no route to 2001:db8:9::1 through eth0", "no route to 198.51.100.1 through eth0"]
    {
        logged(&host.daemon, reason)?;
    }
    assert_eq!(in_use(&host)?, "[2001:db8:9::1]:4789");
    host.daemon.stop()
}
