//! Above a certain number of networks `encap` is attached by filters, since the kernel takes a
//! while for each link. Whichever it is, the program comes first, and nothing stays of the other.

use std::{fs, process::Command, time::Duration};

use anyhow::{Result, ensure};
use vxlan_tests::{
    cmd,
    foreign::ForeignTcx,
    kernel::{Feature, needs},
    wait,
};

use crate::host::{CONFIG, Host, tcx, wait_until};

/// One more than those that have links.
const MANY: u32 = 33;

/// The host's own network, and so many others.
pub(crate) fn with_networks(others: u32) -> String {
    let network = |n: u32| {
        let (vni, high, low) = (1_000 + n, n >> 8, n & 0xff);
        format!(
            "\n[[network]]\nvni = {vni}\ninterface = \"many{n}\"\n\
             addresses = [\"10.{high}.{low}.1/32\"]\n\n[[network.member]]\npeer = \"a\"\n\
             allowed_ips = [\"10.{high}.{low}.2/32\"]\n"
        )
    };
    let networks: Vec<String> = (1..=others).map(network).collect();
    format!("{}{}", *CONFIG, networks.concat())
}

fn filters(host: &Host, interface: &str) -> Result<usize> {
    let shown = host.ns().run(&format!("tc filter show dev {interface} egress"))?;
    Ok(shown.lines().filter(|line| line.contains("encap")).count())
}

/// The names of the programs in links, and the number of our filters.
fn attached(host: &Host, interface: &str) -> Result<(Vec<String>, usize)> {
    let [_, egress] = tcx(host.ns(), interface)?;
    Ok((egress, filters(host, interface)?))
}

fn links(host: &Host, interface: &str) -> Result<()> {
    assert_eq!(attached(host, interface)?, (vec!["encap".to_owned()], 0), "{interface}");
    Ok(())
}

fn filter(host: &Host, interface: &str) -> Result<()> {
    assert_eq!(attached(host, interface)?, (vec![], 1), "{interface}");
    Ok(())
}

fn reload(host: &mut Host, others: u32) -> Result<()> {
    host.daemon.write_config(&with_networks(others))?;
    let out = host.daemon.vxlan(&["reload"])?;
    ensure!(out.success(), "{}", out.stderr);
    Ok(())
}

/// A filter gives way to a link, and a link stays one, without a packet that is lost.
#[test]
fn filters_and_links_follow_the_number_of_networks() -> Result<()> {
    if !needs(Feature::Tcx)? {
        return Ok(());
    }
    let mut host = Host::new(&with_networks(MANY))?;
    let other = host.start_peer()?;
    let before = host.state()?;
    host.daemon.launch()?;
    host.assert_ping("with filters")?;
    filter(&host, "vxlan43")?;
    filter(&host, "many1")?;

    reload(&mut host, 1)?;
    host.assert_ping("with links")?;
    links(&host, "vxlan43")?;
    links(&host, "many1")?;

    reload(&mut host, MANY)?;
    host.assert_ping("with a link among filters")?;
    links(&host, "vxlan43")?;
    links(&host, "many1")?;
    filter(&host, "many2")?;

    // The next generation finds both.
    host.daemon.kill()?;
    host.daemon.launch()?;
    host.assert_ping("after a restart")?;
    links(&host, "many1")?;
    filter(&host, "many2")?;

    host.daemon.terminate()?;
    ensure!(host.daemon.down()?.success());
    host.state()?.assert_is(&before, "`down`");
    other.stop()
}

/// Links come before all filters, so `encap` gets one as soon as somebody else has one.
#[test]
fn a_link_of_somebody_else_does_not_stay_before_a_filter() -> Result<()> {
    if !needs(Feature::Tcx)? {
        return Ok(());
    }
    let mut host = Host::new(&with_networks(MANY))?;
    let other = host.start_peer()?;
    host.daemon.launch()?;
    filter(&host, "vxlan43")?;
    let _theirs = ForeignTcx::egress(host.ns(), "vxlan43", "somebodys")?;
    wait::wait_until("`encap` is in front", Duration::from_secs(15), || {
        Ok(attached(&host, "vxlan43")? == (vec!["encap".to_owned(), "somebodys".to_owned()], 0))
    })?;
    host.assert_ping("before somebody's link")?;
    filter(&host, "many1")?;
    // It is on record: the next generation puts its program into that link.
    reload(&mut host, MANY)?;
    host.assert_ping("after a reload")?;
    let [_, egress] = tcx(host.ns(), "vxlan43")?;
    assert_eq!(egress, ["encap", "somebodys"]);
    assert_eq!(filters(&host, "vxlan43")?, 0);
    other.stop()
}

/// A filter that is gone comes back, and the interfaces of a group of somebody else's stay when all
/// of ours are removed together.
#[test]
fn what_is_removed_together_is_ours_alone() -> Result<()> {
    let mut host = Host::new(&with_networks(MANY))?;
    let other = host.start_peer()?;
    // Their group differs from one of ours by its kind alone, and their alias is ours.
    host.ns().run("ip link add theirs group 0x760003e9 type bridge")?;
    let mut alias: Command = host.ns().command("ip");
    alias.args(["link", "set", "theirs", "alias", "vxlan overlay VNI 1001"]);
    ensure!(cmd::output(&mut alias)?.success());
    host.daemon.launch()?;
    host.ns().run("tc qdisc del dev many1 clsact")?;
    wait_until("the filter is back", || Ok(filters(&host, "many1")? == 1))?;
    host.daemon.terminate()?;
    // Only the pins tell which networks there are.
    let record = host.daemon.run_dir().join("state.json");
    fs::write(&record, "{\"format\"")?;
    let out = host.daemon.down()?;
    ensure!(out.success(), "{}", out.stderr);
    let left = host.ns().run("ip -o link")?;
    ensure!(left.contains("theirs"), "{left}");
    ensure!(!left.contains("many") && !left.contains("vxlan43"), "{left}");
    let mut delete: Command = host.ns().command("ip");
    ensure!(cmd::output(delete.args(["link", "del", "theirs"]))?.success());
    other.stop()
}
