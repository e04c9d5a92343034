//! What a configuration must not do to its host, and what the host must be for a configuration:
//! `check` knows all that `run` knows, and warns of what runs but does not work.

use anyhow::{Result, ensure};
use serde_json::Value;
use vxlan_tests::Ns;

use crate::{
    host::{CONFIG, Host, changed, lab_of, line_of},
    refused::assert_refused,
};

const ENDPOINT: &str = "endpoint = \"203.0.113.1\"";
const ADDRESSES: &str = "addresses = [\"192.168.44.1/24\"]";
const ALLOWED: &str = "allowed_ips = [\"192.168.43.0/24\"]";

/// [`CONFIG`] on a host that something was done to.
struct Case {
    name: &'static str,
    config: String,
    prepare: fn(&Ns) -> Result<()>,
    /// The only line that has this is the culprit's.
    at: &'static str,
    sentence: &'static str,
}

fn nothing(_: &Ns) -> Result<()> {
    Ok(())
}

/// A gateway, as nearly every host has one.
fn gateway(ns: &Ns) -> Result<()> {
    ns.run("ip route add default via 203.0.113.254 dev eth0").map(drop)
}

fn without_ipv6(ns: &Ns) -> Result<()> {
    ns.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1").map(drop)
}

fn refused_cases() -> Vec<Case> {
    let two = format!("{}{}", *CONFIG, lab_of("a"));
    let undeclared = changed("address = \"203.0.113.2\"\n", "");
    let learned = |prefix: &str| {
        changed(ENDPOINT, "endpoint = \"learn\"\nkey_file = \"a.key\"")
            .replace("xdp = ", "source_port = \"fixed\"\nxdp = ")
            .replace(ALLOWED, &format!("allowed_ips = {prefix}"))
    };
    vec![
        Case {
            name: "the name of its own hidden port",
            config: changed("\"vxlan43\"", "\"vxport43\""),
            prepare: nothing,
            at: "\"vxport43\"",
            sentence: "interface = \"vxport43\" is the name of the other end of the overlay \
                       interface of network 43, its hidden port. Write another name.",
        },
        Case {
            name: "the name of another hidden port",
            config: two.replace("\"vxlan43\"", "\"vxport7\""),
            prepare: nothing,
            at: "\"vxport7\"",
            sentence: "interface = \"vxport7\" is the name of the other end of the overlay \
                       interface of network 7, its hidden port. Write another name.",
        },
        Case {
            name: "another network's own addresses",
            config: two.replace("10.7.0.2/32", "192.168.44.0/24"),
            prepare: nothing,
            at: "allowed_ips = [\"192.168.44.0/24\"]",
            sentence: "allowed_ips \"192.168.44.0/24\" is the network of this host's own addresses \
                       in network 43, and the host has one route for it. Write narrower prefixes, \
                       or route_table = \"off\" in network 7.",
        },
        Case {
            name: "IPv6 is off",
            config: changed(ADDRESSES, "addresses = [\"192.168.44.1/24\", \"fd00::1/64\"]"),
            prepare: without_ipv6,
            at: "fd00::1/64",
            sentence: "addresses \"fd00::1/64\" of network 43 needs IPv6, and IPv6 is switched off \
                       here: sysctl net.ipv6.conf.default.disable_ipv6 is 1. Switch it on with \
                       `sysctl -w net.ipv6.conf.default.disable_ipv6=0`, or take the IPv6 prefixes \
                       out.",
        },
        Case {
            name: "IPv6 is off, and only routes need it",
            config: changed(ALLOWED, "allowed_ips = [\"192.168.43.0/24\", \"fd00:43::/64\"]"),
            prepare: without_ipv6,
            at: "fd00:43::/64",
            sentence: "allowed_ips \"fd00:43::/64\" of network 43 needs IPv6, and IPv6 is switched \
                       off here: sysctl net.ipv6.conf.default.disable_ipv6 is 1. Switch it on with \
                       `sysctl -w net.ipv6.conf.default.disable_ipv6=0`, or take the IPv6 prefixes \
                       out.",
        },
        Case {
            name: "this host as its own peer",
            config: undeclared.replace(ENDPOINT, "endpoint = \"203.0.113.2\""),
            prepare: nothing,
            at: "endpoint = ",
            sentence: "endpoint 203.0.113.2:4789 of peer \"a\" is this host's own address on eth0. \
                       Write the address of the peer.",
        },
        Case {
            name: "everybody on the link as a peer",
            config: changed(ENDPOINT, "endpoint = \"203.0.113.255\""),
            prepare: nothing,
            at: "endpoint = ",
            sentence: "endpoint 203.0.113.255:4789 of peer \"a\" is the broadcast address of the \
                       network on eth0. Write the address of the peer.",
        },
        Case {
            name: "the underlay's subnet",
            config: changed(ALLOWED, "allowed_ips = [\"203.0.113.0/24\"]")
                .replace(ENDPOINT, "endpoint = \"198.51.100.20\""),
            prepare: gateway,
            at: "allowed_ips",
            sentence: "allowed_ips \"203.0.113.0/24\" holds the address 203.0.113.2 of eth0: what \
                       this host sends there would go into the tunnel, and cut the host off. Write \
                       the prefixes behind the peer, or route_table = \"off\" in network 43 and \
                       route by hand what shall go through it.",
        },
        Case {
            name: "the gateway",
            config: changed(ALLOWED, "allowed_ips = [\"203.0.113.240/28\"]"),
            prepare: gateway,
            at: "allowed_ips",
            sentence: "allowed_ips \"203.0.113.240/28\" holds the gateway 203.0.113.254 of eth0: \
                       what this host sends there would go into the tunnel, and cut the host off. \
                       Write the prefixes behind the peer, or route_table = \"off\" in network 43 \
                       and route by hand what shall go through it.",
        },
        Case {
            name: "an address of the underlay's subnet",
            config: changed(ADDRESSES, "addresses = [\"203.0.113.77/24\"]"),
            prepare: nothing,
            at: "addresses = ",
            sentence: "addresses \"203.0.113.77/24\" holds the address 203.0.113.2 of eth0: what \
                       this host sends there would go into the tunnel, and cut the host off. Write \
                       an address of the overlay network.",
        },
        Case {
            name: "the endpoint in the overlay's own subnet",
            config: changed(ADDRESSES, "addresses = [\"198.51.100.1/24\"]")
                .replace(ENDPOINT, "endpoint = \"198.51.100.20\""),
            prepare: gateway,
            at: "addresses = ",
            sentence: "addresses \"198.51.100.1/24\" holds the endpoint 198.51.100.20: what this \
                       host sends there would go into the tunnel, and cut the host off. Write an \
                       address of the overlay network.",
        },
        Case {
            name: "everything behind a learned peer",
            config: learned("[\"0.0.0.0/0\"]"),
            prepare: nothing,
            at: "allowed_ips",
            sentence: LEARNED,
        },
        Case {
            name: "both halves behind a learned peer",
            config: learned("[\"128.0.0.0/1\", \"0.0.0.0/1\"]"),
            prepare: nothing,
            at: "allowed_ips",
            sentence: LEARNED,
        },
    ]
}

