//! The metrics page, from the first scrape on.

use std::{collections::BTreeSet, env, ffi::OsString, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use vxlan_common::{
    counters::NatField,
    reason::{RxDrop, TxDrop},
};
use vxlan_tests::{
    cmd,
    conserve::link_stats,
    inject::inject,
    packet::{Eth, Ipv4, Packet, Udp, Vxlan},
    traffic::ping,
};
use vxlan_user::metrics::{Family, MetricKind, process_metrics};

use crate::host::{CONFIG, Host};

/// Debian's `promtool`: the one in `PROMTOOL`, else the one that `cargo xtask setup` fetched.
fn promtool_path() -> Result<OsString> {
    if let Some(path) = env::var_os("PROMTOOL") {
        return Ok(path);
    }
    let record = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cargo/bpf-toolchain.toml");
    let record: toml::Table = fs::read_to_string(record).unwrap_or_default().parse()?;
    let path = record.get("promtool").and_then(toml::Value::as_str);
    let advice = "no promtool: run `cargo xtask test` once, or name the program in PROMTOOL";
    Ok(path.context(advice)?.into())
}

fn promtool(page: &str) -> Result<cmd::Output> {
    let file = tempfile::tempfile()?;
    std::io::Write::write_all(&mut &file, page.as_bytes())?;
    std::io::Seek::rewind(&mut &file)?;
    outcome(Command::new(promtool_path()?).args(["check", "metrics"]).stdin(file))
}

fn outcome(command: &mut Command) -> Result<cmd::Output> {
    let out = command.output().context("starting promtool")?;
    Ok(cmd::Output {
        status: out.status,
        stdout: String::from_utf8(out.stdout)?,
        stderr: String::from_utf8(out.stderr)?,
    })
}

fn assert_promtool_is_content(page: &str) -> Result<()> {
    let out = promtool(page)?;
    ensure!(
        out.success() && out.stdout.is_empty() && out.stderr.is_empty(),
        "promtool: {}\n{}{}\n{page}",
        out.status,
        out.stdout,
        out.stderr
    );
    Ok(())
}

#[test]
fn promtool_would_complain() -> Result<()> {
    let out = promtool("# TYPE vxlan_drops counter\nvxlan_drops 1\n")?;
    assert!(!out.success(), "promtool finds nothing wrong with a counter without help and _total");
    Ok(())
}

#[test]
fn the_alert_rules_are_rules() -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/alerts.yml");
    let check =
        |file: &Path| outcome(Command::new(promtool_path()?).args(["check", "rules"]).arg(file));
    let out = check(&file)?;
    let rules = fs::read_to_string(&file)?.matches("- alert:").count();
    let found = format!("{rules} rules found");
    ensure!(out.success() && out.stdout.contains(&found), "{}{}", out.stdout, out.stderr);
    let damaged = tempfile::NamedTempFile::new()?;
    fs::write(&damaged, fs::read_to_string(file)?.replacen("} == 0", "} ==", 1))?;
    ensure!(!check(damaged.path())?.success(), "promtool takes half an expression for a rule");
    Ok(())
}

/// What is wrong is an alert, stays one when the daemon dies, and what is whole is none.
#[test]
fn the_alerts_fire_when_they_must_and_do_not_clear_themselves() -> Result<()> {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let test =
        |file: &Path| outcome(Command::new(promtool_path()?).args(["test", "rules"]).arg(file));
    let out = test(&deploy.join("alerts-test.yml"))?;
    ensure!(out.success(), "{}{}", out.stdout, out.stderr);
    // Rules whose last value counts only while the daemon lives do not pass.
    let copy = tempfile::tempdir()?;
    let rules = fs::read_to_string(deploy.join("alerts.yml"))?;
    ensure!(rules.contains("and on (instance, job) up == 0"));
    let forgetful =
        rules.replace("and on (instance, job) up == 0", "and on (instance, job) up == 2");
    fs::write(copy.path().join("alerts.yml"), forgetful)?;
    let tests = copy.path().join("alerts-test.yml");
    fs::copy(deploy.join("alerts-test.yml"), &tests)?;
    let out = test(&tests)?;
    ensure!(!out.success(), "{}{}", out.stdout, out.stderr);
    Ok(())
}

