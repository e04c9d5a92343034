//! `vxlan show`: readable tables, and JSON that agrees with the metrics page to the packet.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vxlan_tests::{
    daemon::Daemon,
    metrics::Metrics,
    two_hosts::{Family, Side, TwoHosts as _},
};

use crate::host::{CONFIG, Host, PATIENCE, wait_until};

/// After traffic both ways and 1,000 refused frames; nothing moves any more.
fn used(host: &mut Host) -> Result<Daemon> {
    for ns in [&host.pair.a, &host.pair.b] {
        ns.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
    }
    let other = host.start_peer()?;
    host.daemon.launch()?;
    host.pair.ping(Side::A, Family::V4, 5)?;
    host.pair.transfer(Side::A, Family::V4, 5_000_000)?;
    host.refuses_frames(1_000)?;
    Ok(other)
}

/// A verb's JSON, and the metrics, of one moment in which nothing was counted.
fn agreed(host: &Host, what: &str) -> Result<(Metrics, Value)> {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let before = host.daemon.metrics()?;
        let out = host.vxlan(&["show", what, "--json"])?;
        assert_eq!((out.status.code(), out.stderr.as_str()), (Some(0), ""));
        let value = serde_json::from_str(&out.stdout)?;
        let refused = before.total("vxlan_drops_total", &[("reason", "unknown_source")]);
        if before == host.daemon.metrics()? && refused >= 1_000.0 {
            return Ok((before, value));
        }
        ensure!(std::time::Instant::now() < deadline, "the counters do not come to rest");
    }
}

#[test]
fn peers_agree_with_the_metrics() -> Result<()> {
    let mut host = Host::new(&CONFIG)?;
    let other = used(&mut host)?;
    let (metrics, json) = agreed(&host, "peers")?;
    assert_eq!(json["node"], "b");
    let peer = &json["peers"][0];
    assert_eq!((&peer["peer"], &peer["endpoint"]), (&"a".into(), &"203.0.113.1:4789".into()));
    let path_mtu = metrics.get("vxlan_path_mtu_bytes", &[("peer", "a"), ("direction", "tx")]);
    assert_eq!((peer["path_mtu"].as_f64(), path_mtu), (Some(1500.0), 1500.0));
    let link = &peer["networks"][0];
    assert_eq!(link["vni"], 43);
    for direction in ["rx", "tx"] {
        let labels = [("peer", "a"), ("vni", "43"), ("direction", direction)];
        let packets = metrics.get("vxlan_packets_total", &labels);
        assert!(packets > 20.0, "{direction}: {packets}");
        assert_eq!(link[direction]["packets"].as_f64(), Some(packets), "{direction}");
        let bytes = metrics.get("vxlan_bytes_total", &labels);
        assert_eq!(link[direction]["bytes"].as_f64(), Some(bytes), "{direction}");
    }
    wait_until("the daemon reports that the peer is up", || {
        let shown = host.vxlan(&["show", "nat", "--json"])?.stdout;
        Ok(serde_json::from_str::<Value>(&shown)?["peers"][0]["liveness"]["up"] == true)
    })?;
    let table = host.vxlan(&["show", "peers"])?.stdout;
    let rows: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(table.starts_with("PEER "), "{table}");
    let number = |direction: &str, of: &str| link[direction][of].to_string();
    assert_eq!(rows.len(), 2, "{table}");
    assert_eq!(
        rows[1],
        [
            "a",
            "203.0.113.1:4789",
            "-",
            "1500",
            "43",
            &number("rx", "packets"),
            &number("rx", "bytes"),
            &number("tx", "packets"),
            &number("tx", "bytes"),
            "0",
            "0",
            "0",
            "0",
            "0",
            // It has no key, and so reports nothing; data came from it.
            "-",
            "up"
        ],
        "{table}"
    );
    // Peers are what is shown unless something else is asked for.
    assert_eq!(host.vxlan(&["show"])?.stdout, table);
    host.daemon.stop()?;
    other.stop()
}

