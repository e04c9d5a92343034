//! A start and a reload are whole or have not been, also where somebody ends the daemon meanwhile.

use std::{
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    cmd,
    kernel::{self, Feature},
    wait::joined,
};

use crate::{
    host::{CONFIG, Host, tc, wait_until},
    many_networks::with_networks,
};

/// So many networks that making them takes a while.
const MANY: u32 = 150;

fn with_many_networks() -> String {
    with_networks(MANY)
}

fn overlays(host: &Host) -> Result<usize> {
    Ok(host.ns().run("ip -o link")?.lines().filter(|line| line.contains(": many")).count())
}

fn send(signal: &str, process: u32) -> Result<()> {
    let mut kill = Command::new("kill");
    kill.args(["-s", signal, &process.to_string()]);
    ensure!(cmd::output(&mut kill)?.success(), "kill -s {signal} {process}");
    Ok(())
}

/// Ends a start at a moment of it, and looks whether anything is left.
fn undone(host: &Host, signal: &str, moment: fn(&Host) -> Result<bool>) -> Result<()> {
    let before = host.state()?;
    let mut start: Command = host.daemon.command(&["run"]);
    start.stdout(Stdio::null()).stderr(Stdio::piped());
    let child = start.spawn()?;
    wait_until("the start is half-way", || moment(host))?;
    send(signal, child.id())?;
    let began = Instant::now();
    let output = child.wait_with_output()?;
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(0), "{:?}: {log}", output.status);
    ensure!(log.contains("the start is undone"), "{log}");
    ensure!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    host.state()?.assert_is(&before, "the start");
    Ok(())
}

#[test]
fn a_signal_during_a_start_undoes_it() -> Result<()> {
    let host = Host::new(&with_many_networks())?;
    for signal in ["TERM", "INT"] {
        undone(&host, signal, |host| Ok(overlays(host)? > 0))?;
    }
    Ok(())
}

/// Attaching a link takes the kernel a while, unlike a filter.
#[test]
fn a_signal_while_programs_are_attached_undoes_a_start() -> Result<()> {
    if !kernel::needs(Feature::Tcx)? {
        return Ok(());
    }
    let linked = "xdp = \"auto\"\ntc = \"tcx\"";
    let host = Host::new(&with_many_networks().replace("xdp = \"auto\"", linked))?;
    undone(&host, "TERM", |host| Ok(overlays(host)? > 0 && tc(host.ns(), "many1")?[1] == ["encap"]))
}

#[test]
fn a_signal_during_a_reload_undoes_that() -> Result<()> {
    let (mut host, other) = Host::up(&CONFIG)?;
    host.assert_ping("now")?;
    host.daemon.write_config(&with_many_networks())?;
    let pid = host.daemon.pid().context("no daemon")?;
    let reload = host.daemon.command(&["reload"]).stderr(Stdio::piped()).spawn()?;
    wait_until("interfaces are made", || Ok(overlays(&host)? > 0))?;
    send("TERM", pid)?;
    let output = reload.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(2), "{:?}: {said}", output.status);
    wait_until("the daemon ends", || Ok(host.daemon.exited()?.is_some()))?;
    host.daemon.terminate()?;
    ensure!(overlays(&host)? == 0);
    host.assert_ping("with the previous configuration")?;
    host.daemon.write_config(&CONFIG)?;
    host.daemon.launch()?;
    host.assert_ping("after the next start")?;
    other.stop()
}

#[test]
fn reloads_that_wait_are_one() -> Result<()> {
    let host = Host::launched(&CONFIG)?;
    let outputs: Vec<Result<cmd::Output>> = thread::scope(|scope| {
        let reloads: Vec<_> = (0..8).map(|_| scope.spawn(|| host.vxlan(&["reload"]))).collect();
        reloads.into_iter().map(|reload| joined(reload.join())).collect()
    });
    for output in outputs {
        let output = output?;
        ensure!(output.success(), "{}", output.stderr);
    }
    let done = host.daemon.log().matches("is in force").count();
    ensure!((1..=4).contains(&done), "{done} reloads:\n{}", host.daemon.log());
    Ok(())
}
