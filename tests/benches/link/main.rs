//! The benchmarks, which `cargo xtask bench` runs: the same traffic through this product, through
//! the kernel's vxlan device and through no tunnel, in namespaces of this machine.
//!
//! ```sh
//! VXLAN_BIN=target/release/vxlan cargo bench -p vxlan-tests --bench link -- receive --json FILE
//! ```
//!
//! `room` is what a benchmark implements, `rounds` has its arms take turns, `args` is the command
//! line. Every other file is a benchmark or several of a kind, or what they share.

mod args;
mod bpf;
mod control;
mod cpu;
mod frames;
mod goodput;
mod host;
mod lanes;
mod loss;
mod pair;
mod peers;
mod program;
mod programs;
mod receive;
mod room;
mod rounds;
mod rr;
mod scale;
mod socket;
mod strangers;
mod tcp;
mod transmit;

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::bench::Measurement;

use self::{args::Args, cpu::SessionPriority, room::Entry};

/// All benchmarks, in the order in which they are run.
fn entries() -> Vec<Entry> {
    let all = [
        receive::entries(),
        transmit::entries(),
        program::entries(),
        scale::entries(),
        strangers::entries(),
        goodput::entries(),
        tcp::entries(),
        rr::entries(),
        control::entries(),
    ];
    all.into_iter().flatten().collect()
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let args = Args::read()?;
    let entries: Vec<_> = entries().into_iter().filter(|entry| args.wants(&entry.name)).collect();
    if args.list {
        entries.iter().for_each(|entry| println!("{}", entry.name));
        return Ok(());
    }
    ensure!(!entries.is_empty(), "no benchmark is named so; --list names them");
    cpu::check_kernel()?;
    let mut measurement = Measurement { seed: args.seed, quick: args.quick, benches: Vec::new() };
    eprintln!("seed {}", args.seed);
    let _session = SessionPriority::raise();
    for entry in entries {
        let measured = rounds::run(&entry, &args).with_context(|| entry.name.clone())?;
        measured.iter().for_each(rounds::print);
        measurement.benches.extend(measured);
        // Each time, so that what was measured is there if a later one fails.
        if let Some(path) = &args.json {
            let text = serde_json::to_string_pretty(&measurement)?;
            std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    Ok(())
}
