//! Starts that must fail: exit code 2, one exact sentence on stderr, and the host as it was.
//! `check` says the same and changes nothing either.

use std::fs;

use anyhow::{Context as _, Result};
use vxlan_tests::{Pair, daemon::Daemon};

use crate::host::{CONFIG, Host, State, changed, line_of};

/// `run`, `check` and `check --json` fail with this sentence and change nothing.
pub(crate) fn assert_refused(host: &Host, sentence: &str) -> Result<()> {
    let before = host.state()?;
    let out = host.vxlan(&["check"])?;
    assert_eq!((out.status.code(), out.stdout.as_str()), (Some(2), ""), "{}", out.stderr);
    assert_eq!(out.stderr, format!("vxlan: {sentence}\n"), "check");
    host.state()?.assert_is(&before, "check");

    let out = host.vxlan(&["check", "--json"])?;
    assert_eq!((out.status.code(), out.stderr.as_str()), (Some(2), ""), "{}", out.stdout);
    let answer: serde_json::Value = serde_json::from_str(&out.stdout)?;
    assert_eq!(answer, serde_json::json!({ "ok": false, "error": sentence }));
    host.state()?.assert_is(&before, "check --json");
    assert_run_refused(host, sentence)
}

/// `run` alone.
pub(crate) fn assert_run_refused(host: &Host, sentence: &str) -> Result<()> {
    let before = host.state()?;
    let out = host.vxlan(&["run"])?;
    assert_eq!((out.status.code(), out.stdout.as_str()), (Some(2), ""), "{}", out.stderr);
    assert_eq!(out.stderr, format!("vxlan: {sentence}\n"), "run");
    host.state()?.assert_is(&before, "the failed start");
    Ok(())
}

/// `config` is refused at the line that holds `culprit`. The same host then takes a good one.
fn at_line(
    config: &str,
    culprit: &str,
    prepare: impl Fn(&Pair) -> Result<()>,
    sentence: &str,
) -> Result<()> {
    let host = Host::new(config)?;
    prepare(&host.pair)?;
    let line = line_of(config, culprit);
    let file = host.daemon.config().display();
    assert_refused(&host, &format!("{file}:{line}: {sentence}"))
}

fn nothing(_: &Pair) -> Result<()> {
    Ok(())
}

#[test]
fn an_unknown_underlay_interface() -> Result<()> {
    at_line(
        &changed("interface = \"eth0\"", "interface = \"ens4\""),
        "ens4",
        nothing,
        "underlay.interface: interface ens4 does not exist; this host has lo, eth0; name one of \
         these instead.",
    )
}

#[test]
fn an_underlay_without_ethernet() -> Result<()> {
    at_line(
        &changed("interface = \"eth0\"", "interface = \"tun0\""),
        "tun0",
        |pair| pair.b.run("ip tuntap add dev tun0 mode tun").map(drop),
        "underlay.interface: interface tun0 has no Ethernet address (a tun device); VXLAN in XDP \
         needs an Ethernet underlay, name another interface.",
    )
}

#[test]
fn the_public_address_as_the_underlay_address() -> Result<()> {
    at_line(
        &changed("address = \"203.0.113.2\"", "address = \"198.51.100.20\""),
        "198.51.100.20",
        nothing,
        "address = \"198.51.100.20\" is not on interface eth0, which has 203.0.113.2. Behind a 1:1 \
         NAT the public address is not on the host: write address = \"203.0.113.2\" (or leave the \
         key out) and, if 198.51.100.20 is where peers send to, public_address = \
             \"198.51.100.20\".",
    )
}

#[test]
fn an_underlay_without_ipv4() -> Result<()> {
    let config = changed("address = \"203.0.113.2\"\n", "");
    at_line(
        &config,
        "endpoint",
        |pair| pair.b.run("ip addr flush dev eth0").map(drop),
        "interface eth0 has no IPv4 address to send from, which the endpoint 203.0.113.1:4789 of \
         peer \"a\" needs. Give it one, name another interface, or write an endpoint of the other \
         family.",
    )
}

