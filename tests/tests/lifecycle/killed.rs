//! The daemon dies at every step of a start and of a reload, as docs/lifecycle.md lists them: at
//! each of the system calls that change anything (`strace` kills it there). Traffic goes on, and
//! the next start makes everything as it should be.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use vxlan_tests::{
    daemon::{self, Daemon},
    numbered::Stream,
};

use crate::{
    hooks::assert_one_of_all, host::CONFIG, lost::larger, rounds, tunnel::Tunnel, watch::Watch,
};

/// System calls by which a daemon changes anything: maps, programs, links and pins; interfaces and
/// routes; files. Some exist on other processors only.
const CALLS: &str = "bpf,sendto,sendmsg,?rename,?renameat,?renameat2,?mkdir,?mkdirat,\
                     ?unlink,?unlinkat,?rmdir,fsync,ftruncate,socket,setsockopt,bind,listen";

/// From so many rounds on, every point is tried.
const ALL: u32 = 100;

/// The so many'th call of this name in some thread: interfaces and routes are not the first one's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Point {
    pub(crate) call: String,
    pub(crate) number: u32,
}

/// Every point that a process went through, from what strace has written.
fn points(log: &str) -> Vec<Point> {
    let (mut counts, mut known) = (BTreeMap::<(&str, &str), u32>::new(), BTreeSet::new());
    let mut found = Vec::new();
    for line in log.lines() {
        let Some((thread, call)) = line.split_once(char::is_whitespace) else { continue };
        let Some((call, _)) = call.trim_start().split_once('(') else { continue };
        // Others are the ends of calls, and deaths.
        if call.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let number = counts.entry((thread, call)).or_default();
            *number += 1;
            let point = Point { call: call.to_owned(), number: *number };
            if known.insert(point.clone()) {
                found.push(point);
            }
        }
    }
    found
}

/// As many as there are rounds, evenly, and besides whenever a file is about to be replaced:
/// between two records most is at stake. Or all.
pub(crate) fn sample(points: Vec<Point>) -> Vec<Point> {
    if rounds() >= ALL {
        return points;
    }
    let every = (points.len() / rounds().max(1) as usize).max(1);
    let is_one =
        |at: usize, point: &Point| at % every == every / 2 || point.call.starts_with("rename");
    let some = points.into_iter().enumerate().filter(|(at, point)| is_one(*at, point));
    some.map(|(_, point)| point).collect()
}

/// What happens to the daemon at a point, in the words of strace's `inject`.
pub(crate) type Injected<'a> = (&'a Point, &'a str);

const KILL: &str = "signal=SIGKILL";

/// Options of strace.
fn options(log: &str, injected: Option<Injected<'_>>) -> String {
    let kill = injected.map_or_else(String::new, |(Point { call, number }, what)| {
        format!("-e inject={call}:{what}:when={number}")
    });
    format!("-f -o {log} -e trace={CALLS} {kill}")
}

/// The daemon `b` under strace, with its directories.
pub(crate) struct Traced {
    log: PathBuf,
    program: PathBuf,
}

impl Traced {
    pub(crate) fn new(tunnel: &Tunnel) -> Self {
        let dir = tunnel.host.pair.run.dir();
        Self { log: dir.join("strace.log"), program: dir.join("traced") }
    }

    /// What strace has written to a file.
    pub(crate) fn of(log: PathBuf) -> Self {
        Self { log, program: PathBuf::new() }
    }

    pub(crate) fn prepare(
        &self,
        tunnel: &Tunnel,
        config: &str,
        injected: Option<Injected<'_>>,
    ) -> Result<Daemon> {
        let options = options(&self.log.display().to_string(), injected);
        // -D: the daemon is our child, and strace is not.
        let script = format!(
            "#!/bin/sh\nexec strace -D -qq {options} {} \"$@\"\n",
            daemon::binary()?.display()
        );
        fs::write(&self.program, script)?;
        fs::set_permissions(&self.program, fs::Permissions::from_mode(0o755))?;
        let pair = &tunnel.host.pair;
        Daemon::prepare_with(self.program.clone(), &pair.b, &pair.run, "b", config)
    }

    pub(crate) fn points(&self) -> Result<Vec<Point>> {
        let found = points(&fs::read_to_string(&self.log)?);
        let count = |name: &str| found.iter().filter(|point| point.call.starts_with(name)).count();
        let counts = ["bpf", "send", "rename", "mkdir", "unlink"].map(|name| (name, count(name)));
        ensure!(counts.iter().all(|(_, count)| *count > 0), "{counts:?}");
        Ok(found)
    }
}

fn overlays(config: &str) -> &'static [&'static str] {
    if config == *CONFIG { &["vxlan43"] } else { &["vxlan43", "lab"] }
}

/// The configuration that was to be, and in turns that or the previous one for the start after it.
fn turns(round: usize) -> [String; 2] {
    let (old, new) = match round % 4 {
        0 | 1 => (CONFIG.to_owned(), larger()),
        _ => (larger(), CONFIG.to_owned()),
    };
    let after = if round.is_multiple_of(2) { old } else { new.clone() };
    [new, after]
}

/// The system calls of a start with the larger configuration. No daemon runs afterwards, and the
/// next start is with the other one.
pub(crate) fn points_of_a_start(tunnel: &mut Tunnel) -> Result<(Traced, Vec<Point>)> {
    let traced = Traced::new(tunnel);
    tunnel.host.daemon.kill()?;
    let mut whole = traced.prepare(tunnel, &larger(), None)?;
    whole.launch()?;
    whole.abandon()?;
    let all = traced.points()?;
    tunnel.host.daemon.write_config(&CONFIG)?;
    Ok((traced, all))
}

