//! A random walk over what others do to a host: after each step traffic is back at once, and every
//! signal agrees with the truth. `VXLAN_STEPS=500` walks further than CI has time for, and
//! `VXLAN_SEED` walks the same way again.

use std::{
    net::IpAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail, ensure};
use vxlan_tests::{daemon::Daemon, netns::Netns, traffic::ping_with, wait::wait_until};

use crate::host::{CONFIG, Host};

const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 43, 1));
const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 44, 1));
/// Within this time traffic and signals are as before.
const SOON: Duration = Duration::from_secs(2);

/// What somebody does on `b`: a name, and commands of iproute2. `{elsewhere}` is another namespace.
type Step = (&'static str, &'static [&'static str]);

const STEPS: &[Step] = &[
    ("flushed routes", &["ip route flush proto 143"]),
    ("a removed route", &["ip route del 192.168.43.0/24 dev vxlan43"]),
    ("a replaced route", &["ip route replace 192.168.43.0/24 dev eth0"]),
    ("a removed blackhole", &["ip route del blackhole 192.168.43.0/24 metric 4293918720"]),
    ("a deleted interface", &["ip link del vxlan43"]),
    ("a deleted hidden port", &["ip link del vxport43"]),
    ("an interface that is down", &["ip link set vxlan43 down"]),
    ("a hidden port that is down", &["ip link set vxport43 down"]),
    ("a renamed interface", &["ip link set vxlan43 name uplink0"]),
    ("a renamed hidden port", &["ip link set vxport43 name uplink1"]),
    ("two renamed ends", &["ip link set vxlan43 name up0", "ip link set vxport43 name up1"]),
    ("another MAC address", &["ip link set vxlan43 address 02:11:22:33:44:55"]),
    ("a small MTU", &["ip link set vxlan43 mtu 900"]),
    ("a small MTU of the hidden port", &["ip link set vxport43 mtu 900"]),
    ("flushed addresses", &["ip addr flush dev vxlan43"]),
    ("a removed address", &["ip addr del 192.168.44.1/24 dev vxlan43"]),
    (
        "another address",
        &["ip addr del 192.168.44.1/24 dev vxlan43", "ip addr add 192.168.44.77/32 dev vxlan43"],
    ),
    ("a moved interface", &["ip link set vxlan43 netns {elsewhere} name moved"]),
    ("a moved hidden port", &["ip link set vxport43 netns {elsewhere} name moved"]),
    (
        "somebody's alias and group",
        &["ip link set vxlan43 alias theirs", "ip link set vxlan43 group 9"],
    ),
    ("IPv6 switched on", &["ip link set vxlan43 addrgenmode eui64"]),
    (
        "a clsact qdisc that comes and goes",
        &["tc qdisc replace dev eth0 clsact", "tc qdisc del dev eth0 clsact"],
    ),
    ("a hidden port that may send", &["tc qdisc del dev vxport43 root"]),
    ("an underlay interface that flaps", &["ip link set eth0 down", "ip link set eth0 up"]),
    ("a small MTU of the underlay", &["ip link set eth0 mtu 1400"]),
    ("the usual MTU of the underlay", &["ip link set eth0 mtu 1500"]),
    (
        "a removed underlay address",
        &["ip addr del 203.0.113.2/24 dev eth0", "ip addr add 203.0.113.2/24 dev eth0"],
    ),
    ("a renamed underlay interface", &["ip link set eth0 name eth9", "ip link set eth9 name eth0"]),
    ("flushed neighbours", &["ip neigh flush all"]),
    ("pins that are gone", &["rm -rf {pins}"]),
    ("a reload", &[]),
];

/// A small generator of numbers, by the same seed the same ones (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Both ends of a tunnel, and what things are done with.
struct Walk {
    host: Host,
    other: Daemon,
    elsewhere: Netns,
    /// What `vxlan check` exits with while all is well.
    check: Option<i32>,
}

impl Walk {
    fn begin() -> Result<Self> {
        let (host, other) = Host::up(&CONFIG)?;
        host.assert_ping("at the beginning")?;
        let elsewhere = host.pair.run.netns("elsewhere")?;
        let check = host.vxlan(&["check"])?.status.code();
        Ok(Self { host, other, elsewhere, check })
    }

    fn take(&self, (name, commands): Step) -> Result<()> {
        if name == "a reload" {
            let out = self.host.vxlan(&["reload"])?;
            ensure!(out.success(), "reload: {}", out.stderr);
        }
        let pins = self.host.daemon.pin_dir().display().to_string();
        for command in commands {
            let command =
                command.replace("{elsewhere}", self.elsewhere.name()).replace("{pins}", &pins);
            // What a step before has taken away cannot be taken away again.
            let _may_fail = self.host.ns().output(&command)?;
        }
        Ok(())
    }

    fn carries(&self) -> Result<bool> {
        let [a, b] = [&*self.host.pair.a, self.host.ns()];
        let ping = |ns, from, to| {
            Ok::<_, anyhow::Error>(
                ping_with(ns, Some(from), to, 1, "-W 0.2").is_ok_and(|out| out.all_answered()),
            )
        };
        Ok(ping(a, A, B)? && ping(b, B, A)?)
    }

    /// Compares what the daemon tells with what is so; `up`: packets pass.
    fn signals(&self, up: bool) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        let metrics = self.host.daemon.metrics()?;
        let gauges =
            [("vxlan_network_up", ("vni", "43")), ("vxlan_underlay_up", ("interface", "eth0"))];
        for (gauge, label) in gauges {
            let value = metrics.get(gauge, &[label]);
            if (value == 1.0) != up && (gauge == "vxlan_network_up" || up) {
                wrong.push(format!("{gauge} {value}"));
            }
        }
        let shown = self.host.vxlan(&["show", "networks", "--json"])?;
        let json: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap_or_default();
        let state = &json["networks"][0]["state"];
        if *state != if up { "up" } else { "down" } {
            wrong.push(format!("show networks: {state} {}", shown.stderr));
        }
        let check = self.host.vxlan(&["check"])?;
        if (check.status.code() == self.check) != up {
            wrong.push(format!("check: {:?} {}{}", check.status, check.stdout, check.stderr));
        }
        Ok(wrong)
    }

    /// Everything is as it was, and soon.
    fn recovers(&self) -> Result<Duration> {
        let began = Instant::now();
        while !self.carries()? {
            if began.elapsed() > SOON {
                bail!("no traffic after {:?}", began.elapsed());
            }
        }
        let took = began.elapsed();
        // A signal may follow the packets by the time of a pass.
        loop {
            let wrong = self.signals(true)?;
            if wrong.is_empty() {
                return Ok(took);
            }
            ensure!(began.elapsed() < 2 * SOON, "packets pass, and: {}", wrong.join("; "));
        }
    }

    fn finish(self) -> Result<()> {
        self.host.daemon.stop()?;
        self.other.stop()
    }
}

#[test]
fn after_each_of_many_random_events_traffic_is_back() -> Result<()> {
    let steps = number("VXLAN_STEPS").unwrap_or(40);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64 | 1;
    let seed = number("VXLAN_SEED").unwrap_or(now);
    let mut numbers = Numbers(seed);
    let walk = Walk::begin()?;
    let mut longest = (Duration::ZERO, String::new());
    for step in 0..steps {
        // Most come alone, some in company.
        let company = if numbers.below(5) == 0 { 1 + numbers.below(3) } else { 1 };
        let taken: Vec<Step> = (0..company).map(|_| STEPS[numbers.below(STEPS.len())]).collect();
        let names = taken.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let context =
            || format!("VXLAN_SEED={seed}, step {step}: {names}\n{}", walk.host.daemon.log());
        taken.into_iter().try_for_each(|step| walk.take(step)).with_context(context)?;
        let took = walk.recovers().with_context(context)?;
        eprintln!("seed {seed}, step {step}: {names}: {took:?}");
        if took > longest.0 {
            longest = (took, names);
        }
    }
    eprintln!("seed {seed}: {steps} steps, traffic back within {:?} ({})", longest.0, longest.1);
    walk.finish()
}

/// What cannot be made good is told by every signal, and no longer than it is so.
#[test]
fn what_cannot_be_made_good_is_told() -> Result<()> {
    let walk = Walk::begin()?;
    let rows: &[(&str, &[&str], &[&str])] = &[
        (
            "somebody else's interface has the name",
            &["ip link add br0 type bridge", "ip -batch -"],
            &["ip link del vxlan43"],
        ),
        (
            "somebody else's route comes first",
            &["ip route prepend 192.168.43.0/24 dev eth0"],
            &["ip route del 192.168.43.0/24 dev eth0"],
        ),
    ];
    for (what, done, undone) in rows {
        for command in *done {
            // In one batch, so that the name is not taken back in between.
            let batch = "link set vxlan43 name old\nlink set br0 name vxlan43\nlink del old\n";
            let input = if command.ends_with("-batch -") { batch } else { "" };
            walk.host.ns().run_with_input(command, input)?;
        }
        wait_until(what, SOON, || Ok(walk.signals(false)?.is_empty()))
            .with_context(|| format!("{:?}", walk.signals(false)))?;
        for command in *undone {
            walk.host.ns().run(command)?;
        }
        walk.recovers().with_context(|| format!("{what}\n{}", walk.host.daemon.log()))?;
        ensure!(walk.host.daemon.log().contains("no packet of this network can pass"), "{what}");
    }
    walk.finish()
}

/// Others' addresses, alias, group and settings survive all that is made good.
#[test]
fn what_others_have_put_there_stays() -> Result<()> {
    let mut walk = Walk::begin()?;
    walk.host.ns().run("ip addr add 192.168.44.100/32 dev vxlan43")?;
    walk.host.ns().run("ip link set vxlan43 alias theirs")?;
    walk.host.ns().run("ip link set vxlan43 group 9")?;
    walk.host.ns().sysctl("net.ipv4.conf.vxlan43.proxy_arp", "1")?;
    walk.host.ns().run("ip route add 198.51.100.0/24 dev vxlan43")?;
    let theirs = |walk: &Walk| -> Result<()> {
        let shown = walk.host.ns().run("ip -d addr show dev vxlan43")?;
        for text in ["192.168.44.100/32", "alias theirs", "group 9"] {
            ensure!(shown.contains(text), "{text}: {shown}");
        }
        let proxy_arp = walk.host.ns().run("sysctl -n net.ipv4.conf.vxlan43.proxy_arp")?;
        ensure!(proxy_arp.trim() == "1", "proxy_arp {proxy_arp}");
        let route = walk.host.ns().run("ip route show 198.51.100.0/24")?;
        ensure!(route.contains("dev vxlan43"), "{route}");
        Ok(())
    };
    for step in ["flushed routes", "a renamed interface", "another MAC address", "a reload"] {
        let step = STEPS.iter().find(|(name, _)| *name == step).context("a step")?;
        walk.take(*step)?;
        walk.recovers().with_context(|| step.0)?;
        wait_until(step.0, SOON, || Ok(theirs(&walk).is_ok())).and_then(|()| theirs(&walk))?;
    }
    walk.host.daemon.terminate()?;
    walk.host.daemon.launch()?;
    walk.recovers().context("a restart")?;
    theirs(&walk).context("a restart")?;
    walk.finish()
}