const LEARNED: &str = "may hold the endpoint of peer \"a\", which is learned";

#[test]
fn what_run_refuses_check_refuses_in_the_same_words() -> Result<()> {
    for case in refused_cases() {
        let host = Host::new(&case.config)?;
        let key = host.pair.run.write("a.key", &"01".repeat(32))?;
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        (case.prepare)(host.ns())?;
        let (file, line) = (host.daemon.config().display(), line_of(&case.config, case.at));
        if case.sentence == LEARNED {
            for verb in ["check", "run"] {
                let out = host.vxlan(&[verb])?;
                assert_eq!(out.status.code(), Some(2), "{}: {verb}: {}", case.name, out.stdout);
                ensure!(out.stderr.contains(case.sentence), "{}: {}", case.name, out.stderr);
            }
            continue;
        }
        println!("{}", case.name);
        assert_refused(&host, &format!("{file}:{line}: {}", case.sentence))?;
    }
    Ok(())
}

fn warnings(host: &Host) -> Result<Vec<String>> {
    let out = host.vxlan(&["check", "--json"])?;
    let answer: Value = serde_json::from_str(&out.stdout)?;
    let list = answer["warnings"].as_array().cloned().unwrap_or_default();
    let warnings: Vec<_> = list.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    assert_eq!(out.status.code(), Some(i32::from(!warnings.is_empty())), "{}", out.stdout);
    Ok(warnings)
}

/// A device that works until a start takes its packets: Docker's, Calico's, flannel's.
fn foreign_device(ns: &Ns) -> Result<()> {
    ns.run("ip link add swarm0 type vxlan id 4097 dstport 4789 dev eth0 remote 203.0.113.1")?;
    ns.run("ip link set swarm0 up").map(drop)
}

fn forwards_nothing(ns: &Ns) -> Result<()> {
    ns.run("sysctl -qw net.ipv4.ip_forward=0").map(drop)
}