#[test]
fn at_any_step_of_a_start() -> Result<()> {
    let mut tunnel = Tunnel::up()?;
    let (traced, all) = points_of_a_start(&mut tunnel)?;
    tunnel.host.daemon.launch()?;

    let watch = Watch::start(tunnel.host.ns(), &tunnel.host.daemon, "a");
    let some = sample(all);
    let what = format!("killed at {} points of a start", some.len());
    tunnel.carries_all(&what, |tunnel, stream| {
        for (round, point) in some.iter().enumerate() {
            let [config, after] = turns(round);
            tunnel.host.daemon.kill()?;
            let mut killed = traced.prepare(tunnel, &config, Some((point, KILL)))?;
            // Ready, where this time there were fewer calls.
            let _ended = killed.launch();
            killed.abandon()?;
            come_back(tunnel, stream, point, &after)?;
        }
        Ok(())
    })?;
    let looked = watch.finish()?;
    ensure!(looked.shows > 0 && looked.scrapes > 0, "{looked:?}");
    tunnel.down()
}

/// Traffic goes on without a daemon, and with the next one.
fn come_back(tunnel: &mut Tunnel, stream: &Stream, point: &Point, config: &str) -> Result<()> {
    let dead = stream.sent();
    stream.wait_for(100)?;
    start_again(tunnel, config).with_context(|| format!("after a death at {point:?}"))?;
    // If any is lost, these tell where.
    eprintln!("{point:?}: dead after {dead}, there again after {}", stream.sent());
    stream.wait_for(100)
}

fn start_again(tunnel: &mut Tunnel, config: &str) -> Result<()> {
    tunnel.host.daemon.write_config(config)?;
    tunnel.host.daemon.launch()?;
    assert_one_of_all(&tunnel.host, overlays(config))?;
    let lab = tunnel.host.ns().has_interface("lab")?;
    ensure!(lab == (config != *CONFIG), "lab is there: {lab}");
    let routes = tunnel.host.ns().run("ip route show proto 143 dev vxlan43")?;
    let expected = if config == *CONFIG { 1 } else { 2 };
    ensure!(
        routes.lines().count() == expected,
        "after a start: {routes}\n{}",
        tunnel.host.daemon.log()
    );
    Ok(())
}

/// Strace on a running daemon; it ends with it.
pub(crate) fn attach(process: u32, log: &str, injected: Option<Injected<'_>>) -> Result<Child> {
    let mut command = Command::new("strace");
    command.args(["-p", &process.to_string()]).args(options(log, injected).split_whitespace());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut strace = command.spawn().context("starting strace (apt-get install strace)")?;
    // The first line is written once all threads are held.
    let mut line = String::new();
    let stderr = strace.stderr.take().context("no stderr")?;
    let mut lines = BufReader::new(stderr);
    lines.read_line(&mut line)?;
    if !line.contains("attached") {
        let _ended = strace.wait();
        bail!("strace reports: {line}");
    }
    // It goes on to speak of threads, to somebody who must not be gone.
    std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
    Ok(strace)
}

/// The system calls of a reload to the larger configuration, and the file that strace writes. The
/// daemon is killed afterwards.
pub(crate) fn points_of_a_reload(tunnel: &mut Tunnel) -> Result<(String, Vec<Point>)> {
    let log = tunnel.host.pair.run.dir().join("strace.log");
    let path = log.display().to_string();
    let process = tunnel.host.daemon.pid().context("no daemon")?;
    let mut strace = attach(process, &path, None)?;
    tunnel.host.daemon.write_config(&larger())?;
    let out = tunnel.host.daemon.vxlan(&["reload"])?;
    ensure!(out.success(), "{}", out.stderr);
    tunnel.host.daemon.kill()?;
    strace.wait()?;
    Ok((path, Traced::of(log).points()?))
}

#[test]
fn at_any_step_of_a_reload() -> Result<()> {
    let mut tunnel = Tunnel::up()?;
    let (path, all) = points_of_a_reload(&mut tunnel)?;
    start_again(&mut tunnel, &CONFIG)?;

    let watch = Watch::start(tunnel.host.ns(), &tunnel.host.daemon, "a");
    let some = sample(all);
    let what = format!("killed at {} points of a reload", some.len());
    tunnel.carries_all(&what, |tunnel, stream| {
        for (round, point) in some.iter().enumerate() {
            let [config, after] = turns(round);
            let process = tunnel.host.daemon.pid().context("no daemon")?;
            let mut strace = attach(process, &path, Some((point, KILL)))?;
            tunnel.host.daemon.write_config(&config)?;
            // In force, or the daemon died of it.
            let _asked = tunnel.host.daemon.vxlan(&["reload"])?;
            tunnel.host.daemon.kill()?;
            strace.wait()?;
            come_back(tunnel, stream, point, &after)?;
        }
        Ok(())
    })?;
    watch.finish()?;
    tunnel.down()
}

#[test]
fn calls_are_counted_by_thread_and_name() {
    let log = "7  bpf(BPF_MAP_CREATE, {}) = 3\n7 sendto(4, [<unfinished ...>\n8  bpf(X) = 3\n7  \
        <... \
               sendto resumed>) = 5\n7  bpf(BPF_PROG_LOAD\n7 +++ killed by SIGKILL +++\n7 --- \
               SIGTERM \
               {si_signo=SIGTERM} ---\n";
    let found = points(log).into_iter().map(|point| (point.call, point.number));
    let found: Vec<_> = found.collect();
    let expected = [("bpf", 1), ("sendto", 1), ("bpf", 2)].map(|(call, n)| (call.to_owned(), n));
    assert_eq!(found, expected);
}
