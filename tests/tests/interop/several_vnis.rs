//! A kernel vxlan device that carries several VNIs (`external vnifilter`), as a peer of two of our
//! networks: each VNI ends in its own network, and one that either side has not configured ends
//! nowhere. As in the kernel's `test_vxlan_vnifiltering.sh`; its part with a bridge needs VLAN
//! filtering, so here routes say which VNI a packet gets.

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    Config, Ns, Pair, Wire,
    conserve::NftCounter,
    daemon::Daemon,
    inject::inject,
    packet::{Eth, Icmp, Ipv4, Mac, Packet, Udp, Vxlan},
    traffic::{ping_with, tcp_transfer, udp_exchange},
    two_hosts::Family,
};

use crate::{
    ledger::{Ledger, Merging},
    meter::{Meter, Reading, quiet},
};

const VNIS: [u32; 2] = [43, 0x01_01_2b];
/// Known to the kernel's device in the end, and never to us.
const THIRD: u32 = 45;
const OVERLAYS: [&str; 2] = ["one", "two"];
const DEVICE: &str = "vx0";
const BYTES: u64 = 20 << 20;

fn configuration() -> Config {
    Config::new("ours")
        .set("address", "203.0.113.1")
        .peer("kernel", "203.0.113.2")
        .set("source_port", "any")
        .network(VNIS[0], OVERLAYS[0], &["192.168.1.1/24"])
        .member("kernel", &["192.168.101.0/24"])
        .network(VNIS[1], OVERLAYS[1], &["192.168.2.1/24"])
        .member("kernel", &["192.168.102.0/24"])
}

/// What the device says of one VNI, by direction: packets and bytes; drops and errors together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Vni {
    rx: (u64, u64),
    tx: (u64, u64),
    lost: u64,
}

impl Vni {
    fn since(&self, before: &Self) -> Self {
        Self {
            rx: (self.rx.0 - before.rx.0, self.rx.1 - before.rx.1),
            tx: (self.tx.0 - before.tx.0, self.tx.1 - before.tx.1),
            lost: self.lost - before.lost,
        }
    }
}

/// `bridge -s vni show`: what the device has received and sent in one VNI.
fn vni_stats(ns: &Ns, vni: u32) -> Result<Vni> {
    let text = ns.run(&format!("bridge -s vni show dev {DEVICE}"))?;
    let mut lines = text.lines().map(str::trim);
    let number = vni.to_string();
    lines
        .find(|line| line.split_whitespace().any(|word| word == number))
        .with_context(|| format!("no VNI {vni} in\n{text}"))?;
    let mut counts = |direction: &str| -> Result<[u64; 4]> {
        let line = lines.next().unwrap_or_default();
        let rest =
            line.strip_prefix(direction).with_context(|| format!("not {direction}: {line}"))?;
        let words: Vec<&str> = rest.split_whitespace().collect();
        let number = |name: &str| -> Result<u64> {
            let at = words.iter().position(|word| *word == name);
            let value = at.and_then(|at| words.get(at + 1)).context("no such count")?;
            Ok(value.parse()?)
        };
        Ok([number("pkts")?, number("bytes")?, number("drops")?, number("errors")?])
    };
    let (rx, tx) = (counts("RX:")?, counts("TX:")?);
    let lost = [rx, tx].iter().map(|counts| counts[2] + counts[3]).sum();
    Ok(Vni { rx: (rx[0], rx[1]), tx: (tx[0], tx[1]), lost })
}

struct Peers {
    meter: Meter,
    daemon: Daemon,
    /// Last: it must outlive the others.
    pair: Pair,
}

impl Peers {
    fn new() -> Result<Self> {
        Self::with(&configuration().to_string())
    }

    fn with(configuration: &str) -> Result<Self> {
        let pair = Pair::counted(Family::V4, Wire::Real)?;
        for ns in [&pair.a, &pair.b] {
            ns.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
        }
        let daemon = Daemon::start(&pair.a, &pair.run, "ours", configuration)?;
        pair.b.run(&format!(
            "ip link add {DEVICE} type vxlan external vnifilter local 203.0.113.2 dstport 4789"
        ))?;
        pair.b.run(&format!("ip link set {DEVICE} mtu 1450 up"))?;
        for (number, vni) in (1..).zip(VNIS) {
            pair.b.run(&format!("bridge vni add dev {DEVICE} vni {vni}"))?;
            pair.b.run(&format!("ip addr add 192.168.10{number}.1/32 dev {DEVICE}"))?;
            pair.b.run(&format!(
                "ip route add 192.168.{number}.0/24 encap ip id {vni} dst 203.0.113.1 \
                 dev {DEVICE} src 192.168.10{number}.1"
            ))?;
        }
        let overlays = OVERLAYS.iter().copied().zip(VNIS).collect::<Vec<_>>();
        Ok(Self { meter: Meter::new(&pair.a, &overlays)?, daemon, pair })
    }

