//! Data that is dead while probes live, and data that flows while probes do not: both ends say
//! which, and what was true before is not said as if it still were.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use vxlan_tests::{nat_lab::Nat, traffic::ping};

use crate::world::{Host, INTERVAL, Node, OVERLAY, Setup, World, says};

const NETWORK: u32 = 43;
/// With an interval of a second this takes 15 s at most, in which this machine does other things
/// as well.
const SOON: Duration = Duration::from_secs(30);

fn gauge(host: &Host, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
    Ok(host.metrics()?.get(name, labels))
}

/// Pings from both ends until the report of `host` on `peer` is enough; all or none of the pings
/// must be answered, where `answered` says which.
fn traffic_until(
    world: &World,
    (node, peer): (Node, Node),
    answered: Option<bool>,
    enough: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let start = std::time::Instant::now();
    loop {
        let pairs = [(Node::A, Node::B), (Node::B, Node::A)];
        for (from, to) in pairs {
            let result = ping(&world.host(from)?.ns, None, to.inner().into(), 3)?;
            let wrong = answered.is_some_and(|all| all != (result.received == 3));
            ensure!(!wrong && (answered != Some(false) || result.received == 0), "{result:?}");
        }
        let report = world.host(node)?.report(peer)?;
        if enough(&report) {
            return Ok(report);
        }
        ensure!(start.elapsed() < SOON, "still: {report:#}");
    }
}

fn is_lost(report: &Value, tx: bool, rx: bool) -> bool {
    report["nat"] == "data_lost"
        && report["reported"]["tx_lost"] == tx
        && report["reported"]["rx_lost"] == rx
}

/// Both ends have other networks, or other `allowed_ips`: no data passes, though all probes do.
fn dead_while_probes_live(world: &World, reason: &str) -> Result<()> {
    world.all_up()?;
    let [a, b] = world.ends()?;
    for (host, peer) in [(a, Node::B), (b, Node::A)] {
        let report = traffic_until(world, (host.node, peer), Some(false), |report| {
            is_lost(report, true, true) && says(report, reason)
        })?;
        ensure!(says(&report, "our data is lost") && says(&report, "by its own count"));
        ensure!(report["liveness"]["up"] == true && report["probes_ok"] == true, "{report:#}");
        for direction in ["tx", "rx"] {
            let labels = [("peer", peer.name()), ("direction", direction)];
            let lost = gauge(host, "vxlan_data_lost", &labels)?;
            ensure!(lost == 1.0, "{direction}: {lost} {report:#}");
        }
        let labels = [("peer", peer.name())];
        let drops = host.metrics()?.total("vxlan_drops_total", &labels);
        ensure!(drops >= 5.0, "{drops} packets of the peer were dropped");
        // All of them are in the table, whatever network they belong to.
        let json: Value =
            serde_json::from_str(&host.daemon.vxlan(&["show", "peers", "--json"])?.stdout)?;
        ensure!(json["peers"][0]["drops"].as_f64() >= Some(drops), "{drops} in {json:#}");
    }
    Ok(())
}

#[test]
fn other_networks_on_the_two_ends() -> Result<()> {
    let world = Setup::new(Nat::None, Nat::OneToOne)?.network(Node::B, NETWORK + 1).start()?;
    dead_while_probes_live(&world, "unknown_vni")?;
    world.stop()
}

/// Only what one end sends is refused by the other: no answer comes back either.
#[test]
fn allowed_ips_that_differ() -> Result<()> {
    let setup = Setup::new(Nat::None, Nat::None)?;
    let mut world = setup.allow(Node::B, "192.168.50.77/32").start()?;
    world.all_up()?;
    let report = traffic_until(&world, (Node::A, Node::B), Some(false), |report| {
        is_lost(report, true, false)
    })?;
    ensure!(says(&report, "b has got 0 of the"), "{report:#}");
    let report = traffic_until(&world, (Node::B, Node::A), Some(false), |report| {
        is_lost(report, false, true) && says(report, "inner_source_denied")
    })?;
    ensure!(says(&report, "were delivered here"), "{report:#}");

    // It is mended: the first traffic says so.
    let mended = Setup::new(Nat::None, Nat::None)?.configuration(Node::B);
    let b = world.host_mut(Node::B)?;
    b.daemon.write_config(&mended)?;
    let out = b.daemon.vxlan(&["reload"])?;
    ensure!(out.success(), "{}{}", out.stdout, out.stderr);
    for (node, peer) in [(Node::A, Node::B), (Node::B, Node::A)] {
        traffic_until(&world, (node, peer), None, |report| {
            report["nat"] == "none"
                && report["reported"]["tx_lost"] == false
                && report["reported"]["rx_lost"] == false
        })?;
    }
    world.traffic_passes(Node::A, Node::B)?;
    world.stop()
}

