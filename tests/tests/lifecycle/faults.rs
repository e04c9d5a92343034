//! Every system call of a start and of a reload that changes anything fails once. Traffic goes on,
//! and what the daemon reports is true: of the configuration that is in force, and of its own end.
//!
//! A sample of the calls, of each name some; `VXLAN_ROUNDS=100` tries them all.

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{cmd::Output, numbered::Stream};

use crate::{
    hooks::assert_one_of_all,
    host::{CONFIG, wait_until},
    killed::{Point, attach, points_of_a_reload, points_of_a_start, sample},
    lost::larger,
    tunnel::Tunnel,
};

/// The error that a call fails with: one that it may have.
fn error_of(point: &Point) -> &'static str {
    match point.call.as_str() {
        "bpf" | "socket" => "ENOMEM",
        "sendto" | "sendmsg" => "ENOBUFS",
        "bind" | "listen" => "EADDRINUSE",
        "setsockopt" => "ENODEV",
        _ => "EIO",
    }
}

/// What strace injects at a point.
fn fault(point: &Point) -> String {
    format!("error={}", error_of(point))
}

fn has_larger(tunnel: &Tunnel) -> Result<bool> {
    tunnel.host.ns().has_interface("lab")
}

/// The metrics page follows the programs: it is not of a generation that is gone.
fn page_is_alive(tunnel: &Tunnel) -> Result<()> {
    let rx = || -> Result<f64> {
        Ok(tunnel.host.daemon.metrics()?.total("vxlan_packets_total", &[("direction", "rx")]))
    };
    let before = rx()?;
    wait_until("the page counts", || Ok(rx()? > before))
}

/// After a reload in which a call failed.
fn check_reload(tunnel: &mut Tunnel, point: &Point, to_larger: bool, said: &Output) -> Result<()> {
    let alive = tunnel.host.daemon.exited()?.is_none();
    let larger_now = has_larger(tunnel)?;
    let text = format!("{}{}", said.stdout, said.stderr);
    if alive {
        let expected = if said.success() { to_larger } else { !to_larger };
        ensure!(
            larger_now == expected,
            "{point:?}: exit {:?}, and the larger configuration in force: {larger_now}\n{text}",
            said.status.code()
        );
        let log = tunnel.host.daemon.log();
        ensure!(!text.contains("is in force, but"), "{text}");
        let is_advice = text.contains("`vxlan down` removes the rest");
        ensure!(!is_advice, "what this process lacks is no reason to end the traffic: {text}");
        ensure!(!log.contains("is not ours"), "its own program is taken for another's: {log}");
        page_is_alive(tunnel).with_context(|| format!("{point:?}: {text}\n{log}"))?;
    } else {
        ensure!(!said.success(), "{point:?}: the daemon has ended, and the reload is a success");
    }
    ensure!(said.success() || said.status.code() == Some(2), "{point:?}: {:?}", said.status);
    Ok(())
}

#[test]
fn of_a_reload() -> Result<()> {
    let mut tunnel = Tunnel::up()?;
    let (path, all) = points_of_a_reload(&mut tunnel)?;
    tunnel.host.daemon.launch()?;

    let some = sample(all);
    let what = format!("{} calls of a reload failed", some.len());
    tunnel.carries_all(&what, |tunnel, stream| {
        some.iter().try_for_each(|point| fail(tunnel, stream, &path, point))
    })?;
    tunnel.down()
}

/// In each thread the same call of `bpf` fails, as where memory is short.
#[test]
fn of_a_reload_in_every_thread() -> Result<()> {
    let mut tunnel = Tunnel::up()?;
    let path = tunnel.host.pair.run.dir().join("strace.log").display().to_string();
    tunnel.carries_all("reloads without memory", |tunnel, stream| {
        (1..=3).try_for_each(|number| {
            fail(tunnel, stream, &path, &Point { call: "bpf".to_owned(), number })
        })
    })?;
    tunnel.down()
}