    fn read(&self) -> Result<(Reading, [Vni; 2])> {
        quiet(|| {
            let device = [vni_stats(&self.pair.b, VNIS[0])?, vni_stats(&self.pair.b, VNIS[1])?];
            Ok((self.meter.read(&self.daemon)?, device))
        })
    }

    /// What happened since `before` is conserved in each network by itself. Returns our account.
    fn settle(
        &self,
        before: &(Reading, [Vni; 2]),
        drops: &[(&str, u64)],
        how: Merging,
    ) -> Result<Reading> {
        let (now, device) = self.read()?;
        let ours = now.since(&before.0);
        let mut ledger = Ledger::default();
        ledger.host("ours", &ours, drops, how);
        for ((vni, now), old) in VNIS.iter().zip(device).zip(before.1) {
            let network = ours.networks[vni];
            let Vni { rx, tx, lost } = now.since(&old);
            let (sent, received) = ((network.tx, network.tx_bytes), (network.rx, network.rx_bytes));
            // What it receives it counts without the Ethernet header.
            let rx = (rx.0, rx.1 + 14 * rx.0);
            ledger.merged(&format!("VNI {vni}: sent against received"), sent, rx, how);
            ledger.merged(&format!("VNI {vni}: received against sent"), received, tx, how);
            ledger.equal(&format!("VNI {vni}: lost by the kernel"), lost, 0);
        }
        ledger.close(&format!("{ours:?}"))?;
        Ok(ours)
    }
}

#[test]
fn each_vni_of_one_kernel_device_is_a_network_of_its_own() -> Result<()> {
    let peers = Peers::new()?;
    let (a, b) = (&peers.pair.a, &peers.pair.b);
    for (number, vni) in [1_u8, 2].into_iter().zip(VNIS) {
        let (near, far) = ([192, 168, number, 1].into(), [192, 168, 100 + number, 1].into());
        for (from, own, to) in [(&**a, near, far), (&**b, far, near)] {
            let before = peers.read()?;
            let options = "-i 0.02 -W 2";
            let pings = ping_with(from, Some(own), to, 10, options)?;
            ensure!(pings.all_answered(), "VNI {vni}: {}", pings.output);
            let ours = peers.settle(&before, &[], Merging::None)?;
            let other = VNIS.into_iter().find(|other| *other != vni).unwrap_or(vni);
            let (this, none) = (ours.networks[&vni], ours.networks[&other]);
            ensure!(this.tx >= 10 && this.rx >= 10 && (none.tx, none.rx) == (0, 0), "{ours:?}");
        }
        for (client, server, to) in [(a, b, far), (b, a, near)] {
            let before = peers.read()?;
            let transfer = tcp_transfer(client, server, to, BYTES)?;
            ensure!(transfer.intact() && transfer.bytes == BYTES, "VNI {vni}: {transfer:?}");
            peers.settle(&before, &[], Merging::TCP4)?;
        }
    }
    Ok(())
}

/// XDP redirects each network's datagrams into that network's interface.
#[test]
fn redirected_datagrams_stay_in_their_network() -> Result<()> {
    let on = configuration().to_string().replace("[underlay]\n", "[underlay]\nredirect = \"on\"\n");
    let peers = Peers::with(&on)?;
    let (a, b) = (&peers.pair.a, &peers.pair.b);
    for (number, vni) in (1..).zip(VNIS) {
        let before = peers.read()?;
        let udp = udp_exchange(b, a, [192, 168, number, 1].into(), 2_000, 200, 20_000)?;
        ensure!((udp.sent, udp.received, udp.damaged) == (2_000, 2_000, 0), "VNI {vni}: {udp:?}");
        let ours = peers.settle(&before, &[], Merging::None)?;
        let others = ours.networks.iter().filter(|(other, _)| **other != vni);
        let strays: u64 = others.map(|(_, network)| network.rx + network.delivered).sum();
        ensure!(strays == 0, "VNI {vni}: {ours:?}");
    }
    Ok(())
}