#[test]
fn what_the_peer_counts_is_what_was_sent() -> Result<()> {
    let world = World::new(Nat::OneToOne, Nat::OneToOne)?;
    world.traffic_passes(Node::A, Node::B)?;
    let [a, b] = world.ends()?;
    for (host, other) in [(a, b), (b, a)] {
        let peer = other.node.name();
        let sent = host.read()?.of(other.node).tx;
        // Reports are as old as the latest probe.
        host.wait(other.node, "all that was sent", |report| {
            report["reported"]["received"].as_u64() >= Some(sent)
        })?;
        let labels = [("peer", peer)];
        let received = gauge(host, "vxlan_peer_received_packets_total", &labels)?;
        let delivered = other.read()?.of(host.node).rx;
        ensure!((sent as f64..=delivered as f64).contains(&received), "{sent} {received}");
        let at = gauge(host, "vxlan_peer_sent_packets_total", &labels)?;
        ensure!(at > 0.0 && at <= other.read()?.of(host.node).tx as f64, "{at}");
        let report = host.report(other.node)?;
        ensure!(says(&report, "as both ends count: we sent"), "{report:#}");
        ensure!(report["nat"] == "one_to_one", "{report:#}");
    }
    world.stop()
}

/// Data flows on, so nothing is down or blocked: only the probes are gone.
fn flows_without_probes(world: &World, node: Node, peer: Node) -> Result<Value> {
    let report = traffic_until(world, (node, peer), Some(true), |report| {
        report["probes_ok"] == false && says(report, "probes unanswered, data flows")
    })?;
    let host = world.host(node)?;
    for _ in 0..4 {
        // Longer than what counts as recent.
        let report = traffic_until(world, (node, peer), Some(true), |_| true)?;
        ensure!(report["nat"] == "none", "{report:#}");
        ensure!(report["liveness"]["up"] == true, "{report:#}");
        ensure!(report["liveness"]["by"]["kind"] == "data", "{report:#}");
        let labels = [("peer", peer.name())];
        ensure!(gauge(host, "vxlan_peer_up", &labels)? == 1.0);
        ensure!(gauge(host, "vxlan_probes_ok", &labels)? == 0.0);
        std::thread::sleep(INTERVAL);
    }
    Ok(report)
}

#[test]
fn a_peer_whose_daemon_is_stopped() -> Result<()> {
    let mut world = World::new(Nat::None, Nat::None)?;
    world.traffic_passes(Node::A, Node::B)?;
    world.host_mut(Node::B)?.daemon.terminate()?;
    let report = flows_without_probes(&world, Node::A, Node::B)?;
    ensure!(report["rtt"].is_null() && report["loss"]["tx"].is_null(), "{report:#}");

    // Without other traffic, an echo through the tunnel shows that data would pass.
    let a = world.host(Node::A)?;
    std::thread::sleep(INTERVAL * 6);
    let report = a.report(Node::B)?;
    ensure!(report["liveness"]["up"] == true && report["nat"] == "none", "{report:#}");
    ensure!(report["overlay"]["answers"] == true, "{report:#}");
    world.host_mut(Node::B)?.daemon.launch()?;
    world.all_up()?;
    let report = world.host(Node::A)?.verdict(Node::B, "none", &["arrives at b as it is"])?;
    ensure!(report["liveness"]["by"]["kind"] == "probes", "{report:#}");
    world.stop()
}

#[test]
fn a_peer_with_another_key() -> Result<()> {
    let world = Setup::new(Nat::None, Nat::None)?.other_key(Node::B).start()?;
    for (node, peer) in [(Node::A, Node::B), (Node::B, Node::A)] {
        flows_without_probes(&world, node, peer)?;
        traffic_until(&world, (node, peer), Some(true), |report| says(report, "probe_denied"))?;
    }
    world.stop()
}

/// Probes go round the overlay of the other end: an echo does not.
#[test]
fn an_overlay_that_does_not_answer() -> Result<()> {
    let world = World::new(Nat::None, Nat::None)?;
    world.traffic_passes(Node::A, Node::B)?;
    let [a, b] = world.ends()?;
    let labels = [("peer", "b")];
    a.wait(Node::B, "an overlay that answers", |report| report["overlay"]["answers"] == true)?;
    b.ns.run_with_input(
        "nft -f -",
        &format!(
            "table inet deaf {{ chain in {{ type filter hook input priority 0; \
             iifname {OVERLAY} drop; }}; }}"
        ),
    )?;
    let report = a.wait(Node::B, "an overlay that does not", |report| {
        report["overlay"]["answers"] == false
    })?;
    ensure!(says(&report, "the overlay of the other end does not answer"), "{report:#}");
    ensure!(report["liveness"]["up"] == true && report["probes_ok"] == true, "{report:#}");
    ensure!(gauge(a, "vxlan_peer_overlay_answers", &labels)? == 0.0);
    ensure!(gauge(a, "vxlan_peer_up", &labels)? == 1.0);
    let kinds = ["data", "probe", "echo"].map(|kind| [("peer", "b"), ("kind", kind)]);
    let metrics = a.metrics()?;
    let [data, probe, echo] =
        kinds.map(|labels| metrics.get("vxlan_peer_last_seen_timestamp_seconds", &labels));
    ensure!(echo < probe && data <= probe, "{data} {probe} {echo}");
    b.ns.run("nft delete table inet deaf")?;
    a.wait(Node::B, "an overlay that answers again", |report| {
        report["overlay"]["answers"] == true && !says(report, "does not answer")
    })?;
    world.stop()
}