/// A reload to the other configuration, during which a call fails. `path`: where strace writes.
fn fail(tunnel: &mut Tunnel, stream: &Stream, path: &str, point: &Point) -> Result<()> {
    let to_larger = !has_larger(tunnel)?;
    let config = if to_larger { larger() } else { CONFIG.to_owned() };
    let process = tunnel.host.daemon.pid().context("no daemon")?;
    let mut strace = attach(process, path, Some((point, &fault(point))))?;
    tunnel.host.daemon.write_config(&config)?;
    let output = tunnel.host.vxlan(&["reload"])?;
    strace.kill()?;
    strace.wait()?;
    let checked = check_reload(tunnel, point, to_larger, &output);
    checked.with_context(|| tunnel.host.daemon.log())?;
    eprintln!("{point:?} {}: {:?}", error_of(point), output.status.code());
    recover(tunnel, stream, &config, point)
}

/// The next reload, or start, makes everything as it should be.
fn recover(tunnel: &mut Tunnel, stream: &Stream, config: &str, point: &Point) -> Result<()> {
    stream.wait_for(50)?;
    if tunnel.host.daemon.exited()?.is_none() {
        let sent = stream.sent();
        let rx = tunnel.host.daemon.metrics()?.total("vxlan_packets_total", &[("direction", "rx")]);
        eprintln!("DRIFT {}", rx - sent as f64);
    }
    tunnel.host.daemon.write_config(config)?;
    if tunnel.host.daemon.exited()?.is_some() {
        tunnel.host.daemon.kill()?;
        tunnel.host.daemon.launch()?;
    } else {
        let out = tunnel.host.vxlan(&["reload"])?;
        ensure!(out.success(), "{point:?}, then: {}", out.stderr);
    }
    let overlays: &[&str] = if config == *CONFIG { &["vxlan43"] } else { &["vxlan43", "lab"] };
    assert_one_of_all(&tunnel.host, overlays).with_context(|| format!("after {point:?}"))?;
    let sent = stream.sent();
    let rx = tunnel.host.daemon.metrics()?.total("vxlan_packets_total", &[("direction", "rx")]);
    eprintln!("DRIFT recovered {}", rx - sent as f64);
    stream.wait_for(50)
}

#[test]
fn of_a_start() -> Result<()> {
    let mut tunnel = Tunnel::up()?;
    let (traced, all) = points_of_a_start(&mut tunnel)?;
    tunnel.host.daemon.launch()?;

    let some = sample(all);
    let what = format!("{} calls of a start failed", some.len());
    tunnel.carries_all(&what, |tunnel, stream| {
        for point in &some {
            tunnel.host.daemon.kill()?;
            let before = has_larger(tunnel)?;
            let config = if before { CONFIG.to_owned() } else { larger() };
            let mut start = traced.prepare(tunnel, &config, Some((point, &fault(point))))?;
            let started = start.launch();
            let now = has_larger(tunnel)?;
            match &started {
                Ok(()) => ensure!(now != before, "{point:?}: ready, and nothing has changed"),
                Err(error) => {
                    let text = format!("{error:#}");
                    ensure!(text.contains("exit status: 2"), "{point:?}: {text}");
                    ensure!(now == before, "{point:?}: refused, and in force all the same: {text}");
                }
            }
            eprintln!("{point:?} {}: started {}", error_of(point), started.is_ok());
            start.abandon()?;
            stream.wait_for(50)?;
            tunnel.host.daemon.write_config(&config)?;
            tunnel.host.daemon.launch().with_context(|| format!("after {point:?}"))?;
            let overlays: &[&str] = if before { &["vxlan43"] } else { &["vxlan43", "lab"] };
            assert_one_of_all(&tunnel.host, overlays).with_context(|| format!("{point:?}"))?;
            stream.wait_for(50)?;
        }
        Ok(())
    })?;
    tunnel.down()
}
