//! Obstacles that show only when a start comes to them, and `check`, which knows them beforehand.

use std::net::TcpListener;

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::daemon::Daemon;

use crate::{
    host::{CONFIG, Host, changed, limited, line_of, logged, xdp},
    refused::{assert_refused, assert_run_refused},
};

#[test]
fn a_taken_metrics_port() -> Result<()> {
    let host = Host::new(&CONFIG)?;
    let _taken = host.ns().exec(|| TcpListener::bind("127.0.0.1:9839"))??;
    let (file, line) = (host.daemon.config().display(), line_of(&CONFIG, "listen"));
    assert_refused(
        &host,
        &format!(
            "{file}:{line}: listen = \"127.0.0.1:9839\": Address already in use (os error 98). \
             Another program listens there, perhaps another `vxlan`: `ss -ltnp 'sport = :9839'` \
             names it. Write another port."
        ),
    )
}

#[test]
fn a_pin_directory_that_is_not_on_bpffs() -> Result<()> {
    let host = Host::new(&CONFIG)?;
    let elsewhere = host.pair.run.dir().join("elsewhere");
    let path = elsewhere.display().to_string();
    let before = host.state()?;
    for verb in ["run", "check"] {
        // The last of two --pin-dir would be an error: it is put in place of the daemon's own.
        let mut command = host.daemon.command(&[]);
        let arguments: Vec<_> = command
            .get_args()
            .map(|word| if word == host.daemon.pin_dir() { elsewhere.as_os_str() } else { word })
            .map(std::ffi::OsStr::to_owned)
            .collect();
        let program = command.get_program().to_owned();
        command = std::process::Command::new(program);
        command.args(arguments).arg(verb);
        let out = vxlan_tests::cmd::output(&mut limited(host.ns(), &[], &command))?;
        assert_eq!((out.status.code(), out.stdout.as_str()), (Some(2), ""), "{verb}: {out:?}");
        assert_eq!(
            out.stderr,
            format!(
                "vxlan: {path}: {} is not on a BPF file system, which pins need. Mount one: `mount \
                 -t bpf bpf /sys/fs/bpf`, or name another place with --pin-dir\n",
                host.pair.run.dir().display()
            ),
            "{verb}"
        );
        host.state()?.assert_is(&before, verb);
        assert!(!elsewhere.exists(), "{verb}");
    }
    Ok(())
}

#[test]
fn a_second_daemon_with_the_same_run_directory() -> Result<()> {
    let mut host = Host::launched(&CONFIG)?;
    let pid = host.daemon.pid().context("no process")?;
    let directory = host.daemon.run_dir().display().to_string();
    assert_run_refused(
        &host,
        &format!(
            "a daemon is running already in {directory} (process {pid}). Stop it first, for \
            example \
             with `kill {pid}`"
        ),
    )?;
    assert!(host.daemon.exited()?.is_none(), "the first one has ended:\n{}", host.daemon.log());
    host.daemon.metrics()?;
    host.daemon.stop()
}

/// A veth has native XDP up to an MTU of about 3500.
#[test]
fn native_xdp_with_an_mtu_that_is_too_large() -> Result<()> {
    let config = changed("xdp = \"auto\"", "xdp = \"native\"");
    let host = Host::new(&config)?;
    for ns in [&host.pair.a, &host.pair.b] {
        ns.run("ip link set eth0 mtu 4000")?;
    }
    let before = host.state()?;
    let out = host.vxlan(&["run"])?;
    assert_eq!(out.status.code(), Some(2), "{}", out.stderr);
    let expected = "vxlan: cannot attach decap to eth0: MTU 4000 is more than the 3506 that veth \
        takes \
                    with an XDP program: `ip link set eth0 mtu 3506`\n";
    ensure!(out.stderr.ends_with(expected), "{}", out.stderr);
    host.state()?.assert_is(&before, "the failed start");
    Ok(())
}

