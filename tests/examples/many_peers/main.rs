//! What many peers with keys cost while nothing happens, and how soon all are found again after
//! their NAT has begun anew.
//!
//! ```sh
//! cargo build --release -p vxlan-user --bin vxlan
//! VXLAN_BIN=target/release/vxlan cargo run -p vxlan-tests --example many_peers -- 10000
//! ```
//!
//! A daemon in a namespace of its own gets so many peers (10,000 if nothing is said), all of which
//! answer its probes and send their own. First each has a declared endpoint, then all are behind
//! one NAT and are learned. CPU time is the daemon's, and holds on a busy machine, too; times do
//! not: look at its load. With `debug` as second argument the daemon says what each turn of the
//! event loop was for that took longer than 10 ms; and spends time on that.

mod peers;

use std::{
    collections::BTreeMap,
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use vxlan_tests::{
    Config, Netns, Run, Wire,
    daemon::{Daemon, usage::long_turns},
    link,
    metrics::Metrics,
};

use self::peers::{HUB, Peers, address, key};

const PEERS: usize = 10_000;
/// A prefix each, and a route; a port each.
const MAX_PEERS: usize = 16_000;
/// What follows the start takes as long.
const SETTLE: Duration = Duration::from_secs(20);
const WATCHED: Duration = Duration::from_secs(30);
const FIRST_PORTS: [u16; 3] = [10_000, 26_000, 42_000];
const PATIENCE: Duration = Duration::from_secs(120);

/// Peers are numbered by two bytes.
fn config(peers: usize, learned: bool, keys: &Path) -> Result<String> {
    let mut hub = Config::new("hub");
    if learned {
        hub = hub.set("source_port", "fixed");
    }
    hub = hub.section("[metrics]").set("listen", "127.0.0.1:9839");
    for peer in 0..peers {
        let file = keys.join(format!("p{peer}.key"));
        fs::write(&file, key(peer))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        let endpoint = if learned { "learn".to_owned() } else { address(peer).to_string() };
        hub = hub.peer(&format!("p{peer}"), endpoint).set("key_file", file.display());
    }
    hub = hub.network(43, "vxlan43", &["192.168.43.1/24"]);
    for peer in 0..peers {
        let prefix = format!("10.{}.{}.0/24", peer / 250, peer % 250);
        hub = hub.member(&format!("p{peer}"), &[prefix]);
    }
    Ok(hub.into())
}

/// One host, and a router behind which everybody else is.
struct World {
    hub: Netns,
    router: Netns,
    run: Run,
}

impl World {
    fn new() -> Result<Self> {
        let run = Run::new()?;
        let world = Self { hub: run.netns("hub")?, router: run.netns("router")?, run };
        let (hub, router) = (&world.hub, &world.router);
        let own = format!("{HUB}/24");
        let near = link::End { ns: hub, interface: "eth0", address: &own };
        let far = link::End { ns: router, interface: "eth0", address: "192.0.2.254/24" };
        link::connect(near, far, 1_500, Wire::Real)?;
        hub.run("ip route add default via 192.0.2.254")?;
        router.run("ip route add blackhole default")?;
        Ok(world)
    }

    fn peers(&self, peers: usize, first_port: Option<u16>) -> Result<Peers> {
        Peers::start(&self.router, "eth0", peers, self.hub.mac("eth0")?, first_port)
    }
}

/// Does something, and prints how long that took and how much of a CPU the daemon used.
fn timed<T>(daemon: &Daemon, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let (began, [user, system]) = (Instant::now(), daemon.cpu_time()?);
    let done = work()?;
    let (took, now) = (began.elapsed().as_secs_f64(), daemon.cpu_time()?);
    let [user, system] =
        [now[0] - user, now[1] - system].map(|used| used.as_secs_f64() / took * 100.0);
    let all = user + system;
    println!("{what:24} {took:7.2} s, {all:5.1} % of a CPU (user {user:.1}, system {system:.1})");
    Ok(done)
}

/// The metrics page, which takes its time on a busy machine.
fn page(daemon: &Daemon) -> Result<Metrics> {
    daemon.metrics().or_else(|_| daemon.metrics()).or_else(|_| daemon.metrics())
}

/// Prints the longest turn of the last five minutes or more, and the turns over 10 ms by what they
/// were for, if the daemon tells.
fn turns(daemon: &Daemon) -> Result<()> {
    let longest = page(daemon)?.get("vxlan_event_loop_longest_turn_seconds", &[]);
    println!("{:24} {:7.1} ms", "longest turn", longest * 1e3);
    let log = daemon.log();
    let mut long: BTreeMap<&str, Vec<[u64; 2]>> = BTreeMap::new();
    for (what, turn) in long_turns(&log) {
        long.entry(what).or_default().push(turn);
    }
    for (what, took) in long {
        let longest = took.iter().map(|[took, _]| took).max().unwrap_or(&0);
        let used = took.iter().map(|[_, used]| used).max().unwrap_or(&0);
        print!("    over 10 ms: {} of at most {longest} ms, ", took.len());
        println!("and {used} ms of a CPU, for {what}");
    }
    Ok(())
}

/// How many endpoints the daemon has learned so far, by its log.
fn learned(daemon: &Daemon) -> usize {
    let log = daemon.log();
    let line = |line: &str| match line.split_once(" more peers have another endpoint") {
        Some((before, _)) => before.rsplit(' ').next().and_then(|count| count.parse().ok()),
        None => line.contains("its endpoint is 198.51.100.1:").then_some(1),
    };
    log.lines().filter_map(line).sum()
}

fn wait_for_learned(daemon: &Daemon, count: usize) -> Result<()> {
    let began = Instant::now();
    while learned(daemon) < count {
        if began.elapsed() > PATIENCE {
            bail!("{} of {count} after {PATIENCE:?}", learned(daemon));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn idle(daemon: &Daemon) -> Result<()> {
    timed(daemon, "after the start", || {
        thread::sleep(SETTLE);
        Ok(())
    })?;
    timed(daemon, "idle", || {
        thread::sleep(WATCHED);
        Ok(())
    })
}

fn main() -> Result<()> {
    let count = match env::args().nth(1) {
        Some(number) => number.parse().context("the argument is a number of peers")?,
        None => PEERS,
    };
    ensure!(count <= MAX_PEERS, "there is room for {MAX_PEERS} peers");
    let level = env::args().nth(2).unwrap_or_else(|| "info".to_owned());
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{count} peers; load of this machine: {}", load.trim());
    let world = World::new()?;
    for is_learned in [false, true] {
        let name = if is_learned { "learned" } else { "declared" };
        println!("{name}:");
        let config = config(count, is_learned, world.run.dir())?;
        let mut daemon = Daemon::prepare(&world.hub, &world.run, name, &config)?;
        let [first, others @ ..] = FIRST_PORTS;
        let peers = world.peers(count, is_learned.then_some(first))?;
        let began = Instant::now();
        daemon.launch_with(&["--log", &level, "run"])?;
        println!("{:24} {:7.2} s", "start", began.elapsed().as_secs_f64());
        if is_learned {
            timed(&daemon, "all are learned", || wait_for_learned(&daemon, count))?;
        }
        idle(&daemon)?;
        turns(&daemon)?;
        let up = page(&daemon)?.total("vxlan_probes_ok", &[]);
        ensure!(up as usize == count, "{up} of {count} peers answer");
        for (round, port) in others.into_iter().enumerate().filter(|_| is_learned) {
            peers.move_to(port);
            let all = count * (round + 2);
            timed(&daemon, "all are learned again", || wait_for_learned(&daemon, all))?;
        }
        if is_learned {
            turns(&daemon)?;
        }
        peers.finish()?;
        daemon.stop()?;
    }
    Ok(())
}
