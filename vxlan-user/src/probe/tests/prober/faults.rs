//! Loss, silence, boxes that break things, restarts, and strangers.

use std::{cell::RefCell, rc::Rc, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    HUB, OFFICE_PUBLIC, assert_verdict,
    boxes::{NatBox, Packet},
    network::Network,
    office, seconds,
};
use crate::{
    nat::{DataCounts, NatVerdict},
    observation::UdpChecksum,
    probe::Report,
};

const A: &str = HUB;
const B: &str = "203.0.113.9";

fn two() -> (Network, [usize; 2]) {
    let mut network = Network::new();
    let ends = network.pair([("a", A, Some(B)), ("b", B, Some(A))], false);
    (network, ends)
}

fn is_from(packet: &Packet, host: &str) -> bool {
    packet.source.ip().to_string() == host
}

fn refused(report: &Report, why: &str) -> u64 {
    report.probes.refused.iter().find(|refused| refused.0 == why).unwrap().1
}

#[test]
fn loss_is_reported_for_each_direction() {
    let (mut network, [a, b]) = two();
    let mut random = StdRng::seed_from_u64(1);
    network.fault = Box::new(move |packet| !(is_from(packet, A) && random.random_bool(0.3)));
    let (mut tx, mut rx) = (0.0, 0.0);
    for _ in 0..40 {
        network.run(seconds(160));
        let report = network.report(a);
        tx += report.loss.tx.unwrap() / 40.0;
        rx += report.loss.rx.unwrap() / 40.0;
        assert_verdict(&report, NatVerdict::None, &[]);
        // What a loses on the way there, b misses.
        let other = network.report(b).loss;
        assert!((other.rx.unwrap() - report.loss.tx.unwrap()).abs() < 0.15, "{other:?} {report:?}");
    }
    assert!((tx - 0.3).abs() < 0.05, "{tx}");
    assert!(rx < 0.02, "{rx}");
}

#[test]
fn one_direction_dead_from_the_start() {
    let (mut network, [a, b]) = two();
    network.fault = Box::new(|packet| !is_from(packet, A));
    network.run(seconds(60));
    // a hears b, and nobody answers it.
    let report = network.report(a);
    let token = "requests bring the token that our replies offer";
    assert_verdict(
        &report,
        NatVerdict::Unidirectional,
        &["none was answered, but", "of its requests came", token],
    );
    // What is not proved to be fresh may be a recording, and is no sign of life.
    assert_eq!((report.liveness.up, report.loss.tx), (Some(false), Some(1.0)));
    let report = network.report(b);
    assert_verdict(&report, NatVerdict::Blocked, &["none was answered, and nothing came from it"]);
    assert_eq!(report.liveness.up, Some(false));
}

#[test]
fn one_direction_dies_and_recovers() {
    let (mut network, [a, b]) = two();
    network.run(seconds(60));
    network.fault = Box::new(|packet| !is_from(packet, A));
    network.run(seconds(40));
    let report = network.report(a);
    assert_verdict(
        &report,
        NatVerdict::Unidirectional,
        &["of its requests came", "we sent", "b saw"],
    );
    assert!(report.loss.tx.unwrap() > 0.1 && report.loss.rx == Some(0.0), "{:?}", report.loss);
    assert_verdict(&network.report(b), NatVerdict::Blocked, &[]);
    network.fault = Box::new(|_| true);
    network.run(seconds(15));
    for end in [a, b] {
        let report = network.report(end);
        assert_verdict(&report, NatVerdict::None, &[]);
        assert!(report.since < 15.0);
    }
    // Silence said nothing about sizes.
    assert_eq!(network.ends[a].path_mtu, Some(1500));
}

#[test]
fn data_that_comes_shows_that_the_path_is_open() {
    let (mut network, [a, _]) = two();
    network.fault = Box::new(|_| false);
    network.run(seconds(40));
    assert_verdict(&network.report(a), NatVerdict::Blocked, &[]);
    network.ends[a].counts = DataCounts { received: 7, ..DataCounts::default() };
    network.run(seconds(6));
    assert_verdict(
        &network.report(a),
        NatVerdict::None,
        &["probes unanswered, data flows", "7 data packets came from it"],
    );
}

