//! A million probes that nobody sent, or that somebody sent before: none counts, none moves an
//! endpoint, none is answered with more bytes than it had, and each is counted.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    inject::inject,
    metrics::Metrics,
    nat_lab::{Nat, PROBES},
    sniff::Sniffer,
};

use crate::{
    probe_frame::{
        LENGTH, PROBE, TAG, from, is_plain, is_probe, is_reply, resized, session, to,
        with_bit_turned,
    },
    world::{Host, INTERVAL, Node, PATIENCE, World},
};

const MILLION: u64 = 1_000_000;
/// Most answers per second to requests that are not proved to be fresh: to unproven ones and to
/// stale ones from all sources (docs/probe-protocol.md).
const ANSWERS: f64 = 64.0;

/// What has become of probes at a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fate {
    /// Dropped by the programs, for a tag that is no peer's.
    denied: u64,
    /// … for there being too many.
    limited: u64,
    /// Refused by the daemon.
    refused: u64,
    /// Believed.
    accepted: u64,
    moves: u64,
}

impl Fate {
    fn read(host: &Host) -> Result<Self> {
        let metrics = host.metrics()?;
        let drops =
            |reason| metrics.total("vxlan_drops_total", &[("direction", "rx"), ("reason", reason)]);
        let report = host.report(Node::A)?;
        Ok(Self {
            denied: drops("probe_denied") as u64,
            limited: drops("rate_limited") as u64,
            refused: refused(&metrics),
            accepted: report["probes"]["received"].as_u64().context("received")?,
            moves: report["mapping_changes"].as_u64().context("mapping changes")?,
        })
    }

    fn not_accepted(&self) -> u64 {
        self.denied + self.limited + self.refused
    }
}

fn refused(metrics: &Metrics) -> u64 {
    metrics.total("vxlan_probes_refused_total", &[]) as u64
}