#[test]
fn every_family_is_there_from_the_start_and_nothing_else() -> Result<()> {
    let host = Host::launched(&CONFIG)?;
    let metrics = host.daemon.metrics()?;
    let exported: BTreeSet<&str> = metrics.samples.iter().map(|s| s.name.as_str()).collect();
    let (process, named): (BTreeSet<&str>, BTreeSet<&str>) =
        exported.into_iter().partition(|name| name.starts_with("process_"));
    let own = process_metrics()?;
    let own = own.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let own: BTreeSet<&str> = own.filter_map(|line| Some(line.split_once(' ')?.0)).collect();
    assert_eq!(process, own);
    assert!(metrics.get("process_resident_memory_bytes", &[]) > 1e6);
    assert!(metrics.get("process_open_fds", &[]) > 3.0);
    // Nothing is known yet of the peer, which has no key.
    let always = || Family::ALL.iter().filter(|family| !family.only_where_known);
    let families: BTreeSet<&str> = always().map(|family| family.name).collect();
    assert_eq!(named, families);
    for family in always() {
        let help = format!("# HELP {} {}\n", family.name, family.help);
        let kind = format!("# TYPE {} {}\n", family.name, family.kind.label());
        assert!(metrics.text.contains(&help) && metrics.text.contains(&kind), "{}", family.name);
        let labels: BTreeSet<&str> = family.labels.iter().copied().collect();
        for sample in metrics.named(family.name) {
            let found: BTreeSet<&str> = sample.labels.keys().map(String::as_str).collect();
            assert_eq!(found, labels, "{sample:?}");
        }
    }
    assert_promtool_is_content(&metrics.text)?;
    host.daemon.stop()
}

#[test]
fn counters_are_exported_at_zero() -> Result<()> {
    let host = Host::launched(&CONFIG)?;
    let metrics = host.daemon.metrics()?;
    for family in Family::ALL.iter().filter(|family| family.kind == MetricKind::Counter) {
        for sample in metrics.named(family.name) {
            assert_eq!(sample.value, 0.0, "{sample:?}");
        }
    }
    for direction in ["rx", "tx"] {
        let labels = [("peer", "a"), ("vni", "43"), ("direction", direction)];
        assert_eq!(metrics.get("vxlan_packets_total", &labels), 0.0);
        assert_eq!(metrics.get("vxlan_bytes_total", &labels), 0.0);
    }
    for name in ["vxlan_neighbour_replies_total", "vxlan_too_big_sent_total"] {
        assert_eq!(metrics.get(name, &[("peer", "a"), ("vni", "43")]), 0.0);
    }
    for field in NatField::ALL {
        let labels = [("peer", "a"), ("field", field.label())];
        assert_eq!(metrics.get("vxlan_nat_rewritten_packets_total", &labels), 0.0);
    }
    // Each reason is there for somebody; `not_a_member` for the peer until a network is known.
    let reasons = RxDrop::ALL.iter().map(|reason| ("rx", reason.label()));
    for (direction, reason) in reasons.chain(TxDrop::ALL.iter().map(|r| ("tx", r.label()))) {
        let labels = [("direction", direction), ("reason", reason)];
        let found = metrics.named("vxlan_drops_total").filter(|s| s.matches(&labels)).count();
        assert!(found > 0, "{direction} {reason} is not exported");
    }
    host.daemon.stop()
}