#[test]
fn auto_falls_back_to_tc_and_says_why() -> Result<()> {
    let mut host = Host::new(&CONFIG)?;
    for ns in [&host.pair.a, &host.pair.b] {
        ns.run("ip link set eth0 mtu 4000")?;
    }
    host.daemon.launch()?;
    // Not to generic XDP, for which the kernel would no longer merge anything that is received.
    assert_eq!(xdp(host.ns(), "eth0")?, None);
    logged(&host.daemon, "eth0: decap_tc in TC ingress")?;
    logged(
        &host.daemon,
        "eth0: no native XDP: MTU 4000 is more than the 3506 that veth takes with an XDP program: \
         `ip link set eth0 mtu 3506`\n",
    )?;
    let labels = [("interface", "eth0"), ("mode", "off")];
    assert_eq!(host.daemon.metrics()?.total("vxlan_xdp_info", &labels), 1.0);
    host.daemon.stop()
}

#[test]
fn a_foreign_interface_with_the_hidden_ports_name() -> Result<()> {
    let host = Host::new(&CONFIG)?;
    host.ns().run("ip link add vxport43 type veth peer name other")?;
    let before = host.state()?;
    for verb in ["run", "check"] {
        let out = host.vxlan(&[verb])?;
        assert_eq!((out.status.code(), out.stdout.as_str()), (Some(2), ""), "{verb}: {out:?}");
        assert!(out.stderr.contains("interface vxport43 exists already"), "{verb}: {}", out.stderr);
        host.state()?.assert_is(&before, verb);
    }
    Ok(())
}

/// A route of somebody else for a prefix that a member owns would take the traffic elsewhere.
#[test]
fn a_foreign_route_for_a_members_prefix() -> Result<()> {
    let host = Host::new(&CONFIG)?;
    host.ns().run("ip route add 192.168.43.0/24 via 203.0.113.1")?;
    let before = host.state()?;
    for verb in ["run", "check"] {
        let out = host.vxlan(&[verb])?;
        assert_eq!((out.status.code(), out.stdout.as_str()), (Some(2), ""), "{verb}: {out:?}");
        let found = "there is already a route for 192.168.43.0/24, and it is not ours";
        assert!(out.stderr.contains(found), "{verb}: {}", out.stderr);
        host.state()?.assert_is(&before, verb);
    }
    Ok(())
}

/// How a start will try to receive.
pub(crate) const RECEIVE: &str = "receive: native XDP, else TC alone\n";

/// What is fine is said to be fine, and still nothing is touched.
#[test]
fn what_fits_is_said_to_fit() -> Result<()> {
    let host = Host::new(&CONFIG)?;
    let before = host.state()?;
    let out = host.vxlan(&["check"])?;
    assert_eq!((out.status.code(), out.stderr.as_str()), (Some(0), ""));
    let file = host.daemon.config().display();
    let expected = format!("{file}: 1 peer, 1 network; eth0 from 203.0.113.2\n{RECEIVE}");
    assert_eq!(out.stdout, expected);
    let out = host.vxlan(&["check", "--json"])?;
    assert_eq!((out.status.code(), out.stderr.as_str()), (Some(0), ""));
    let answer: serde_json::Value = serde_json::from_str(&out.stdout)?;
    let expected = serde_json::json!({
        "ok": true,
        "warnings": [],
        "underlay": "eth0",
        "address": "203.0.113.2",
        "addresses": ["203.0.113.2"],
        "receive": ["native", "off"],
        "networks": [{ "vni": 43, "interface": "vxlan43", "mtu": 1450, "members": 1 }],
    });
    assert_eq!(answer, expected);
    host.state()?.assert_is(&before, "it");
    Ok(())
}

#[test]
fn an_underlay_that_is_down_is_a_warning() -> Result<()> {
    let host = Host::new(&CONFIG)?;
    host.ns().run("ip link set eth0 down")?;
    let out = host.vxlan(&["check", "--json"])?;
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    let answer: serde_json::Value = serde_json::from_str(&out.stdout)?;
    let warning = "interface eth0 is down: no packet can pass yet";
    assert_eq!(answer["warnings"], serde_json::json!([warning]));
    Ok(())
}