/// A link-local address does not count: it reaches no other link.
#[test]
fn an_underlay_without_ipv6() -> Result<()> {
    at_line(
        &changed("\"203.0.113.1\"", "[\"203.0.113.1\", \"[2001:db8::1]:4789\"]"),
        "2001:db8::1",
        |pair| pair.b.run("ip addr add fe80::2/64 dev eth0 nodad").map(drop),
        "interface eth0 has no IPv6 address to send from, which the endpoint [2001:db8::1]:4789 of \
         peer \"a\" needs. Give it one, name another interface, or write an endpoint of the other \
         family.",
    )
}

#[test]
fn an_underlay_without_any_address_and_nobody_to_send_to() -> Result<()> {
    let config = "[node]\nname = \"b\"\n[underlay]\ninterface = \"eth0\"\n";
    at_line(
        config,
        "eth0",
        |pair| pair.b.run("ip addr flush dev eth0").map(drop),
        "interface eth0 has no address to send from. Give it one, or name another interface.",
    )
}

#[test]
fn the_public_ipv6_address_as_the_underlay_address() -> Result<()> {
    at_line(
        &changed("\"203.0.113.2\"", "[\"203.0.113.2\", \"2001:db8:ff::2\"]"),
        "2001:db8:ff::2",
        |pair| pair.b.run("ip addr add 2001:db8::2/64 dev eth0 nodad").map(drop),
        "address = \"2001:db8:ff::2\" is not on interface eth0, which has 2001:db8::2. Behind a \
        1:1 \
         NAT the public address is not on the host: write address = \"2001:db8::2\" (or leave the \
         key out) and, if 2001:db8:ff::2 is where peers send to, public_address = \
         \"2001:db8:ff::2\".",
    )
}

#[test]
fn an_overlay_mtu_that_does_not_fit() -> Result<()> {
    at_line(
        &changed("vni = 43\n", "vni = 43\nmtu = 1451\n"),
        "mtu",
        nothing,
        "mtu = 1451 does not fit: eth0 has 1500 bytes, of which the outer headers take 50. Write \
         1450 or less, or leave the key out.",
    )
}

/// Twenty bytes more, for everybody in the network.
#[test]
fn an_overlay_mtu_that_does_not_fit_a_member_over_ipv6() -> Result<()> {
    let config = changed("vni = 43\n", "vni = 43\nmtu = 1431\n")
        .replace("\"203.0.113.1\"", "[\"203.0.113.1\", \"[2001:db8::1]:4789\"]");
    at_line(
        &config,
        "mtu",
        |pair| pair.b.run("ip addr add 2001:db8::2/64 dev eth0 nodad").map(drop),
        "mtu = 1431 does not fit: eth0 has 1500 bytes, of which the outer headers take 70. Write \
         1430 or less, or leave the key out.",
    )
}

/// Any endpoint of a peer, not the first alone.
#[test]
fn a_route_that_would_lead_the_tunnel_into_itself() -> Result<()> {
    let config = changed("\"203.0.113.1\"", "[\"203.0.113.1\", \"[2001:db8::1]:4789\"]")
        .replace("[\"192.168.43.0/24\"]", "[\"192.168.43.0/24\", \"2001:db8::/32\"]");
    at_line(
        &config,
        "2001:db8::/32",
        |pair| pair.b.run("ip addr add 2001:db8::2/64 dev eth0 nodad").map(drop),
        "allowed_ips \"2001:db8::/32\" holds the endpoint 2001:db8::1 of peer \"a\": a route for \
        it \
         would lead the tunnel into itself. Write route_table = \"off\" in network 43 and route by \
         hand what shall go through it.",
    )
}

#[test]
fn a_configuration_that_is_not_there() -> Result<()> {
    let host = Host::new(&CONFIG)?;
    fs::remove_file(host.daemon.config())?;
    let out = host.vxlan(&["run"])?;
    assert_eq!(out.status.code(), Some(2), "{}", out.stderr);
    let file = host.daemon.config().display().to_string();
    assert!(out.stderr.starts_with(&format!("vxlan: {file}:")), "{}", out.stderr);
    Ok(())
}

#[test]
fn a_foreign_interface_with_the_overlays_name() -> Result<()> {
    let host = Host::new(&CONFIG)?;
    host.ns().run("ip link add vxlan43 type veth peer name other")?;
    let index = host.ns().ifindex("vxlan43")?;
    let (file, line) = (host.daemon.config().display(), line_of(&CONFIG, "\"vxlan43\""));
    assert_refused(
        &host,
        &format!(
            "{file}:{line}: network.interface: interface vxlan43 exists already and is not ours to \
             change (veth device, ifindex {index}, no alias); choose another name, or delete it \
             with `ip link delete vxlan43` if nobody needs it."
        ),
    )
}

