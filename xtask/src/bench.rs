//! `cargo xtask bench`: builds the optimized binary and the benchmarks, and runs these.
//!
//! The benchmarks (`tests/benches/link`) measure and write down what they measured
//! ([`vxlan_tests::bench::Measurement`]).

use std::{
    env,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};
use nix::unistd::Uid;

use crate::{build, paths, progress, required::Scope, setup};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these: their names, or what these begin with up to a slash, as in `receive/sink`
    names: Vec<String>,
    /// Fewer and shorter rounds: all of it takes less than 5 minutes
    #[arg(long)]
    quick: bool,
    /// Where what was measured is written
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Repeat the order of an earlier run
    #[arg(long)]
    seed: Option<u64>,
    /// List the names and measure nothing
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
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
    let mut cmd = Command::new(build::benchmarks()?);
    let measured = args.json.clone().unwrap_or_else(|| paths::target_dir().join("bench.json"));
    cmd.args(&args.names).arg("--json").arg(&measured).env("VXLAN_BIN", vxlan);
    if args.quick {
        cmd.arg("--quick");
    }
    if args.list {
        cmd.arg("--list");
    }
    if let Some(seed) = args.seed {
        cmd.arg("--seed").arg(seed.to_string());
    }
    progress::heading(&progress::show(&cmd));
    let status = cmd.status().context("cannot start the benchmarks")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