/// The path is cut: what was known of it is past, and has its age.
#[test]
fn what_was_known_before_has_its_age() -> Result<()> {
    let world = World::new(Nat::OneToOne, Nat::OneToOne)?;
    let [a, _] = world.ends()?;
    a.verdict(Node::B, "one_to_one", &[" arrives "])?;
    let _lost = [world.lab.block("a", "b")?, world.lab.block("b", "a")?];
    let report = a.verdict(Node::B, "blocked", &["arrived at b as", " s ago"])?;
    ensure!(!says(&report, " arrives "), "{report:#}");
    for what in ["rtt", "loss", "hops"] {
        let gone =
            report[what].is_null() || report[what]["tx"].is_null() && report[what]["rx"].is_null();
        ensure!(gone, "{what}: {report:#}");
    }
    let metrics = a.metrics()?;
    for name in ["vxlan_probe_loss_ratio", "vxlan_path_hops", "vxlan_data_lost"] {
        ensure!(metrics.named(name).next().is_none(), "{name} is of before");
    }
    let table = a.daemon.vxlan(&["show", "nat"])?.stdout;
    ensure!(table.contains("s ago)"), "{table}");
    world.stop()
}

/// Lines of the log on a peer's state.
fn state_lines(host: &Host, peer: Node) -> Vec<String> {
    let name = format!("peer={}", peer.name());
    let log = host.daemon.log();
    let of_peer = |line: &&str| {
        line.contains(&name) && [" up, ", " down, "].iter().any(|word| line.contains(word))
    };
    log.lines().filter(of_peer).map(str::to_owned).collect()
}

/// Waits for one more line on the state of `b`, and returns it.
fn next_line(host: &Host, before: usize) -> Result<String> {
    let start = std::time::Instant::now();
    loop {
        let lines = state_lines(host, Node::B);
        ensure!(lines.len() <= before + 1, "{lines:#?}");
        if let Some(line) = lines.get(before) {
            return Ok(line.clone());
        }
        ensure!(start.elapsed() < SOON, "no line after {lines:#?}\n{}", host.daemon.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The journal can tell afterwards when a link was down, and why.
#[test]
fn each_change_of_a_peer_is_one_line_of_the_log() -> Result<()> {
    let mut world = World::new(Nat::None, Nat::None)?;
    let line = next_line(world.host(Node::A)?, 0)?;
    ensure!(line.contains("INFO") && line.contains("up, none: our "), "{line}");
    let b = world.host_mut(Node::B)?;
    b.daemon.terminate()?;
    ensure!(b.daemon.down()?.success());
    let a = world.host(Node::A)?;
    let line = next_line(a, 1)?;
    ensure!(line.contains("WARN") && line.contains("down, no probes, blocked"), "{line}");
    ensure!(line.contains("(was up, none)") && line.contains("nothing came from it"), "{line}");
    // Once the state has changed nothing more is logged, however long it lasts.
    std::thread::sleep(INTERVAL * 8);
    ensure!(state_lines(a, Node::B).len() == 2, "{:#?}", state_lines(a, Node::B));
    world.host_mut(Node::B)?.daemon.launch()?;
    let line = next_line(world.host(Node::A)?, 2)?;
    ensure!(line.contains("INFO") && line.contains("up, none (was down"), "{line}");
    world.stop()
}

/// One network of two is dead, and the other carries far more than is lost.
#[test]
fn one_network_of_two() -> Result<()> {
    let setup = Setup::new(Nat::None, Nat::None)?;
    let world = setup.second_network(Node::A, 60).second_network(Node::B, 61).start()?;
    world.all_up()?;
    let [a, b] = world.ends()?;
    let start = std::time::Instant::now();
    let networks = |report: &Value| report["lost_networks"] == serde_json::json!([60, 61]);
    loop {
        for (host, peer) in [(a, Node::B), (b, Node::A)] {
            let whole = ping(&host.ns, None, peer.inner().into(), 20)?;
            let dead = ping(&host.ns, None, peer.second_inner().into(), 2)?;
            ensure!(whole.received == 20 && dead.received == 0, "{whole:?} {dead:?}");
        }
        let reports = [a.report(Node::B)?, b.report(Node::A)?];
        if reports.iter().all(|report| report["nat"] == "data_lost" && networks(report)) {
            ensure!(says(&reports[0], "data of network 60 is lost: b has got 0 of"));
            ensure!(says(&reports[1], "data of network 61 is lost: a has got 0 of"));
            break;
        }
        ensure!(start.elapsed() < SOON * 2, "{reports:#?}");
    }
    let table = a.daemon.vxlan(&["show", "peers"])?.stdout;
    let row = |vni: &str| {
        let mut rows = table.lines().filter(|line| line.starts_with("b "));
        rows.find(|line| line.split_whitespace().nth(4) == Some(vni)).unwrap_or_default()
    };
    ensure!(row("43").ends_with(" up") && row("60").ends_with(" data_lost"), "{table}");
    ensure!(row("-").contains(' '), "drops outside of the networks have a row: {table}");
    world.stop()
}
