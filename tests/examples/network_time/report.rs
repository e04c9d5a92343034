//! What the daemon itself tells of its work, in its log and in /proc.

use std::time::Duration;

use anyhow::Result;
use vxlan_tests::daemon::{Daemon, start_steps};

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
    for (step, took) in start_steps(log.get(from..).unwrap_or_default()) {
        println!("    {step:36} {took:8.3} s");
    }
}

pub(crate) fn print_cpu(daemon: &Daemon, before: [Duration; 2]) -> Result<()> {
    let [user, system] = daemon.cpu_time()?;
    let (user, system) = (user - before[0], system - before[1]);
    let (user, system) = (user.as_secs_f64(), system.as_secs_f64());
    println!("    {:36} {user:8.2} s, the kernel's for it {system:.2} s", "CPU time");
    Ok(())
}