/// The daemon answers; after its end there is what the tables tell, and no verdict.
#[test]
fn nat_is_asked_of_the_daemon_and_without_one_of_the_tables() -> Result<()> {
    let mut host = Host::new(&CONFIG)?;
    let other = used(&mut host)?;
    let socket = host.daemon.run_dir().join("api.sock");
    let mode = std::fs::metadata(&socket)?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let out = host.vxlan(&["show", "nat", "--json"])?;
    ensure!(out.success(), "{}", out.stderr);
    let json: Value = serde_json::from_str(&out.stdout)?;
    assert_eq!((&json["node"], &json["peers"][0]["peer"]), (&"b".into(), &"a".into()));
    assert_ne!(json["peers"][0]["liveness"]["by"]["kind"], "probes", "the peer has no key");
    let table = host.vxlan(&["show", "nat"])?.stdout;
    assert!(table.starts_with("PEER ") && !table.contains("No daemon runs"), "{table}");

    // Which leaves the socket behind.
    host.daemon.kill()?;
    assert!(socket.exists());
    let out = host.vxlan(&["show", "nat", "--json"])?;
    ensure!(out.success(), "{}", out.stderr);
    let json: Value = serde_json::from_str(&out.stdout)?;
    assert_eq!(json["node"], "b");
    let [peer] = json["peers"].as_array().context("no list")?.as_slice() else {
        panic!("{json:#}")
    };
    assert_eq!((&peer["peer"], &peer["nat"]), (&"a".into(), &"unknown".into()));
    assert_eq!(peer["endpoint"], "203.0.113.1:4789");
    assert_eq!(peer["path_mtu"], serde_json::json!({ "tx": 1500, "rx": null }));
    let data = &peer["data"];
    assert_eq!((&data["address"], &data["port"]), (&"203.0.113.1".into(), &Value::Null), "{data}");
    assert_eq!((&data["mappings"], &data["changes"]), (&1.into(), &0.into()), "{data}");
    assert_eq!(
        peer["liveness"],
        serde_json::json!({ "by": { "kind": "nothing" }, "up": null, "last_seen": null })
    );

    let table = host.vxlan(&["show", "nat"])?.stdout;
    let rows: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    let row = [
        "a",
        "unknown",
        "-",
        "203.0.113.1:4789",
        "203.0.113.1",
        "-",
        "-",
        "-",
        "1500/-",
        "nothing",
    ];
    assert_eq!(rows[1], row, "{table}");
    for sentence in [
        "a: unknown",
        "  No daemon runs, so nobody sends probes, and there is no verdict.",
        "  The latest data packet came from 203.0.113.1, the port it was sent from, with TTL 64; 1 \
         source was seen, and 0 changes.",
    ] {
        assert!(table.lines().any(|line| line == sentence), "{sentence}\n{table}");
    }
    assert!(table.contains("  Nothing was seen to be rewritten in "), "{table}");
    host.daemon.launch()?;
    host.daemon.terminate()?;
    assert!(!socket.exists(), "the daemon has left its socket");
    host.daemon.stop()?;
    other.stop()
}

#[test]
fn drops_agree_with_the_metrics() -> Result<()> {
    let mut host = Host::new(&CONFIG)?;
    let other = used(&mut host)?;
    let (metrics, json) = agreed(&host, "drops")?;
    let drops = json["drops"].as_array().context("no list")?;
    let total: f64 = drops.iter().filter_map(|drop| drop["packets"].as_f64()).sum();
    assert_eq!(total, metrics.total("vxlan_drops_total", &[]));
    for drop in drops {
        let text = |key: &str| drop[key].as_str().unwrap_or_default().to_owned();
        let vni = drop["vni"].as_u64().map_or_else(String::new, |vni| vni.to_string());
        let (direction, reason, peer) = (text("direction"), text("reason"), text("peer"));
        let labels =
            [("direction", &*direction), ("reason", &*reason), ("peer", &*peer), ("vni", &*vni)];
        let value = metrics.get("vxlan_drops_total", &labels);
        assert_eq!(drop["packets"].as_f64(), Some(value), "{drop}");
        assert!(value > 0.0, "{drop}");
    }
    let table = host.vxlan(&["show", "drops"])?.stdout;
    let row = table.lines().find(|line| line.contains("unknown_source")).context(table.clone())?;
    let words: Vec<&str> = row.split_whitespace().take(5).collect();
    assert_eq!(words, ["1000", "rx", "unknown_source", "-", "43"], "{table}");
    assert!(row.ends_with("Outer source address that no peer may send from."), "{table}");

    // With --all there is a row for every sample of the page.
    let out = host.vxlan(&["show", "drops", "--all", "--json"])?;
    let all: Value = serde_json::from_str(&out.stdout)?;
    let rows = all["drops"].as_array().context("no list")?.len();
    assert_eq!(rows, metrics.named("vxlan_drops_total").count());
    host.daemon.stop()?;
    other.stop()
}

#[test]
fn networks_are_shown_as_they_are() -> Result<()> {
    let host = Host::launched(&CONFIG)?;
    let out = host.vxlan(&["show", "networks", "--json"])?;
    let json: Value = serde_json::from_str(&out.stdout)?;
    let expected = serde_json::json!([{
        "vni": 43,
        "interface": "vxlan43",
        "state": "up",
        "reason": null,
        "mtu": 1450,
        "addresses": ["192.168.44.1/24"],
        "routes": ["192.168.43.0/24"],
        "members": [{ "peer": "a", "allowed_ips": ["192.168.43.0/24"] }],
    }]);
    assert_eq!(json["networks"], expected);
    let id = json["underlay"]["xdp"]["program_id"].to_string();
    let labels = [("interface", "eth0"), ("mode", "native"), ("program_id", id.as_str())];
    assert_eq!(host.daemon.metrics()?.get("vxlan_xdp_info", &labels), 1.0);
    assert_eq!(
        host.vxlan(&["show", "networks"])?.stdout,
        "underlay eth0, 203.0.113.2, XDP native\n\
         VNI  INTERFACE  STATE  MTU   ADDRESSES        MEMBERS\n \
         43  vxlan43    up     1450  192.168.44.1/24  a (192.168.43.0/24)\n"
    );
    host.daemon.stop()
}

#[test]
fn nothing_to_show_is_said() -> Result<()> {
    let host = Host::new(&CONFIG)?;
    for what in ["peers", "nat", "networks", "drops"] {
        let out = host.vxlan(&["show", what])?;
        assert_eq!((out.status.code(), out.stdout.as_str()), (Some(2), ""), "{what}");
        assert_eq!(
            out.stderr,
            "vxlan: no data plane was started here. Start one with `vxlan run`, or name its run \
             directory with --run-dir\n"
        );
    }
    Ok(())
}