fn strict(ns: &Ns) -> Result<()> {
    ns.run("sysctl -qw net.ipv4.conf.default.rp_filter=1").map(drop)
}

/// What makes the host so.
type Prepare = fn(&Ns) -> Result<()>;

#[test]
fn what_runs_but_does_not_work_is_a_warning() -> Result<()> {
    let local = |ips: &str| changed(ADDRESSES, &format!("{ADDRESSES}\nlocal_ips = {ips}"));
    let off = || changed(ADDRESSES, &format!("{ADDRESSES}\nroute_table = \"off\""));
    let passes = changed("xdp = \"auto\"", "xdp = \"auto\"\nunknown_vni = \"pass\"");
    let cases: [(String, Prepare, &[&str]); 12] = [
        (CONFIG.clone(), foreign_device, &["swarm0", "VNI 4097", "unknown_vni = \"pass\""]),
        (passes.clone(), foreign_device, &[]),
        (passes.replace("43\n", "4097\n"), foreign_device, &["swarm0", "network 4097 takes"]),
        (
            local("[\"192.168.44.0/24\", \"172.16.0.0/16\"]"),
            forwards_nothing,
            &["172.16.0.0/16", "net.ipv4.ip_forward is 0"],
        ),
        (local("[\"192.168.44.0/24\"]"), forwards_nothing, &[]),
        (off(), strict, &["rp_filter=2"]),
        (CONFIG.clone(), strict, &[]),
        (
            changed(ENDPOINT, "endpoint = \"203.0.113.1:8472\""),
            nothing,
            &["endpoint 203.0.113.1:8472", "4789"],
        ),
        (
            changed(ENDPOINT, "endpoint = \"198.51.100.20\""),
            nothing,
            &["no route to 198.51.100.20", "peer \"a\""],
        ),
        (changed(ENDPOINT, "endpoint = \"198.51.100.20\""), gateway, &[]),
        (
            changed(ALLOWED, "allowed_ips = [\"203.0.113.128/26\"]"),
            gateway,
            &["\"203.0.113.128/26\" is a part of 203.0.113.0/24"],
        ),
        (
            format!("{}{}", *CONFIG, lab_of("a")).replace("10.7.0.1/24", "192.168.44.1/32"),
            nothing,
            &["192.168.44.1 is this host's in networks 43 and 7"],
        ),
    ];
    for (config, prepare, expected) in cases {
        let host = Host::new(&config)?;
        prepare(host.ns())?;
        let found = warnings(&host)?;
        match expected {
            [] => assert_eq!(found, Vec::<String>::new(), "{config}"),
            pieces => {
                let [warning] = &found[..] else { anyhow::bail!("{found:?} of {config}") };
                for piece in pieces {
                    ensure!(warning.contains(piece), "{warning}: {piece}");
                }
            }
        }
    }
    Ok(())
}

/// A start logs the same, and goes on.
#[test]
fn a_start_logs_what_check_warns_of() -> Result<()> {
    let mut host = Host::new(&CONFIG)?;
    foreign_device(host.ns())?;
    host.daemon.launch()?;
    ensure!(host.daemon.log().contains("WARN device swarm0 (VNI 4097)"), "{}", host.daemon.log());
    host.daemon.stop()
}

/// What the kernel's verifier or the maps would refuse is tried.
#[test]
fn more_than_there_is_room_for() -> Result<()> {
    let mut config = changed(ALLOWED, "allowed_ips = [\"10.255.0.0/16\"]");
    for n in 0..1024 {
        config += &format!(
            "\n[[network]]\nvni = {}\ninterface = \"n{n}\"\nmax_stations = 1\naddresses = \
             [\"172.{}.{}.1/24\"]\n[[network.member]]\npeer = \"a\"\nallowed_ips = \
             [\"10.{}.{}.0/24\"]\n",
            1000 + n,
            16 + n / 256,
            n % 256,
            n / 256,
            n % 256
        );
    }
    let host = Host::new(&config)?;
    let (file, line) = (host.daemon.config().display(), line_of(&config, "vni = 2023"));
    assert_refused(
        &host,
        &format!(
            "{file}:{line}: there are 1025 networks, and one host has room for 1024, which ends \
             here. Give some of the networks to another host."
        ),
    )
}

const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

