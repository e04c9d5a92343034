//! From one version to another whose maps have other layouts, and back: `VXLAN_OTHER_BIN` is this
//! program with the feature `other-layout`.

use std::{env, fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    daemon::Daemon,
    metrics::{Metrics, Sample},
};

use crate::{
    host::{CONFIG, Host, assert_one_of_each, reader, while_all_arrive},
    refused::assert_run_refused,
};

/// Of the unchanged program.
const OWN: u32 = vxlan_common::ABI_VERSION;
const OTHER: u32 = OWN + 1;

fn other_binary() -> Result<PathBuf> {
    let path = env::var_os("VXLAN_OTHER_BIN").context(
        "VXLAN_OTHER_BIN names no binary: run `cargo xtask test`, which builds it (vxlan-user with \
        the \
         feature other-layout)",
    )?;
    Ok(path.into())
}

/// Versions that have pins.
fn versions(host: &Host) -> Result<Vec<String>> {
    let entries = fs::read_dir(host.daemon.pin_dir())?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Exactly one program on each hook, and pins of one version.
fn assert_whole(host: &Host, version: u32) -> Result<()> {
    assert_one_of_each(host, &["vxlan43"])?;
    assert_eq!(versions(host)?, [format!("v{version}")]);
    Ok(())
}

/// What the programs count; the daemon's own counters begin with it.
fn counted(metrics: &Metrics, family: &str) -> f64 {
    metrics.total(family, &[])
}

const FAMILIES: [&str; 4] = [
    "vxlan_packets_total",
    "vxlan_bytes_total",
    "vxlan_drops_total",
    "vxlan_nat_rewritten_packets_total",
];

#[test]
fn up_and_down_under_traffic_loses_nothing() -> Result<()> {
    let mut host = Host::new(&CONFIG)?;
    let other = host.start_peer()?;
    let (own, next) = (vxlan_tests::daemon::binary()?, other_binary()?);
    host.daemon.launch()?;
    assert_whole(&host, OWN)?;
    host.assert_ping("before")?;
    // Refused at the sender, so that a drop is among what is carried.
    let lost = vxlan_tests::traffic::ping(host.ns(), None, [192, 168, 44, 77].into(), 1);
    ensure!(!lost?.all_answered(), "nobody has that address");
    let stations = reader(&host.daemon)?.mac_entries()?;
    ensure!(!stations.is_empty(), "nothing was learned");

    let tally = while_all_arrive(&mut host, 4, |host| {
        let mut before = host.daemon.metrics()?;
        for (binary, version, end) in [
            (&next, OTHER, Daemon::terminate as fn(&mut Daemon) -> Result<()>),
            (&own, OWN, Daemon::kill),
            (&next, OTHER, Daemon::kill),
            (&own, OWN, Daemon::terminate),
        ] {
            end(&mut host.daemon)?;
            host.daemon.set_binary(binary);
            host.daemon.launch()?;
            assert_whole(host, version)?;
            let now = host.daemon.metrics()?;
            for family in FAMILIES {
                let (was, is) = (counted(&before, family), counted(&now, family));
                ensure!(was <= is, "{family} went from {was} to {is} at version {version}");
            }
            before = now;
        }
        Ok(())
    })?;
    let now = host.daemon.metrics()?;
    let received = now.total("vxlan_packets_total", &[("direction", "rx")]);
    ensure!(received >= tally.sent as f64, "{received} of {} packets are counted", tally.sent);
    // Learned by one version, kept by the other, read by the first again.
    let kept = reader(&host.daemon)?.mac_entries()?;
    for station in stations {
        ensure!(
            kept.iter().any(|same| same.mac == station.mac),
            "{station:?} is forgotten: {kept:?}"
        );
    }
    host.daemon.stop()?;
    other.stop()
}

/// What has come in. The daemon itself sends: it asks peers that are silent.
fn received(metrics: &Metrics, family: &str) -> f64 {
    let sent = |sample: &&Sample| sample.matches(&[("direction", "tx")]);
    metrics.named(family).filter(|sample| !sent(sample)).map(|sample| sample.value).sum()
}

/// Where nothing comes in meanwhile it is the same to the last packet.
#[test]
fn counters_go_over_exactly() -> Result<()> {
    let mut host = Host::new(&CONFIG)?;
    let other = host.start_peer()?;
    let next = other_binary()?;
    host.daemon.launch()?;
    host.assert_ping("before")?;
    other.stop()?;
    let before = host.daemon.metrics()?;
    ensure!(received(&before, "vxlan_packets_total") > 0.0, "nothing is counted");
    for binary in [next, vxlan_tests::daemon::binary()?] {
        host.daemon.terminate()?;
        host.daemon.set_binary(&binary);
        host.daemon.launch()?;
        let now = host.daemon.metrics()?;
        for family in FAMILIES {
            assert_eq!(received(&now, family), received(&before, family), "{family}");
        }
    }
    host.daemon.stop()
}

/// Of a version that describes its maps in a way that is not known here.
#[test]
fn a_state_of_a_newer_format_is_refused() -> Result<()> {
    let mut host = Host::launched(&CONFIG)?;
    host.daemon.kill()?;
    let path = host.daemon.run_dir().join("state.json");
    let state = fs::read_to_string(&path)?;
    ensure!(state.contains("\"format\":1,"), "{state}");
    fs::write(&path, state.replace("\"format\":1,", "\"format\":2,"))?;
    assert_run_refused(
        &host,
        &format!(
            "{}: written by a newer version (format 2, this program knows 1). Traffic goes on, and \
             nothing was changed. Start that version, or remove what it made with its `vxlan down`",
            path.display()
        ),
    )?;
    fs::write(&path, state)?;
    host.daemon.launch()?;
    host.daemon.stop()
}
