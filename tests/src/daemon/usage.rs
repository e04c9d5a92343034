//! What a daemon tells of its work without being asked for anything: its CPU time in /proc, and in
//! its log the steps of a start and long turns of the event loop.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};

/// The CPU time of a process so far: its own, and the kernel's for it.
pub(super) fn cpu_time(pid: u32) -> Result<[Duration; 2]> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after = stat.rsplit_once(')').context("no name in stat")?.1;
    let field = |number: usize| -> Result<Duration> {
        let text = after.split_whitespace().nth(number - 3).context("too few fields")?;
        // Clock ticks of 10 ms, on every architecture (proc(5)).
        Ok(Duration::from_millis(text.parse::<u64>()? * 10))
    };
    Ok([field(14)?, field(15)?])
}

/// The steps of a start that a log at level debug tells of, but the first: each with the seconds
/// since the one before, by the stamps of the lines.
pub fn start_steps(log: &str) -> Vec<(&str, f64)> {
    let seconds = |stamp: &str| {
        let clock = stamp.split_once('T')?.1.trim_end_matches('Z');
        let parts: Vec<f64> = clock.split(':').map_while(|part| part.parse().ok()).collect();
        let [hours, minutes, seconds] = parts[..] else { return None };
        Some(hours * 3_600.0 + minutes * 60.0 + seconds)
    };
    let step = |line| {
        let (stamped, step) = str::split_once(line, "start: ")?;
        Some((step, seconds(stamped.split_whitespace().next()?)?))
    };
    let steps: Vec<(&str, f64)> = log.lines().filter_map(step).collect();
    let pairs = steps.iter().zip(steps.iter().skip(1));
    pairs.map(|((_, before), (step, at))| (*step, at - before)).collect()
}

/// The turns of the event loop that a log at level debug tells of: what each was for, and its
/// milliseconds, by the clock and of a CPU.
pub fn long_turns(log: &str) -> impl Iterator<Item = (&str, [u64; 2])> {
    log.lines().filter_map(|line| {
        let (_, turn) = line.split_once("the event loop took ")?;
        let (took, rest) = turn.split_once(" ms, ")?;
        let (used, event) = rest.split_once(" ms of a CPU, for: ")?;
        Some((event, [took.parse().ok()?, used.parse().ok()?]))
    })
}
