//! Many peers whose endpoints are learned: all of them move at once, and all of them are restored
//! from snapshots. What that takes must not grow with their number.

use std::time::Duration;

use anyhow::{Result, ensure};
use vxlan_tests::{daemon::Daemon, metrics::Metrics};

use crate::{
    host::Host,
    played::{INTERVAL, Played, hub},
};

const PEERS: usize = 500;
/// For what takes two intervals, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of one turn, in seconds: 10 ms are the target, and this machine may be busy. Work for every peer
/// in each move would take several times as long.
const LONGEST_TURN: f64 = 0.25;

/// Requests of each peer that are not in the state that it is restored to. Their numbers alone
/// would not be new for as many intervals.
const LOST: u64 = 16;

/// How many peers are known to be at ports from `first_port` on.
fn at_ports(metrics: &Metrics, first_port: u16) -> usize {
    let mut known = 0;
    for peer in 0..PEERS {
        let endpoint = format!("203.0.113.1:{}", usize::from(first_port) + peer);
        let labels = [("peer", format!("p{peer}")), ("endpoint", endpoint)];
        let labels = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
        known += metrics.total("vxlan_peer_info", &labels) as usize;
    }
    known
}

fn all_at(daemon: &Daemon, first_port: u16) -> Result<bool> {
    Ok(at_ports(&daemon.metrics()?, first_port) == PEERS)
}

fn started() -> Result<(Host, Played)> {
    let mut host = Host::new("")?;
    let config = hub(PEERS, host.daemon.config())?;
    host.daemon.write_config(&config)?;
    host.daemon.launch()?;
    let mut played = Played::new(&host.pair.a, PEERS, 20_000)?;
    let took = played.run_until(PATIENCE, || all_at(&host.daemon, 20_000))?;
    println!("{PEERS} peers are learned within {took:?}");
    Ok((host, played))
}

#[test]
fn all_move_at_once() -> Result<()> {
    let (host, mut played) = started()?;
    let before = host.daemon.log().len();
    for first_port in [30_000, 40_000] {
        played.move_to(&host.pair.a, first_port)?;
        let took = played.run_until(PATIENCE, || all_at(&host.daemon, first_port))?;
        println!("{PEERS} peers have moved within {took:?}");
    }
    let longest = host.daemon.metrics()?.get("vxlan_event_loop_longest_turn_seconds", &[]);
    println!("the longest turn took {longest} s");
    ensure!(longest > 0.0 && longest < LONGEST_TURN, "a turn of {longest} s");
    // A few lines a second, and the number of the others.
    let log = host.daemon.log().split_off(before);
    let lines = log.lines().filter(|line| line.contains("its endpoint is")).count();
    ensure!((1..PEERS).contains(&lines), "{lines} lines:\n{log}");
    ensure!(log.contains("more peers have another endpoint: p"), "no line with a count:\n{log}");
    host.daemon.stop()
}

/// Every peer goes on with session, numbers and tokens of a moment that is over, behind other
/// ports: they are known again within an interval or two.
#[test]
fn all_are_restored_at_once() -> Result<()> {
    let (host, mut played) = started()?;
    let received = |daemon: &Daemon| -> Result<u64> {
        Ok(daemon.metrics()?.total("vxlan_probes_received_total", &[]) as u64)
    };
    let snapshot = played.snapshot();
    let enough = received(&host.daemon)? + LOST * PEERS as u64;
    played.run_until(PATIENCE, || Ok(received(&host.daemon)? >= enough))?;
    // While they were away nothing was accepted of them.
    std::thread::sleep(2 * INTERVAL);
    played.restore(snapshot);
    played.move_to(&host.pair.a, 30_000)?;
    let took = played.run_until(PATIENCE, || all_at(&host.daemon, 30_000))?;
    println!("{PEERS} restored peers are known again within {took:?}");
    ensure!(took < INTERVAL * LOST as u32 / 2, "only after {took:?}");
    host.daemon.stop()
}
