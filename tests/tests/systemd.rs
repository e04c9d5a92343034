//! The unit of `deploy/systemd`, under systemd itself: it keeps the daemon running and confined,
//! and traffic depends on neither. Needs systemd as a program, not as this machine's own.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    Pair, Wire, cmd,
    daemon::{self, Daemon},
    metrics::Metrics,
    systemd::Systemd,
    two_hosts::{Family, Side, Tunnel, TwoHosts as _},
    wait::wait_until,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Beside both configurations.
const KEY: &str = "link.key";
const TUNNEL: Tunnel<'_> = Tunnel {
    outer: Family::V4,
    inner: &[Family::V4],
    underlay: "",
    peer: "key_file = \"link.key\"",
};

/// What is made stricter than in the unit, so that nothing that is refused stays hidden; and
/// quicker.
const STRICTER: &str = "[Service]
SystemCallErrorNumber=kill
LimitMEMLOCK=0
WatchdogSec=3s
RestartSec=100ms
";

fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd/vxlan.service")
}

#[test]
fn the_unit_is_confined() -> Result<()> {
    let mut analyze = Command::new("systemd-analyze");
    // In tenths: 2.5 of 10, where 0 is the best.
    analyze.args(["security", "--offline=true", "--threshold=25", "--no-pager"]).arg(unit());
    let out = cmd::output(&mut analyze)?;
    ensure!(out.success(), "{}{}", out.stdout, out.stderr);
    Ok(())
}

/// Host `b` of a pair is a machine with systemd, in which the unit is installed; `a` has a daemon.
struct Machines {
    systemd: Systemd,
    other: Daemon,
    /// Last: it must outlive the others.
    pair: Pair,
}

impl Machines {
    fn new(drop_in: &str) -> Result<Self> {
        let pair = Pair::new(Wire::Real)?;
        let key = pair.run.write_key(KEY)?;
        let config = pair.run.write("b.toml", &TUNNEL.config(Side::B))?;
        let drop_in = pair.run.write("drop-in.conf", drop_in)?;
        let files: [(&str, &Path); 5] = [
            ("/usr/bin/vxlan", &daemon::binary()?),
            ("/etc/systemd/system/vxlan.service", &unit()),
            ("/etc/systemd/system/vxlan.service.d/test.conf", &drop_in),
            ("/etc/vxlan/vxlan.toml", &config),
            ("/etc/vxlan/link.key", &key),
        ];
        let systemd = Systemd::boot(&pair.b, &pair.run, &files)?;
        let other = Daemon::start(&pair.a, &pair.run, "a", &TUNNEL.config(Side::A))?;
        Ok(Self { systemd, other, pair })
    }

    fn succeeds(&self, arguments: &[&str]) -> Result<()> {
        let out = self.systemd.systemctl(arguments)?;
        let failure = || format!("systemctl {arguments:?}: {}\n{}", out.stderr, self.journal());
        ensure!(out.success(), failure());
        Ok(())
    }

    fn vxlan(&self, arguments: &[&str]) -> Result<String> {
        let out = cmd::output(&mut self.systemd.command("/usr/bin/vxlan", arguments))?;
        ensure!(out.success(), "vxlan {arguments:?}: {}{}", out.stdout, out.stderr);
        Ok(out.stdout)
    }

    fn journal(&self) -> String {
        self.systemd.journal("vxlan").unwrap_or_default()
    }

    fn property(&self, name: &str) -> Result<String> {
        self.systemd.property("vxlan", name)
    }

    /// Every ping is answered.
    fn assert_traffic(&self, when: &str) -> Result<()> {
        let pings = self.pair.ping_from_both(Family::V4, 5);
        pings.with_context(|| format!("{when}\n{}", self.journal()))
    }

    fn wait_for(&self, name: &str, value: &str) -> Result<()> {
        // systemd tells of a change on D-Bus, which nobody speaks here.
        wait_until(&format!("{name} is {value}"), PATIENCE, || Ok(self.property(name)? == value))
            .with_context(|| format!("{name} is {:?}\n{}", self.property(name), self.journal()))
    }
}

#[test]
fn a_life_in_the_unit() -> Result<()> {
    let machines = Machines::new(STRICTER)?;
    let verify = ["verify", "/etc/systemd/system/vxlan.service"];
    let verified = cmd::output(&mut machines.systemd.command("systemd-analyze", &verify))?;
    assert_eq!((verified.success(), verified.stderr.as_str()), (true, ""));

    machines.succeeds(&["start", "vxlan"])?;
    machines.assert_traffic("as soon as the unit has started")?;
    let metrics = Metrics::fetch(&machines.pair.b, "127.0.0.1:9839".parse()?)?;
    assert_eq!(metrics.total("vxlan_build_info", &[]), 1.0);
    for verb in ["peers", "networks", "drops", "nat"] {
        machines.vxlan(&["show", verb])?;
    }
    let one_of_one = "eth0, XDP native; 1 of 1 peers up; networks: 1";
    machines.wait_for("StatusText", one_of_one)?;

    machines.succeeds(&["reload", "vxlan"])?;
    assert!(machines.journal().contains("is in force"), "{}", machines.journal());
    machines.assert_traffic("after a reload")?;

    machines.succeeds(&["restart", "vxlan"])?;
    machines.assert_traffic("after a restart")?;

    machines.succeeds(&["kill", "--signal=SIGKILL", "vxlan"])?;
    machines.assert_traffic("after the daemon was killed")?;
    machines.wait_for("NRestarts", "1")?;
    machines.wait_for("ActiveState", "active")?;

    // It stands still: the watchdog has it started again.
    machines.succeeds(&["kill", "--signal=SIGSTOP", "vxlan"])?;
    machines.assert_traffic("while the daemon stands still")?;
    machines.wait_for("NRestarts", "2")?;
    machines.wait_for("ActiveState", "active")?;
    machines.wait_for("StatusText", one_of_one)?;

    machines.succeeds(&["stop", "vxlan"])?;
    assert_eq!(machines.property("ActiveState")?, "inactive");
    machines.assert_traffic("after the unit was stopped")?;
    machines.vxlan(&["show", "peers"])?;
    machines.vxlan(&["down"])?;
    assert!(!machines.pair.b.has_interface("vxlan43")?);

    let journal = machines.journal();
    for word in ["not permitted", "denied", "Read-only", "WARN", "ERROR"] {
        assert!(!journal.contains(word), "{word}:\n{journal}");
    }
    machines.other.stop()
}

/// Restarts are no storm, and the reason is in the journal each time.
#[test]
fn a_unit_without_a_capability_says_which() -> Result<()> {
    let less = "[Service]\nCapabilityBoundingSet=\nCapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW \
                CAP_PERFMON\n";
    let machines = Machines::new(less)?;
    let out = machines.systemd.systemctl(&["start", "vxlan"])?;
    ensure!(!out.success(), "it has started without CAP_BPF");
    machines.wait_for("NRestarts", "1")?;
    let line_expected = "vxlan: missing CAP_BPF (for loading programs and making maps): run as \
        root, or give \
                the service these capabilities";
    let journal = machines.journal();
    let times = journal.lines().filter(|line| *line == line_expected).count();
    assert!((1..=2).contains(&times), "{journal}");
    machines.succeeds(&["stop", "vxlan"])?;
    assert!(!machines.pair.b.has_interface("vxlan43")?);
    machines.other.stop()
}
