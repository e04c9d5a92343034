//! A host for the daemon to run on, and everything about it that a run could change.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::programs::{SchedClassifier, TcAttachType};
use serde_json::Value;
use vxlan_tests::{
    Ns, Pair, Wire, cmd,
    daemon::Daemon,
    kernel::{self, Feature},
    link::set_queue,
    numbered::{Stream, Tally},
    traffic::ping,
};
use vxlan_user::{
    daemon::Places,
    dataplane::{Pins, Reader},
    state::RunDir,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// `b` of a pair: network 43, with `a` as its only peer. Line numbers count from here.
pub(crate) const CONFIG: &str = r#"[node]
name = "b"
[underlay]
interface = "eth0"
address = "203.0.113.2"
xdp = "auto"
[metrics]
listen = "127.0.0.1:9839"
[[peer]]
name = "a"
endpoint = "203.0.113.1"
[[network]]
vni = 43
interface = "vxlan43"
addresses = ["192.168.44.1/24"]
[[network.member]]
peer = "a"
allowed_ips = ["192.168.43.0/24"]
"#;

/// The other end of [`CONFIG`].
pub(crate) const CONFIG_A: &str = r#"[node]
name = "a"
[underlay]
interface = "eth0"
[[peer]]
name = "b"
endpoint = "203.0.113.2"
[[network]]
vni = 43
interface = "vxlan43"
addresses = ["192.168.43.1/24"]
[[network.member]]
peer = "b"
allowed_ips = ["192.168.44.0/24"]
"#;

/// What the programs of a daemon count, with what they counted before.
pub(crate) fn reader(of: &Daemon) -> Result<Reader> {
    let places = Places {
        config: of.config().to_owned(),
        run_dir: RunDir::new(of.run_dir()),
        pins: Pins::new(of.pin_dir()),
    };
    places.reader(&places.run_dir.load()?.context("nothing was started here")?)
}

/// A peer and a network that have nothing to do with those of [`CONFIG`].
pub(crate) const STRANGER: &str = "[[peer]]\nname = \"stranger\"\nendpoint = \"203.0.113.77\"\n";
pub(crate) const LAB: &str = r#"[[network]]
vni = 7
interface = "lab"
addresses = ["10.7.0.1/24"]
[[network.member]]
peer = "stranger"
allowed_ips = ["10.7.0.2/32"]
"#;

/// Exactly one program of ours on every hook. Returns the number of the one in XDP, which is native.
pub(crate) fn assert_one_of_each(host: &Host, overlays: &[&str]) -> Result<u64> {
    let (mode, id) = xdp(host.ns(), "eth0")?.context("no XDP program")?;
    assert_eq!(mode, "native");
    assert_eq!(tc(host.ns(), "eth0")?, [vec!["deliver".to_owned()], vec![]]);
    for overlay in overlays {
        assert_eq!(tc(host.ns(), overlay)?, [vec![], vec!["encap".to_owned()]], "{overlay}");
    }
    Ok(id)
}

/// So many numbered datagrams each millisecond through the tunnel, from `a` to `b`, while something is
/// done: all of them arrive.
pub(crate) fn while_all_arrive(
    host: &mut Host,
    per_millisecond: u32,
    work: impl FnOnce(&mut Host) -> Result<()>,
) -> Result<Tally> {
    // A sender that was held up catches up in a burst, which the cable's ring would not take.
    for ns in [&host.pair.a, &host.pair.b] {
        set_queue(ns, "eth0")?;
    }
    let from = (&*host.pair.a, Ipv4Addr::new(192, 168, 43, 1));
    let to = (&*host.pair.b, Ipv4Addr::new(192, 168, 44, 1));
    let stream = Stream::start(from, to, per_millisecond)?;
    work(host)?;
    let tally = stream.finish()?;
    assert!(tally.is_whole(), "{tally:?}");
    Ok(tally)
}

/// `CONFIG` with one piece replaced, which must be there.
pub(crate) fn changed(piece: &str, by: &str) -> String {
    assert_eq!(CONFIG.matches(piece).count(), 1, "{piece}");
    CONFIG.replace(piece, by)
}

/// Number of the only line of `config` that has this text.
pub(crate) fn line_of(config: &str, text: &str) -> usize {
    let lines: Vec<usize> = config
        .lines()
        .enumerate()
        .filter_map(|(number, line)| line.contains(text).then_some(number + 1))
        .collect();
    assert_eq!(lines.len(), 1, "{text} stands on lines {lines:?}");
    lines[0]
}

pub(crate) struct Host {
    pub(crate) daemon: Daemon,
    /// Last: it must outlive the daemon.
    pub(crate) pair: Pair,
}

impl Host {
    /// Nothing is started.
    pub(crate) fn new(config: &str) -> Result<Self> {
        let pair = Pair::new(Wire::Real)?;
        // The kernel takes up to a second to see the carrier, and then changes what we compare.
        wait_until("eth0 is up", || {
            let mut links =
                [&pair.a, &pair.b].into_iter().map(|ns| ns.run("ip -br link show eth0"));
            Ok(links.all(|link| link.is_ok_and(|link| link.contains(" UP "))))
        })?;
        let daemon = Daemon::prepare(&pair.b, &pair.run, "b", config)?;
        Ok(Self { daemon, pair })
    }

    pub(crate) fn ns(&self) -> &Ns {
        &self.pair.b
    }

    /// Runs a verb that must end by itself; one that does not is stopped and has status 124.
    pub(crate) fn vxlan(&self, arguments: &[&str]) -> Result<cmd::Output> {
        self.vxlan_under(&[], arguments)
    }

    /// The same under another program, such as `setpriv`.
    pub(crate) fn vxlan_under(&self, under: &[&str], arguments: &[&str]) -> Result<cmd::Output> {
        cmd::output(&mut limited(self.ns(), under, &self.daemon.command(arguments)))
    }

    /// The tunnel of [`CONFIG`] and [`CONFIG_A`] carries pings, from either side.
    pub(crate) fn assert_ping(&self, when: &str) -> Result<()> {
        let (a, b): (IpAddr, IpAddr) = ([192, 168, 43, 1].into(), [192, 168, 44, 1].into());
        for (from, source, to) in [(&self.pair.a, a, b), (&self.pair.b, b, a)] {
            let answers = ping(from, Some(source), to, 5)?;
            let log = self.daemon.log();
            ensure!(answers.all_answered(), "{when}: {}\n{log}", answers.output);
        }
        Ok(())
    }

    pub(crate) fn state(&self) -> Result<State> {
        State::of(self.ns(), &self.daemon)
    }
}

/// `command` with ten seconds to live.
pub(crate) fn limited(ns: &Ns, under: &[&str], command: &Command) -> Command {
    let mut limited = ns.command("timeout");
    limited.arg("10").args(under).arg(command.get_program()).args(command.get_args());
    limited
}

/// What a failed start must leave as it was, and `down` must bring back: every value by its path.
#[derive(Debug, Default)]
pub(crate) struct State(BTreeMap<String, String>);

impl State {
    pub(crate) fn of(ns: &Ns, daemon: &Daemon) -> Result<Self> {
        let mut state = Self::default();
        for line in [
            "ip -d -j link",
            "ip -j addr",
            "ip -4 -j route show table all",
            "ip -6 -j route show table all",
            "ip -j rule",
        ] {
            let text = ns.run(line)?;
            // `ip` prints nothing at all where there is nothing.
            let text = if text.trim().is_empty() { "[]" } else { &text };
            for entry in serde_json::from_str::<Vec<Value>>(text)? {
                let key = ["ifname", "dst", "priority"].map(|key| entry[key].to_string());
                state.add(&format!("{line}: {} {}", key.join(" "), entry["dev"]), &entry);
            }
        }
        for line in ns.run("ethtool -k eth0")?.lines() {
            state.0.insert(format!("ethtool -k eth0: {line}"), String::new());
        }
        state.0.extend(listing(daemon.pin_dir())?);
        state.0.extend(listing(daemon.run_dir())?);
        Ok(state)
    }

    fn add(&mut self, path: &str, value: &Value) {
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(key, value)| self.add(&format!("{path}.{key}"), value));
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => {
                let told = self.0.insert(path.to_owned(), value.to_string());
                assert!(told.is_none(), "{path} stands for two things");
            }
        }
    }

    /// Fails with what differs, and with nothing else.
    #[track_caller]
    pub(crate) fn assert_is(&self, before: &Self, what: &str) {
        let only = |one: &Self, other: &Self, sign: &str| -> Vec<String> {
            let differs = one.0.iter().filter(|(path, value)| other.0.get(*path) != Some(value));
            differs.map(|(path, value)| format!("{sign} {path} {value}")).collect()
        };
        let mut changes = only(before, self, "-");
        changes.extend(only(self, before, "+"));
        assert!(changes.is_empty(), "{what} has changed the host:\n{}", changes.join("\n"));
    }

    /// Is there anything whose path or value has this text?
    pub(crate) fn mentions(&self, text: &str) -> bool {
        self.0.iter().any(|(path, value)| path.contains(text) || value.contains(text))
    }
}

