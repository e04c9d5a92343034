//! `cargo xtask bench`: builds the optimized binary and the benchmarks, runs these, and makes
//! tables, plots and comparisons of what they measured.
//!
//! How it is measured is the business of `tests/benches/link`.

mod changes;
mod document;
mod plot;
#[cfg(test)]
mod sample;
mod table;
mod text;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::unistd::Uid;
use vxlan_tests::bench::{Machine, Measurement, Report};

use self::table::Table;
use crate::{build, paths, progress, required::Scope, setup};

/// Above it, other work on the machine is in every sample.
const QUIET: f64 = 0.3;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these: their names, or what these begin with up to a slash, as in `receive/sink`
    names: Vec<String>,
    /// Fewer and shorter rounds: all of it takes less than 5 minutes
    #[arg(long)]
    quick: bool,
    /// Where what was measured is written [default: bench.json in the target directory]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure nothing: read what an earlier run has written
    #[arg(long, value_name = "FILE", conflicts_with_all = ["names", "quick", "json", "seed"])]
    from: Option<PathBuf>,
    /// Fail where a ratio is worse than the committed one, beyond the noise of both
    #[arg(long)]
    check: bool,
    /// Make docs/benchmarks.md and its plots anew, and commit to what was measured
    #[arg(long, conflicts_with_all = ["names", "check"])]
    document: bool,
    /// Repeat the order of an earlier run
    #[arg(long)]
    seed: Option<u64>,
    /// Compare with another `vxlan` binary, too: it is the arm `before`
    #[arg(long, value_name = "BINARY", conflicts_with_all = ["check", "document"])]
    before: Option<PathBuf>,
    /// List the names and measure nothing
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.list {
        let status = Command::new(build::benchmarks()?).arg("--list").status()?;
        return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    // Before minutes are spent on measuring.
    let committed = args.check.then(|| document::committed(paths::workspace())).transpose()?;
    let report = match &args.from {
        Some(file) => Report::read(file)?,
        None => measure(args)?,
    };
    print(&report);
    if args.document {
        document::write(paths::workspace(), &report)?;
    }
    Ok(match committed {
        Some(committed) if !check(&committed, &report) => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

fn measure(args: &Args) -> Result<Report> {
    if !Uid::effective().is_root() {
        bail!(
            "the benchmarks make network namespaces and load BPF programs, which needs root: run \
             `cargo xtask bench` as root (with sudo, keep HOME and PATH so that cargo is found)"
        );
    }
    setup::ensure(Scope::Test)?;
    let vxlan = match env::var_os("VXLAN_BIN") {
        Some(path) => path.into(),
        None => build::release()?,
    };
    let measured = paths::target_dir().join("bench-measurement.json");
    let mut cmd = Command::new(build::benchmarks()?);
    cmd.args(&args.names).arg("--json").arg(&measured).env("VXLAN_BIN", vxlan);
    if args.quick {
        cmd.arg("--quick");
    }
    if let Some(seed) = args.seed {
        cmd.arg("--seed").arg(seed.to_string());
    }
    if let Some(before) = &args.before {
        cmd.env("VXLAN_BEFORE", before);
    }
    // What an earlier run has left must not be taken for this one's.
    if measured.exists() {
        fs::remove_file(&measured)?;
    }
    let machine = Machine::read(paths::workspace())?;
    if machine.load > QUIET {
        progress::note(&format!(
            "the load of the last minute is {}: above {QUIET}, intervals grow, and rounds are void",
            machine.load
        ));
    }
    progress::heading(&progress::show(&cmd));
    let status = cmd.status().context("cannot start the benchmarks")?;
    let report = assemble(machine, &measured)?;
    let json = args.json.clone().unwrap_or_else(|| paths::target_dir().join("bench.json"));
    report.write(&json)?;
    progress::note(&format!("what was measured is in {}", json.display()));
    ensure!(
        status.success(),
        "the benchmarks ended with {status}; those that were done before are in that file"
    );
    Ok(report)
}

fn assemble(machine: Machine, measured: &Path) -> Result<Report> {
    let text = fs::read_to_string(measured)
        .with_context(|| format!("the benchmarks wrote no {}", measured.display()))?;
    let measurement: Measurement = serde_json::from_str(&text)?;
    Ok(Report::new(machine, measurement))
}

fn print(report: &Report) {
    for measured in &report.measurement.benches {
        let table = Table::of_arms(measured).aligned();
        println!("\n{}: {}\n{table}", measured.bench.name, measured.bench.condition);
    }
    let overview = Table::of_benches(report);
    if !overview.is_empty() {
        println!("\n{}", overview.aligned());
    }
}

/// Compares with the committed report. Whether something could be compared, and nothing is worse.
fn check(committed: &Report, report: &Report) -> bool {
    let (changes, absent) = changes::compare(committed, report);
    println!("\nagainst the committed report of {}:", committed.machine.day());
    if committed.machine.cpu != report.machine.cpu
        || committed.machine.kernel != report.machine.kernel
    {
        println!("(measured on another processor or kernel: a ratio may differ for that alone)");
    }
    changes.iter().for_each(|change| println!("{}", change.line()));
    let worse = changes.iter().filter(|change| change.is_worse()).count();
    println!(
        "{} ratios compared, {worse} worse; {} benchmarks not run",
        changes.len(),
        absent.len()
    );
    worse == 0 && !changes.is_empty()
}
