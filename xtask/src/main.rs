//! `cargo xtask VERB`: what a person or CI does with this repository, one file per verb.
//!
//! This file owns the command line and the exit codes: 0 fine, 1 a check or test failed, 2 could
//! not run. The verbs own everything else. The crate must build without a BPF toolchain, since
//! `setup` is what brings one: it never depends on `vxlan-user`.
//!
//! Modules import only modules that stand before them here: paths, progress, cargo, cargo_tools,
//! build, apt, rustup, record, required, promtool, linker, toolchain, setup, run, test, bench,
//! dist, vm, lint, main.

mod apt;
mod bench;
mod build;
mod cargo;
mod cargo_tools;
mod dist;
mod linker;
mod lint;
mod paths;
mod progress;
mod promtool;
mod record;
mod required;
mod run;
mod rustup;
mod setup;
mod test;
mod toolchain;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Tasks of the VXLAN data plane")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Find or install what builds the BPF programs, and the tools of the lab and the tests
    Setup,
    /// Two clouds with a tunnel between them; after `--`: run `vxlan ARGS` on this host
    Run(run::Args),
    /// Every test; after `--`: arguments for `cargo test`
    Test(test::Args),
    /// Benchmarks against the kernel's vxlan device, in namespaces of this machine
    Bench(bench::Args),
    /// The optimized binary, stripped, with its debug file beside it
    Dist,
    /// The tests in guests, on Debian's kernels; after `--`: a command to run in one
    Vm(vm::Args),
    /// rustfmt, clippy for the host and for BPF, typos, cargo-machete, cargo-deny
    Lint,
}

impl Verb {
    /// The name of its log file.
    fn name(&self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Run(_) => "run",
            Self::Test(_) => "test",
            Self::Bench(_) => "bench",
            Self::Dist => "dist",
            Self::Vm(_) => "vm",
            Self::Lint => "lint",
        }
    }
}

fn main() -> ExitCode {
    let verb = Cli::parse().verb;
    progress::log_to(paths::target_dir().join(format!("xtask-{}.log", verb.name())));
    let done = match verb {
        Verb::Setup => setup::run(),
        Verb::Run(args) => run::run(args),
        Verb::Test(args) => test::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Dist => dist::run(),
        Verb::Vm(args) => vm::run(&args),
        Verb::Lint => lint::run(),
    };
    done.unwrap_or_else(|err| {
        eprintln!("error: {err:#}");
        ExitCode::from(2)
    })
}