/// With a key a stranger at that address would still get in, but not go unseen.
#[test]
fn a_private_address_that_lets_in_without_a_key_is_a_warning() -> Result<()> {
    let endpoint = "endpoint = \"203.0.113.1\"";
    let private = format!("{endpoint}\nprivate_address = [\"10.0.0.119\", \"2001:db8::119\"]");
    for (right, code, warnings) in [
        ("", 0, serde_json::json!([])),
        ("\naccept_private = false", 0, serde_json::json!([])),
        (
            "\naccept_private = true",
            1,
            serde_json::json!([
                "peer \"a\" has accept_private and no key_file: whoever has 10.0.0.119 or \
                 2001:db8::119 in the network of this host can send as that peer, and no probe \
                 tells the two apart. Leave accept_private out unless a private line leads to the \
                 peer"
            ]),
        ),
    ] {
        let host = Host::new(&changed(endpoint, &format!("{private}{right}")))?;
        let out = host.vxlan(&["check", "--json"])?;
        let answer: serde_json::Value = serde_json::from_str(&out.stdout)?;
        assert_eq!((out.status.code(), &answer["warnings"]), (Some(code), &warnings), "{right}");
    }
    Ok(())
}

/// Copies have an end: a broadcast into a network of a thousand members is no attack on the host.
#[test]
fn more_members_than_get_what_is_for_everyone_is_a_warning() -> Result<()> {
    let with = |members: usize| {
        let mut config = CONFIG.to_owned();
        for n in 1..members {
            let peer = format!("[[peer]]\nname = \"p{n}\"\nendpoint = \"203.0.113.{}\"\n", n + 9);
            config = config.replacen("[[network]]", &(peer + "[[network]]"), 1);
            config += &format!(
                "[[network.member]]\npeer = \"p{n}\"\nallowed_ips = [\"10.9.{n}.0/24\"]\n"
            );
        }
        config
    };
    for (members, expected) in [
        (64, None),
        (
            65,
            Some(
                "warning: network 43 has 65 members: BUM traffic (broadcast, unknown unicast, \
                 multicast) goes to the first 64 of them only\n",
            ),
        ),
    ] {
        let host = Host::new(&with(members))?;
        let out = host.vxlan(&["check"])?;
        let code = i32::from(expected.is_some());
        assert_eq!((out.status.code(), out.stderr.as_str()), (Some(code), ""), "{members}");
        let warnings: String =
            out.stdout.split_inclusive('\n').filter(|line| line.starts_with("warning")).collect();
        assert_eq!(warnings, expected.unwrap_or_default(), "{members}");
    }
    Ok(())
}

/// `down` beside a running daemon would pull the rug from under it.
#[test]
fn down_refuses_while_the_daemon_runs() -> Result<()> {
    let host = Host::launched(&CONFIG)?;
    let pid = host.daemon.pid().context("no process")?;
    let before = host.state()?;
    let out = host.vxlan(&["down"])?;
    assert_eq!((out.status.code(), out.stdout.as_str()), (Some(2), ""));
    let directory = host.daemon.run_dir().display();
    assert_eq!(
        out.stderr,
        format!(
            "vxlan: a daemon is running already in {directory} (process {pid}). Stop it first, for \
             example with `kill {pid}`\n"
        )
    );
    host.state()?.assert_is(&before, "it");
    host.daemon.stop()
}

/// Two daemons, each with its own places, need not know of each other.
#[test]
fn two_daemons_on_two_interfaces_of_a_host() -> Result<()> {
    let mut host = Host::new(&CONFIG)?;
    host.ns().run("ip link add eth1 type veth peer name wire1")?;
    host.ns().run("ip addr add 198.51.100.2/24 dev eth1")?;
    host.ns().run("ip link set eth1 up")?;
    let other = changed("9839", "9840")
        .replace("eth0", "eth1")
        .replace("43", "45")
        .replace("192.168.44.", "192.168.46.")
        .replace("203.0.113.", "198.51.100.");
    let second = Daemon::start(host.ns(), &host.pair.run, "second", &other)?;
    host.daemon.launch()?;
    assert!(xdp(host.ns(), "eth0")?.is_some() && xdp(host.ns(), "eth1")?.is_some());
    second.stop()?;
    assert!(xdp(host.ns(), "eth0")?.is_some() && xdp(host.ns(), "eth1")?.is_none());
    host.daemon.stop()
}
