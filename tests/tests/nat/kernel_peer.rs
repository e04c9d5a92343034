//! A peer that is a kernel `vxlan` device: it answers no probes, so there is what its data packets
//! show, and an echo through the tunnel.

use std::cell::RefCell;

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    Config,
    conserve::NftCounter,
    daemon::Daemon,
    kernel_vxlan::KernelVxlan,
    nat_lab::{Nat, NatLab, PORT},
    traffic::{ping, tcp_transfer, udp_exchange},
};

use crate::world::{Host, Node, OVERLAY, VNI, World, says};

const DATAGRAMS: u64 = 200;

fn configuration(lab: &NatLab) -> Config {
    let (a, b) = (&lab.a, &lab.b);
    let mut config = Config::new("a").set("address", a.own());
    if a.own() != a.public() {
        config = config.set("public_address", a.public());
    }
    config = config.section("[probe]").lines("interval = 1").peer("b", b.public());
    if b.own() != b.public() {
        config = config.set("private_address", b.own());
    }
    config
        .set("source_port", "any")
        .network(VNI, OVERLAY, &[format!("{}/24", Node::A.inner())])
        .member("b", &[format!("{}/32", Node::B.inner())])
        .set("probe_address", Node::B.inner())
}

fn passive(a: Nat, b: Nat, kind: &str, evidence: &[&str]) -> Result<()> {
    let lab = NatLab::new(a, b)?;
    // Else the device looks for routers, now and then, which no tunnel carries.
    lab.b.host.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
    KernelVxlan::new("vx0", VNI, lab.b.own().into(), lab.a.public().into())
        .port(PORT)
        .address(&format!("{}/24", Node::B.inner()))
        .mtu(1450)
        .create(&lab.b.host)?;
    let ns = (*lab.a.host).clone();
    let daemon = Daemon::start(&ns, &lab.run, "a", &configuration(&lab))?;
    let host = Host {
        node: Node::A,
        peers: vec![Node::B],
        sent: NftCounter::egress(&ns, OVERLAY, "")?,
        delivered: NftCounter::ingress(&ns, OVERLAY, "")?,
        ns,
        daemon,
    };
    let world = World { hosts: vec![host], wrong: RefCell::default(), lab };
    let host = world.host(Node::A)?;
    // Its first ARP reply is data, before the first echo reply comes.
    let report = host.wait(Node::B, "up by echo", |report| {
        report["liveness"]["up"] == true && report["liveness"]["by"]["kind"] == "inner_echo"
    })?;
    ensure!(report["liveness"]["by"]["address"] == Node::B.inner().to_string(), "{report:#}");
    ensure!(host.metrics()?.get("vxlan_peer_up", &[("peer", "b")]) == 1.0);

    let before = host.read()?;
    let far = &world.lab.b.host;
    let result = ping(&host.ns, None, Node::B.inner().into(), 5)?;
    ensure!(result.all_answered(), "{}", result.output);
    for (from, to, node) in [(&host.ns, &**far, Node::B), (&**far, &host.ns, Node::A)] {
        let udp = udp_exchange(from, to, node.inner().into(), DATAGRAMS, 500, 5_000)?;
        ensure!((udp.sent, udp.received) == (DATAGRAMS, DATAGRAMS), "{udp:?}");
        let transfer = tcp_transfer(from, to, node.inner().into(), 1 << 20)?;
        ensure!(transfer.intact(), "{transfer:?}");
    }
    let grown = host.read()?.since(&before);
    let of = grown.of(Node::B);
    ensure!(of.rx > DATAGRAMS && grown.drops.is_empty(), "{grown:?}");
    let all_or_none = |count: u64, nat| count == if nat == Nat::OneToOne { of.rx } else { 0 };
    ensure!(all_or_none(of.src_address, b) && all_or_none(of.dst_address, a), "{grown:?}");
    ensure!(of.src_port == 0 && of.checksum == 0, "{grown:?}");

    let report = host.verdict(Node::B, kind, evidence)?;
    ensure!(says(&report, "there is no key for b: 0 probes"), "{report:#}");
    ensure!(report["probes"]["sent"] == 0 && report["ours"].is_null(), "{report:#}");
    ensure!(report["data"]["address"] == world.lab.b.public().to_string(), "{report:#}");
    ensure!(!report["learned"].as_bool().context("learned or not")?, "{report:#}");
    let shown = host.daemon.vxlan(&["show", "nat"])?.stdout;
    ensure!(shown.contains("echo"), "it does not say how it knows:\n{shown}");

    // Its host goes on, but not what the tunnel leads to.
    far.run("ip link set vx0 down")?;
    host.wait(Node::B, "down by echo", |report| report["liveness"]["up"] == false)?;
    ensure!(host.metrics()?.get("vxlan_peer_up", &[("peer", "b")]) == 0.0);
    far.run("ip link set vx0 up")?;
    host.wait(Node::B, "up again", |report| report["liveness"]["up"] == true)?;
    world.stop()
}

#[test]
fn without_nat() -> Result<()> {
    passive(Nat::None, Nat::None, "none", &["data packets of b came from 198.51.100.130"])
}

#[test]
fn behind_one_to_one_as_we_are() -> Result<()> {
    passive(
        Nat::OneToOne,
        Nat::OneToOne,
        "one_to_one",
        &[
            "data packets of b came from 198.51.100.20 instead of 10.0.0.119",
            "data packets of b came to another address than 203.0.113.10",
        ],
    )
}