/// Ours to the kernel and the kernel to ours, in a VNI that only the sender has; then in one that
/// the kernel no longer has.
#[test]
fn only_configured_vnis_end_anywhere() -> Result<()> {
    const COUNT: u64 = 10;
    let peers = Peers::new()?;
    let (a, b) = (&peers.pair.a, &peers.pair.b);
    let options = "-i 0.02 -W 0.2";
    let before = peers.read()?;

    let (from_a, from_b) = (a.mac("eth0")?, b.mac("eth0")?);
    let device = b.mac(DEVICE)?;
    let entered = NftCounter::ingress(b, DEVICE, "")?;
    let frame = |vni| -> Vec<u8> { stray(from_b, from_a, device, vni) };
    // One bit beside each of the two, and the one that comes later.
    for vni in VNIS.iter().flat_map(|vni| (0..24).map(move |bit| vni ^ 1 << bit)).chain([THIRD]) {
        inject(a, "eth0", &[frame(vni)], COUNT)?;
    }
    ensure!(peers.read()?.1 == before.1 && entered.packets()? == 0, "a VNI that is not configured");
    // The same frames do arrive in a VNI that is.
    inject(a, "eth0", &[frame(VNIS[0])], COUNT)?;
    let now = peers.read()?.1;
    let arrived = now[0].since(&before.1[0]).rx.0;
    ensure!((arrived, entered.packets()?) == (COUNT, COUNT), "{now:?}");

    // The kernel's own packets, in a VNI that it alone has.
    b.run(&format!("bridge vni add dev {DEVICE} vni {THIRD}"))?;
    b.run(&format!(
        "ip route add 192.168.3.0/24 encap ip id {THIRD} dst 203.0.113.1 dev {DEVICE} \
         src 192.168.101.1"
    ))?;
    b.run(&format!("ip neigh add 192.168.3.1 dev {DEVICE} lladdr 02:00:00:00:00:33"))?;
    let before = peers.read()?;
    ping_with(b, None, [192, 168, 3, 1].into(), COUNT as u32, options)?;
    let ours = peers.settle(&before, &[("rx unknown_vni", COUNT)], Merging::None)?;
    ensure!(vni_stats(b, THIRD)?.tx.0 == COUNT && ours.rx() == 0, "{ours:?}");

    // And ours, in a VNI that the kernel has no longer.
    let pings = ping_with(a, None, [192, 168, 101, 1].into(), COUNT as u32, options)?;
    ensure!(pings.all_answered(), "{}", pings.output);
    b.run(&format!("bridge vni delete dev {DEVICE} vni {}", VNIS[0]))?;
    let before = quiet(|| Ok((peers.meter.read(&peers.daemon)?, entered.packets()?)))?;
    let pings = ping_with(a, None, [192, 168, 101, 1].into(), COUNT as u32, options)?;
    ensure!(pings.received == 0, "{}", pings.output);
    let now = quiet(|| Ok((peers.meter.read(&peers.daemon)?, entered.packets()?)))?;
    let ours = now.0.since(&before.0);
    let mut ledger = Ledger::default();
    ledger.host("ours", &ours, &[], Merging::None);
    ledger.equal("entered the kernel's device", now.1, before.1);
    ledger.close(&format!("{ours:?}"))?;
    ensure!(ours.tx() >= COUNT && ours.rx() == 0, "{ours:?}");
    Ok(())
}

/// An echo reply that nobody asked for, in this VNI.
fn stray(to: Mac, from: Mac, inner_to: Mac, vni: u32) -> Vec<u8> {
    let inner = Packet::new()
        .with(Eth::new(inner_to, [2, 0, 0, 0, 0, 0x77]))
        .with(Ipv4::new([192, 168, 1, 1], [192, 168, 101, 1]))
        .with(Icmp::echo_reply(1, 1));
    let outer = Packet::new()
        .with(Eth::new(to, from))
        .with(Ipv4::new([203, 0, 113, 1], [203, 0, 113, 2]))
        .with(Udp::vxlan(50_000));
    outer.with(Vxlan::new(vni)).carrying(inner).build().to_vec()
}