/// No packet that the host sends into the overlay on its own account is taken for a fault.
#[test]
fn an_idle_network_counts_nothing() -> Result<()> {
    let host = Host::launched(&CONFIG)?;
    // The kernel reports its multicast groups within the first seconds, more than once.
    let sent = || -> Result<u64> { Ok(link_stats(host.ns(), "vxlan43")?.tx_packets) };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(3);
    while std::time::Instant::now() < deadline && sent()? == 0 {
        let drops = host.daemon.metrics()?.total("vxlan_drops_total", &[]);
        assert_eq!(drops, 0.0, "{}", host.daemon.vxlan(&["show", "drops"])?.stdout);
    }
    host.daemon.stop()
}

#[test]
fn info_says_what_is_declared() -> Result<()> {
    let host = Host::launched(&CONFIG)?;
    let metrics = host.daemon.metrics()?;
    let peer = [
        ("peer", "a"),
        ("endpoint", "203.0.113.1:4789"),
        ("private_address", ""),
        ("observed_address", ""),
        ("nat", "unknown"),
    ];
    assert_eq!(metrics.get("vxlan_peer_info", &peer), 1.0);
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(metrics.get("vxlan_build_info", &version), 1.0);
    assert_eq!(metrics.get("vxlan_config_last_reload_successful", &[]), 1.0);
    let tx = [("peer", "a"), ("direction", "tx")];
    assert_eq!(metrics.get("vxlan_path_mtu_bytes", &tx), 1500.0);
    for (map, entries) in
        [("peers", 1.0), ("networks", 1.0), ("members", 1.0), ("fdb", 0.0), ("neighbours", 0.0)]
    {
        assert_eq!(metrics.get("vxlan_map_entries", &[("map", map)]), entries, "{map}");
        assert!(metrics.get("vxlan_map_capacity", &[("map", map)]) >= 1024.0, "{map}");
    }
    host.daemon.stop()
}

/// With traffic and drops of every kind of label, and a name that needs quoting.
#[test]
fn promtool_has_nothing_to_say_under_traffic() -> Result<()> {
    let config = CONFIG.replace("\"a\"", "\"a-1.x_y\"");
    let (host, other) = Host::up(&config)?;
    let answers = ping(&host.pair.a, Some([192, 168, 43, 1].into()), [192, 168, 44, 1].into(), 5)?;
    ensure!(answers.all_answered(), "{}", answers.output);
    let mac = host.ns().mac("eth0")?;
    let frame = |source: [u8; 4], vni| {
        Packet::new()
            .with(Eth::new(mac, [2, 0, 0, 0, 0, 9]))
            .with(Ipv4::new(source, [203, 0, 113, 2]))
            .with(Udp::vxlan(50_000))
            .with(Vxlan::new(vni))
            .with(Eth::new([2; 6], [4; 6]))
            .build()
    };
    let frames =
        [frame([203, 0, 113, 66], 43), frame([203, 0, 113, 1], 9), frame([203, 0, 113, 66], 9)];
    inject(&host.pair.a, "eth0", &frames, 3)?;
    let deadline = std::time::Instant::now() + crate::host::PATIENCE;
    let metrics = loop {
        let metrics = host.daemon.metrics()?;
        if metrics.total("vxlan_drops_total", &[("direction", "rx")]) >= 3.0 {
            break metrics;
        }
        ensure!(std::time::Instant::now() < deadline, "not counted:\n{}", metrics.text);
    };
    for (reason, peer, vni) in
        [("unknown_source", "", "43"), ("unknown_vni", "a-1.x_y", ""), ("unknown_vni", "", "")]
    {
        let labels = [("direction", "rx"), ("reason", reason), ("peer", peer), ("vni", vni)];
        assert_eq!(metrics.get("vxlan_drops_total", &labels), 1.0);
    }
    let labels = [("peer", "a-1.x_y"), ("vni", "43"), ("direction", "rx")];
    assert!(metrics.get("vxlan_packets_total", &labels) >= 5.0);
    assert_promtool_is_content(&metrics.text)?;
    host.daemon.stop()?;
    other.stop()
}