#[test]
fn anybody_can_check_a_file() -> Result<()> {
    let host = Host::new(&CONFIG)?;
    std::fs::set_permissions(
        host.daemon.config(),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )?;
    let out = host.vxlan_under(&NOBODY, &["check"])?;
    assert_eq!(out.status.code(), Some(1), "{}", out.stderr);
    ensure!(out.stdout.starts_with("warning: only the file was checked"), "{}", out.stdout);
    ensure!(out.stdout.ends_with("b.toml: 1 peer, 1 network\n"), "{}", out.stdout);
    std::fs::write(host.daemon.config(), CONFIG.replace("vni = 43", "vni = 99999999"))?;
    let out = host.vxlan_under(&NOBODY, &["check"])?;
    assert_eq!(out.status.code(), Some(2), "{}", out.stdout);
    ensure!(out.stderr.contains("vni = 99999999"), "{}", out.stderr);
    Ok(())
}

/// Root reads what the mode allows, as the capability to read everything is given up.
#[test]
fn a_file_that_root_cannot_read_is_explained() -> Result<()> {
    let host = Host::new(&CONFIG)?;
    let file = host.daemon.config();
    std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    std::os::unix::fs::chown(file, Some(65534), Some(65534))?;
    assert_refused(
        &host,
        &format!(
            "{0}: the configuration cannot be read: Permission denied (os error 13). This program \
             gives up CAP_DAC_OVERRIDE, by which root reads everything, and the file belongs to \
             user 65534: `chown root {0}`.",
            file.display()
        ),
    )
}

/// The remedies fit what is wrong.
#[test]
fn a_low_port_and_a_connected_route_are_explained() -> Result<()> {
    let low = changed("127.0.0.1:9839", "127.0.0.1:80");
    let host = Host::new(&low)?;
    let (file, line) = (host.daemon.config().display(), line_of(&low, "listen"));
    assert_refused(
        &host,
        &format!(
            "{file}:{line}: listen = \"127.0.0.1:80\": Permission denied (os error 13). Ports \
             below 1024 need CAP_NET_BIND_SERVICE, which this program gives up. Write a port from \
             1024 on."
        ),
    )?;
    // Another card of this host, which its routes must not lose.
    let config = changed(ALLOWED, "allowed_ips = [\"10.9.0.0/24\"]");
    let host = Host::new(&config)?;
    host.ns().run("ip link add br0 type bridge")?;
    host.ns().run("ip addr add 10.9.0.1/24 dev br0")?;
    host.ns().run("ip link set br0 up")?;
    let out = host.vxlan(&["check"])?;
    assert_eq!(out.status.code(), Some(2), "{}", out.stdout);
    ensure!(
        out.stderr.contains("network of the interface itself, and must stay"),
        "{}",
        out.stderr
    );
    ensure!(!out.stderr.contains("ip route del"), "{}", out.stderr);
    Ok(())
}

/// Where the preflight cannot see the settings of the kernel, as in the sandbox of the unit, the
/// kernel's refusal is explained.
#[test]
fn ipv6_that_is_off_on_the_interface_is_explained() -> Result<()> {
    let config = changed(ADDRESSES, "addresses = [\"192.168.44.1/24\", \"fd00::1/64\"]");
    let host = Host::new(&config)?;
    without_ipv6(host.ns())?;
    // An empty directory in the place of the settings, in a mount namespace.
    let hide = "mount -t tmpfs none /proc/sys/net && exec \"$@\"";
    let under = ["unshare", "--mount", "sh", "-c", hide, "sh"];
    let out = host.vxlan_under(&under, &["run"])?;
    assert_eq!(out.status.code(), Some(2), "{}", out.stdout);
    ensure!(out.stderr.contains("IPv6"), "{}", out.stderr);
    ensure!(out.stderr.contains("disable_ipv6"), "{}", out.stderr);
    ensure!(!out.stderr.contains("CAP_NET_ADMIN"), "{}", out.stderr);
    Ok(())
}

/// The file that the daemon reads is its own, whatever the caller of `reload` names.
#[test]
fn reload_names_the_file_that_was_read() -> Result<()> {
    let host = Host::launched(&CONFIG)?;
    let own = host.daemon.config().display().to_string();
    let words: Vec<String> = host
        .daemon
        .command(&["reload"])
        .get_args()
        .map(|word| word.to_string_lossy().replace(&own, "/etc/vxlan/other.toml"))
        .collect();
    let program = vxlan_tests::daemon::binary()?;
    let out = vxlan_tests::cmd::output(host.ns().command(program).args(words))?;
    assert_eq!(out.status.code(), Some(0), "{}", out.stderr);
    assert_eq!(out.stdout, format!("the configuration {own} is in force\n"));
    ensure!(out.stderr.contains("and not /etc/vxlan/other.toml"), "{}", out.stderr);
    host.daemon.stop()
}
