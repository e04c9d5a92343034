//! What a received packet costs: nanoseconds of `decap`, for one binary or for several side by
//! side.
//!
//! ```sh
//! cargo run -p vxlan-tests --example decap_cost -- before=/path/to/vxlan now=target/debug/vxlan
//! ```
//!
//! Each binary runs as a daemon in a namespace of its own. The kernel runs its program on one
//! packet after the other (`BPF_PROG_TEST_RUN`), and says how long that took (`BPF_ENABLE_STATS`):
//! what the test itself costs is not in it, two readings of the clock are. Binaries and kinds of
//! packet take turns, so that whatever else the machine does hits all of them; the table has
//! medians of the rounds, with quartiles. A binary that knows no learned endpoints has no row for
//! them.

mod kinds;
mod program;

use std::{
    collections::BTreeMap,
    env,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    programs::ProgramFd,
    sys::{Stats, enable_stats},
};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use vxlan_tests::{Netns, Run, daemon::Daemon};

use self::{
    kinds::{KINDS, OWN, config, learn},
    program::{program, test_run},
};

const ROUNDS: usize = 201;
/// Packets of a kind in each round.
const RUNS: u64 = 1_000;
const XDP_PASS: u32 = 2;

/// A binary at work, and what its program is run on.
struct Contender {
    label: String,
    program: ProgramFd,
    id: u32,
    packets: Vec<(&'static str, Vec<u8>)>,
    /// In front of the namespace, which must outlive it.
    _daemon: Daemon,
    _ns: Netns,
}

impl Contender {
    fn new(run: &Run, label: &str, binary: &Path) -> Result<Self> {
        let ns = run.netns(label)?;
        ns.run("ip link add eth0 type veth peer name far")?;
        ns.run(&format!("ip addr add {OWN}/24 dev eth0"))?;
        for line in ["link set eth0 up", "link set far up", "route add default via 203.0.113.254"] {
            ns.run(&format!("ip {line}"))?;
        }
        let key = run.write("learned.key", &"5a".repeat(32))?;
        std::fs::set_permissions(key, PermissionsExt::from_mode(0o600))?;
        let (binary, all) = (binary.to_path_buf(), &KINDS[..]);
        let mut daemon = Daemon::prepare_with(binary, &ns, run, label, &config(all))?;
        let knows_all = daemon.vxlan(&["check"])?.success();
        let kinds = if knows_all { all } else { &all[..all.len() - 1] };
        daemon.write_config(&config(kinds))?;
        daemon.launch()?;
        if knows_all {
            learn(daemon.pin_dir())?;
        }
        let links: serde_json::Value =
            serde_json::from_str(&ns.run("ip -d -j link show dev eth0")?)?;
        let id = links[0]["xdp"]["prog"]["id"].as_u64().context("no XDP program on eth0")? as u32;
        let mac = ns.mac("vxlan43")?;
        let packets = kinds.iter().map(|kind| (kind.name, kind.packet(mac))).collect();
        Ok(Self {
            label: label.to_owned(),
            program: program(id)?.0,
            id,
            packets,
            _daemon: daemon,
            _ns: ns,
        })
    }

    /// Nanoseconds for each of so many packets.
    fn measure(&self, kind: usize) -> Result<f64> {
        let (name, packet) = &self.packets[kind];
        let before = program(self.id)?.1;
        for _ in 0..RUNS {
            let verdict = test_run(&self.program, packet)?;
            ensure!(verdict == XDP_PASS, "{} refuses {name}: {verdict}", self.label);
        }
        let after = program(self.id)?.1;
        let runs = after.run_count() - before.run_count();
        // What comes by itself through the namespace is little beside them.
        ensure!(runs >= RUNS, "{runs} runs were counted: are there statistics?");
        let time = after.run_time() - before.run_time();
        Ok(time.as_nanos() as f64 / runs as f64)
    }
}

fn quantile(sorted: &[f64], at: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * at).round() as usize]
}

fn main() -> Result<()> {
    let mut binaries: Vec<(String, PathBuf)> = Vec::new();
    for argument in env::args().skip(1) {
        let (label, path) = argument.split_once('=').context("arguments are label=path")?;
        binaries.push((label.to_owned(), path.into()));
    }
    if binaries.is_empty() {
        binaries.push(("now".to_owned(), vxlan_tests::daemon::binary()?));
    }
    let run = Run::new()?;
    let contenders: Vec<_> = binaries
        .iter()
        .map(|(label, path)| Contender::new(&run, label, path))
        .collect::<Result<_>>()?;
    let mut cpu = CpuSet::new();
    cpu.set(0)?;
    sched_setaffinity(Pid::from_raw(0), &cpu)?;
    let _statistics = enable_stats(Stats::RunTime)?;
    let mut times: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
    for round in 0..ROUNDS {
        for kind in 0..KINDS.len() {
            for turn in 0..contenders.len() {
                // Nobody is always first.
                let who = (turn + round) % contenders.len();
                if kind < contenders[who].packets.len() {
                    let time = contenders[who].measure(kind)?;
                    times.entry((kind, who)).or_default().push(time);
                }
            }
        }
    }
    println!("ns per packet: median (quartiles) of {ROUNDS} rounds of {RUNS} packets");
    for ((kind, who), times) in &mut times {
        times.sort_by(f64::total_cmp);
        let [low, median, high] = [0.25, 0.5, 0.75].map(|at| quantile(times, at));
        let (name, label) = (KINDS[*kind].name, &contenders[*who].label);
        println!("{name:10} {label:10} {median:7.1} ({low:.1} to {high:.1})");
    }
    drop(contenders);
    Ok(())
}
