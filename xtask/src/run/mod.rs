//! `cargo xtask run`: the lab, for a person to see; with arguments, `vxlan` itself on this host.
//!
//! Owns the order of things and the display, but for the table of counters (`table`). What the lab
//! is made of belongs to `vxlan_tests::lab`.

mod table;

use std::{
    env,
    ffi::OsString,
    io::{IsTerminal as _, Write as _, stdout},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use vxlan_tests::{
    lab::{Lab, Side, VNI},
    signals::Stop,
};

use crate::{build, required::Scope, setup};
use table::{bytes, counters, rate, table};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave after traffic has crossed the tunnel both ways, instead of staying until Ctrl-C
    #[arg(long)]
    once: bool,
    /// Megabytes that are sent through the tunnel each way
    #[arg(long, value_name = "MB", default_value_t = 64)]
    size: u64,
    /// Arguments of `vxlan`, to run it on this host instead of in the lab
    #[arg(last = true)]
    args: Vec<OsString>,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    if !args.args.is_empty() {
        let binary = binary(Scope::Build)?;
        let error = Command::new(&binary).args(&args.args).exec();
        return Err(error).with_context(|| format!("cannot start {}", binary.display()));
    }
    ensure!(
        nix::unistd::Uid::effective().is_root(),
        "the lab makes network namespaces and loads BPF programs, which needs root: run \
         `cargo xtask run` as root (with sudo, keep HOME and PATH so that cargo is found)"
    );
    let binary = binary(Scope::Lab)?;
    let stop = Stop::install()?;
    let mut lab = Lab::up(&binary)?;
    let outcome = demonstrate(&mut lab, &args, &stop);
    if outcome.is_err() && !stop.requested()? {
        print_diagnostics(&lab);
    }
    eprintln!("taking the lab down");
    let down = lab.down();
    match outcome {
        Ok(()) => down.map(|()| ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("error: {error:#}");
            if let Err(error) = down {
                eprintln!("error: {error:#}");
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The `vxlan` binary: that of `VXLAN_BIN`, else a fresh one.
fn binary(scope: Scope) -> Result<PathBuf> {
    if env::var_os("VXLAN_BIN").is_some() {
        return vxlan_tests::daemon::binary();
    }
    setup::ensure(scope)?;
    build::release()
}

/// Starts both daemons, has traffic cross and prints what came of it. Fails at the first step that
/// does not work.
fn demonstrate(lab: &mut Lab, args: &Args, stop: &Stop) -> Result<()> {
    println!(
        "\nTwo clouds, each host behind a 1:1 NAT, and one VXLAN network (VNI {VNI}) between:\n"
    );
    for side in Side::BOTH {
        println!(
            "  {}   {:<10} public {:<13}  {} {}/24",
            side.name(),
            side.private(),
            side.public(),
            side.interface(),
            side.overlay()
        );
        println!("        {}", lab.config(side).display());
    }
    println!();
    for side in Side::BOTH {
        bail_if_interrupted(stop)?;
        lab.start(side)?;
        let pid = lab.daemon(side).pid().unwrap_or_default();
        println!("  vxlan run   {}: ready, process {pid}", side.name());
    }
    for side in Side::BOTH {
        bail_if_interrupted(stop)?;
        let result = lab.ping(side, 5)?;
        println!(
            "  ping        {} → {}: {} of {} answered, {:.2} ms on average",
            side.name(),
            side.other().name(),
            result.received,
            result.sent,
            result.average_ms.unwrap_or_default()
        );
    }
    for side in Side::BOTH {
        bail_if_interrupted(stop)?;
        let transfer = lab.transfer(side, args.size * 1_000_000)?;
        println!(
            "  TCP         {} → {}: {} in {:.2} s, {}, SHA-256 equal on both sides",
            side.name(),
            side.other().name(),
            bytes(transfer.bytes as f64),
            transfer.seconds,
            rate(transfer.mbit_per_second())
        );
    }
    for side in Side::BOTH {
        bail_if_interrupted(stop)?;
        let found = lab.verdict(side)?;
        let why = found.evidence.first().map_or("", String::as_str);
        println!("  NAT         {}: {}; {why}", side.name(), found.nat);
    }
    bail_if_interrupted(stop)?;
    for side in Side::BOTH {
        lab.check_counters(side)?;
    }
    if !args.once {
        print_hints(lab);
    }
    println!();
    let mut lines = table(lab, None)?;
    print(&lines)?;
    if args.once {
        return Ok(());
    }
    println!("\nCtrl-C takes it all down.");
    let live = stdout().is_terminal();
    let mut before = (Instant::now(), counters(lab)?);
    while !stop.wait(Duration::from_secs(1))? {
        lab.check_daemons()?;
        if live {
            let height = lines.len() + 2;
            lines = table(lab, Some(&before))?;
            before = (Instant::now(), counters(lab)?);
            // Back to the table's first line, and clear from there.
            print!("\x1b[{height}A\r\x1b[J");
            print(&lines)?;
            println!("\nCtrl-C takes it all down.");
        }
    }
    println!();
    Ok(())
}

fn bail_if_interrupted(stop: &Stop) -> Result<()> {
    if stop.requested()? {
        bail!("interrupted");
    }
    Ok(())
}

/// Prints how to look at the lab from outside, and from inside.
fn print_hints(lab: &Lab) {
    println!();
    for side in Side::BOTH {
        if let Some((url, usual)) = lab.metrics_url(side) {
            let remark = if usual { "" } else { "  (the usual port is taken)" };
            println!("  metrics of {}   {url}{remark}", side.name());
        }
    }
    for side in Side::BOTH {
        println!("  step into {}    ip netns exec {} bash", side.name(), lab.ns(side).name());
    }
    let command = lab.daemon(Side::Gcp).command(&["show", "peers"]);
    let words: Vec<_> = [command.get_program()].into_iter().chain(command.get_args()).collect();
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    println!("  ask gcp          ip netns exec {} {}", lab.ns(Side::Gcp).name(), words.join(" "));
}

/// Prints what both sides have counted and logged, to find out why a step failed.
fn print_diagnostics(lab: &Lab) {
    for side in Side::BOTH {
        let daemon = lab.daemon(side);
        if daemon.pid().is_none() {
            continue;
        }
        match lab.counters(side) {
            Ok(counters) => eprintln!("\n{}: {counters:?}", side.name()),
            Err(error) => eprintln!("\n{}: no metrics: {error:#}", side.name()),
        }
        eprintln!("{}'s daemon wrote:\n{}", side.name(), daemon.log());
    }
}

fn print(lines: &[String]) -> Result<()> {
    println!("{}", lines.join("\n"));
    stdout().flush().context("writing to stdout")
}
