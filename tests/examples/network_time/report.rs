//! What the daemon itself tells of its work, in its log and in /proc.

use std::time::Duration;

use anyhow::Result;
use vxlan_tests::daemon::{
    Daemon,
    usage::{long_turns, start_steps},
};

/// What the daemon itself says of its turns since `from`: for each event the longest.
pub(crate) fn print_turns(log: &str, from: usize) {
    let mut longest: Vec<(&str, [u64; 2])> = Vec::new();
    for (event, turn) in long_turns(log.get(from..).unwrap_or_default()) {
        match longest.iter_mut().find(|(known, _)| *known == event) {
            Some((_, [took, used])) => {
                [*took, *used] = [turn[0].max(*took), turn[1].max(*used)];
            }
            None => longest.push((event, turn)),
        }
    }
    for (event, [took, used]) in longest {
        println!("    {event:36} {took:8} ms, {used} ms of a CPU: the longest turn");
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
