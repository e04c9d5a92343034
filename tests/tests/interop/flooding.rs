//! Frames for everyone: ours copies them to three kernel vxlan devices, to each exactly once. As in
//! the kernel's `vxlan_bridge_1d.sh`.

use std::thread;

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    Config, Netns, Ns, Run, Wire,
    conserve::NftCounter,
    daemon::Daemon,
    inject::offer,
    kernel_vxlan::KernelVxlan,
    packet::{BROADCAST, Eth, Icmp, Ipv4, Mac, Packet},
    segment::Segment,
    traffic::{ping, udp_exchange},
};

use crate::meter::quiet;

const VNI: u32 = 43;
const OVERLAY: &str = "vxlan43";
const DEVICE: &str = "vx0";
const COUNT: u64 = 10;
/// A station behind us.
const STATION: Mac = [2, 0, 0, 0, 0x43, 7];
const NOBODY: Mac = [2, 0, 0, 0, 0x99, 9];
/// An address that no member owns.
const UNOWNED: [u8; 4] = [192, 168, 99, 9];

struct World {
    /// What enters each kernel device from the station, or from one that is counted by name.
    arrived: Vec<NftCounter>,
    offered: NftCounter,
    daemon: Daemon,
    hub: Netns,
    remotes: Vec<Netns>,
    _segment: Segment,
    /// Last: it must outlive the others.
    _run: Run,
}

/// Counts of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counts {
    offered: u64,
    arrived: Vec<u64>,
    sent: u64,
    /// Dropped on transmit: `no_route`, `rate_limited`, all reasons.
    no_route: u64,
    rate_limited: u64,
    dropped: u64,
}

impl World {
    fn new(network: &str) -> Result<Self> {
        let run = Run::new()?;
        let segment = Segment::new(&run, "switch", Wire::Real)?;
        let plug = |role: &str, number: usize| -> Result<Netns> {
            let ns = run.netns(role)?;
            ns.sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
            let address = format!("203.0.113.{number}/24");
            segment.plug(&ns, "eth0", &address, &format!("port{number}"))?;
            Ok(ns)
        };
        let hub = plug("hub", 1)?;
        let mut remotes = Vec::new();
        for number in 1..=3_u8 {
            let ns = plug(&format!("remote{number}"), 10 + usize::from(number))?;
            let local = [203, 0, 113, 10 + number].into();
            KernelVxlan::new(DEVICE, VNI, local, [203, 0, 113, 1].into())
                .address(&format!("192.168.10{number}.1/24"))
                .route("192.168.43.0/24")
                .create(&ns)?;
            remotes.push(ns);
        }
        let daemon = Daemon::start(&hub, &run, "hub", &configuration(network))?;
        let arrived = |ns: &Netns| NftCounter::ingress(ns, DEVICE, "ip protocol icmp");
        let world = Self {
            arrived: remotes.iter().map(arrived).collect::<Result<_>>()?,
            offered: NftCounter::egress(&hub, OVERLAY, "")?,
            daemon,
            hub,
            remotes,
            _segment: segment,
            _run: run,
        };
        // From here on all know each other, and each remote's device is a station of its member.
        for (number, remote) in (1..).zip(&world.remotes) {
            let own = [192, 168, 100 + number, 1].into();
            let result = ping(remote, Some(own), [192, 168, 43, 1].into(), 2)?;
            ensure!(result.all_answered(), "{}\n{}", result.output, world.daemon.log());
        }
        Ok(world)
    }

    fn read(&self) -> Result<Counts> {
        quiet(|| {
            let metrics = self.daemon.metrics()?;
            let tx = |name, labels: &[(&str, &str)]| {
                let labels = [&[("direction", "tx")], labels].concat();
                metrics.total(name, &labels) as u64
            };
            let arrived = self.arrived.iter().map(NftCounter::packets).collect::<Result<_>>()?;
            Ok(Counts {
                offered: self.offered.packets()?,
                arrived,
                sent: tx("vxlan_packets_total", &[]),
                no_route: tx("vxlan_drops_total", &[("reason", "no_route")]),
                rate_limited: tx("vxlan_drops_total", &[("reason", "rate_limited")]),
                dropped: tx("vxlan_drops_total", &[]),
            })
        })
    }

    /// Sends ten such frames into the overlay: how many come out at each remote, and how many have
    /// no route. Nothing else may happen.
    fn ten(&self, frame: &Packet) -> Result<(Vec<u64>, u64)> {
        let before = self.read()?;
        offer(&self.hub, OVERLAY, &[frame.build()], COUNT)?;
        let now = self.read()?;
        let arrived: Vec<u64> =
            now.arrived.iter().zip(&before.arrived).map(|(now, before)| now - before).collect();
        let no_route = now.no_route - before.no_route;
        ensure!(now.offered - before.offered == COUNT, "{before:?}, {now:?}");
        ensure!(now.sent - before.sent == arrived.iter().sum::<u64>(), "{before:?}, {now:?}");
        ensure!(now.dropped - before.dropped == no_route, "{before:?}, {now:?}");
        Ok((arrived, no_route))
    }

    fn device(&self, remote: usize) -> Result<Mac> {
        self.remotes[remote].mac(DEVICE)
    }
}

/// An echo reply that nobody asked for.
fn frame(to: Mac, from: Mac, destination: [u8; 4]) -> Packet {
    let ip = Ipv4::new([192, 168, 43, 7], destination);
    Packet::new().with(Eth::new(to, from)).with(ip).with(Icmp::echo_reply(1, 1)).payload(&[9; 40])
}