#[test]
fn blocked_in_both_directions() {
    let (mut network, [a, b]) = two();
    network.run(seconds(60));
    network.fault = Box::new(|_| false);
    network.run(seconds(14));
    assert_verdict(&network.report(a), NatVerdict::None, &[]);
    network.run(seconds(16));
    for end in [a, b] {
        let report = network.report(end);
        assert_verdict(
            &report,
            NatVerdict::Blocked,
            &["none was answered, and nothing came from it"],
        );
        assert_eq!(report.liveness.up, Some(false));
    }
    network.fault = Box::new(|_| true);
    network.run(seconds(10));
    assert_verdict(&network.report(a), NatVerdict::None, &[]);
}

#[test]
fn requests_that_only_answers_pass() {
    // A firewall that lets in what answers.
    let (mut network, [a, b]) = two();
    network.run(seconds(30));
    network.fault = Box::new(|packet| {
        let request = packet.transmit.payload[8 + 14 + 12] == 1;
        !(request && is_from(packet, B))
    });
    network.run(seconds(40));
    assert_verdict(&network.report(a), NatVerdict::Unidirectional, &["b answers, and has sent"]);
    assert!(network.report(a).loss.rx.unwrap() > 0.2);
    assert_verdict(&network.report(b), NatVerdict::Unidirectional, &["of its requests came"]);
}

#[test]
fn disorder_and_duplicates_change_nothing() {
    let (mut network, [a, b]) = two();
    network.jitter = Duration::from_secs(2);
    network.twice = 0.5;
    network.run(seconds(600));
    for end in [a, b] {
        let report = network.report(end);
        assert_verdict(&report, NatVerdict::None, &[]);
        assert!(refused(&report, "replayed") > 20, "{:?}", report.probes);
        assert_eq!(report.probes.lost, 0);
        assert!(
            report.loss.tx.unwrap() < 0.1 && report.loss.rx.unwrap() < 0.1,
            "{:?}",
            report.loss
        );
    }
}

#[test]
fn disorder_does_not_move_an_endpoint_back() {
    let (mut network, [hub, office]) = office(NatBox::napt(OFFICE_PUBLIC));
    network.ends[office].config.interval = seconds(1);
    network.restart(office);
    network.run(seconds(20));
    network.jitter = Duration::from_secs(4);
    network.twice = 0.5;
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for second in 0..400 {
        if second % 20 == 0 {
            network.boxes[0].rebind();
        }
        network.run(seconds(1));
        theirs.extend(network.report(hub).theirs.map(|theirs| theirs.seen.source.port()));
        ours.extend(network.report(office).ours.map(|ours| ours.seen.source.port()));
    }
    let ports: Vec<u16> = network.ends[hub].moves.iter().map(|moves| moves.1.port()).collect();
    assert!(ports.len() > 20 && ports.is_sorted(), "{ports:?}");
    assert!(theirs.is_sorted() && ours.is_sorted(), "{theirs:?} {ours:?}");
}

#[test]
fn a_box_that_computes_checksums() {
    for (right, seen) in [(true, UdpChecksum::Right), (false, UdpChecksum::Wrong)] {
        for hosts in [[A, B], ["2001:db8::1", "2001:db8::2"]] {
            let mut network = Network::new();
            let [a, b] = network
                .pair([("a", hosts[0], Some(hosts[1])), ("b", hosts[1], Some(hosts[0]))], false);
            network.fault = Box::new(move |packet| {
                let sum = packet.right_checksum();
                packet.checksum = if right { sum } else { sum ^ 0x0101 };
                true
            });
            network.run(seconds(30));
            let how = if right { "a right checksum" } else { "a wrong checksum" };
            let ours = format!("our probes leave with checksum zero and arrive with {how} at b");
            let report = network.report(a);
            assert_verdict(&report, NatVerdict::ChecksumBreaking, &[&ours, "probes of b leave"]);
            assert_eq!(report.ours.unwrap().seen.checksum, seen);
            assert_eq!(report.theirs.unwrap().seen.checksum, seen);
            assert_verdict(&network.report(b), NatVerdict::ChecksumBreaking, &[]);
        }
    }
}

