//! Packets that the programs cannot handle whole, and that the kernel cuts up for them: of a tunnel
//! of the host's own inside the overlay, and what GRO has merged below an underlay interface that
//! stands on another. The far end is a kernel vxlan device.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, ensure};
use vxlan_tests::{
    Config, Ns, Pair, Wire,
    conserve::{NftCounter, link_stats, quiet},
    daemon::Daemon,
    kernel,
    kernel_vxlan::KernelVxlan,
    metrics::Metrics,
    traffic::{ping_with, tcp_transfer},
};

const VNI: u32 = 43;
const NEAR: Ipv4Addr = Ipv4Addr::new(192, 168, 43, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(192, 168, 43, 2);
const BYTES: u64 = 16 << 20;

fn configuration(interface: &str) -> String {
    let config = Config::new("near")
        .set("address", "203.0.113.1")
        .set("unknown_vni", "pass")
        .peer("far", "203.0.113.2")
        .set("source_port", "any")
        .network(VNI, "vxlan43", &["192.168.43.1/24"])
        .member("far", &["192.168.43.2/32"]);
    String::from(config).replace("\"eth0\"", &format!("\"{interface}\""))
}

fn kernel_device(ns: &Ns) -> Result<()> {
    KernelVxlan::new("vx0", VNI, [203, 0, 113, 2].into(), [203, 0, 113, 1].into())
        .address("192.168.43.2/24")
        .create(ns)
        .map(drop)
}

fn total(metrics: &Metrics, name: &str, direction: &str) -> u64 {
    metrics.total(name, &[("direction", direction)]) as u64
}

/// The kernel hands down the TCP of a tunnel inside the overlay as tunnelled GSO. `inside` is the
/// device, in the words of `ip link add`; where the kernel has none of its kind, nothing is tested.
fn a_tunnel_of_the_hosts_own_carries_tcp(inside: &str) -> Result<()> {
    let pair = Pair::new(Wire::Real)?;
    let kind = inside.split(' ').next().unwrap_or_default();
    let probed = pair.b.output(&format!("ip link add probed type {inside} remote 192.0.2.1"))?;
    if probed.stderr.contains("Unknown device type") {
        kernel::left_out(&format!("needs devices of the type {kind}"));
        return Ok(());
    }
    ensure!(probed.success(), "{}", probed.stderr);
    pair.b.run("ip link del probed")?;
    kernel_device(&pair.b)?;
    let passes = configuration("eth0")
        .replace("interface = \"vxlan43\"", "interface = \"vxlan43\"\nnested_tunnels = \"pass\"");
    let near = Daemon::start(&pair.a, &pair.run, "near", &passes)?;
    let local = |address| if kind == "geneve" { String::new() } else { format!("local {address}") };
    for (ns, from, to, last) in [(&pair.a, NEAR, FAR, 1), (&pair.b, FAR, NEAR, 2)] {
        let local = local(from);
        ns.run(&format!("ip link add in7 mtu 1400 type {inside} {local} remote {to}"))?;
        ns.run(&format!("ip addr add 10.9.0.{last}/24 dev in7"))?;
        ns.run("ip link set in7 up")?;
    }
    let arrived = NftCounter::ingress(&pair.b, "eth0", "udp dport 4789")?;
    let sent = || -> Result<u64> { Ok(total(&near.metrics()?, "vxlan_packets_total", "tx")) };
    // Both at once: devices have sent something of their own by now.
    let both = || -> Result<(u64, u64)> { Ok((sent()?, arrived.packets()?)) };
    let before = quiet(both)?;
    let [a, b]: [IpAddr; 2] = [[10, 9, 0, 1].into(), [10, 9, 0, 2].into()];
    for (from, to, address) in [(&pair.a, &pair.b, b), (&pair.b, &pair.a, a)] {
        let transfer = tcp_transfer(from, to, address, BYTES)?;
        ensure!(transfer.intact() && transfer.bytes == BYTES, "{transfer:?}");
    }
    // A full packet, and one that has to be cut up by IP.
    for size in [1372, 4000] {
        let answered = ping_with(&pair.a, None, b, 3, &format!("-s {size}"))?;
        ensure!(answered.all_answered(), "{size}: {answered:?}");
    }
    // Each packet that left was counted once, and nothing was dropped.
    let after = quiet(both)?;
    let (counted, arrived) = (after.0 - before.0, after.1 - before.1);
    ensure!(arrived == counted, "{arrived} arrived, {counted} counted");
    let drops = near.metrics()?.drops();
    ensure!(drops.keys().all(|reason| !reason.starts_with("tx")), "{drops:?}");
    // Without the daemon, too.
    let mut near = near;
    near.kill()?;
    let transfer = tcp_transfer(&pair.a, &pair.b, b, BYTES)?;
    ensure!(transfer.intact(), "{transfer:?}");
    near.launch()?;
    near.stop()
}

#[test]
fn a_vxlan_device_inside_carries_tcp() -> Result<()> {
    a_tunnel_of_the_hosts_own_carries_tcp("vxlan id 7 dstport 4790")
}

#[test]
fn a_geneve_device_inside_carries_tcp() -> Result<()> {
    a_tunnel_of_the_hosts_own_carries_tcp("geneve id 7")
}

#[test]
fn a_gre_device_inside_carries_tcp() -> Result<()> {
    a_tunnel_of_the_hosts_own_carries_tcp("gre")
}

#[test]
fn a_gretap_device_inside_carries_tcp() -> Result<()> {
    a_tunnel_of_the_hosts_own_carries_tcp("gretap")
}

#[test]
fn an_ipip_device_inside_carries_tcp() -> Result<()> {
    a_tunnel_of_the_hosts_own_carries_tcp("ipip")
}

/// The underlay interface is a bridge. Its port has GRO merge the packets of the tunnel, as another
/// VXLAN device is on the UDP port.
#[test]
fn packets_that_were_merged_below_are_cut_up_again() -> Result<()> {
    let pair = Pair::new(Wire::Real)?;
    for command in [
        "ip link add ul type bridge",
        "ip addr flush dev eth0",
        "ip link set eth0 master ul",
        "ip addr add 203.0.113.1/24 dev ul",
        "ip link set ul up",
        "ethtool -K eth0 gro off",
        "ethtool -K eth0 gro on",
        "ip link add other type vxlan id 99 local 203.0.113.1 dstport 4789 dev ul",
        "ip link set other up",
    ] {
        pair.a.run(command)?;
    }
    kernel_device(&pair.b)?;
    // Asked for by name, it is refused: it would take each merged packet for one.
    let generic = configuration("ul").replace("unknown_vni", "xdp = \"generic\"\nunknown_vni");
    let refused = Daemon::start(&pair.a, &pair.run, "near", &generic).map(drop);
    let refused = format!("{:#}", refused.err().unwrap_or_else(|| anyhow::anyhow!("it starts")));
    ensure!(refused.contains("generic XDP on ul would see packets"), "{refused}");

    let near = Daemon::start(&pair.a, &pair.run, "near", &configuration("ul"))?;
    let [arp, others, merged] = ["ether type arp", "meta l4proto != udp", "udp dport 4789"]
        .map(|matching| NftCounter::ingress(&pair.a, "eth0", matching));
    let (arp, others, merged) = (arp?, others?, merged?);
    let counted = || -> Result<u64> {
        let metrics = near.metrics()?;
        let [received, dropped] =
            ["vxlan_packets_total", "vxlan_drops_total"].map(|name| total(&metrics, name, "rx"));
        Ok(received + dropped)
    };
    // All at one moment: an echo or a solicitation may come between two readings.
    let moment = || -> Result<(u64, u64, u64)> {
        let wire = link_stats(&pair.a, "eth0")?.rx_packets;
        Ok((counted()?, wire, arp.packets()? + others.packets()?))
    };
    let before = quiet(moment)?;
    let merged_before = merged.packets()?;
    let transfer = tcp_transfer(&pair.b, &pair.a, NEAR.into(), BYTES)?;
    ensure!(transfer.intact() && transfer.bytes == BYTES, "{transfer:?}");
    let now = quiet(moment)?;
    let (counted, others) = (now.0 - before.0, now.2 - before.2);
    let tunnelled = now.1 - before.1 - others;
    ensure!(counted == tunnelled, "{tunnelled} on the wire, {counted} counted");
    let merged = merged.packets()? - merged_before;
    ensure!(merged < tunnelled / 2, "{merged} of {tunnelled}: nothing was merged");
    near.stop()
}
