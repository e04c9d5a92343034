//! The command line: one file per verb. Only this module prints.
//!
//! Exit codes: 0 fine, 1 found trouble, 2 could not run.

mod api_client;
mod check;
mod down;
mod reload;
mod run;
mod show;
mod table;

use std::{io::IsTerminal as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer as _, filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::{config, daemon::Directories, dataplane::Pins, host::capabilities, state::RunDir};

/// A VXLAN data plane for links between clouds: XDP and TC programs, counted drops, NAT insight.
#[derive(Debug, Parser)]
#[command(name = "vxlan", version)]
pub struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Args)]
struct Options {
    /// The configuration file.
    #[arg(long, global = true, default_value = config::DEFAULT_PATH, value_name = "FILE")]
    config: PathBuf,
    /// Where the daemon keeps its lock and what it made.
    #[arg(long, global = true, default_value = "/run/vxlan", value_name = "DIR")]
    run_dir: PathBuf,
    /// Where programs and maps are pinned; on a BPF file system.
    #[arg(long, global = true, default_value = "/sys/fs/bpf/vxlan", value_name = "DIR")]
    pin_dir: PathBuf,
    /// What to log: error, warn, info, debug, or trace (every dropped packet).
    #[arg(long, global = true, default_value = "info", value_name = "LEVEL")]
    log: LevelFilter,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Bring the data plane up and keep it; stay in the foreground until SIGTERM or Ctrl-C.
    Run(run::Run),
    /// Have the running daemon read its configuration again, and wait for the outcome.
    Reload,
    /// Remove programs, pins, routes and overlay interfaces of a daemon that has ended.
    Down,
    /// Look whether the configuration is right and fits this host; change nothing.
    Check(check::Check),
    /// Show peers, networks, or drops.
    Show(show::Show),
}

/// Runs the command line and returns the exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.options.log);
    let result = match runtime() {
        Ok(runtime) => runtime.block_on(perform(cli)),
        Err(error) => Err(error),
    };
    result.unwrap_or_else(|error| {
        eprintln!("vxlan: {error:#}");
        ExitCode::from(2)
    })
}

/// Gives up the capabilities that are not needed, while there is one thread, and makes the other
/// threads. `block_on` runs the daemon's event loop with this thread's capabilities; spawned tasks
/// have fewer.
fn runtime() -> anyhow::Result<Runtime> {
    capabilities::keep_needed()?;
    let mut builder = Builder::new_multi_thread();
    builder.enable_all().on_thread_start(|| {
        if let Err(error) = capabilities::keep_for_netlink() {
            tracing::error!("a thread has more rights than it needs: {error}");
        }
    });
    builder.build().context("cannot start threads")
}

async fn perform(cli: Cli) -> anyhow::Result<ExitCode> {
    let directories = Directories {
        config: cli.options.config,
        run_dir: RunDir::new(&cli.options.run_dir),
        pins: Pins::new(&cli.options.pin_dir),
    };
    match cli.verb {
        Verb::Run(args) => run::run(&directories, cli.options.log, &args).await,
        Verb::Reload => reload::reload(&directories),
        Verb::Down => down::down(&directories).await,
        Verb::Check(args) => check::check(&directories, &args).await,
        Verb::Show(args) => show::show(&directories, &args),
    }
}

/// Prints our own messages at the requested level, those of the BPF programs among them, and
/// warnings of other crates.
fn log_to_stderr(level: LevelFilter) {
    let ours =
        Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("vxlan", level);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry().with(lines.with_filter(ours)).init();
}

/// Returns a number with its noun: "1 route", "2 routes".
fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
