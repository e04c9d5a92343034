//! `cargo xtask run`: the lab, shown to a person; with arguments, `vxlan` itself on this host. What
//! the lab is made of belongs to `vxlan_tests::lab`; here is the order of things and the display.

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
    lab::{Counters, Lab, Side, VNI},
    signals::Stop,
};

use crate::{
    cargo::cargo,
    paths, progress,
    setup::{self, Scope},
};

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
    let shown = show(&mut lab, &args, &stop);
    if shown.is_err() && !stop.requested()? {
        explain(&lab);
    }
    eprintln!("taking the lab down");
    let down = lab.down();
    match shown {
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
    progress::heading("building the vxlan binary");
    let mut cmd = cargo();
    cmd.args(["build", "--release", "--package", "vxlan-user", "--bin", "vxlan"]);
    let status = cmd.status().with_context(|| format!("cannot start {}", progress::show(&cmd)))?;
    ensure!(status.success(), "{} ended with {status}", progress::show(&cmd));
    Ok(paths::target_dir().join("release/vxlan"))
}

/// Everything there is to see, in its order. Fails at the first thing that does not work.
fn show(lab: &mut Lab, args: &Args, stop: &Stop) -> Result<()> {
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
        go_on(stop)?;
        lab.start(side)?;
        let pid = lab.daemon(side).pid().unwrap_or_default();
        println!("  vxlan run   {}: ready, process {pid}", side.name());
    }
    for side in Side::BOTH {
        go_on(stop)?;
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
        go_on(stop)?;
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
        go_on(stop)?;
        let found = lab.verdict(side)?;
        let why = found.evidence.first().map_or("", String::as_str);
        println!("  NAT         {}: {}; {why}", side.name(), found.nat);
    }
    go_on(stop)?;
    for side in Side::BOTH {
        lab.check_counters(side)?;
    }
    if !args.once {
        invite(lab);
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

fn go_on(stop: &Stop) -> Result<()> {
    if stop.requested()? {
        bail!("interrupted");
    }
    Ok(())
}

/// How to look at it from outside, and from inside.
fn invite(lab: &Lab) {
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

/// What both sides have seen, for somebody who has to find out why a step failed.
fn explain(lab: &Lab) {
    for side in Side::BOTH {
        let daemon = lab.daemon(side);
        if daemon.pid().is_none() {
            continue;
        }
        match lab.counters(side) {
            Ok(counters) => eprintln!("\n{}: {counters:?}", side.name()),
            Err(error) => eprintln!("\n{}: no metrics: {error:#}", side.name()),
        }
        eprintln!("{}'s daemon said:\n{}", side.name(), daemon.log());
    }
}

type Both = [Counters; 2];

fn counters(lab: &Lab) -> Result<Both> {
    Ok([lab.counters(Side::Gcp)?, lab.counters(Side::Aws)?])
}

/// Totals, and rates when there is an earlier reading.
fn table(lab: &Lab, before: Option<&(Instant, Both)>) -> Result<Vec<String>> {
    let now = counters(lab)?;
    let seconds = before.map(|(when, _)| when.elapsed().as_secs_f64());
    Ok(lines(&now, before.map(|(_, counters)| counters).zip(seconds)))
}

fn lines(now: &Both, before: Option<(&Both, f64)>) -> Vec<String> {
    let mut lines = vec![format!(
        "  {:<4}{:>12}{:>11}{:>12}{:>11}{:>9}{:>14}{:>14}{:>11}",
        "",
        "rx packets",
        "rx bytes",
        "tx packets",
        "tx bytes",
        "dropped",
        "NAT src addr",
        "NAT dst addr",
        "rx pkt/s"
    )];
    for (index, side) in Side::BOTH.into_iter().enumerate() {
        let counters = &now[index];
        let speed = before.map_or("-".to_owned(), |(before, seconds)| {
            format!("{:.0}", (counters.rx_packets - before[index].rx_packets) / seconds)
        });
        lines.push(format!(
            "  {:<4}{:>12}{:>11}{:>12}{:>11}{:>9}{:>14}{:>14}{speed:>11}",
            side.name(),
            counters.rx_packets,
            bytes(counters.rx_bytes),
            counters.tx_packets,
            bytes(counters.tx_bytes),
            counters.dropped(),
            counters.nat_source,
            counters.nat_destination,
        ));
    }
    for (index, side) in Side::BOTH.into_iter().enumerate() {
        for (reason, count) in &now[index].drops {
            lines.push(format!("  {} dropped {count}: {reason}", side.name()));
        }
    }
    lines
}

fn print(lines: &[String]) -> Result<()> {
    println!("{}", lines.join("\n"));
    stdout().flush().context("writing to stdout")
}

fn bytes(count: f64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{value} B") } else { format!("{value:.1} {}", units[unit]) }
}

fn rate(mbit: f64) -> String {
    if mbit >= 1000.0 {
        format!("{:.2} Gbit/s", mbit / 1000.0)
    } else {
        format!("{mbit:.0} Mbit/s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_row_a_side_and_names_reasons() {
        let gcp = Counters {
            rx_packets: 300.0,
            rx_bytes: 2_500_000.0,
            drops: vec![("rx unknown_vni".to_owned(), 4.0)],
            ..Counters::default()
        };
        let before = [Counters { rx_packets: 100.0, ..Counters::default() }, Counters::default()];
        let lines = lines(&[gcp, Counters::default()], Some((&before, 2.0)));
        assert_eq!(lines.len(), 4);
        assert!(lines[1].starts_with("  gcp") && lines[1].contains("2.5 MB"), "{}", lines[1]);
        assert!(lines[1].ends_with(" 100"), "{}", lines[1]);
        assert_eq!(lines[3], "  gcp dropped 4: rx unknown_vni");
    }

    #[test]
    fn quantities_have_units() {
        assert_eq!(bytes(999.0), "999 B");
        assert_eq!(bytes(64e6), "64.0 MB");
        assert_eq!(rate(950.4), "950 Mbit/s");
        assert_eq!(rate(2_345.0), "2.35 Gbit/s");
    }
}
