//! A host for the daemon to run on, and everything about it that a run could change.

use std::{
    collections::BTreeMap, fs, net::Ipv4Addr, path::Path, process::Command, sync::LazyLock,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use aya::programs::{SchedClassifier, TcAttachType};
use serde_json::Value;
use vxlan_tests::{
    Ns, Pair, Wire, cmd,
    daemon::Daemon,
    inject::inject,
    kernel::{self, Feature},
    link::set_queue,
    numbered::{Stream, Tally},
    packet::{Eth, Ipv4, Packet, Udp, Vxlan},
    two_hosts::{Family, Side, Tunnel, TwoHosts as _},
    wait,
};
use vxlan_user::{
    daemon::Directories,
    dataplane::{Pins, Reader},
    state::RunDir,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// `b` of a pair: network 43, with `a` as its only peer.
pub(crate) static CONFIG: LazyLock<String> = LazyLock::new(|| {
    let underlay = "address = \"203.0.113.2\"\nxdp = \"auto\"\n\n[metrics]\n\
                    listen = \"127.0.0.1:9839\"";
    Tunnel { underlay, ..Tunnel::default() }.config(Side::B).into()
});

/// The other end of [`CONFIG`].
pub(crate) static CONFIG_A: LazyLock<String> =
    LazyLock::new(|| Tunnel::default().config(Side::A).into());

/// What the programs of a daemon count, with what they counted before.
pub(crate) fn reader(of: &Daemon) -> Result<Reader> {
    let directories = Directories {
        config: of.config().to_owned(),
        run_dir: RunDir::new(of.run_dir()),
        pins: Pins::new(of.pin_dir()),
    };
    directories.reader(&directories.run_dir.load()?.context("nothing was started here")?)
}

/// A peer that has nothing to do with those of [`CONFIG`].
pub(crate) const STRANGER: &str = "\n[[peer]]\nname = \"stranger\"\nendpoint = \"203.0.113.77\"\n";

/// A second network, with this peer as its only member.
pub(crate) fn lab_of(peer: &str) -> String {
    format!(
        r#"
[[network]]
vni = 7
interface = "lab"
addresses = ["10.7.0.1/24"]

[[network.member]]
peer = "{peer}"
allowed_ips = ["10.7.0.2/32"]
"#
    )
}

/// Exactly one program of ours on every hook. Returns the number of the one in XDP, which is
/// native.
pub(crate) fn assert_one_of_each(host: &Host, overlays: &[&str]) -> Result<u64> {
    let (mode, id) = xdp(host.ns(), "eth0")?.context("no XDP program")?;
    assert_eq!(mode, "native");
    assert_eq!(tc(host.ns(), "eth0")?, [vec!["deliver".to_owned()], vec![]]);
    for overlay in overlays {
        assert_eq!(tc(host.ns(), overlay)?, [vec![], vec!["encap".to_owned()]], "{overlay}");
    }
    Ok(id)
}

/// So many numbered datagrams each millisecond through the tunnel, from `a` to `b`, while something
/// is done: all of them arrive.
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

    /// Its daemon runs; `a` has none.
    pub(crate) fn launched(config: &str) -> Result<Self> {
        let mut host = Self::new(config)?;
        host.daemon.launch()?;
        Ok(host)
    }

    /// Both ends of the tunnel run.
    pub(crate) fn up(config: &str) -> Result<(Self, Daemon)> {
        let mut host = Self::new(config)?;
        let peer = host.start_peer()?;
        host.daemon.launch()?;
        Ok((host, peer))
    }

    /// The daemon on `a`.
    pub(crate) fn start_peer(&self) -> Result<Daemon> {
        Daemon::start(&self.pair.a, &self.pair.run, "a", &CONFIG_A)
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
        let pings = self.pair.ping_from_both(Family::V4, 5);
        pings.with_context(|| format!("{when}\n{}", self.daemon.log()))
    }

    /// Frames from an address that is no peer's, once `a` has sent so many of them and they are
    /// counted.
    pub(crate) fn refuses_frames(&self, count: u64) -> Result<()> {
        let frame = Packet::new()
            .with(Eth::new(self.ns().mac("eth0")?, [2, 0, 0, 0, 0, 9]))
            .with(Ipv4::new([203, 0, 113, 66], [203, 0, 113, 2]))
            .with(Udp::vxlan(50_000))
            .with(Vxlan::new(43))
            .with(Eth::new([2; 6], [4; 6]))
            .build();
        inject(&self.pair.a, "eth0", &[frame], count)?;
        let labels = [("reason", "unknown_source")];
        wait_until("the frames are counted", || {
            Ok(self.daemon.metrics()?.total("vxlan_drops_total", &labels) >= count as f64)
        })
    }

    pub(crate) fn state(&self) -> Result<State> {
        State::read(self.ns(), &self.daemon)
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
    pub(crate) fn read(ns: &Ns, daemon: &Daemon) -> Result<Self> {
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
        // A daemon at work writes its record beside the old one now and then. What stays is a
        // fault.
        let mut run_dir = BTreeMap::new();
        wait_until("no file of the run directory is being written", || {
            run_dir = listing(daemon.run_dir())?;
            Ok(!run_dir.keys().any(|path| path.ends_with(".new")))
        })?;
        state.0.extend(run_dir);
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
                let earlier = self.0.insert(path.to_owned(), value.to_string());
                assert!(earlier.is_none(), "{path} stands for two things");
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

/// The IPv4 routes that the daemon has made, as `ip` shows them.
pub(crate) fn own_routes(ns: &Ns) -> Result<Vec<String>> {
    let shown = ns.run("ip route show proto 143")?;
    Ok(shown.lines().map(|line| line.trim().to_owned()).collect())
}

/// The blackhole beside a route, as `ip` shows it.
pub(crate) fn blackhole(prefix: &str) -> String {
    format!("blackhole {prefix} metric 4293918720")
}

/// Programs on the TC hooks of an interface, by name: links where the kernel has them, else
/// filters.
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

/// Waits until the daemon has logged something, on either stream.
pub(crate) fn logged(daemon: &Daemon, text: &str) -> Result<()> {
    wait_until(text, || Ok(daemon.log().contains(text)))
        .with_context(|| format!("the daemon logged:\n{}", daemon.log()))
}

pub(crate) fn wait_until(what: &str, condition: impl FnMut() -> Result<bool>) -> Result<()> {
    wait::wait_until(what, PATIENCE, condition)
}