#[test]
fn a_restart_is_followed() {
    let (mut network, [hub, office]) = office(NatBox::napt(OFFICE_PUBLIC));
    network.run(seconds(60));
    for end in [hub, office, office, hub] {
        network.restart(end);
        network.run(seconds(12));
        for end in [hub, office] {
            let report = network.report(end);
            assert_verdict(&report, NatVerdict::Napt, &[]);
            assert_eq!(report.liveness.up, Some(true));
            assert!(report.probes.answered >= 2, "{:?}", report.probes);
        }
        network.run(seconds(60));
        for end in [hub, office] {
            let loss = network.report(end).loss;
            assert_eq!((loss.tx, loss.rx), (Some(0.0), Some(0.0)));
        }
    }
}

#[test]
fn after_a_restart_counting_begins_anew() {
    let (mut network, [hub, office]) = office(NatBox::napt(OFFICE_PUBLIC));
    network.run(seconds(60));
    network.restart(office);
    network.run(seconds(12));
    let now = network.now + seconds(1000);
    let probes = network.ends[hub].prober.evidence(now).probes.unwrap();
    assert!(probes.received <= 6 && probes.unsolicited.received <= 1, "{probes:?}");
}

#[test]
fn a_path_that_narrows_is_noticed() {
    let (mut network, [a, _]) = two();
    network.run(seconds(60));
    assert_eq!(network.ends[a].path_mtu, Some(1500));
    network.mtu = 1420;
    network.run(seconds(180));
    assert_eq!(network.ends[a].path_mtu, Some(1420));
    assert_eq!(network.report(a).path_mtu.tx, Some(1420));
}

/// Records every packet on the wire, until another fault is set.
fn record(network: &mut Network) -> Rc<RefCell<Vec<Packet>>> {
    let recorded = Rc::new(RefCell::new(Vec::new()));
    let tape = Rc::clone(&recorded);
    network.fault = Box::new(move |packet| {
        tape.borrow_mut().push(packet.clone());
        true
    });
    recorded
}

/// What was recorded, and what others made, counts for nothing.
#[test]
fn strangers_and_recordings_change_nothing() {
    let (mut network, [hub, office]) = office(NatBox::napt(OFFICE_PUBLIC));
    let recorded = record(&mut network);
    network.run(seconds(60));
    network.fault = Box::new(|_| true);
    let before = network.report(hub);
    let sent = network.ends[hub].sent.len();
    let moves = network.ends[hub].moves.len();
    let mut random = StdRng::seed_from_u64(7);
    let recorded = recorded.take();
    for round in 0..20_000_u32 {
        let mut packet = recorded[random.random_range(0..recorded.len())].clone();
        packet.source = "203.0.113.66:4789".parse().unwrap();
        packet.destination = "192.0.2.1:4789".parse().unwrap();
        if round % 2 == 0 {
            let mut bytes = packet.transmit.payload.to_vec();
            let place = random.random_range(22..310);
            bytes[place] ^= 1 << random.random_range(0..8);
            packet.transmit.payload = bytes.into();
        }
        network.arrive(hub, &packet);
    }
    let after = network.report(hub);
    // A few answers, as they may be for a host that was restored; none moves anything.
    let answers = network.ends[hub].sent.len() - sent;
    let time = (20_000 * network.hold).as_secs() as usize + 1;
    assert!(answers <= 2 * 5 * time, "{answers} answers in {time} s");
    assert_eq!(network.ends[hub].moves.len(), moves);
    assert_eq!(after.endpoint, before.endpoint);
    assert_eq!(after.probes.received, before.probes.received);
    assert_eq!(refused(&after, "unauthenticated") - refused(&before, "unauthenticated"), 10_000);
    network.run(seconds(30));
    assert_verdict(&network.report(hub), NatVerdict::Napt, &[]);
    assert_verdict(&network.report(office), NatVerdict::Napt, &[]);
}

