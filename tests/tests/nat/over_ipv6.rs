//! Probes, a learned endpoint and data over IPv6, on one wire without a NAT.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vxlan_tests::{
    Pair, Wire,
    daemon::Daemon,
    two_hosts::{Family, Side, Tunnel, TwoHosts as _},
    wait::wait_until,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// The daemon's report on its one peer, once it is as wanted.
fn report(daemon: &Daemon, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let mut found = Value::Null;
    wait_until("the report is as wanted", PATIENCE, || {
        let shown = daemon.vxlan(&["show", "nat", "--json"])?;
        let all: Value =
            serde_json::from_str(&shown.stdout).with_context(|| format!("{shown:?}"))?;
        found = all["peers"][0].clone();
        Ok(wanted(&found))
    })
    .with_context(|| daemon.log())?;
    Ok(found)
}

#[test]
fn an_endpoint_is_learned_and_the_path_is_known() -> Result<()> {
    let pair = Pair::counted(Family::V6, Wire::Real)?;
    let key = pair.run.write_key("v6.key")?.display().to_string();
    let underlay = "source_port = \"fixed\"\n\n[probe]\ninterval = 1";
    let key = format!("key_file = \"{key}\"");
    let keyed = Tunnel { outer: Family::V6, underlay, peer: &key, ..Tunnel::default() };
    let fixed = format!("source_port = \"fixed\"\n{key}");
    let a = Tunnel { peer: &fixed, ..keyed }.config(Side::A);
    let b = keyed.config(Side::B).replace(&Side::A.endpoint(Family::V6), "learn");
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
    pair.ping(Side::B, Family::V4, 3)?;
    for daemon in [&a, &b] {
        let metrics = daemon.metrics()?;
        ensure!(metrics.total("vxlan_nat_rewritten_packets_total", &[]) == 0.0, "{}", metrics.text);
        ensure!(metrics.total("vxlan_drops_total", &[("reason", "unknown_source")]) == 0.0);
    }
    Ok(())
}
