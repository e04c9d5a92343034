//! Where packets are received: native XDP, generic XDP, TC alone; who may not be pushed aside; and
//! where all of that is told.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vxlan_tests::{
    foreign::{ForeignXdp, Mode},
    kernel::{self, Feature},
};

use crate::host::{CONFIG, Host, changed, tcx, while_all_arrive, xdp};

fn with(mode: &str) -> String {
    changed("xdp = \"auto\"", &format!("xdp = \"{mode}\""))
}

fn underlay_report(host: &Host) -> Result<Value> {
    let out = host.vxlan(&["show", "underlay", "--json"])?;
    ensure!(out.status.success(), "{}", out.stderr);
    Ok(serde_json::from_str(&out.stdout)?)
}

fn assert_in_tc_alone(host: &Host) -> Result<()> {
    let report = underlay_report(host)?;
    assert_eq!(report["xdp"], "off", "{report:#}");
    host.daemon.metrics()?.get("vxlan_xdp_info", &[("interface", "eth0"), ("mode", "off")]);
    if kernel::has(Feature::Tcx)? {
        assert_eq!(tcx(host.ns(), "eth0")?, [vec!["decap_tc".to_owned()], vec![]]);
    }
    host.assert_ping("now")
}

#[test]
fn without_xdp() -> Result<()> {
    let (mut host, other) = Host::up(&with("off"))?;
    assert_in_tc_alone(&host)?;
    assert_eq!(xdp(host.ns(), "eth0")?, None);
    assert_eq!(underlay_report(&host)?["refused"], Value::Array(vec![]));
    host.daemon.kill()?;
    host.assert_ping("without the daemon")?;
    host.daemon.launch()?;
    assert_in_tc_alone(&host)?;
    host.daemon.stop()?;
    other.stop()
}

/// As a filter, where the kernel has no TCX.
#[test]
fn without_xdp_in_clsact() -> Result<()> {
    let config = changed("xdp = \"auto\"", "xdp = \"off\"\ntc = \"clsact\"");
    let (host, other) = Host::up(&config)?;
    assert_eq!(underlay_report(&host)?["tc"], "clsact");
    host.assert_ping("now")?;
    let filters = host.ns().run("tc filter show dev eth0 ingress")?;
    ensure!(filters.contains("decap_tc"), "{filters}");
    host.daemon.stop()?;
    other.stop()
}

/// XDP comes and goes under traffic.
#[test]
fn a_change_of_the_attach_mode_loses_no_packet() -> Result<()> {
    let (mut host, other) = Host::up(&CONFIG)?;
    host.assert_ping("now")?;
    while_all_arrive(&mut host, 2, |host| {
        for mode in ["off", "generic", "off"] {
            host.daemon.terminate()?;
            host.daemon.write_config(&with(mode))?;
            host.daemon.launch()?;
            assert_eq!(underlay_report(host)?["xdp"], mode);
        }
        Ok(())
    })?;
    host.daemon.stop()?;
    other.stop()
}

fn beside_a_foreign_program(mode: Mode) -> Result<()> {
    let mut host = Host::new(&CONFIG)?;
    let other = host.start_peer()?;
    let foreign = ForeignXdp::attach(host.ns(), "eth0", "somebodys", mode)?;
    let (_, id) = xdp(host.ns(), "eth0")?.context("no XDP program")?;
    // It stays for whoever asks for XDP.
    for asked in ["native", "generic"] {
        host.daemon.write_config(&with(asked))?;
        let out = host.vxlan(&["run"])?;
        assert_eq!(out.status.code(), Some(2), "{}", out.stderr);
        let named = format!("(id {id}), which is not ours and stays");
        ensure!(out.stderr.contains(&named), "{}", out.stderr);
    }
    host.daemon.write_config(&CONFIG)?;
    let out = host.vxlan(&["check"])?;
    assert_eq!(out.status.code(), Some(1), "{}", out.stderr);
    ensure!(out.stdout.contains("receive: TC alone"), "{}", out.stdout);
    host.daemon.launch()?;
    assert_in_tc_alone(&host)?;
    assert_eq!(xdp(host.ns(), "eth0")?.context("no XDP program")?.1, id, "it stays");
    let report = underlay_report(&host)?;
    let refused = &report["refused"][0];
    assert_eq!(refused["mode"], "native", "{report:#}");
    ensure!(
        refused["reason"].as_str().is_some_and(|it| it.contains(&format!("(id {id})"))),
        "{report:#}"
    );
    ensure!(host.daemon.log().contains("no native XDP: interface eth0"), "{}", host.daemon.log());
    // Once it is gone, the next start climbs.
    host.daemon.terminate()?;
    drop(foreign);
    host.daemon.launch()?;
    let mode = xdp(host.ns(), "eth0")?.context("no XDP program")?.0;
    assert_eq!(mode, "native");
    host.assert_ping("now")?;
    host.daemon.stop()?;
    other.stop()
}

#[test]
fn beside_a_foreign_native_program() -> Result<()> {
    beside_a_foreign_program(Mode::Native)
}

#[test]
fn beside_a_foreign_generic_program() -> Result<()> {
    beside_a_foreign_program(Mode::Generic)
}

/// A driver's limit is named with its remedy; `"native"` then fails, and `"auto"` goes on.
#[test]
fn an_mtu_that_the_driver_does_not_take() -> Result<()> {
    let remedy = "MTU 4000 is more than the 3506 that veth takes with an XDP program: `ip link set \
                  eth0 mtu 3506`";
    let mut host = Host::new(&with("native"))?;
    for ns in [&host.pair.a, &host.pair.b] {
        ns.run("ip link set eth0 mtu 4000")?;
    }
    let before = host.state()?;
    let out = host.vxlan(&["run"])?;
    assert_eq!(out.status.code(), Some(2), "{}", out.stderr);
    ensure!(out.stderr.contains(remedy), "{}", out.stderr);
    host.state()?.assert_is(&before, "native");
    host.daemon.write_config(&CONFIG)?;
    let out = host.vxlan(&["check"])?;
    assert_eq!(out.status.code(), Some(1), "{}", out.stderr);
    ensure!(out.stdout.contains(&format!("warning: native XDP: {remedy}")), "{}", out.stdout);
    host.daemon.launch()?;
    let report = underlay_report(&host)?;
    assert_eq!((&report["xdp"], &report["refused"][0]["reason"]), (&"off".into(), &remedy.into()));
    host.daemon.stop()
}
