//! The daemon's programs stay attached, before all others, and pinned, whatever somebody does to
//! them while it runs.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, setsockopt, socket, sockopt::BindToDevice,
};
use vxlan_tests::{
    cmd,
    conserve::NftCounter,
    foreign::ForeignTcx,
    inject::inject,
    kernel::{Feature, needs},
    packet::{Arp, Eth, Ipv4, Packet, Udp, Vxlan},
    sniff::Sniffer,
    wait,
};

use crate::{
    clsact,
    host::{CONFIG, Host, assert_one_of_each, tc, xdp},
};

/// The daemon looks at its hooks every ten seconds.
const LOOK: Duration = Duration::from_secs(15);

fn restored(host: &Host) -> Result<f64> {
    Ok(host.daemon.metrics()?.total("vxlan_hooks_restored_total", &[]))
}

fn wait_until_restored(host: &Host, before: f64) -> Result<()> {
    let more = || Ok(restored(host)? > before);
    wait::wait_until("it is put back", LOOK, more)
        .with_context(|| format!("the daemon logged:\n{}", host.daemon.log()))?;
    ensure!(host.daemon.metrics()?.total("vxlan_hooks_up", &[]) == 1.0);
    Ok(())
}

#[test]
fn a_program_that_was_there_first_comes_behind() -> Result<()> {
    if !needs(Feature::Tcx)? {
        return Ok(());
    }
    let mut host = Host::new(&CONFIG)?;
    let other = host.start_peer()?;
    let _theirs = ForeignTcx::ingress(host.ns(), "eth0", "somebodys")?;
    host.daemon.launch()?;
    host.assert_ping("behind `deliver`")?;
    assert_eq!(tc(host.ns(), "eth0")?[0], ["deliver", "somebodys"]);
    other.stop()
}

/// Somebody's program comes before ours. Until ours is in front again, what `decap` has accepted is
/// lost, and shows to be; and the underlay's stack takes nothing of it for its own.
#[test]
fn a_program_that_comes_later_is_overtaken() -> Result<()> {
    if !needs(Feature::Tcx)? {
        return Ok(());
    }
    let (host, other) = Host::up(&CONFIG)?;
    host.assert_ping("now")?;
    let (ns, peer) = (host.ns(), &host.pair.a);
    let plain = Sniffer::start(peer, "eth0", |frame| frame.get(12..14) == Some(&[0x08, 0x06]))?;
    let counted = |name: &str| -> Result<f64> {
        let labels: &[(&str, &str)] =
            if name == "vxlan_packets_total" { &[("direction", "rx")] } else { &[] };
        Ok(host.daemon.metrics()?.total(name, labels))
    };
    let before = restored(&host)?;
    let _theirs = [
        ForeignTcx::ingress(ns, "eth0", "somebodys")?,
        ForeignTcx::egress(ns, "vxlan43", "somebodys")?,
    ];
    let question = Arp::request([2, 0, 0, 0, 0x43, 9], [192, 168, 43, 1], [192, 168, 44, 1]);
    let frame = Packet::new()
        .with(Eth::new(ns.mac("eth0")?, peer.mac("eth0")?))
        .with(Ipv4::new([203, 0, 113, 1], [203, 0, 113, 2]))
        .with(Udp::vxlan(50_000))
        .with(Vxlan::new(43))
        .with(Eth::new([0xff; 6], [2, 0, 0, 0, 0x43, 9]))
        .with(question)
        .build();
    let accepted = counted("vxlan_accepted_packets_total")?;
    let delivered = counted("vxlan_packets_total")?;
    inject(peer, "eth0", &[frame], 3)?;
    wait::wait_until("the frames are accepted", LOOK, || {
        Ok(counted("vxlan_accepted_packets_total")? >= accepted + 3.0)
    })?;
    wait_until_restored(&host, before)?;
    assert_eq!(tc(ns, "eth0")?, [vec!["deliver", "somebodys"], vec![]]);
    wait::wait_until("`encap` is in front", LOOK, || {
        Ok(tc(ns, "vxlan43")?[1] == ["encap", "somebodys"])
    })?;
    host.assert_ping("in front again")?;
    let lost = counted("vxlan_accepted_packets_total")?
        - accepted
        - (counted("vxlan_packets_total")? - delivered);
    ensure!(lost >= 0.0, "more was delivered than accepted");
    let own = [192, 168, 44, 1];
    let answers = plain.finish()?.frames;
    ensure!(
        !answers.iter().any(|at| at.frame.get(28..32) == Some(&own)),
        "the underlay answers for the overlay"
    );
    other.stop()
}