/// Its session, its numbers and its clock are those of the snapshot. It is known again with its
/// next request, and its endpoint is followed, however long ago the snapshot was taken.
#[test]
fn a_restored_machine_is_followed() {
    for lost in [30, 3_600, 6 * 3_600] {
        let (mut network, [hub, office]) = office(NatBox::napt(OFFICE_PUBLIC));
        network.run(seconds(60));
        let snapshot = network.snapshot(office);
        network.run(seconds(lost));
        network.run(seconds(30));
        let port = network.boxes[0].rebind();
        network.restore(office, &snapshot);
        network.run(2 * network.ends[office].config.interval);
        let report = network.report(hub);
        assert!(report.endpoint.is_some_and(|at| at.port() > port), "{lost} s: {report:?}");
        network.run(seconds(120));
        for end in [hub, office] {
            let report = network.report(end);
            assert_verdict(&report, NatVerdict::Napt, &[]);
            assert_eq!(report.liveness.up, Some(true), "{lost} s");
            assert_eq!((report.loss.tx, report.loss.rx), (Some(0.0), Some(0.0)), "{lost} s");
        }
    }
}

/// The hub is restored: it believes in the endpoint of then, and hears of the new one.
#[test]
fn a_restored_hub_follows() {
    for lost in [30, 3_600] {
        let (mut network, [hub, office]) = office(NatBox::napt(OFFICE_PUBLIC));
        network.run(seconds(60));
        let snapshot = network.snapshot(hub);
        let port = network.boxes[0].rebind();
        network.run(seconds(lost));
        network.restore(hub, &snapshot);
        network.run(3 * network.ends[hub].config.interval);
        let report = network.report(hub);
        assert!(report.endpoint.is_some_and(|at| at.port() > port), "{lost} s: {report:?}");
        network.run(seconds(120));
        for end in [hub, office] {
            assert_eq!(network.report(end).liveness.up, Some(true), "{lost} s");
            assert_eq!(network.report(end).loss.tx, Some(0.0), "{lost} s");
        }
    }
}

/// Whoever plays recordings of the time before and after the snapshot, from anywhere, neither keeps
/// the restored machine from being known again nor moves its endpoint.
#[test]
fn recordings_beside_a_restored_machine() {
    let (mut network, [hub, office]) = office(NatBox::napt(OFFICE_PUBLIC));
    let recorded = record(&mut network);
    network.run(seconds(60));
    network.restart(office);
    network.run(seconds(60));
    let snapshot = network.snapshot(office);
    network.run(seconds(600));
    network.fault = Box::new(|_| true);
    network.restore(office, &snapshot);
    let recorded = recorded.take();
    let moves = network.ends[hub].moves.len();
    let mut random = StdRng::seed_from_u64(9);
    let play = |network: &mut Network, random: &mut StdRng| {
        for source in ["203.0.113.66:4789", "203.0.113.67:1"] {
            let mut packet = recorded[random.random_range(0..recorded.len())].clone();
            packet.source = source.parse().unwrap();
            packet.destination = "192.0.2.1:4789".parse().unwrap();
            network.arrive(hub, &packet);
        }
    };
    for _ in 0..1_000 {
        play(&mut network, &mut random);
        network.run(Duration::from_millis(10));
    }
    assert_eq!(network.ends[hub].moves.len(), moves);
    assert_eq!(network.report(hub).liveness.up, Some(true));
    let port = network.boxes[0].rebind();
    for _ in 0..1_000 {
        play(&mut network, &mut random);
        network.run(Duration::from_millis(10));
    }
    let report = network.report(hub);
    assert!(report.endpoint.is_some_and(|at| at.port() > port), "{report:?}");
}
