//! The wall clock is stepped by a day, forward on one host and back on the other, and then the
//! other way round: nothing that probes measure or decide takes notice.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vxlan_tests::{clock::Clock, nat_lab::Nat};

use crate::{
    stream::Stream,
    world::{Node, Setup},
};

const DAY: i64 = 86_400;

#[test]
fn steps_of_a_day_change_nothing() -> Result<()> {
    let setup = Setup::new(Nat::Mapped(40_000), Nat::None)?;
    let clocks = [Clock::new(&setup.lab.run, "a")?, Clock::new(&setup.lab.run, "b")?];
    let world = setup.start_with(&|node| match node {
        Node::A => clocks[0].environment(),
        Node::B => clocks[1].environment(),
        Node::Second | Node::Third => Vec::new(),
    })?;
    world.all_up()?;
    let ends = world.ends()?;
    for (host, clock) in ends.iter().zip(&clocks) {
        let pid = host.daemon.pid().context("no daemon")?;
        ensure!(clock.is_used_by(pid)?, "the daemon looks at another clock");
    }
    world.traffic_passes(Node::A, Node::B)?;
    let peers = [Node::B, Node::A];
    for (host, peer) in ends.iter().zip(peers) {
        host.verdict(peer, "napt", &[])?;
    }
    let streams = [Stream::start(ends[0], ends[1])?, Stream::start(ends[1], ends[0])?];

    for by in [[DAY, -DAY], [-DAY, DAY], [0, 0]] {
        let before = [ends[0].report(peers[0])?, ends[1].report(peers[1])?];
        for (clock, seconds) in clocks.iter().zip(by) {
            let right = clock.now()?;
            clock.set(seconds)?;
            let wrong = clock.now()?;
            ensure!(seconds == 0 || (wrong - right).abs() >= DAY - 60, "{right} and {wrong}");
        }
        for ((host, peer), clock) in ends.iter().zip(peers).zip(&clocks) {
            // What is told by the wall clock shows that the daemon has it.
            let labels = [("peer", peer.name()), ("kind", "probe")];
            let seen = host.metrics()?.get("vxlan_peer_last_seen_timestamp_seconds", &labels);
            let now = clock.now()? as f64;
            ensure!((seen - now).abs() < 60.0, "seen at {seen}, and it is {now}");
        }
        for ((host, peer), before) in ends.iter().zip(peers).zip(&before) {
            let sent = |report: &Value| report["probes"]["sent"].as_u64().unwrap_or(0);
            // At every look, and not only at the last one.
            let mut wrong = Ok(());
            let report = host.wait(peer, "5 more probes", |report| {
                if wrong.is_ok() {
                    wrong = unchanged(before, report);
                }
                sent(report) >= sent(before) + 5
            });
            wrong?;
            let report = report?;
            let answered = |report: &Value| report["probes"]["answered"].as_u64().unwrap_or(0);
            ensure!(answered(&report) >= answered(before) + 4, "{report:#}");
            let since = |report: &Value| report["since"].as_f64().unwrap_or(0.0);
            ensure!(
                since(&report) > since(before),
                "the verdict is younger than it was: {report:#}"
            );
            ensure!(since(&report) < since(before) + 3_600.0, "an hour has passed: {report:#}");
        }
    }
    for flow in streams.map(Stream::finish) {
        let flow = flow?;
        ensure!(flow.lost() == 0 && flow.in_order(), "{} lost", flow.lost());
    }
    for (host, peer) in ends.iter().zip(peers) {
        let metrics = host.metrics()?;
        let labels = [("peer", peer.name())];
        let sum = metrics.get("vxlan_probe_rtt_seconds_sum", &labels);
        ensure!((0.0..60.0).contains(&sum), "probes took {sum} s");
    }
    world.no_probe_went_wrong()?;
    world.traffic_passes(Node::A, Node::B)?;
    world.stop()
}

fn unchanged(before: &Value, now: &Value) -> Result<()> {
    for field in ["nat", "endpoint", "mapping_changes", "loss", "hops", "path_mtu"] {
        ensure!(before[field] == now[field], "{field}: {before:#} and now {now:#}");
    }
    ensure!(now["liveness"]["up"] == true, "{now:#}");
    let seen = now["liveness"]["last_seen"].as_f64().context("when it was seen")?;
    ensure!((0.0..10.0).contains(&seen), "{now:#}");
    let last = now["rtt"]["last"].as_f64().context("no RTT")?;
    ensure!((0.0..5.0).contains(&last), "{now:#}");
    Ok(())
}