/// Every file below a directory by its path, with what is in it where it can be read.
fn listing(directory: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let Ok(entries) = fs::read_dir(directory) else { return Ok(found) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(listing(&path)?);
            found.insert(path.display().to_string(), "directory".to_owned());
        } else {
            // The lock holds the number of the last process that took it.
            let is_lock = path.file_name().is_some_and(|name| name == "lock");
            let text = if is_lock { String::new() } else { text_of(&path) };
            found.insert(path.display().to_string(), text);
        }
    }
    Ok(found)
}

/// On one line; nothing for a pin, which cannot be read.
fn text_of(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Programs on the TC hooks of an interface, by name: links where the kernel has them, else filters.
pub(crate) fn tc(ns: &Ns, interface: &str) -> Result<[Vec<String>; 2]> {
    if kernel::has(Feature::Tcx)? {
        return tcx(ns, interface);
    }
    let names = |hook| -> Result<Vec<String>> {
        let shown = ns.run(&format!("tc -j filter show dev {interface} {hook}"))?;
        let filters: Vec<Value> = serde_json::from_str(&shown)?;
        let programs = filters.iter().filter_map(|filter| filter["options"]["bpf_name"].as_str());
        Ok(programs.map(str::to_owned).collect())
    };
    Ok([names("ingress")?, names("egress")?])
}

/// Programs on the TCX hooks of an interface, by name; none where the kernel has no such hooks.
pub(crate) fn tcx(ns: &Ns, interface: &str) -> Result<[Vec<String>; 2]> {
    if !kernel::has(Feature::Tcx)? {
        return Ok([vec![], vec![]]);
    }
    let names = |hook| -> Result<Vec<String>> {
        let (_, programs) = SchedClassifier::query_tcx(interface, hook)?;
        let name = |program: &aya::programs::ProgramInfo| {
            program.name_as_str().map(str::to_owned).context("a program without a name")
        };
        programs.iter().map(name).collect()
    };
    ns.exec(|| Ok([names(TcAttachType::Ingress)?, names(TcAttachType::Egress)?]))?
}

/// The mode (`xdp` is native) and number of the XDP program on an interface.
pub(crate) fn xdp(ns: &Ns, interface: &str) -> Result<Option<(String, u64)>> {
    let links: Value = serde_json::from_str(&ns.run(&format!("ip -d -j link show {interface}"))?)?;
    let xdp = &links[0]["xdp"];
    if xdp.is_null() {
        return Ok(None);
    }
    let attached = xdp["attached"].as_array().map_or(0, Vec::len);
    ensure!(attached <= 1, "{attached} XDP programs on {interface}: {xdp}");
    let id = xdp["prog"]["id"].as_u64().context("an XDP program without a number")?;
    let mode = match xdp["mode"].as_u64() {
        Some(1) => "native",
        Some(2) => "generic",
        _ => "other",
    };
    Ok(Some((mode.to_owned(), id)))
}

/// Waits until the daemon has said something, on either stream.
pub(crate) fn said(daemon: &Daemon, text: &str) -> Result<()> {
    wait_until(text, || Ok(daemon.log().contains(text)))
        .with_context(|| format!("the daemon said:\n{}", daemon.log()))
}

pub(crate) fn wait_until(what: &str, condition: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !condition()? {
        ensure!(Instant::now() < deadline, "waited in vain: {what}");
        // Nothing of the kernel's or of another process's to wait on.
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
