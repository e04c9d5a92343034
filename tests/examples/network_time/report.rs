//! What the daemon itself tells of its work, in its log and in /proc.

use std::fs;

use anyhow::{Context as _, Result};
use vxlan_tests::daemon::Daemon;

/// The time between two lines of the daemon's log, by their stamps.
fn steps(log: &str) -> Vec<(String, f64)> {
    let seconds = |stamp: &str| {
        let clock = stamp.split_once('T')?.1.trim_end_matches('Z');
        let parts: Vec<f64> = clock.split(':').map_while(|part| part.parse().ok()).collect();
        let [hours, minutes, seconds] = parts[..] else { return None };
        Some(hours * 3_600.0 + minutes * 60.0 + seconds)
    };
    let step = |line: &str| {
        let at = seconds(line.split_whitespace().next()?)?;
        let step = line.split_once("start: ")?.1.to_owned();
        Some((step, at))
    };
    log.lines().filter_map(step).collect()
}

/// What the daemon itself says of its turns since `from`: for each event the longest.
pub(crate) fn print_turns(log: &str, from: usize) {
    let mut longest: Vec<(&str, u64)> = Vec::new();
    for line in log.get(from..).unwrap_or_default().lines() {
        let Some((_, turn)) = line.split_once("the event loop took ") else { continue };
        let Some((took, event)) = turn.split_once(" ms for: ") else { continue };
        let took = took.parse().unwrap_or(0);
        match longest.iter_mut().find(|(known, _)| *known == event) {
            Some((_, longest)) => *longest = took.max(*longest),
            None => longest.push((event, took)),
        }
    }
    for (event, took) in longest {
        println!("    {:36} {took:8} ms, the longest turn", event);
    }
}

pub(crate) fn print_steps(log: &str, from: usize) {
    let steps = steps(log.get(from..).unwrap_or_default());
    for (before, (step, at)) in steps.iter().zip(steps.iter().skip(1)) {
        println!("    {step:36} {:8.3} s", at - before.1);
    }
}

/// The CPU time of a process so far, its own and the kernel's for it, from /proc.
pub(crate) fn cpu(daemon: &Daemon) -> Result<[f64; 2]> {
    let pid = daemon.pid().context("it does not run")?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after = stat.rsplit_once(')').context("no name in stat")?.1;
    let field = |number: usize| -> Result<f64> {
        let text = after.split_whitespace().nth(number - 3).context("too few fields")?;
        // Clock ticks of 10 ms, on every architecture (proc(5)).
        Ok(text.parse::<f64>()? / 100.0)
    };
    Ok([field(14)?, field(15)?])
}

pub(crate) fn print_cpu(daemon: &Daemon, before: [f64; 2]) -> Result<()> {
    let [user, system] = cpu(daemon)?;
    let (user, system) = (user - before[0], system - before[1]);
    println!("    {:36} {user:8.2} s, the kernel's for it {system:.2} s", "CPU time");
    Ok(())
}
