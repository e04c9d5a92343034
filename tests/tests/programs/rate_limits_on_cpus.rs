//! Limits on two CPUs at once: what both let pass together is what the limit allows. Each CPU runs
//! the program in a loop in the kernel, on packets that it leaves as they are.

use std::{thread, time::Instant};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use aya::programs::{TestRun as _, TestRunOptions};

use super::probes;
use crate::{daemon, prelude::*};

/// More than a limit may be exceeded by, as a share of it.
const TOLERANCE: f64 = 0.02;

/// The CPUs that this process may run on, two of them.
fn two_cpus() -> Option<[usize; 2]> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).expect("has CPUs");
    let mut cpus = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false));
    Some([cpus.next()?, cpus.next()?])
}

/// Runs the packet so often on each of two CPUs at once; how many seconds that took, and what was
/// counted.
fn flood(bench: &mut Bench, packet: &[u8], each: u32) -> Option<(f64, Deltas)> {
    let cpus = two_cpus()?;
    let before = bench.count_now();
    let begin = Instant::now();
    let program = &*bench.plane.xdp().expect("it is loaded");
    thread::scope(|scope| {
        for cpu in cpus {
            scope.spawn(move || {
                let mut set = CpuSet::new();
                set.set(cpu).expect("is a CPU");
                sched_setaffinity(Pid::from_raw(0), &set).expect("may run there");
                // Beside other suites the two would seldom run at the same time.
                // SAFETY: takes numbers alone, and is about the calling thread.
                assert_eq!(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) }, 0);
                let options = TestRunOptions {
                    data_in: Some(packet),
                    repeat: each,
                    ..TestRunOptions::default()
                };
                program.test_run(options).expect("runs");
            });
        }
    });
    let elapsed = begin.elapsed().as_secs_f64();
    Some((elapsed, bench.count_now().since(&before)))
}

/// What passed, between the limit's own share of the time and that with the burst.
#[track_caller]
fn assert_held(passed: u64, burst: u64, per_second: u64, elapsed: f64) {
    let allowed = burst as f64 + per_second as f64 * elapsed;
    let share = passed as f64 / allowed;
    println!("{passed} passed, {allowed:.0} allowed: {share:.3}");
    assert!(share <= 1.0 + TOLERANCE, "{passed} passed, {allowed} allowed");
    // Both CPUs always have more than the limit to offer, unless others take them away.
    assert!(share >= 0.5, "{passed} passed of {allowed}");
}

fn limited(family: Family, keys: &str) -> Bench {
    let text = family.text("").replacen("name = \"aws\"", &format!("name = \"aws\"\n{keys}"), 1);
    Bench::new(&text, family.host())
}

over_both_families!(packets, bytes, both);

/// An inner frame too short to be one is charged, and nothing is written to the packet.
fn short(family: Family) -> Vec<u8> {
    family.sent_by_aws(&Packet::new().payload(&ping().build()[..13])).build().to_vec()
}

fn passed_of(family: Family, keys: &str, burst: u64, per_second: u64, each: u32) {
    let mut bench = limited(family, keys);
    let packet = short(family);
    let Some((elapsed, counted)) = flood(&mut bench, &packet, each) else { return };
    let passed = counted.sum_of("drop rx malformed_inner");
    assert_eq!(passed + counted.sum_of("drop rx rate_limited"), 2 * u64::from(each));
    assert_held(passed, burst, per_second, elapsed);
}

fn packets(family: Family) {
    passed_of(family, "packets_per_second = 500000", 50_000, 500_000, 4_000_000);
}

/// 13 bytes each.
fn bytes(family: Family) {
    passed_of(family, "bytes_per_second = 6500000", 50_000, 500_000, 4_000_000);
}

/// What one limit refuses is given back to the other.
fn both(family: Family) {
    let keys = "packets_per_second = 500000\nbytes_per_second = 3250000";
    passed_of(family, keys, 25_000, 250_000, 2_000_000);
}

/// The limit of probes from a peer's endpoint.
#[test]
fn probes_of_a_peer() {
    let mut bench = probes::bench();
    let inner = probes::frame(daemon::tag("aws"), probes::SHORTEST);
    let packet = probes::probe(outer_ip6(), Udp::vxlan(VXLAN_PORT), &inner).build();
    let Some((elapsed, counted)) = flood(&mut bench, &packet, 2_000_000) else { return };
    let passed = counted.sum_of("probes");
    assert_eq!(passed + counted.sum_of("drop rx rate_limited"), 4_000_000);
    assert_held(passed, 256, 256, elapsed);
}
