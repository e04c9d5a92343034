//! What many networks cost: the times of a start, a reload, a change of the underlay's MTU and
//! `down`, and for how long the event loop stands still meanwhile.
//!
//! ```sh
//! cargo build --release -p vxlan-user --bin vxlan
//! VXLAN_BIN=target/release/vxlan cargo run -p vxlan-tests --example network_time -- 1000
//! ```
//!
//! A daemon in a namespace of its own gets so many networks (1,000 if nothing is said), each with a
//! peer, an address and a route of its own. The first peer is real: numbered packets go to it, a
//! thousand a second, and the lost ones are counted. How long the event loop stands still is seen
//! from outside, by the service manager's watchdog, which the loop itself has to notify, a hundred
//! times a second here. What the machine does besides counts too: look at its load.

mod report;
mod watchdog;

use std::{
    env, fs,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    Config, Netns, Run, Wire, daemon::Daemon, link, numbered::Stream, wait::wait_until,
};

use self::{
    report::{print_cpu, print_steps, print_turns},
    watchdog::Watchdog,
};

const NETWORKS: u32 = 1_000;
/// Numbered by two bytes.
const MAX_NETWORKS: u32 = 4_000;
/// The real peer's network.
const FIRST: u32 = 1;
const HUB: Ipv4Addr = Ipv4Addr::new(172, 16, 1, 1);
const SPOKE: Ipv4Addr = Ipv4Addr::new(172, 16, 1, 2);
const PATIENCE: Duration = Duration::from_secs(120);

fn hub(networks: u32) -> Config {
    let hub = Config::new("hub").section("[metrics]").set("listen", "127.0.0.1:9839");
    let hub = hub.peer("p1", "192.0.2.2");
    let hub = (FIRST + 1..=networks).fold(hub, |hub, n| {
        hub.peer(&format!("p{n}"), format!("198.18.{}.{}", n / 250, n % 250 + 1))
    });
    (FIRST..=networks).fold(hub, |hub, n| {
        let (high, low) = (n >> 8, n & 0xff);
        let hub = hub.network(n, &format!("n{n}"), &[format!("172.{}.{low}.1/24", 16 + high)]);
        // A table of MAC addresses for each member would take the memory of a larger host.
        let hub = hub.lines("max_stations = 16");
        hub.member(
            &format!("p{n}"),
            &[match n {
                FIRST => format!("{SPOKE}/32"),
                _ => format!("10.{high}.{low}.0/24"),
            }],
        )
    })
}

fn spoke() -> Config {
    let spoke = Config::new("spoke").section("[metrics]").set("listen", "127.0.0.1:9839");
    let spoke = spoke.peer("hub", "192.0.2.1").network(FIRST, "n1", &[format!("{SPOKE}/24")]);
    spoke.member("hub", &[format!("{HUB}/32")])
}

struct World {
    hub: Netns,
    spoke: Netns,
    run: Run,
}

impl World {
    fn new() -> Result<Self> {
        let run = Run::new()?;
        let world = Self { hub: run.netns("hub")?, spoke: run.netns("spoke")?, run };
        let near = link::End { ns: &world.hub, interface: "eth0", address: "192.0.2.1/24" };
        let far = link::End { ns: &world.spoke, interface: "eth0", address: "192.0.2.2/24" };
        link::connect(near, far, 1_500, Wire::Real)?;
        world.hub.run("ip route add default via 192.0.2.2")?;
        world.spoke.run("ip route add blackhole 198.18.0.0/15")?;
        Ok(world)
    }
}

fn timed<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    let done = work()?;
    println!("{what:40} {:8.3} s", began.elapsed().as_secs_f64());
    Ok(done)
}

/// A running hub, and what is watched of it.
struct Measured<'a> {
    world: &'a World,
    daemon: &'a mut Daemon,
    watchdog: &'a Watchdog,
}

impl Measured<'_> {
    fn start(&mut self, what: &str) -> Result<()> {
        timed(what, || self.daemon.launch_with(&["--log", "debug", "run"]))?;
        print_cpu(self.daemon, [Duration::ZERO; 2])?;
        print_steps(&self.daemon.log(), 0);
        let began = Instant::now();
        ensure!(
            self.daemon.wait_for_log("every path is resolved", PATIENCE),
            "paths are not resolved:\n{}",
            self.daemon.log()
        );
        self.settle()?;
        println!("{:40} {:8.3} s", "    stall until all is settled", self.stall(began));
        print_turns(&self.daemon.log(), 0);
        Ok(())
    }

    fn stall(&self, since: Instant) -> f64 {
        self.watchdog.stall(since).as_secs_f64()
    }

    /// Lets the passes over the host come that an event has brought.
    fn settle(&self) -> Result<()> {
        let enough = self.watchdog.count() + 100;
        wait_until("the loop goes on", PATIENCE, || Ok(self.watchdog.count() > enough))
    }

    /// Does something under traffic.
    fn under_traffic(
        &mut self,
        what: &str,
        work: impl FnOnce(&mut Daemon) -> Result<()>,
    ) -> Result<()> {
        let stream = Stream::start((&self.world.hub, HUB), (&self.world.spoke, SPOKE), 1)?;
        stream.wait_for(100)?;
        let (began, log, before) =
            (Instant::now(), self.daemon.log().len(), self.daemon.cpu_time()?);
        timed(what, || work(self.daemon))?;
        print_cpu(self.daemon, before)?;
        self.settle()?;
        let stall = self.stall(began);
        let tally = stream.finish()?;
        println!(
            "    stall {stall:.3} s; {} of {} packets lost, {} refused",
            tally.lost, tally.sent, tally.refused
        );
        let text = self.daemon.log();
        print_steps(&text, log);
        print_turns(&text, log);
        Ok(())
    }
}

fn reload(daemon: &mut Daemon) -> Result<()> {
    let out = daemon.vxlan(&["reload"])?;
    ensure!(out.success(), "{}{}", out.stdout, out.stderr);
    Ok(())
}

fn main() -> Result<()> {
    let networks = match env::args().nth(1) {
        Some(number) => number.parse().context("the argument is a number of networks")?,
        None => NETWORKS,
    };
    ensure!((2..=MAX_NETWORKS).contains(&networks), "2 to {MAX_NETWORKS} networks");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{networks} networks; load of this machine: {}", load.trim());
    let world = World::new()?;
    let spoke = Daemon::start(&world.spoke, &world.run, "spoke", &spoke())?;
    let mut daemon = Daemon::prepare(&world.hub, &world.run, "hub", &hub(networks))?;
    let watchdog = Watchdog::listen(&world.run, &mut daemon)?;
    let mut measured = Measured { world: &world, daemon: &mut daemon, watchdog: &watchdog };
    measured.start("first start")?;
    measured.under_traffic("reload, no change", reload)?;
    measured.under_traffic("reload, one network more", |daemon| {
        daemon.write_config(&hub(networks + 1))?;
        reload(daemon)
    })?;
    measured.under_traffic("reload, one network fewer", |daemon| {
        daemon.write_config(&hub(networks))?;
        reload(daemon)
    })?;
    let last = format!("ip link show n{networks}");
    measured.under_traffic("MTU of the underlay 1500 to 1400", |_| {
        world.hub.run("ip link set eth0 mtu 1400")?;
        wait_until("the last one has it", PATIENCE, || {
            Ok(world.hub.run(&last)?.contains("mtu 1350"))
        })
    })?;
    timed("end", || measured.daemon.terminate())?;
    measured.start("second start")?;
    timed("end", || measured.daemon.terminate())?;
    timed("down", || daemon.stop())?;
    spoke.stop()
}
