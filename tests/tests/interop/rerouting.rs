//! The path to a peer changes while the daemon runs: another gateway, no gateway, the same gateway
//! with another MAC address. The far end is a kernel vxlan device behind two routers:
//!
//! ```text
//!  near ─┬─ first  ─┬─ far
//!        └─ second ─┘
//! ```

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use vxlan_tests::{
    Config, Netns, Run, Wire,
    conserve::{NftCounter, link_stats},
    daemon::Daemon,
    kernel_vxlan::KernelVxlan,
    segment::Segment,
    traffic::{ping, ping_with, udp_exchange},
    wait::{joined, wait_until},
};

use crate::{
    ledger::{Ledger, Merging},
    meter::{Meter, Reading, quiet},
};

const VNI: u32 = 43;
const PATIENCE: Duration = Duration::from_secs(15);
const TUNNEL: &str = "udp dport 4789";
const FIRST: &str = "10.1.0.11";
const SECOND: &str = "10.1.0.12";

fn configuration() -> Config {
    Config::new("near")
        .set("address", "10.1.0.2")
        .peer("far", "10.2.0.2")
        .set("source_port", "any")
        .network(VNI, "vxlan43", &["192.168.43.1/24"])
        .member("far", &["192.168.44.0/24"])
}

struct TwoGateways {
    /// Packets of the tunnel that come from `near` through each router.
    through: [NftCounter; 2],
    /// … and that `far` gets.
    arrived: NftCounter,
    meter: Meter,
    daemon: Daemon,
    near: Netns,
    far: Netns,
    first: Netns,
    _second: Netns,
    _segments: [Segment; 2],
    /// Last: it must outlive the others.
    _run: Run,
}

impl TwoGateways {
    fn new() -> Result<Self> {
        let run = Run::new()?;
        let (near, far) = (run.netns("near")?, run.netns("far")?);
        let (first, second) = (run.netns("first")?, run.netns("second")?);
        let segments = [("here", Wire::Real), ("there", Wire::Real)]
            .map(|(role, wire)| Segment::new(&run, role, wire));
        let [here, there] = segments;
        let (here, there) = (here?, there?);
        for ns in [&near, &far] {
            ns.sysctl("net.ipv6.conf.default.addr_gen_mode", "1")?;
        }
        here.plug(&near, "eth0", "10.1.0.2/24", "near")?;
        there.plug(&far, "eth0", "10.2.0.2/24", "far")?;
        for (router, number) in [(&first, 11), (&second, 12)] {
            router.sysctl("net.ipv4.ip_forward", "1")?;
            here.plug(router, "near", &format!("10.1.0.{number}/24"), &format!("port{number}"))?;
            there.plug(router, "far", &format!("10.2.0.{number}/24"), &format!("port{number}"))?;
        }
        near.run(&format!("ip route add default via {FIRST}"))?;
        far.run("ip route add default via 10.2.0.11")?;
        let daemon = Daemon::start(&near, &run, "near", &configuration())?;
        KernelVxlan::new("vx0", VNI, [10, 2, 0, 2].into(), [10, 1, 0, 2].into())
            .address("192.168.44.1/24")
            .route("192.168.43.0/24")
            .create(&far)?;
        Ok(Self {
            through: [
                NftCounter::prerouting(&first, "near", TUNNEL)?,
                NftCounter::prerouting(&second, "near", TUNNEL)?,
            ],
            arrived: NftCounter::prerouting(&far, "eth0", TUNNEL)?,
            meter: Meter::new(&near, &[("vxlan43", VNI)])?,
            daemon,
            near,
            far,
            first,
            _second: second,
            _segments: [here, there],
            _run: run,
        })
    }

    fn read(&self) -> Result<Counts> {
        quiet(|| {
            let [first, second] = &self.through;
            let device = link_stats(&self.far, "vx0")?;
            Ok(Counts {
                ours: self.meter.read(&self.daemon)?,
                through: [first.packets()?, second.packets()?],
                arrived: self.arrived.packets()?,
                received: device.rx_packets,
                sent: device.tx_packets,
            })
        })
    }

    /// Is all that was sent since `before` accounted for, and arrived? Returns what went through
    /// each router.
    fn settle(&self, before: &Counts, drops: &[(&str, u64)]) -> Result<[u64; 2]> {
        let now = self.read()?;
        let ours = now.ours.since(&before.ours);
        let through = [0, 1].map(|router| now.through[router] - before.through[router]);
        let mut ledger = Ledger::default();
        ledger.stack("near", &ours, drops, Merging::None);
        ledger.equal("sent against seen by the routers", ours.tx(), through.iter().sum());
        ledger.equal("sent against arrived", ours.tx(), now.arrived - before.arrived);
        ledger.equal(
            "sent against received by the device",
            ours.tx(),
            now.received - before.received,
        );
        ledger.equal("received against sent by the device", ours.rx(), now.sent - before.sent);
        ledger.close(&format!("{ours:?}, through {through:?}"))?;
        Ok(through)
    }

    fn ping(&self, count: u32) -> Result<()> {
        let result = ping(&self.near, None, [192, 168, 44, 1].into(), count)?;
        ensure!(result.all_answered(), "{}\n{}", result.output, self.daemon.log());
        Ok(())
    }

