//! A reload whose last hook refuses, when the others have their new programs already: all of them
//! get the previous ones back.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vxlan_tests::kernel::{Feature, left_out, needs};

use crate::{
    host::{Host, STRANGER, changed, lab_of},
    reload::Tunnel,
};

/// In generic mode, or in native mode with a second network.
fn config(tc: &str, larger: bool) -> String {
    let xdp = if larger { "native" } else { "generic" };
    let own = changed("xdp = \"auto\"", &format!("xdp = \"{xdp}\"\ntc = \"{tc}\""));
    if larger { own + STRANGER + &lab_of("stranger") } else { own }
}

fn json(host: &Host, command: &str) -> Result<Value> {
    Ok(serde_json::from_str(&host.ns().run(command)?)?)
}

/// Numbers of the programs in a link, or in the filters of a hook.
fn linked(host: &Host, link: &str) -> Result<Vec<Value>> {
    let pins = host.daemon.pin_dir().display().to_string();
    let version = vxlan_common::ABI_VERSION;
    let shown = json(host, &format!("bpftool -j link show pinned {pins}/v{version}/{link}"))?;
    Ok(vec![shown["prog_id"].clone()])
}

fn filters(host: &Host, interface: &str, hook: &str) -> Result<Vec<Value>> {
    let shown = json(host, &format!("tc -j filter show dev {interface} {hook}"))?;
    let ids =
        shown.as_array().context("no list")?.iter().map(|of| of["options"]["prog"]["id"].clone());
    Ok(ids.filter(|id| !id.is_null()).collect())
}

/// In native mode, which is refused, with something else that is another than in generic mode.
fn other(piece: &str, by: &str) -> String {
    let native = config("tcx", false).replace("xdp = \"generic\"", "xdp = \"native\"");
    assert_eq!(native.matches(piece).count(), 1, "{piece}");
    native.replace(piece, by)
}

/// The host is as before, interfaces, addresses, routes and maps; and once nothing refuses the
/// change, it is made, to interfaces of these names and VNIs.
fn keeps_all(first: &str, second: &str, names: &[(&str, u32)]) -> Result<()> {
    if !needs(Feature::Tcx)? {
        return Ok(());
    }
    let mut tunnel = Tunnel::with(first, &["run"])?;
    if !tunnel.host.pair.a.output("ethtool -L eth0 tx 2")?.success() {
        left_out("needs two CPUs, for a veth with two queues");
        return tunnel.down();
    }
    tunnel.refuses(
        second,
        "cannot attach decap to eth0: the driver has no queues left for native XDP. Use fewer: \
        `ethtool -L eth0 combined \
         N`, with N half of what `ethtool -l eth0` says is the most",
    )?;
    // Nor by a start, which the previous run's data plane outlives.
    tunnel.host.daemon.terminate()?;
    let before = tunnel.host.state()?;
    let out = tunnel.host.vxlan(&["run"])?;
    assert_eq!(out.status.code(), Some(2), "{}", out.stderr);
    tunnel.host.state()?.assert_is(&before, "the start that failed");
    tunnel.host.assert_ping("after a start that failed")?;
    tunnel.host.pair.a.run("ethtool -L eth0 tx 1")?;
    tunnel.host.daemon.launch()?;
    for (name, vni) in names {
        let link = tunnel.host.ns().run(&format!("ip link show {name}"))?;
        ensure!(link.contains(&format!("alias vxlan overlay VNI {vni}\n")), "{link}");
    }
    ensure!(!tunnel.host.ns().run("ip link")?.contains("vxold"), "something was set aside");
    tunnel.down()
}

#[test]
fn of_another_vni_under_the_same_name() -> Result<()> {
    keeps_all(&config("tcx", false), &other("vni = 43", "vni = 44"), &[("vxlan43", 44)])
}

#[test]
fn of_another_name_for_the_same_vni() -> Result<()> {
    let second = other("interface = \"vxlan43\"", "interface = \"vxother\"");
    keeps_all(&config("tcx", false), &second, &[("vxother", 43)])
}

#[test]
fn of_networks_that_swap_names() -> Result<()> {
    let lab = lab_of("a");
    let second = other("interface = \"vxlan43\"", "interface = \"lab\"");
    let second = second + &lab.replace("interface = \"lab\"", "interface = \"vxlan43\"");
    let names = [("vxlan43", 7), ("lab", 43)];
    keeps_all(&(config("tcx", false) + &lab), &second, &names)
}

/// A driver refuses native mode as long as the other end of the cable has more queues than this
/// one.
fn refused(tc: &str, programs: impl Fn(&Host) -> Result<[Vec<Value>; 3]>) -> Result<()> {
    let mut tunnel = Tunnel::with(&config(tc, false), &["run"])?;
    let queues = tunnel.host.pair.a.output("ethtool -L eth0 tx 2")?;
    if !queues.success() {
        left_out("needs two CPUs, for a veth with two queues");
        return tunnel.down();
    }
    let before = programs(&tunnel.host)?;
    ensure!(before.iter().all(|of| of.len() == 1), "{before:?}");
    tunnel.refuses(
        &config(tc, true),
        "cannot attach decap to eth0: the driver has no queues left for native XDP. Use fewer: \
        `ethtool -L eth0 combined \
         N`, with N half of what `ethtool -l eth0` says is the most",
    )?;
    assert_eq!(programs(&tunnel.host)?, before);
    // And once nothing refuses any more it is all done.
    tunnel.host.pair.a.run("ethtool -L eth0 tx 1")?;
    tunnel.reload(&config(tc, true))?;
    tunnel.host.assert_ping("in native mode")?;
    tunnel.down()
}

#[test]
fn of_links() -> Result<()> {
    if !needs(Feature::Tcx)? {
        return Ok(());
    }
    refused("tcx", |host| {
        Ok([
            linked(host, "link_decap")?,
            linked(host, "link_deliver")?,
            linked(host, "link_encap_43")?,
        ])
    })
}

#[test]
fn of_filters() -> Result<()> {
    refused("clsact", |host| {
        Ok([
            linked(host, "link_decap")?,
            filters(host, "eth0", "ingress")?,
            filters(host, "vxlan43", "egress")?,
        ])
    })
}
