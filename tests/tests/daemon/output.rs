//! Where output goes that nobody takes: a full disk, a reader that has gone, one that has paused.
//! No command panics, each says by its exit code what it did, and the daemon carries on.

use std::{
    fs::File,
    io::{Read as _, pipe},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    fcntl::{FcntlArg, fcntl},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use vxlan_tests::{
    cmd,
    inject::inject,
    packet::{Eth, Ipv4, Packet, Udp, Vxlan},
    wait,
};

use crate::host::{CONFIG, Host, PATIENCE, wait_until};

/// A stream that cannot be written to.
#[derive(Clone, Copy, Debug)]
enum Sink {
    Full,
    /// The reader has gone.
    Gone,
}

impl Sink {
    fn open(self) -> Result<Stdio> {
        Ok(match self {
            Self::Full => File::options().write(true).open("/dev/full")?.into(),
            Self::Gone => Stdio::from(OwnedFd::from(pipe()?.1)),
        })
    }
}

/// Runs a command whose stdout is a sink: its exit code and its stderr.
fn into_sink(host: &Host, arguments: &[&str], sink: Sink) -> Result<(Option<i32>, String)> {
    let mut command = host.daemon.command(arguments);
    let out = command.stdout(sink.open()?).output()?;
    Ok((out.status.code(), String::from_utf8(out.stderr)?))
}

#[test]
fn exit_codes_do_not_depend_on_the_reader() -> Result<()> {
    let mut host = Host::launched(&CONFIG)?;
    let show = [["show", "peers"], ["show", "nat"], ["show", "networks"], ["show", "drops"]];
    for sink in [Sink::Full, Sink::Gone] {
        for arguments in show {
            let (code, text) = into_sink(&host, &arguments, sink)?;
            match sink {
                Sink::Gone => assert_eq!((code, text.as_str()), (Some(0), ""), "{arguments:?}"),
                Sink::Full => {
                    assert_eq!(code, Some(2), "{arguments:?}: {text}");
                    ensure!(text.starts_with("vxlan: cannot write to stdout: No space"), "{text}");
                }
            }
        }
        for arguments in [&["check"][..], &["check", "--json"], &["reload"]] {
            let (code, text) = into_sink(&host, arguments, sink)?;
            assert_eq!(code, Some(0), "{arguments:?} {sink:?}: {text}");
            ensure!(!text.contains("panicked"), "{text}");
        }
        // Nor does it matter whether a mistake can be told.
        let mut wrong = host.daemon.command(&["check", "--config", "/nowhere"]);
        let status = wrong.stdout(sink.open()?).stderr(sink.open()?).status()?;
        assert_eq!(status.code(), Some(2), "{sink:?}");
    }
    host.daemon.terminate()?;
    // There is much to remove, then nothing.
    for sink in [Sink::Full, Sink::Gone] {
        let (code, text) = into_sink(&host, &["down"], sink)?;
        assert_eq!(code, Some(0), "{sink:?}: {text}");
    }
    Ok(())
}

/// Starts the daemon on streams of the caller's.
fn spawn(host: &Host, level: &str, stdout: Stdio, stderr: Stdio) -> Result<Child> {
    let mut command = host.daemon.command(&["--log", level, "run"]);
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    command.spawn().context("starting the daemon")
}

fn wait_until_served(host: &Host) -> Result<()> {
    wait_until("the page is there", || Ok(host.daemon.metrics().is_ok()))
}

fn terminate(daemon: &mut Child) -> Result<Option<i32>> {
    kill(Pid::from_raw(daemon.id().cast_signed()), Signal::SIGTERM)?;
    let begun = Instant::now();
    wait_until("the daemon ends", || Ok(daemon.try_wait()?.is_some()))?;
    ensure!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
    Ok(daemon.wait()?.code())
}

#[test]
fn the_daemon_stays_where_nothing_can_be_written() -> Result<()> {
    for sink in [Sink::Full, Sink::Gone] {
        let host = Host::new(&CONFIG)?;
        let mut daemon = spawn(&host, "debug", sink.open()?, sink.open()?)?;
        wait_until_served(&host)?;
        let reload = host.daemon.vxlan(&["reload"])?;
        ensure!(reload.success(), "{sink:?}: {}", reload.stderr);
        let lost = host.daemon.metrics()?.get("vxlan_log_lines_dropped_total", &[]);
        ensure!(lost > 0.0, "{sink:?}: lines were lost, and none counted");
        assert_eq!(terminate(&mut daemon)?, Some(0), "{sink:?}");
        ensure!(host.daemon.down()?.success());
    }
    Ok(())
}

/// Closed streams are no streams to fail on.
#[test]
fn closed_streams_stop_nothing() -> Result<()> {
    let host = Host::new(&CONFIG)?;
    let words: Vec<String> = {
        let command = host.daemon.command(&["run"]);
        let all = std::iter::once(command.get_program()).chain(command.get_args());
        all.map(|word| word.to_string_lossy().into_owned()).collect()
    };
    let mut shell = host.ns().command("sh");
    shell.arg("-c").arg("exec \"$@\" >&- 2>&-").arg("sh").args(words);
    let mut daemon = shell.stdin(Stdio::null()).spawn()?;
    wait_until_served(&host)?;
    ensure!(host.daemon.vxlan(&["reload"])?.success());
    assert_eq!(terminate(&mut daemon)?, Some(0));
    ensure!(host.daemon.down()?.success());
    Ok(())
}

/// A pager, or a collector that pauses: many lines come while nobody reads.
#[test]
fn a_reader_that_pauses_holds_up_nobody() -> Result<()> {
    let host = Host::new(&CONFIG)?;
    let (mut reader, writer) = pipe()?;
    // A page: the smallest there is.
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096))?;
    let both = writer.try_clone()?;
    let mut daemon = spawn(&host, "trace", Stdio::from(both), Stdio::from(writer))?;
    wait_until_served(&host)?;
    let lost =
        || -> Result<f64> { Ok(host.daemon.metrics()?.get("vxlan_log_lines_dropped_total", &[])) };
    // Each dropped packet is a line, up to 100 in a second.
    let stranger = Packet::new()
        .with(Eth::new(host.ns().mac("eth0")?, [2, 0, 0, 0, 0, 9]))
        .with(Ipv4::new([203, 0, 113, 66], [203, 0, 113, 2]))
        .with(Udp::vxlan(50_000))
        .with(Vxlan::new(43))
        .with(Eth::new([2; 6], [4; 6]))
        .build();
    wait::wait_until("more lines come than there is room for", Duration::from_secs(60), || {
        inject(&host.pair.a, "eth0", std::slice::from_ref(&stranger), 50)?;
        Ok(lost()? > 0.0)
    })?;
    for _ in 0..3 {
        let begun = Instant::now();
        let reload = host.daemon.vxlan(&["reload"])?;
        ensure!(reload.success() && begun.elapsed() < PATIENCE, "{}", reload.stderr);
    }
    // The lines that wait come when somebody reads again, and how many are missing.
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains(" lines of the log were lost") {
        let length = reader.read(&mut buffer)?;
        ensure!(length > 0, "the daemon has ended: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    ensure!(text.contains("unknown_source"), "{text}");
    // And the end does not wait for a reader either.
    host.daemon.vxlan(&["reload"])?;
    assert_eq!(terminate(&mut daemon)?, Some(0));
    ensure!(host.daemon.down()?.success());
    Ok(())
}

#[test]
fn others_than_root_are_told_so() -> Result<()> {
    let host = Host::launched(&CONFIG)?;
    for what in ["peers", "nat", "networks", "underlay", "drops"] {
        let command = host.daemon.command(&["show", what]);
        let mut other = Command::new("setpriv");
        other.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
        let out = cmd::output(other.arg(command.get_program()).args(command.get_args()))?;
        assert_eq!(out.status.code(), Some(2), "{what}: {}{}", out.stdout, out.stderr);
        let text = &out.stderr;
        ensure!(text.starts_with("vxlan: `vxlan show` needs root: "), "{what}: {text}");
    }
    host.daemon.stop()
}