/// Waits until `count` more than `before` are accounted for, or until patience ends.
fn settle(host: &Host, before: &Fate, count: u64) -> Result<Fate> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = Fate::read(host)?;
        if now.not_accepted() >= before.not_accepted() + count || Instant::now() > deadline {
            return Ok(now);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Real probes on their last stretch to `b`, and from it: of a session of `a` that is over, and of
/// that which goes on.
struct Recorded {
    old: Vec<Vec<u8>>,
    new: Vec<Vec<u8>>,
    of_b: Vec<Vec<u8>>,
}

fn record(world: &mut World) -> Result<Recorded> {
    let wire = Sniffer::start(&world.lab.b.router, "lan", is_plain)?;
    let enough = |count: usize, other_than: Option<[u8; 8]>| {
        wire.wait_until(PATIENCE, |frames| {
            let requests = frames.iter().filter(|seen| seen.outgoing && !is_reply(&seen.frame));
            let of = requests.filter(|seen| other_than != Some(session(&seen.frame)));
            of.count() >= count
        })
    };
    ensure!(enough(6, None), "no probes of a");
    world.host_mut(Node::A)?.daemon.terminate()?;
    let first = wire.wait_for(1, Duration::ZERO);
    let old = first.iter().find(|seen| seen.outgoing && !is_reply(&seen.frame));
    let old = session(&old.context("none was recorded")?.frame);
    world.host_mut(Node::A)?.daemon.launch()?;
    world.all_up()?;
    ensure!(enough(6, Some(old)), "no probes of a's new session");
    let capture = wire.finish()?;
    let mut recorded = Recorded { old: Vec::new(), new: Vec::new(), of_b: Vec::new() };
    for seen in capture.frames {
        let list = match (seen.outgoing, session(&seen.frame) == old) {
            (true, true) => &mut recorded.old,
            (true, false) => &mut recorded.new,
            (false, _) => &mut recorded.of_b,
        };
        list.push(seen.frame);
    }
    Ok(recorded)
}

/// All that can be made of recordings without the key, one kind after the other, and again: only
/// the first few in each second get as far as to the daemon, and of every kind some shall.
fn forgeries(world: &World, recorded: &Recorded) -> Result<Vec<Vec<u8>>> {
    let real: Vec<&Vec<u8>> = recorded.old.iter().chain(&recorded.new).collect();
    let numbered = || (0..).zip(&real);
    let router = world.lab.a.public().octets();
    let (mac, own) = (world.lab.b.host.mac("eth0")?, world.lab.b.own().octets());
    let newest = recorded.new.last().context("nothing recorded")?;
    let kinds: [Vec<Vec<u8>>; 8] = [
        recorded.old.clone(),
        recorded.new.clone(),
        // From another port of the same box, from other hosts, from `b` itself.
        numbered().map(|(number, frame)| from(frame, router, 1_024 + number)).collect(),
        numbered().map(|(number, frame)| from(frame, [192, 0, 2, number as u8], 4789)).collect(),
        real.iter().map(|frame| from(frame, own, 4789)).collect(),
        // Longer than it was sent.
        numbered()
            .map(|(number, frame)| resized(frame, LENGTH + 1 + 20 * usize::from(number)))
            .collect(),
        // Sent back to who sent them.
        recorded.of_b.iter().map(|frame| from(&to(frame, mac, own), router, 40_000)).collect(),
        // Each bit turned; and cut off, down to the inner Ethernet header.
        (PROBE * 8..LENGTH * 8)
            .map(|bit| with_bit_turned(newest, bit))
            .chain((PROBE..LENGTH).map(|length| resized(newest, length)))
            .collect(),
    ];
    let rounds = kinds.iter().map(Vec::len).max().unwrap_or(0);
    let of_round = |round: usize| kinds.iter().map(move |kind| kind[round % kind.len()].clone());
    Ok((0..rounds).flat_map(of_round).collect())
}

#[test]
fn a_million_forged_and_replayed() -> Result<()> {
    let mut world = World::new(Nat::Mapped(40_000), Nat::None)?;
    world.traffic_passes(Node::A, Node::B)?;
    let recorded = record(&mut world)?;
    let forged = forgeries(&world, &recorded)?;
    let counts = [&recorded.old, &recorded.new, &recorded.of_b].map(Vec::len);
    ensure!(counts.iter().all(|count| *count >= 6) && forged.len() > 2_500, "{counts:?}");
    let b = world.host(Node::B)?;
    let endpoint = b.report(Node::A)?["endpoint"].clone();

    // No genuine ones meanwhile: what is counted is the attacker's.
    let no_probes = world.lab.lose("a", "b", PROBES)?;
    let quiet = Instant::now();
    let mut before = Fate::read(b)?;
    while quiet.elapsed() < 3 * INTERVAL {
        thread::sleep(Duration::from_millis(100));
        let now = Fate::read(b)?;
        ensure!(now.refused == before.refused && now.denied == before.denied, "{now:?}");
        before = now;
    }
    let replies =
        Sniffer::start(&world.lab.b.router, "lan", |frame| is_probe(frame) && is_reply(frame))?;
    let start = Instant::now();
    let injected = inject(&world.lab.b.router, "lan", &forged, MILLION)?;
    ensure!(injected.accepted == MILLION, "{injected:?}");
    let after = settle(b, &before, MILLION)?;
    let seconds = start.elapsed().as_secs_f64();

    let grown = Fate {
        denied: after.denied - before.denied,
        limited: after.limited - before.limited,
        refused: after.refused - before.refused,
        ..after
    };
    println!("{grown:?} in {seconds:.1} s");
    ensure!(grown.not_accepted() == MILLION, "{grown:?}");
    ensure!(grown.refused > 0 && grown.denied > 0 && grown.limited > 0, "{grown:?}");
    ensure!(after.accepted == before.accepted, "accepted: {before:?} {after:?}");
    ensure!(after.moves == before.moves, "moved: {before:?} {after:?}");
    ensure!(b.report(Node::A)?["endpoint"] == endpoint);
    // An old session's requests may be answered, as they might be of a peer that has started again
    // or was restored: rarely, and with no more than the shortest of them has.
    let capture = replies.finish()?;
    let shortest = recorded.old.iter().map(Vec::len).min().unwrap_or(0);
    let sent = capture.frames.iter().filter(|seen| !seen.outgoing);
    ensure!(capture.lost == 0 && sent.clone().all(|seen| seen.frame.len() <= shortest));
    let sent = sent.count();
    println!("{sent} replies");
    for reason in ["unauthenticated", "malformed", "reflected", "replayed"] {
        let labels = [("peer", "a"), ("reason", reason)];
        let count = b.metrics()?.get("vxlan_probes_refused_total", &labels);
        println!("{reason}: {count}");
        ensure!(count >= 5.0, "hardly any was {reason}: {count}");
    }
    ensure!(sent > 0, "no forgery was good enough to be answered, so nothing is shown");
    ensure!(sent as f64 <= ANSWERS * (seconds + 1.0), "{sent} replies in {seconds} s");

    drop(no_probes);
    b.wait(Node::A, "genuine ones again", |report| {
        report["probes"]["received"].as_u64() > Some(after.accepted)
    })?;
    world.all_up()?;
    let now = Fate::read(b)?;
    ensure!(now.moves == before.moves && b.report(Node::A)?["endpoint"] == endpoint, "{now:?}");
    world.traffic_passes(Node::A, Node::B)?;
    world.stop()
}

/// Those without a peer's tag get no further than to the programs, and take nothing from who has
/// one.
#[test]
fn a_million_with_a_foreign_tag_beside_real_ones() -> Result<()> {
    let world = World::new(Nat::Mapped(40_000), Nat::None)?;
    let wire = Sniffer::start(&world.lab.b.router, "lan", is_plain)?;
    ensure!(wire.wait_until(PATIENCE, |frames| frames.iter().any(|seen| seen.outgoing)));
    let capture = wire.finish()?;
    let real = capture.frames.iter().find(|seen| seen.outgoing).context("no probe of a")?;
    let turned = (TAG * 8..(TAG + 8) * 8).map(|bit| with_bit_turned(&real.frame, bit));
    let forged: Vec<Vec<u8>> = turned.collect();
    let b = world.host(Node::B)?;
    let before = Fate::read(b)?;
    let injected = inject(&world.lab.b.router, "lan", &forged, MILLION)?;
    ensure!(injected.accepted == MILLION, "{injected:?}");
    let after = settle(b, &before, MILLION)?;
    ensure!(after.denied == before.denied + MILLION, "{before:?} {after:?}");
    ensure!(
        (after.limited, after.refused, after.moves)
            == (before.limited, before.refused, before.moves)
    );
    let count = |report: &serde_json::Value| report["probes"]["received"].as_u64().unwrap_or(0);
    b.wait(Node::A, "three more", |report| count(report) >= after.accepted + 3)?;
    world.no_probe_went_wrong()?;
    world.traffic_passes(Node::A, Node::B)?;
    world.stop()
}

/// Frames with the tag of `a`, and no key: of fifty strangers, of neighbours behind the same box,
/// and of networks that were never heard of.
fn junk(world: &World) -> Result<Vec<Vec<u8>>> {
    let wire = Sniffer::start(&world.lab.b.router, "lan", is_plain)?;
    ensure!(wire.wait_until(PATIENCE, |frames| frames.iter().any(|seen| seen.outgoing)));
    let capture = wire.finish()?;
    let real = capture.frames.iter().find(|seen| seen.outgoing).context("no probe of a")?;
    let spoiled = with_bit_turned(&real.frame, (LENGTH - 1) * 8);
    let router = world.lab.a.public().octets();
    let strangers = (0..50).map(|number| from(&spoiled, [192, 0, 2, number], 4789));
    let neighbours = (0..10).map(|number| from(&spoiled, router, 1_024 + number));
    Ok(strangers.chain(neighbours).collect())
}

/// Does `work` while `frames` come, 20,000 a second of them; how many came.
fn flooded(
    world: &mut World,
    frames: &[Vec<u8>],
    work: impl FnOnce(&mut World) -> Result<()>,
) -> Result<u64> {
    const BATCH: u64 = 200;
    let (router, over) = (world.lab.b.router.clone(), AtomicBool::new(false));
    thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut sent = 0;
            while !over.load(Ordering::Relaxed) {
                sent += inject(&router, "lan", frames, BATCH)?.accepted;
                thread::sleep(Duration::from_millis(10));
            }
            anyhow::Ok(sent)
        });
        let worked = work(world);
        over.store(true, Ordering::Relaxed);
        let sent = flood.join().expect("does not panic");
        worked.and(sent)
    })
}