#[test]
fn what_is_detached_is_attached_again() -> Result<()> {
    if !needs(Feature::Tcx)? {
        return Ok(());
    }
    let (host, other) = Host::up(&CONFIG)?;
    host.assert_ping("now")?;
    for link in ["link_decap", "link_deliver", "link_encap_43"] {
        let before = restored(&host)?;
        let version = fs::read_dir(host.daemon.pin_dir())?.next().context("no pins")??.path();
        let mut detach = Command::new("bpftool");
        detach.args(["link", "detach", "pinned"]).arg(version.join(link));
        let done = cmd::output(&mut detach)?;
        ensure!(done.success(), "{}", done.stderr);
        if link == "link_decap" {
            wait::wait_until("decap is back", LOOK, || Ok(xdp(host.ns(), "eth0")?.is_some()))?;
        } else {
            wait_until_restored(&host, before).context(link)?;
        }
        assert_one_of_each(&host, &["vxlan43"])?;
        host.assert_ping(link)?;
    }
    other.stop()
}

#[test]
fn pins_that_are_gone_are_made_again() -> Result<()> {
    let (mut host, other) = Host::up(&CONFIG)?;
    host.assert_ping("now")?;
    for _ in 0..2 {
        let before = restored(&host)?;
        remove_all(host.daemon.pin_dir())?;
        host.assert_ping("without pins")?;
        wait_until_restored(&host, before)?;
        let shown = host.vxlan(&["show", "drops"])?;
        ensure!(shown.success(), "{}", shown.stderr);
    }
    let reloaded = host.vxlan(&["reload"])?;
    ensure!(reloaded.success(), "{}", reloaded.stderr);
    host.assert_ping("after a reload")?;
    // Also at once.
    remove_all(host.daemon.pin_dir())?;
    let reloaded = host.vxlan(&["reload"])?;
    ensure!(reloaded.success(), "{}", reloaded.stderr);
    host.assert_ping("after a reload without pins")?;
    assert_one_of_each(&host, &["vxlan43"])?;
    host.daemon.terminate()?;
    host.assert_ping("without a daemon")?;
    host.daemon.down()?;
    ensure!(!host.ns().has_interface("vxlan43")?);
    other.stop()
}

fn remove_all(directory: &std::path::Path) -> Result<()> {
    fs::remove_dir_all(directory).with_context(|| directory.display().to_string())
}

#[test]
fn filters_come_back_and_stay_in_front() -> Result<()> {
    let mut host = Host::new(&clsact::config())?;
    let other = host.start_peer()?;
    // One of the product's earlier place, and one of another kind.
    host.ns().run("tc qdisc add dev eth0 clsact")?;
    host.ns().run("tc filter add dev eth0 ingress pref 7 u32 match u32 0 0 flowid 1:1")?;
    host.daemon.launch()?;
    host.assert_ping("before a filter that passes all")?;
    for (interface, what) in [("eth0", "ingress"), ("vxlan43", "egress")] {
        let before = restored(&host)?;
        host.ns().run(&format!("tc qdisc del dev {interface} clsact"))?;
        wait_until_restored(&host, before).context(what)?;
        host.assert_ping(what)?;
    }
    other.stop()
}

/// No right is needed to bind a socket to an interface and send to everybody there.
#[test]
fn what_is_sent_into_a_hidden_port_does_not_come_out() -> Result<()> {
    let host = Host::launched(&CONFIG)?;
    let ns = host.ns();
    let entered = NftCounter::ingress(ns, "vxlan43", "")?;
    ns.exec(|| -> Result<()> {
        for (family, to) in [
            (AddressFamily::Inet, "255.255.255.255:9"),
            (AddressFamily::Inet, "224.0.0.1:9"),
            (AddressFamily::Inet, "192.168.44.1:9"),
            (AddressFamily::Inet6, "[ff02::1]:9"),
            (AddressFamily::Inet6, "[2001:db8::9]:9"),
        ] {
            let socket = socket(family, SockType::Datagram, SockFlag::empty(), None)?;
            setsockopt(&socket, BindToDevice, &"vxport43".into())?;
            let socket = UdpSocket::from(socket);
            socket.set_broadcast(true)?;
            // Whether there is a route or not, nothing may come out of it.
            let _no_route = socket.send_to(b"let me in", to.parse::<SocketAddr>()?);
        }
        Ok(())
    })??;
    assert_eq!(entered.packets()?, 0);
    // Somebody takes that away.
    ns.run("tc qdisc del dev vxport43 root")?;
    let blackhole = || Ok(ns.run("tc qdisc show dev vxport43")?.contains("blackhole"));
    wait::wait_until("it is put back", LOOK, blackhole)
}