#[test]
fn a_second_daemon_on_the_same_interface() -> Result<()> {
    let host = Host::new(&changed("xdp = \"auto\"", "xdp = \"native\""))?;
    let other = changed("9839", "9840").replace("43", "45");
    let mut first = Daemon::start(host.ns(), &host.pair.run, "first", &other)?;
    let id = crate::host::xdp(host.ns(), "eth0")?.context("no XDP program")?.1;
    let before = State::read(host.ns(), &first)?;
    let (file, line) = (host.daemon.config().display(), line_of(&CONFIG, "\"eth0\""));
    assert_refused(
        &host,
        &format!(
            "{file}:{line}: interface eth0 carries an XDP program already (id {id}), which is not \
             ours and stays. See whose it is with `bpftool prog show id {id}`; stop its owner, or \
             detach it with `ip link set dev eth0 xdp off`."
        ),
    )?;
    State::read(host.ns(), &first)?.assert_is(&before, "the second daemon");
    assert!(first.exited()?.is_none(), "the first daemon has ended:\n{}", first.log());
    first.stop()
}

#[test]
fn missing_capabilities() -> Result<()> {
    let host = Host::new(&CONFIG)?;
    let each = [
        "CAP_NET_ADMIN (for interfaces, routes and attaching programs to them)",
        "CAP_NET_RAW (for probes and for hearing ICMP)",
        "CAP_BPF (for loading programs and making maps)",
        "CAP_PERFMON (for programs that compare the addresses of packets)",
    ];
    for (dropped, missing) in [
        ("-net_admin", each[0]),
        ("-net_raw", each[1]),
        ("-sys_admin,-bpf", each[2]),
        ("-sys_admin,-perfmon", each[3]),
        ("-all", &each.join(" and ")),
    ] {
        let before = host.state()?;
        for verb in ["run", "check"] {
            let out = host.vxlan_under(&["setpriv", "--bounding-set", dropped], &[verb])?;
            assert_eq!((out.status.code(), out.stdout.as_str()), (Some(2), ""), "{dropped} {verb}");
            assert_eq!(
                out.stderr,
                format!(
                    "vxlan: missing {missing}: run as root, or give the service these \
                     capabilities\n"
                ),
                "{dropped} {verb}"
            );
        }
        host.state()?.assert_is(&before, dropped);
    }
    Ok(())
}

/// The daemon needs no more than it says that it needs.
#[test]
fn the_four_capabilities_are_enough() -> Result<()> {
    let host = Host::new(&CONFIG)?;
    let keep = "-all,+net_admin,+net_raw,+bpf,+perfmon";
    let out = host.vxlan_under(&["setpriv", "--bounding-set", keep], &["check"])?;
    assert_eq!(out.status.code(), Some(0), "{}", out.stderr);
    // Nothing but the limit on its time ends it.
    let out = host.vxlan_under(&["setpriv", "--bounding-set", keep], &["run"])?;
    assert!(out.stderr.contains("INFO ready"), "{}", out.stderr);
    assert_eq!(out.status.code(), Some(124), "{}", out.stderr);
    let out = host.vxlan_under(&["setpriv", "--bounding-set", keep], &["down"])?;
    assert_eq!(out.status.code(), Some(0), "{}", out.stderr);
    Ok(())
}

/// Two run directories and one pin directory: the second daemon would take over the first one's
/// links.
#[test]
fn the_pins_of_another_daemon() -> Result<()> {
    let mut first = Host::new(&CONFIG)?;
    first.daemon.launch()?;
    let others = first.daemon.pin_dir().to_str().context("pin dir")?.to_owned();
    let run_dir = first.daemon.run_dir().with_file_name("second");
    let run_dir = run_dir.to_str().context("run dir")?;
    let before = first.state()?;
    for verb in ["run", "check", "down"] {
        let out = first.vxlan(&["--run-dir", run_dir, "--pin-dir", &others, verb])?;
        assert_eq!(out.status.code(), Some(2), "{verb}: {out:?}");
        assert!(out.stderr.contains("--run-dir"), "{verb}: {}", out.stderr);
        first.state()?.assert_is(&before, verb);
    }
    first.daemon.stop()
}
