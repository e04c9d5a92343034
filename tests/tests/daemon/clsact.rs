//! TC programs as filters of a clsact qdisc, as on kernels before 6.6: they outlive the daemon, are
//! never doubled, and go with `down`, which leaves what others have in the same qdisc.

use anyhow::{Result, ensure};
use vxlan_tests::kernel::{Feature, needs};

use crate::host::{Host, changed, tcx};

pub(crate) fn config() -> String {
    changed("xdp = \"auto\"", "xdp = \"auto\"\ntc = \"clsact\"")
}

/// Lines of `tc filter show` that speak of one filter: a program's, or a `u32` rule.
fn filters(host: &Host, interface: &str, hook: &str) -> Result<Vec<String>> {
    let shown = host.ns().run(&format!("tc filter show dev {interface} {hook}"))?;
    let one = |line: &&str| line.contains("handle") || line.contains("flowid");
    Ok(shown.lines().filter(one).map(str::to_owned).collect())
}

pub(crate) fn assert_one_filter_a_hook(host: &Host) -> Result<()> {
    for (interface, hook, name) in [("eth0", "ingress", "deliver"), ("vxlan43", "egress", "encap")]
    {
        let found = filters(host, interface, hook)?;
        ensure!(found.len() == 1 && found[0].contains(name), "{interface} {hook}: {found:#?}");
        assert_eq!(tcx(host.ns(), interface)?, [vec![""; 0], vec![""; 0]], "{interface}");
    }
    Ok(())
}

fn has_clsact(host: &Host) -> Result<bool> {
    Ok(host.ns().run("tc qdisc show dev eth0")?.contains("clsact"))
}

#[test]
fn filters_are_replaced_by_a_restart_and_removed_by_down() -> Result<()> {
    let mut host = Host::new(&config())?;
    let other = host.start_peer()?;
    let before = host.state()?;
    assert!(!has_clsact(&host)?);
    host.daemon.launch()?;
    host.assert_ping("now")?;
    assert_one_filter_a_hook(&host)?;
    host.daemon.kill()?;
    host.assert_ping("now")?;
    host.daemon.launch()?;
    host.assert_ping("now")?;
    assert_one_filter_a_hook(&host)?;
    host.daemon.terminate()?;
    host.daemon.down()?;
    assert!(!has_clsact(&host)?, "the qdisc was the daemon's");
    host.state()?.assert_is(&before, "`down`");
    other.stop()
}

#[test]
fn the_qdisc_and_the_filters_of_others_stay() -> Result<()> {
    let mut host = Host::new(&config())?;
    host.ns().run("tc qdisc add dev eth0 clsact")?;
    host.ns().run("tc filter add dev eth0 ingress pref 7 u32 match u32 0 0 flowid 1:1")?;
    let theirs = filters(&host, "eth0", "ingress")?;
    assert!(!theirs.is_empty());
    host.daemon.launch()?;
    assert_eq!(filters(&host, "eth0", "ingress")?.len(), theirs.len() + 1);
    host.daemon.terminate()?;
    host.daemon.down()?;
    assert!(has_clsact(&host)?);
    assert_eq!(filters(&host, "eth0", "ingress")?, theirs);
    Ok(())
}

#[test]
fn a_restart_may_go_from_filters_to_links_and_back() -> Result<()> {
    if !needs(Feature::Tcx)? {
        return Ok(());
    }
    let (mut host, other) = Host::up(&config())?;
    host.daemon.terminate()?;
    host.daemon.write_config(&crate::host::CONFIG)?;
    host.daemon.launch()?;
    host.assert_ping("now")?;
    assert_eq!(filters(&host, "eth0", "ingress")?, [""; 0]);
    assert_eq!(tcx(host.ns(), "eth0")?, [vec!["deliver".to_owned()], vec![]]);
    host.daemon.terminate()?;
    host.daemon.write_config(&config())?;
    host.daemon.launch()?;
    host.assert_ping("now")?;
    assert_one_filter_a_hook(&host)?;
    host.daemon.terminate()?;
    host.daemon.down()?;
    assert!(!has_clsact(&host)?, "the qdisc was the daemon's");
    other.stop()
}
