//! The command line: one file per verb. Only this module prints.
//!
//! Exit codes: 0 fine, 1 found trouble, 2 could not run.

mod api_client;
mod check;
mod down;
mod log_writer;
mod logging;
mod output;
mod reload;
mod run;
mod show;
mod table;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use nix::sys::stat::{Mode, umask};
use tokio::runtime::{Builder, Runtime};
use tracing::level_filters::LevelFilter;

use self::logging::Log;
use crate::{
    config, daemon::Directories, dataplane::Pins, host::capabilities, metrics::LostLines,
    state::RunDir,
};

/// How long threads that are at work may take at the end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

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
    // What is made is root's alone, and root's: whoever started this may have another mask.
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    // While there is one thread: others begin with the capabilities of this one.
    let result = capabilities::keep_needed().map_err(anyhow::Error::from).and_then(|()| {
        let log = Log::start(cli.options.log, matches!(cli.verb, Verb::Run(_)));
        log.context("cannot start a thread for the log")
    });
    let log = match result {
        Ok(log) => log,
        Err(error) => {
            output::complain(&message(&error));
            return ExitCode::from(2);
        }
    };
    let (result, lost_lines) = (runtime(), log.lost());
    let result = result.and_then(|runtime| {
        let result = runtime.block_on(perform(cli, lost_lines));
        runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
        result
    });
    log.finish(result.as_ref().err().map(message).as_deref());
    result.unwrap_or(ExitCode::from(2))
}

fn message(error: &anyhow::Error) -> String {
    format!("vxlan: {error:#}")
}

/// Makes the other threads. `block_on` runs the daemon's event loop with this thread's
/// capabilities; spawned tasks have fewer.
fn runtime() -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all().on_thread_start(|| {
        if let Err(error) = capabilities::keep_for_netlink() {
            tracing::error!("a thread has more rights than it needs: {error}");
        }
    });
    builder.build().context("cannot start threads")
}

async fn perform(cli: Cli, lost_lines: LostLines) -> anyhow::Result<ExitCode> {
    let directories = Directories {
        config: cli.options.config,
        run_dir: RunDir::new(&cli.options.run_dir),
        pins: Pins::new(&cli.options.pin_dir),
    };
    match cli.verb {
        Verb::Run(args) => run::run(&directories, cli.options.log, &args, lost_lines).await,
        Verb::Reload => reload::reload(&directories),
        Verb::Down => down::down(&directories).await,
        Verb::Check(args) => check::check(&directories, &args).await,
        Verb::Show(args) => show::show(&directories, &args),
    }
}

/// Returns a number with its noun: "1 route", "2 routes".
fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