/// Whoever has seen a tag keeps nobody from being learned anew, however much of it comes.
#[test]
fn a_flood_with_a_peer_s_tag_does_not_stop_learning() -> Result<()> {
    let mut world = World::new(Nat::Mapped(40_000), Nat::None)?;
    world.traffic_passes(Node::A, Node::B)?;
    let frames = junk(&world)?;
    let before = Fate::read(world.host(Node::B)?)?;
    let sent = flooded(&mut world, &frames, |world| {
        let followed = |world: &mut World, port: u16| -> Result<()> {
            world.lab.a.change_nat(Nat::Mapped(port))?;
            let changed = Instant::now();
            let wanted = format!("203.0.113.10:{port}");
            world.host(Node::B)?.wait(Node::A, &wanted, |report| report["endpoint"] == wanted)?;
            let took = changed.elapsed();
            println!("at port {port} after {took:?}");
            ensure!(took < 8 * INTERVAL, "at port {port} after {took:?}");
            Ok(())
        };
        // A flood that has begun long before, and one change after the other.
        thread::sleep(2 * INTERVAL);
        (41_000..41_003).try_for_each(|port| followed(world, port))
    })?;
    // Of the flood nothing is believed, and all of it is counted.
    let b = world.host(Node::B)?;
    let after = settle(b, &before, sent)?;
    ensure!(after.not_accepted() - before.not_accepted() == sent, "{before:?} {after:?} of {sent}");
    ensure!(after.moves == before.moves + 3 && after.limited > before.limited, "{after:?}");
    world.traffic_passes(Node::A, Node::B)?;

    // Neither from being known again after a new start, on either end.
    flooded(&mut world, &frames, |world| {
        for node in [Node::A, Node::B] {
            world.host_mut(node)?.daemon.kill()?;
            world.host_mut(node)?.daemon.launch()?;
            let started = Instant::now();
            world.each_answers()?;
            println!("{} is known again after {:?}", node.name(), started.elapsed());
            ensure!(started.elapsed() < 10 * INTERVAL, "{} is not known again", node.name());
        }
        Ok(())
    })?;
    world.all_up()?;
    world.traffic_passes(Node::A, Node::B)?;
    world.stop()
}
