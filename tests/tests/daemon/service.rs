//! What a service manager hears from the daemon (sd_notify(3)), at a socket that stands for one.

use std::{
    io,
    os::unix::net::UnixDatagram,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use vxlan_tests::wait::joined;

use crate::host::{CONFIG, Host, PATIENCE};
use crate::side_doors::leave_room_for;

/// What the unit's WatchdogSec stands for, in microseconds.
const WATCHDOG_USEC: u64 = 3_000_000;

/// The manager's end.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    /// Listens, and has the host's daemon told where.
    fn for_host(host: &mut Host) -> Result<Self> {
        let path = host.pair.run.dir().join("notify");
        let socket = UnixDatagram::bind(&path)?;
        host.daemon.set_environment("NOTIFY_SOCKET", path.to_str().context("UTF-8")?);
        Ok(Self { socket })
    }

    /// The next message, if one comes in time.
    fn within(&self, timeout: Duration) -> Result<Option<String>> {
        let mut buffer = [0; 4096];
        self.socket.set_read_timeout(Some(timeout))?;
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(length) => return Ok(Some(String::from_utf8(buffer[..length].to_vec())?)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                // With a time limit the kernel does not go on by itself after a signal.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for a message that has this line.
    fn hears(&self, line: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            let Some(message) = self.within(left.max(Duration::from_millis(1)))? else { break };
            if message.lines().any(|said| said == line) {
                return Ok(message);
            }
            heard.push(message);
        }
        anyhow::bail!("no {line}, but {heard:?}")
    }
}

#[test]
fn ready_is_said_when_traffic_can_pass() -> Result<()> {
    let mut host = Host::new(&CONFIG)?;
    let other = host.start_peer()?;
    let manager = Manager::for_host(&mut host)?;
    let (a, b) = ([192, 168, 43, 1].into(), [192, 168, 44, 1].into());
    let at_once = thread::scope(|scope| {
        let (from, manager) = (&host.pair.a, &manager);
        let heard = scope.spawn(move || -> Result<_> {
            let ready = manager.hears("READY=1")?;
            Ok((ready, vxlan_tests::traffic::ping(from, Some(a), b, 5)?))
        });
        host.daemon.launch()?;
        joined(heard.join())
    });
    let (ready, answers) = at_once?;
    ensure!(answers.all_answered(), "after READY=1: {}", answers.output);
    let status = ready.lines().find_map(|line| line.strip_prefix("STATUS="));
    let unknown = "eth0, XDP native; 0 of 1 peers up, 1 not known; networks: 1";
    assert_eq!(status, Some(unknown), "nothing has shown yet that the peer is up: {ready}");
    manager.hears("STATUS=eth0, XDP native; 1 of 1 peers up; networks: 1")?;

    host.ns().run("ip link set eth0 down")?;
    manager.hears("STATUS=eth0, XDP native; 0 of 1 peers up, 1 without a path; networks: 1")?;

    host.daemon.terminate()?;
    manager.hears("STOPPING=1")?;
    host.daemon.stop()?;
    other.stop()
}

/// Nobody asked for signs of life, so none come: what is heard is READY=1 and STOPPING=1.
#[test]
fn without_a_watchdog_nothing_is_repeated() -> Result<()> {
    let mut host = Host::new(&CONFIG)?;
    let manager = Manager::for_host(&mut host)?;
    host.daemon.launch()?;
    manager.hears("READY=1")?;
    host.daemon.terminate()?;
    while let Some(message) = manager.within(Duration::from_millis(1))? {
        ensure!(!message.contains("WATCHDOG"), "{message}");
    }
    host.daemon.stop()
}

#[test]
fn signs_of_life_come_from_a_loop_that_turns() -> Result<()> {
    let mut host = Host::new(&CONFIG)?;
    let manager = Manager::for_host(&mut host)?;
    host.daemon.set_environment("WATCHDOG_USEC", &WATCHDOG_USEC.to_string());
    host.daemon.launch()?;
    manager.hears("READY=1")?;
    manager.hears("WATCHDOG=1")?;
    let half = Duration::from_micros(WATCHDOG_USEC / 2);
    for _ in 0..3 {
        let since = Instant::now();
        manager.hears("WATCHDOG=1")?;
        ensure!(since.elapsed() < half, "a sign of life after {:?}", since.elapsed());
    }

    let pid = Pid::from_raw(host.daemon.pid().context("no daemon")?.cast_signed());
    kill(pid, Signal::SIGSTOP)?;
    // What was under way when it stopped.
    while manager.within(Duration::from_millis(100))?.is_some() {}
    assert_eq!(manager.within(half * 2)?, None, "from a daemon that stands still");
    kill(pid, Signal::SIGCONT)?;
    manager.hears("WATCHDOG=1")?;
    host.daemon.stop()
}

/// A notification takes no file descriptor of its own, and so the manager hears also then that the
/// event loop goes on.
#[test]
fn a_daemon_out_of_files_is_still_heard() -> Result<()> {
    let mut host = Host::new(&CONFIG)?;
    let manager = Manager::for_host(&mut host)?;
    host.daemon.set_environment("WATCHDOG_USEC", "300000");
    host.daemon.launch()?;
    manager.hears("READY=1")?;
    leave_room_for(&host.daemon, 0)?;
    while manager.within(Duration::from_millis(1))?.is_some() {}
    for _ in 0..3 {
        manager.hears("WATCHDOG=1")?;
    }
    host.daemon.terminate()?;
    manager.hears("STOPPING=1")?;
    host.daemon.stop()
}