    /// Waits until the data plane's packets take the path through this router.
    fn wait_for(&self, what: &str) -> Result<()> {
        let seen = self.daemon.wait_for_log(what, PATIENCE);
        ensure!(seen, "the daemon does not log `{what}`:\n{}", self.daemon.log());
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Counts {
    ours: Reading,
    through: [u64; 2],
    arrived: u64,
    received: u64,
    sent: u64,
}

#[test]
fn traffic_follows_the_route_to_another_gateway() -> Result<()> {
    let gateways = TwoGateways::new()?;
    gateways.ping(3)?;
    let before = gateways.read()?;
    // Under way while the route changes; both routers work, so nothing may be lost.
    let udp = thread::scope(|scope| {
        let exchange = scope.spawn(|| {
            let to = [192, 168, 44, 1].into();
            udp_exchange(&gateways.near, &gateways.far, to, 6_000, 200, 4_000)
        });
        wait_until("traffic through the first router", PATIENCE, || {
            Ok(gateways.through[0].packets()? >= 1_000)
        })?;
        gateways.near.run(&format!("ip route replace default via {SECOND}"))?;
        joined(exchange.join())
    })?;
    ensure!((udp.sent, udp.received) == (6_000, 6_000), "{udp:?}");
    let through = gateways.settle(&before, &[])?;
    ensure!(through[0] >= 900 && through[1] >= 1_000, "through the routers: {through:?}");

    let before = gateways.read()?;
    gateways.ping(20)?;
    let through = gateways.settle(&before, &[])?;
    ensure!(through[0] == 0 && through[1] >= 20, "through the routers: {through:?}");
    Ok(())
}

#[test]
fn without_a_route_packets_are_counted_and_with_one_they_pass_again() -> Result<()> {
    let gateways = TwoGateways::new()?;
    gateways.ping(3)?;
    gateways.near.run("ip route del default")?;
    gateways.wait_for("not reachable: no route")?;
    let before = gateways.read()?;
    let lost = ping_with(&gateways.near, None, [192, 168, 44, 1].into(), 10, "-i 0.02 -W 1")?;
    ensure!(lost.received == 0, "{}", lost.output);
    let offered = gateways.read()?.ours.since(&before.ours).offered;
    ensure!(offered >= 10, "{offered} packets offered");
    gateways.settle(&before, &[("tx no_neighbour", offered)])?;

    gateways.near.run(&format!("ip route add default via {SECOND}"))?;
    gateways.wait_for(&format!("reachable via {SECOND}"))?;
    let before = gateways.read()?;
    gateways.ping(20)?;
    let through = gateways.settle(&before, &[])?;
    ensure!(through[0] == 0 && through[1] >= 20, "through the routers: {through:?}");
    Ok(())
}

#[test]
fn traffic_follows_a_gateway_that_announces_another_mac_address() -> Result<()> {
    let gateways = TwoGateways::new()?;
    // As a standby router does that takes over (RFC 5227 section 3), and it is believed at once.
    gateways.first.sysctl("net.ipv4.conf.near.arp_notify", "1")?;
    gateways.near.sysctl("net.ipv4.neigh.eth0.locktime", "0")?;
    gateways.ping(3)?;
    let mac = "02:00:00:00:00:99";
    gateways.first.run(&format!("ip link set near address {mac}"))?;
    wait_until("the kernel takes up the new address", PATIENCE, || {
        Ok(gateways.near.run(&format!("ip neigh show {FIRST}"))?.contains(mac))
    })?;
    let before = gateways.read()?;
    gateways.ping(20)?;
    let through = gateways.settle(&before, &[])?;
    ensure!(through[0] >= 20, "through the routers: {through:?}");
    Ok(())
}

#[test]
fn traffic_finds_a_gateway_that_changed_its_mac_address_silently() -> Result<()> {
    let gateways = TwoGateways::new()?;
    // The kernel's own timers, short: how soon it doubts an address, and how long it asks.
    for (key, value) in [
        ("base_reachable_time_ms", "500"),
        ("delay_first_probe_time", "1"),
        ("retrans_time_ms", "100"),
        ("ucast_solicit", "1"),
    ] {
        gateways.near.sysctl(&format!("net.ipv4.neigh.eth0.{key}"), value)?;
    }
    gateways.ping(3)?;
    let before = gateways.read()?;
    gateways.first.run("ip link set near address 02:00:00:00:00:99")?;
    let deadline = Instant::now() + PATIENCE;
    let mut lost = 0;
    while !ping_with(&gateways.near, None, [192, 168, 44, 1].into(), 1, "-W 0.2")?.all_answered() {
        lost += 1;
        ensure!(Instant::now() < deadline, "no path back:\n{}", gateways.daemon.log());
    }
    // Else it changed nothing.
    ensure!(lost > 0, "not one ping was lost");
    let ours = gateways.read()?.ours.since(&before.ours);
    let refused = ours.drops.get("tx no_neighbour").copied().unwrap_or_default();
    let mut ledger = Ledger::default();
    ledger.stack("near", &ours, &[("tx no_neighbour", refused)], Merging::None);
    ledger.close(&format!("{ours:?}"))?;

    let before = gateways.read()?;
    gateways.ping(20)?;
    let through = gateways.settle(&before, &[])?;
    ensure!(through[0] >= 20, "through the routers: {through:?}");
    Ok(())
}
