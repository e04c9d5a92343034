//! Probes, a learned endpoint and data over IPv6, on one wire without a NAT.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vxlan_tests::{Pair, Wire, daemon::Daemon, link::hush_ipv6, traffic::ping};

const PATIENCE: Duration = Duration::from_secs(20);

fn configuration(own: &str, peer: &str, endpoint: &str, port_rule: &str, key: &str) -> String {
    let (ours, theirs) = if own == "a" { (43, 44) } else { (44, 43) };
    format!(
        r#"[node]
name = "{own}"

[underlay]
interface = "eth0"
source_port = "fixed"

[probe]
interval = 1

[[peer]]
name = "{peer}"
endpoint = "{endpoint}"
{port_rule}key_file = "{key}"

[[network]]
vni = 43
interface = "vxlan43"
addresses = ["192.168.{ours}.1/24"]

[[network.member]]
peer = "{peer}"
allowed_ips = ["192.168.{theirs}.0/24"]
"#
    )
}

/// The daemon's report on its one peer, once it is as wanted.
fn report(daemon: &Daemon, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let shown = daemon.vxlan(&["show", "nat", "--json"])?;
        let all: Value =
            serde_json::from_str(&shown.stdout).with_context(|| format!("{shown:?}"))?;
        if wanted(&all["peers"][0]) {
            return Ok(all["peers"][0].clone());
        }
        ensure!(Instant::now() < deadline, "{all:#}\n{}", daemon.log());
        // A report cannot be waited for otherwise.
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn an_endpoint_is_learned_and_the_way_is_known() -> Result<()> {
    let pair = Pair::with("2001:db8:1::1/64", "2001:db8:1::2/64", 1500, Wire::Real)?;
    pair.static_neighbours()?;
    for ns in [&pair.a, &pair.b] {
        hush_ipv6(ns, "eth0")?;
    }
    let key = pair.run.write_key("v6.key")?.display().to_string();
    let fixed = "source_port = \"fixed\"\n";
    let a = configuration("a", "b", "[2001:db8:1::2]:4789", fixed, &key);
    let b = configuration("b", "a", "learn", "", &key);
    let b = Daemon::start(&pair.b, &pair.run, "b", &b)?;
    let unknown = report(&b, |peer| peer["nat"] == "unknown")?;
    ensure!(unknown["endpoint"].is_null(), "{unknown:#}");
    let a = Daemon::start(&pair.a, &pair.run, "a", &a)?;
    let complete = |peer: &Value| {
        peer["nat"] == "none"
            && peer["path_mtu"]["tx"] == 1500
            && peer["path_mtu"]["rx"] == 1500
            && peer["loss"]["tx"] == 0.0
    };
    let learned = report(&b, complete)?;
    ensure!(learned["endpoint"] == "[2001:db8:1::1]:4789", "{learned:#}");
    ensure!(learned["learned"] == true && learned["hops"]["rx"] == 0, "{learned:#}");
    report(&a, complete)?;
    let result = ping(&pair.b, None, [192, 168, 43, 1].into(), 3)?;
    ensure!(result.all_answered(), "{}", result.output);
    for daemon in [&a, &b] {
        let metrics = daemon.metrics()?;
        ensure!(metrics.total("vxlan_nat_rewritten_packets_total", &[]) == 0.0, "{}", metrics.text);
        ensure!(metrics.total("vxlan_drops_total", &[("reason", "unknown_source")]) == 0.0);
    }
    Ok(())
}
