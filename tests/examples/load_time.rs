//! How long a start takes with many peers, and what follows it: the times of each step.
//!
//! ```sh
//! cargo build --release -p vxlan-user --bin vxlan
//! VXLAN_BIN=target/release/vxlan cargo run -p vxlan-tests --example load_time -- 10000
//! ```
//!
//! A daemon in a namespace of its own gets so many peers (10,000 if nothing is said), each with an
//! endpoint and one prefix behind it, all behind one router. Everything is done twice: a first
//! start, and one that takes over what the first has left; each with a reload. What the machine
//! does besides counts too: look at its load.

use std::{
    env, fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    Config, Netns, Run, Wire,
    daemon::{Daemon, usage::start_steps},
    link,
};

const PEERS: usize = 10_000;
/// A prefix each, and a route.
const MAX_PEERS: usize = 16_000;

/// Peers are numbered by two bytes.
fn config(peers: usize) -> String {
    let hub = Config::new("hub").section("[metrics]").set("listen", "127.0.0.1:9839");
    let hub = (0..peers).fold(hub, |hub, peer| {
        let endpoint = format!("198.18.{}.{}", peer / 250, peer % 250 + 1);
        hub.peer(&format!("p{peer}"), endpoint)
    });
    let hub = hub.network(43, "vxlan43", &["192.168.43.1/24"]);
    let hub = (0..peers).fold(hub, |hub, peer| {
        let prefix = format!("10.{}.{}.0/24", peer / 250, peer % 250);
        hub.member(&format!("p{peer}"), &[prefix])
    });
    hub.into()
}

/// What it is for: one host, and a router that answers for everybody else.
struct World {
    hub: Netns,
    _router: Netns,
    run: Run,
}

impl World {
    fn new() -> Result<Self> {
        let run = Run::new()?;
        let world = Self { hub: run.netns("hub")?, _router: run.netns("router")?, run };
        let (hub, router) = (&world.hub, &world._router);
        let near = link::End { ns: hub, interface: "eth0", address: "192.0.2.1/24" };
        let far = link::End { ns: router, interface: "eth0", address: "192.0.2.254/24" };
        link::connect(near, far, 1_500, Wire::Real)?;
        hub.run("ip route add default via 192.0.2.254")?;
        router.run("ip route add blackhole default")?;
        Ok(world)
    }
}

/// Peak and present size of a process, from /proc.
fn memory(pid: u32) -> Result<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let of = |key| {
        let line = status.lines().find_map(|line: &str| line.strip_prefix(key));
        line.map_or_else(|| "?".to_owned(), |rest| rest.trim().to_owned())
    };
    Ok(format!("{} (peak {})", of("VmRSS:"), of("VmHWM:")))
}

/// The CPU time of the daemon so far.
fn cpu(daemon: &Daemon) -> Result<Duration> {
    Ok(daemon.cpu_time()?.iter().sum())
}

fn timed<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    let done = work()?;
    println!("{what:32} {:8.3} s", began.elapsed().as_secs_f64());
    Ok(done)
}

fn start(daemon: &mut Daemon, what: &str) -> Result<()> {
    timed(what, || daemon.launch_with(&["--log", "debug", "run"]))?;
    let used = cpu(daemon)?;
    println!("    {:28} {:8.3} s", "of a CPU", used.as_secs_f64());
    for (step, took) in start_steps(&daemon.log()) {
        println!("    {step:28} {took:8.3} s");
    }
    Ok(())
}

/// Until the daemon has nothing to do any more: how long, and how much of a CPU it took.
fn settle(daemon: &Daemon) -> Result<()> {
    let pid = daemon.pid().context("it does not run")?;
    let (began, before) = (Instant::now(), cpu(daemon)?);
    ensure!(
        daemon.wait_for_log("every path is resolved", Duration::from_secs(60)),
        "it does not say that it has looked at the ways:\n{}",
        daemon.log()
    );
    let took = cpu(daemon)?.saturating_sub(before).as_secs_f64();
    println!("{:32} {:8.3} s, {took:.2} s of a CPU", "all ways", began.elapsed().as_secs_f64());
    println!("{:32} {}", "memory", memory(pid)?);
    Ok(())
}

/// Another configuration: one peer has another name.
fn reload(daemon: &mut Daemon, peers: usize) -> Result<()> {
    let before = cpu(daemon)?;
    daemon.write_config(&config(peers).replace("\"p0\"", "\"renamed\""))?;
    timed("reload", || {
        let out = daemon.vxlan(&["reload"])?;
        ensure!(out.success(), "{}{}", out.stdout, out.stderr);
        Ok(())
    })?;
    println!("    {:.2} s of the daemon's CPU", cpu(daemon)?.saturating_sub(before).as_secs_f64());
    daemon.write_config(&config(peers))
}

fn idle(daemon: &Daemon) -> Result<()> {
    const WATCHED: Duration = Duration::from_secs(5);
    let before = cpu(daemon)?;
    std::thread::sleep(WATCHED);
    let share = (cpu(daemon)? - before).as_secs_f64() / WATCHED.as_secs_f64();
    println!("{:32} {:8.1} % of a CPU", "idle", share * 100.0);
    Ok(())
}

fn main() -> Result<()> {
    let peers = match env::args().nth(1) {
        Some(number) => number.parse().context("the argument is a number of peers")?,
        None => PEERS,
    };
    ensure!(peers <= MAX_PEERS, "there is room for {MAX_PEERS} peers");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{peers} peers; load of this machine: {}", load.trim());
    let world = World::new()?;
    let mut daemon = Daemon::prepare(&world.hub, &world.run, "hub", &config(peers))?;
    timed("check", || {
        let out = daemon.vxlan(&["check"])?;
        // 1: with warnings, as that not everybody gets what is for everyone.
        ensure!(out.status.code().is_some_and(|code| code <= 1), "{}{}", out.stdout, out.stderr);
        Ok(())
    })?;
    for what in ["first start", "second start"] {
        start(&mut daemon, what)?;
        settle(&daemon)?;
        for _ in 0..2 {
            let before = cpu(&daemon)?;
            let page = timed("/metrics, fetched and parsed", || daemon.metrics())?;
            let used = cpu(&daemon)?.saturating_sub(before).as_secs_f64();
            let (size, samples) = (page.text.len() as f64 / 1e6, page.samples.len());
            println!("    {used:.2} s of the daemon's CPU, {size:.1} MB, {samples} samples");
        }
        timed("show peers", || daemon.vxlan(&["show", "peers"]))?;
        timed("show drops", || daemon.vxlan(&["show", "drops"]))?;
        reload(&mut daemon, peers)?;
        idle(&daemon)?;
        println!("{:32} {}", "memory", memory(daemon.pid().context("it does not run")?)?);
        timed("end", || daemon.terminate())?;
    }
    timed("down", || daemon.stop())
}