#[test]
fn what_is_for_everyone_reaches_each_once() -> Result<()> {
    let world = World::new("")?;
    let everyone = (vec![COUNT; 3], 0);
    for destination in [[255; 4], UNOWNED, [224, 0, 0, 251]] {
        let found = world.ten(&frame(BROADCAST, STATION, destination))?;
        ensure!(found == everyone, "broadcast to {destination:?}: {found:?}");
    }
    let multicast = frame([1, 0, 0x5e, 0, 0, 0xfb], STATION, [224, 0, 0, 251]);
    ensure!(world.ten(&multicast)? == everyone, "multicast");
    let unknown = world.ten(&frame(NOBODY, STATION, UNOWNED))?;
    ensure!(unknown == everyone, "unknown unicast: {unknown:?}");
    Ok(())
}

#[test]
fn what_is_for_one_reaches_one() -> Result<()> {
    let world = World::new("")?;
    let second = (vec![0, COUNT, 0], 0);
    let of_second = [192, 168, 102, 9];
    for (name, to, destination) in [
        ("a station, whose address nobody owns", world.device(1)?, UNOWNED),
        ("a station, and its own address", world.device(1)?, of_second),
        ("a station, and an address of the second", world.device(0)?, of_second),
        ("an unknown station, and an address of the second", NOBODY, of_second),
        ("everyone, and an address of the second", BROADCAST, of_second),
    ] {
        let found = world.ten(&frame(to, STATION, destination))?;
        ensure!(found == second, "{name}: {found:?}");
    }
    // Ourselves: not to be sent anywhere.
    let own = world.ten(&frame(NOBODY, STATION, [192, 168, 43, 1]))?;
    ensure!(own == (vec![0; 3], COUNT), "our own address: {own:?}");
    Ok(())
}

#[test]
fn unknown_unicast_can_be_dropped() -> Result<()> {
    let world = World::new("unknown_unicast = \"drop\"")?;
    let unknown = world.ten(&frame(NOBODY, STATION, UNOWNED))?;
    ensure!(unknown == (vec![0; 3], COUNT), "unknown unicast: {unknown:?}");
    let broadcast = world.ten(&frame(BROADCAST, STATION, UNOWNED))?;
    ensure!(broadcast == (vec![COUNT; 3], 0), "broadcast: {broadcast:?}");
    Ok(())
}

#[test]
fn nothing_goes_back_to_where_it_came_from() -> Result<()> {
    let world = World::new("")?;
    for remote in 0..3 {
        let mut expected = vec![COUNT; 3];
        expected[remote] = 0;
        for to in [BROADCAST, NOBODY] {
            // A bridge on our side would send it out again like this.
            let found = world.ten(&frame(to, world.device(remote)?, UNOWNED))?;
            ensure!(found == (expected.clone(), 0), "from remote {remote} to {to:?}: {found:?}");
        }
    }
    Ok(())
}

#[test]
fn a_storm_leaves_room_for_the_others() -> Result<()> {
    const STORM: u64 = 100_000;
    const RATE: u64 = 500;
    const DATAGRAMS: u64 = 2_000;
    let world = World::new(&format!("broadcast_rate = {RATE}"))?;
    let before = world.read()?;
    let hub: &Ns = &world.hub;
    let storm = frame(BROADCAST, STATION, UNOWNED).build();
    let (udp, seconds) = thread::scope(|scope| -> Result<_> {
        let start = std::time::Instant::now();
        let storm = scope.spawn(move || {
            offer(hub, OVERLAY, &[storm], STORM).map(|_| start.elapsed().as_secs_f64())
        });
        let to = [192, 168, 102, 1].into();
        let udp = udp_exchange(&world.hub, &world.remotes[1], to, DATAGRAMS, 200, 10_000)?;
        Ok((udp, storm.join().ok().context("the storm panicked")??))
    })?;
    let now = world.read()?;
    println!("{udp:?}, storm of {seconds:.2} s, {before:?}, {now:?}");
    // Of the datagrams at least 95 in a hundred.
    ensure!(udp.received * 100 >= DATAGRAMS * 95, "{udp:?}");
    let limited = now.rate_limited - before.rate_limited;
    let copied = STORM - limited;
    // Each that was let through reached all three, and every other was counted.
    let arrived: Vec<u64> =
        now.arrived.iter().zip(&before.arrived).map(|(now, before)| now - before).collect();
    ensure!(arrived == [copied; 3], "{arrived:?} of {copied}");
    ensure!(now.dropped - before.dropped == limited, "{before:?}, {now:?}");
    let offered = now.offered - before.offered;
    ensure!(now.sent - before.sent == offered - STORM + 3 * copied, "{before:?}, {now:?}");
    // What the rate allows in that time and what had been saved up before: a tenth of a second's.
    let saved = RATE / 10;
    let most = saved + (RATE as f64 * seconds) as u64 + 1;
    ensure!((saved..=most).contains(&copied), "{copied} of at most {most} in {seconds} s");
    Ok(())
}

/// `network` are more lines for that section.
fn configuration(network: &str) -> Config {
    let hub = (1..=3).fold(Config::new("hub"), |hub, number| {
        hub.peer(&format!("remote{number}"), format!("203.0.113.1{number}"))
    });
    let hub = hub.network(VNI, OVERLAY, &["192.168.43.1/24"]).lines(network);
    (1..=3).fold(hub, |hub, number| {
        hub.member(&format!("remote{number}"), &[format!("192.168.10{number}.0/24")])
    })
}
