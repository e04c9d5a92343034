//! Another configuration for a running daemon: what it changes, what it leaves alone, who can ask
//! for it, and that one which cannot be applied changes nothing. That no packet is lost meanwhile
//! is the matter of the suite `lifecycle`.

use std::{
    fs,
    net::{IpAddr, TcpListener},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use vxlan_tests::{daemon::Daemon, metrics::Metrics, sniff::Sniffer, traffic::ping};

use crate::host::{
    CONFIG, Host, STRANGER, assert_one_of_each, blackhole, changed, lab_of, line_of, own_routes,
    tcx, wait_until,
};

/// `CONFIG` with another peer before the first one, and a network with it.
fn larger() -> String {
    CONFIG.replacen("[[peer]]", &format!("{STRANGER}[[peer]]"), 1) + &lab_of("stranger")
}

/// A tunnel that works. Everything else follows from [`CONFIG`].
pub(crate) struct Tunnel {
    pub(crate) host: Host,
    other: Daemon,
}

impl Tunnel {
    fn up() -> Result<Self> {
        Self::with(&CONFIG, &["run"])
    }

    pub(crate) fn with(config: &str, arguments: &[&str]) -> Result<Self> {
        let mut host = Host::new(config)?;
        let other = host.start_peer()?;
        host.daemon.launch_with(arguments)?;
        host.assert_ping("before")?;
        Ok(Self { host, other })
    }

    /// The same process, with another configuration.
    pub(crate) fn reload(&mut self, config: &str) -> Result<Metrics> {
        let process = self.host.daemon.pid();
        self.host.daemon.write_config(config)?;
        let out = self.host.vxlan(&["reload"])?;
        let file = self.host.daemon.config().display().to_string();
        let line = format!("the configuration {file} is in force\n");
        assert_eq!((out.status.code(), out.stdout, out.stderr), (Some(0), line, String::new()));
        assert_eq!((self.host.daemon.exited()?, self.host.daemon.pid()), (None, process));
        let metrics = self.host.daemon.metrics()?;
        assert_eq!(successful(&metrics), 1.0);
        Ok(metrics)
    }

    /// `reload` ends with this sentence and changes nothing; then it takes a good configuration.
    pub(crate) fn refuses(&mut self, config: &str, sentence: &str) -> Result<()> {
        let listen = self.host.daemon.metrics_address();
        let scrape = |tunnel: &Self| Metrics::fetch(tunnel.host.ns(), listen);
        let before = (self.host.state()?, scrape(self)?);
        self.host.daemon.write_config(config)?;
        let out = self.host.vxlan(&["reload"])?;
        assert_eq!((out.status.code(), out.stdout.as_str()), (Some(2), ""), "{}", out.stderr);
        let reason = format!("the previous configuration stays in force: {sentence}");
        assert_eq!(out.stderr, format!("vxlan: {reason}\n"));
        self.host.state()?.assert_is(&before.0, "the reload that failed");
        let now = scrape(self)?;
        assert_eq!(successful(&now), 0.0);
        assert_eq!(applied(&now), applied(&before.1));
        assert_eq!(program(&now), program(&before.1));
        assert!(received(&now) >= received(&before.1));
        ensure!(self.host.daemon.log().contains(&reason), "{}", self.host.daemon.log());
        self.host.assert_ping("after a reload that failed")?;
        Ok(())
    }

    pub(crate) fn down(self) -> Result<()> {
        self.host.daemon.stop()?;
        ensure!(!self.host.pair.b.run("ip -br link")?.contains("vx"), "something is left");
        self.other.stop()
    }
}

fn successful(metrics: &Metrics) -> f64 {
    metrics.get("vxlan_config_last_reload_successful", &[])
}

fn applied(metrics: &Metrics) -> f64 {
    metrics.get("vxlan_config_last_reload_success_timestamp_seconds", &[])
}

fn received(metrics: &Metrics) -> f64 {
    metrics.get("vxlan_packets_total", &[("peer", "a"), ("vni", "43"), ("direction", "rx")])
}

/// Number of the XDP program that the page tells.
fn program(metrics: &Metrics) -> Vec<String> {
    metrics.named("vxlan_xdp_info").map(|sample| sample.labels["program_id"].clone()).collect()
}

fn ping_count(host: &Host, count: u32) -> Result<()> {
    let (a, b): (IpAddr, IpAddr) = ([192, 168, 43, 1].into(), [192, 168, 44, 1].into());
    let answers = ping(&host.pair.a, Some(a), b, count)?;
    ensure!(answers.all_answered(), "{}", answers.output);
    Ok(())
}

#[test]
fn a_peer_and_a_network_come_and_go() -> Result<()> {
    let mut tunnel = Tunnel::up()?;
    let before = received(&tunnel.host.daemon.metrics()?);
    let index = tunnel.host.ns().ifindex("vxlan43")?;
    for _ in 0..2 {
        let metrics = tunnel.reload(&larger())?;
        assert!(received(&metrics) >= before, "{} after {before}", received(&metrics));
        assert_eq!(metrics.total("vxlan_packets_total", &[("peer", "stranger")]), 0.0);
        assert_eq!(metrics.named("vxlan_peer_info").count(), 2);
        assert_one_of_each(&tunnel.host, &["vxlan43", "lab"])?;
        assert!(tunnel.host.ns().run("ip route show proto 143")?.contains("10.7.0.2"));
        tunnel.host.assert_ping("beside a stranger")?;

        let metrics = tunnel.reload(&CONFIG)?;
        assert_eq!(metrics.named("vxlan_peer_info").count(), 1);
        assert!(!tunnel.host.ns().has_interface("lab")?);
        assert!(!tunnel.host.ns().has_interface("vxport7")?);
        assert!(!tunnel.host.ns().run("ip route show proto 143")?.contains("10.7.0.2"));
        assert!(!tunnel.host.state()?.mentions("link_encap_7"));
        assert_one_of_each(&tunnel.host, &["vxlan43"])?;
        tunnel.host.assert_ping("without the stranger")?;
    }
    assert_eq!(tunnel.host.ns().ifindex("vxlan43")?, index);
    tunnel.down()
}

/// To the packet, over another slot for the same peer.
#[test]
fn counters_of_a_peer_that_stays_go_on() -> Result<()> {
    let mut tunnel = Tunnel::up()?;
    let before = received(&tunnel.host.daemon.metrics()?);
    for (round, config) in [larger(), CONFIG.to_owned(), larger()].iter().enumerate() {
        ping_count(&tunnel.host, 10)?;
        let expected = before + 10.0 * (round + 1) as f64;
        assert_eq!(received(&tunnel.host.daemon.metrics()?), expected, "before reload {round}");
        assert_eq!(received(&tunnel.reload(config)?), expected, "after reload {round}");
    }
    tunnel.down()
}

/// A peer that was there before begins at 0 when it comes again.
#[test]
fn a_peer_that_goes_is_forgotten() -> Result<()> {
    let mut tunnel = Tunnel::up()?;
    let renamed = CONFIG.replace("\"a\"", "\"other\"");
    let metrics = tunnel.reload(&renamed)?;
    assert_eq!(metrics.total("vxlan_packets_total", &[("peer", "other")]), 0.0);
    assert_eq!(metrics.total("vxlan_packets_total", &[("peer", "a")]), 0.0);
    tunnel.host.assert_ping("under another name")?;
    let metrics = tunnel.reload(&CONFIG)?;
    assert_eq!(received(&metrics), 0.0);
    tunnel.down()
}

#[test]
fn another_endpoint() -> Result<()> {
    let mut tunnel = Tunnel::up()?;
    tunnel.host.pair.a.run("ip addr add 203.0.113.9/24 dev eth0")?;
    tunnel.reload(&changed("\"203.0.113.1\"", "\"203.0.113.9:5789\""))?;
    let to_new = |frame: &[u8]| frame.get(30..34) == Some(&[203, 0, 113, 9]);
    let sniffer = Sniffer::start(tunnel.host.ns(), "eth0", to_new)?;
    let (a, b): (IpAddr, IpAddr) = ([192, 168, 43, 1].into(), [192, 168, 44, 1].into());
    // Nobody listens at that port.
    ping(tunnel.host.ns(), Some(b), a, 3)?;
    let frames = sniffer.wait_for(3, Duration::from_secs(5));
    ensure!(frames.len() >= 3, "{} frames to the new endpoint", frames.len());
    assert_eq!(frames[0].frame[36..38], 5789_u16.to_be_bytes());
    let shown = tunnel.host.vxlan(&["show", "peers", "--json"])?;
    let shown: Value = serde_json::from_str(&shown.stdout)?;
    assert_eq!(shown["peers"][0]["endpoint"], "203.0.113.9:5789");
    tunnel.reload(&CONFIG)?;
    tunnel.host.assert_ping("at the previous endpoint")?;
    tunnel.down()
}

#[test]
fn addresses_and_mtu_of_a_network() -> Result<()> {
    let mut tunnel = Tunnel::up()?;
    let (index, mac) = (tunnel.host.ns().ifindex("vxlan43")?, tunnel.host.ns().mac("vxlan43")?);
    let config = changed("[\"192.168.44.1/24\"]", "[\"192.168.44.9/25\"]\nmtu = 1300");
    tunnel.reload(&config)?;
    let shown = tunnel.host.ns().run("ip addr show dev vxlan43")?;
    assert!(shown.contains("192.168.44.9/25") && shown.contains("mtu 1300"), "{shown}");
    assert!(!shown.contains("192.168.44.1/"), "{shown}");
    assert_eq!(
        own_routes(tunnel.host.ns())?,
        [
            "192.168.43.0/24 dev vxlan43 scope link src 192.168.44.9".to_owned(),
            blackhole("192.168.43.0/24")
        ]
    );
    let (a, b): (IpAddr, IpAddr) = ([192, 168, 43, 1].into(), [192, 168, 44, 9].into());
    let answers = ping(&tunnel.host.pair.a, Some(a), b, 5)?;
    ensure!(answers.all_answered(), "{}", answers.output);

    tunnel.reload(&CONFIG)?;
    let shown = tunnel.host.ns().run("ip addr show dev vxlan43")?;
    assert!(shown.contains("192.168.44.1/24") && shown.contains("mtu 1450"), "{shown}");
    assert_eq!(
        own_routes(tunnel.host.ns())?[0],
        "192.168.43.0/24 dev vxlan43 scope link src 192.168.44.1"
    );
    assert_eq!(tunnel.host.ns().ifindex("vxlan43")?, index);
    assert_eq!(tunnel.host.ns().mac("vxlan43")?, mac);
    tunnel.host.assert_ping("with the previous address")?;
    tunnel.down()
}

#[test]
fn another_port_for_metrics_and_another_name_of_the_node() -> Result<()> {
    let mut tunnel = Tunnel::up()?;
    let previous = tunnel.host.daemon.metrics_address();
    let config = changed("127.0.0.1:9839", "127.0.0.1:9840").replace("\"b\"", "\"bee\"");
    let metrics = tunnel.reload(&config)?;
    assert_eq!(tunnel.host.daemon.metrics_address().port(), 9840);
    assert!(received(&metrics) > 0.0);
    wait_until("the previous port is free", || {
        Ok(Metrics::fetch(tunnel.host.ns(), previous).is_err())
    })?;
    let shown = tunnel.host.vxlan(&["show", "--json"])?;
    assert_eq!(serde_json::from_str::<Value>(&shown.stdout)?["node"], "bee");
    tunnel.host.assert_ping("under another name")?;
    tunnel.down()
}

#[test]
fn a_mistake_in_the_file() -> Result<()> {
    let mut tunnel = Tunnel::up()?;
    let config = changed("vni = 43", "vni = 43\nmtu = 9000");
    let at = format!("{}:{}", tunnel.host.daemon.config().display(), line_of(&config, "mtu"));
    tunnel.refuses(
        &config,
        &format!(
            "{at}: mtu = 9000 does not fit: eth0 has 1500 bytes, of which the outer headers take \
            50. \
             Write 1450 or less, or leave the key out."
        ),
    )?;
    let before = applied(&tunnel.host.daemon.metrics()?);
    let metrics = tunnel.reload(&CONFIG)?;
    assert!(applied(&metrics) > before, "{} after {before}", applied(&metrics));
    tunnel.down()
}

#[test]
fn a_file_that_is_no_configuration_at_all() -> Result<()> {
    let mut tunnel = Tunnel::up()?;
    let before = tunnel.host.state()?;
    fs::write(tunnel.host.daemon.config(), "[node]\nname = \"b\"\n]")?;
    let out = tunnel.host.vxlan(&["reload"])?;
    let at = format!("{}:3:", tunnel.host.daemon.config().display());
    assert_eq!(out.status.code(), Some(2), "{}", out.stderr);
    ensure!(out.stderr.contains(&at), "{}", out.stderr);
    fs::remove_file(tunnel.host.daemon.config())?;
    let out = tunnel.host.vxlan(&["reload"])?;
    assert_eq!(out.status.code(), Some(2), "{}", out.stderr);
    tunnel.host.state()?.assert_is(&before, "a reload without a configuration");
    tunnel.host.assert_ping("without a configuration")?;
    tunnel.reload(&larger())?;
    tunnel.down()
}

#[test]
fn a_route_of_somebody_else_in_the_way() -> Result<()> {
    let mut tunnel = Tunnel::up()?;
    tunnel.host.ns().run("ip route add 10.7.0.2 via 203.0.113.1")?;
    let config = larger();
    let line = line_of(&config, "10.7.0.2/32");
    let at = format!("{}:{line}", tunnel.host.daemon.config().display());
    tunnel.refuses(
        &config,
        &format!(
            "{at}: there is already a route for 10.7.0.2/32, and it is not ours: 10.7.0.2/32 via \
             203.0.113.1 dev eth0 proto boot; remove it with `ip route del 10.7.0.2/32`, or leave \
             10.7.0.2/32 out of allowed_ips."
        ),
    )?;
    tunnel.host.ns().run("ip route del 10.7.0.2")?;
    tunnel.reload(&larger())?;
    tunnel.down()
}

#[test]
fn an_interface_of_somebody_else_in_the_way() -> Result<()> {
    let mut tunnel = Tunnel::up()?;
    tunnel.host.ns().run("ip link add lab type veth peer name other")?;
    let index = tunnel.host.ns().ifindex("lab")?;
    let config = larger();
    let at = format!("{}:{}", tunnel.host.daemon.config().display(), line_of(&config, "\"lab\""));
    tunnel.refuses(
        &config,
        &format!(
            "{at}: network.interface: interface lab exists already and is not ours to change (veth \
             device, ifindex {index}, no alias); choose another name, or delete it with `ip link \
             delete lab` if nobody needs it."
        ),
    )?;
    tunnel.host.ns().run("ip link del lab")?;
    tunnel.reload(&config)?;
    tunnel.down()
}

#[test]
fn a_port_for_metrics_that_is_taken() -> Result<()> {
    let mut tunnel = Tunnel::up()?;
    let taken = tunnel.host.ns().exec(|| TcpListener::bind("127.0.0.1:9840"))??;
    let config = changed("127.0.0.1:9839", "127.0.0.1:9840");
    let at = format!("{}:{}", tunnel.host.daemon.config().display(), line_of(&config, "9840"));
    tunnel.refuses(
        &config,
        &format!(
            "{at}: listen = \"127.0.0.1:9840\": Address already in use (os error 98). \
             Another program listens there, perhaps another `vxlan`: `ss -ltnp 'sport = :9840'` \
             names it. Write another port."
        ),
    )?;
    drop(taken);
    tunnel.reload(&config)?;
    tunnel.down()
}

#[test]
fn without_a_daemon() -> Result<()> {
    let host = Host::new(&CONFIG)?;
    let out = host.vxlan(&["reload"])?;
    assert_eq!((out.status.code(), out.stdout.as_str()), (Some(2), ""));
    assert_eq!(
        out.stderr,
        "vxlan: no daemon runs here. Start one with `vxlan run`, or name its run directory with \
         --run-dir\n"
    );
    Ok(())
}

fn hang_up(tunnel: &Tunnel) -> Result<()> {
    let process = tunnel.host.daemon.pid().context("no daemon")?;
    Ok(kill(Pid::from_raw(process.cast_signed()), Signal::SIGHUP)?)
}

fn has_lab(tunnel: &Tunnel) -> Result<bool> {
    Ok(tcx(tunnel.host.ns(), "lab").is_ok_and(|programs| programs[1].len() == 1))
}

#[test]
fn by_sighup() -> Result<()> {
    let mut tunnel = Tunnel::up()?;
    tunnel.host.daemon.write_config(&larger())?;
    hang_up(&tunnel)?;
    let in_force = tunnel.host.daemon.wait_for_log("is in force", Duration::from_secs(10));
    ensure!(in_force && has_lab(&tunnel)?, "{}", tunnel.host.daemon.log());
    tunnel.host.daemon.write_config("[node]\nnonsense = 1\n")?;
    let before = tunnel.host.state()?;
    hang_up(&tunnel)?;
    let line = "the previous configuration stays in force";
    ensure!(tunnel.host.daemon.wait_for_log(line, Duration::from_secs(10)), "not a word");
    assert_eq!(successful(&tunnel.host.daemon.metrics()?), 0.0);
    tunnel.host.state()?.assert_is(&before, "a broken file");
    tunnel.host.assert_ping("after SIGHUP")?;
    tunnel.down()
}

/// A file is replaced in two ways: another one takes its name, or it is written anew.
#[test]
fn by_a_change_of_the_watched_file() -> Result<()> {
    let mut tunnel = Tunnel::with(&CONFIG, &["run", "--watch"])?;
    let file = tunnel.host.daemon.config().to_owned();
    let new = file.with_extension("tmp");
    fs::write(&new, larger())?;
    fs::rename(&new, &file)?;
    wait_until("the file that was put there", || has_lab(&tunnel))?;
    tunnel.host.daemon.write_config(&CONFIG)?;
    wait_until("the file that was rewritten", || Ok(!tunnel.host.ns().has_interface("lab")?))?;
    tunnel.host.daemon.write_config("[node]\n")?;
    let line = "the previous configuration stays in force";
    ensure!(tunnel.host.daemon.wait_for_log(line, Duration::from_secs(10)), "not a word");
    fs::remove_file(&file)?;
    tunnel.host.daemon.write_config(&larger())?;
    wait_until("the file that came back", || has_lab(&tunnel))?;
    tunnel.host.assert_ping("after all that")?;
    tunnel.down()
}

/// Nobody asked for it.
#[test]
fn a_change_of_a_file_that_is_not_watched() -> Result<()> {
    let mut tunnel = Tunnel::up()?;
    let before = tunnel.host.state()?;
    tunnel.host.daemon.write_config(&larger())?;
    // As long as a watched one would take, twice.
    std::thread::sleep(Duration::from_secs(4));
    tunnel.host.state()?.assert_is(&before, "a file that nobody watches");
    tunnel.down()
}

/// The TC programs as filters: replaced, never doubled.
#[test]
fn over_clsact() -> Result<()> {
    let clsact = |config: &str| config.replace("xdp = \"auto\"", "xdp = \"auto\"\ntc = \"clsact\"");
    let mut tunnel = Tunnel::with(&clsact(&CONFIG), &["run"])?;
    for config in [larger(), CONFIG.to_owned()] {
        tunnel.reload(&clsact(&config))?;
        for (interface, hook) in [("eth0", "ingress"), ("vxlan43", "egress")] {
            let shown = tunnel.host.ns().run(&format!("tc filter show dev {interface} {hook}"))?;
            assert_eq!(shown.lines().filter(|line| line.contains("handle")).count(), 1, "{shown}");
        }
        tunnel.host.assert_ping("over clsact")?;
    }
    tunnel.down()
}
