//! NAT of every kind, and its changes.

use std::{net::IpAddr, time::Duration};

use super::{
    HUB, OFFICE, OFFICE_PUBLIC, assert_verdict,
    boxes::NatBox,
    network::{INTERVAL, Network, PORT},
    office, seconds,
};
use crate::nat::{NatVerdict, mapping_varies};

const FIXED_MAPPING: &str = "198.51.100.20:4789";

#[test]
fn no_nat() {
    for (ours, theirs) in [(HUB, "203.0.113.9"), ("2001:db8::1", "2001:db8::2")] {
        for fixed in [false, true] {
            let mut network = Network::new();
            network.mtu = 1437;
            network.hold = Duration::from_millis(5);
            let [a, b] =
                network.pair([("a", ours, Some(theirs)), ("b", theirs, Some(ours))], fixed);
            network.run(seconds(120));
            for end in [a, b] {
                let report = network.report(end);
                assert_verdict(&report, NatVerdict::None, &["arrives at", "as it is"]);
                assert_eq!(report.liveness.up, Some(true));
                assert_eq!((report.loss.tx, report.loss.rx), (Some(0.0), Some(0.0)));
                assert_eq!((report.hops.tx, report.hops.rx), (Some(3), Some(3)));
                let mtu = (report.path_mtu.tx, report.path_mtu.rx);
                assert_eq!(mtu, (Some(1437), Some(1437)));
                assert_eq!(network.ends[end].path_mtu, Some(1437));
                let rtt = report.rtt.unwrap();
                assert!((rtt.last - 0.02).abs() < 1e-3 && (rtt.min - 0.02).abs() < 1e-3, "{rtt:?}");
                let counts = &report.probes;
                assert!((19..=40).contains(&counts.sent), "{counts:?}");
                assert!(counts.answered + 1 >= counts.sent && counts.lost == 0, "{counts:?}");
                assert!(network.ends[end].moves.is_empty());
            }
        }
    }
}

#[test]
fn one_to_one_on_one_side() {
    let mut network = Network::new();
    network.boxes.push(NatBox::one_to_one(OFFICE_PUBLIC, OFFICE));
    let hosts = [("hub", HUB, Some(OFFICE_PUBLIC)), ("office", OFFICE, Some(HUB))];
    let [hub, office] = network.pair(hosts, false);
    network.run(seconds(10));
    assert_verdict(&network.report(hub), NatVerdict::OneToOne, &["not known yet"]);
    network.run(seconds(110));
    let port = network.report(hub).theirs.unwrap().sent.source.port();
    let arrives =
        format!("office sends from 10.0.0.2:{port}, which arrives as 198.51.100.20:{port}");
    let back = "what we send to 198.51.100.20:4789 arrives at 10.0.0.2:4789 of office";
    assert_verdict(&network.report(hub), NatVerdict::OneToOne, &[&arrives, back, "were answered"]);
    let arrives = format!("our 10.0.0.2:{port} arrives at hub as 198.51.100.20:{port}");
    assert_verdict(&network.report(office), NatVerdict::OneToOne, &[&arrives, "get in"]);
}

#[test]
fn one_to_one_on_both_sides() {
    let mut network = Network::new();
    network.boxes.push(NatBox::one_to_one("203.0.113.10", "10.1.0.1"));
    network.boxes.push(NatBox::one_to_one(OFFICE_PUBLIC, OFFICE));
    let hosts = [("a", "10.1.0.1", Some(OFFICE_PUBLIC)), ("b", OFFICE, Some("203.0.113.10"))];
    let [a, b] = network.pair(hosts, true);
    network.run(seconds(120));
    let ours = "our 10.1.0.1:4789 arrives at b as 203.0.113.10:4789";
    let theirs = "b sends from 10.0.0.2:4789, which arrives as 198.51.100.20:4789";
    assert_verdict(
        &network.report(a),
        NatVerdict::OneToOne,
        &[ours, theirs, "came", "were answered"],
    );
    assert_verdict(&network.report(b), NatVerdict::OneToOne, &["came", "were answered"]);
}

#[test]
fn napt_that_keeps_ports() {
    let (mut network, [hub, office]) = office(NatBox::napt(OFFICE_PUBLIC).keeping_ports());
    network.run(seconds(120));
    let why = "packets that the peer did not ask for do not get in: 0 of";
    assert_verdict(&network.report(hub), NatVerdict::PortPreservingNapt, &[why]);
    let why = "packets that nobody here asked for do not get in: 0 came";
    assert_verdict(&network.report(office), NatVerdict::PortPreservingNapt, &[why]);
    assert_eq!(network.report(hub).endpoint, FIXED_MAPPING.parse().ok());
    assert_eq!(network.report(hub).mapping_changes, 0);
}

#[test]
fn napt_with_other_ports() {
    let (mut network, [hub, office]) = office(NatBox::napt(OFFICE_PUBLIC));
    network.run(seconds(1));
    let learned = network.report(hub).endpoint.unwrap();
    assert_eq!(learned.ip(), OFFICE_PUBLIC.parse::<IpAddr>().unwrap());
    assert_ne!(learned.port(), PORT);
    network.run(seconds(120));
    let arrives = format!("office sends from 10.0.0.2:4789, which arrives as {learned}");
    assert_verdict(&network.report(hub), NatVerdict::Napt, &[&arrives]);
    let arrives = format!("our 10.0.0.2:4789 arrives at hub as {learned}");
    assert_verdict(&network.report(office), NatVerdict::Napt, &[&arrives]);
    assert_eq!(network.ends[hub].moves.len(), 1);
    assert_eq!(network.report(hub).liveness.up, Some(true));
    assert_eq!(network.ends[hub].path_mtu, Some(1500));
}

#[test]
fn nothing_is_sent_to_where_nobody_was_heard() {
    let mut network = Network::new();
    network.fault = Box::new(|_| false);
    let [hub, _] = network.pair([("hub", HUB, None), ("office", OFFICE, Some(HUB))], true);
    network.run(seconds(300));
    assert!(network.ends[hub].sent.is_empty());
    assert_verdict(&network.report(hub), NatVerdict::Unknown, &["0 probes of office came"]);
    assert_eq!(network.report(hub).liveness.up, None);
}

#[test]
fn two_peers_behind_one_address() {
    let mut network = Network::new();
    network.boxes.push(NatBox::napt(OFFICE_PUBLIC));
    let one = network.pair([("hub", HUB, None), ("one", OFFICE, Some(HUB))], true);
    let two = network.pair([("hub", HUB, None), ("two", "10.0.0.3", Some(HUB))], true);
    network.run(seconds(60));
    let [first, second] = [one[0], two[0]].map(|hub| {
        let report = network.report(hub);
        assert_verdict(&report, NatVerdict::Napt, &["10.0.0."]);
        assert_eq!(report.liveness.up, Some(true));
        report.endpoint.unwrap()
    });
    assert_eq!(first.ip(), second.ip());
    assert_ne!(first.port(), second.port());
}

#[test]
fn symmetric() {
    let mut network = Network::new();
    network.boxes.push(NatBox::napt(OFFICE_PUBLIC).symmetric());
    let one = network.pair([("one", HUB, None), ("office", OFFICE, Some(HUB))], true);
    let other = "203.0.113.9";
    let two = network.pair([("two", other, None), ("office", OFFICE, Some(other))], true);
    network.run(seconds(60));
    assert_verdict(&network.report(one[1]), NatVerdict::Napt, &[]);
    let now = network.now + seconds(7_000_000);
    let offices = [one[1], two[1]];
    let ours = offices.map(|end| network.ends[end].prober.recent_ours(now));
    assert_eq!(mapping_varies(&ours), [true, true]);
    // One peer may only not have heard yet of a mapping that has changed for both.
    for end in offices {
        network.ends[end].prober.set_varies(true, now);
    }
    assert_verdict(&network.report(one[1]), NatVerdict::Napt, &[]);
    network.run(seconds(10));
    for end in offices {
        network.ends[end].prober.set_varies(true, now + seconds(10));
    }
    let why = "our address or port differs from peer to peer: our 10.0.0.2:4789 arrives at one as";
    assert_verdict(&network.report(one[1]), NatVerdict::Symmetric, &[why]);
    network.run(seconds(10));
    let why = "office says that its address or port differs from peer to peer";
    assert_verdict(&network.report(one[0]), NatVerdict::Symmetric, &[why]);
    assert_verdict(&network.report(two[0]), NatVerdict::Symmetric, &[why]);
    assert_eq!(network.report(two[0]).liveness.up, Some(true));
}

#[test]
fn after_a_rebind_the_hub_follows_within_two_intervals() {
    let (mut network, [hub, office]) = office(NatBox::napt(OFFICE_PUBLIC));
    network.run(seconds(60));
    for round in 1..=10 {
        let before = network.report(hub);
        let answered = before.probes.answered;
        network.boxes[0].rebind();
        network.run(2 * INTERVAL);
        let after = network.report(hub);
        assert_ne!(after.endpoint, before.endpoint, "round {round}");
        assert!(after.probes.answered > answered, "the hub reaches it, round {round}");
        assert_eq!(after.mapping_changes, round);
        assert_verdict(&after, NatVerdict::Napt, &[]);
        let endpoint = after.endpoint.unwrap();
        let arrives = format!("our 10.0.0.2:4789 arrives at hub as {endpoint}");
        assert_verdict(&network.report(office), NatVerdict::Napt, &[&arrives]);
        network.run(seconds(30) + round_part(round));
    }
}

/// So that rebinds come at any point of an interval.
fn round_part(round: u64) -> Duration {
    Duration::from_millis(round * 531)
}

#[test]
fn a_mapping_that_changes_all_the_time_moves_the_endpoint_once_a_second() {
    let (mut network, [hub, office]) = office(NatBox::napt(OFFICE_PUBLIC));
    network.run(seconds(10));
    // The office asks oftener than it may.
    for _ in 0..50 {
        network.boxes[0].rebind();
        let now = network.now + seconds(7_000_000);
        let end = &mut network.ends[office];
        end.prober.set_endpoint(None, now);
        end.prober.set_endpoint(end.config.endpoint, now);
        network.run(Duration::from_millis(130));
    }
    let moves: Vec<_> = network.ends[hub].moves.iter().map(|moves| moves.0).collect();
    assert!(moves.len() >= 6, "{moves:?}");
    for pair in moves.windows(2) {
        assert!(pair[1] - pair[0] >= seconds(1), "{moves:?}");
    }
    network.run(seconds(1));
    let newest = network.report(office).ours.unwrap().seen.source;
    assert_eq!(network.report(hub).endpoint, Some(newest));
}

#[test]
fn mappings_are_kept_alive() {
    for (nat, kept) in [
        (NatBox::napt(OFFICE_PUBLIC), true),
        (NatBox::napt(OFFICE_PUBLIC).keeping_ports(), true),
        (NatBox::one_to_one(OFFICE_PUBLIC, OFFICE), false),
    ] {
        let mut network = Network::new();
        network.boxes.push(nat);
        let hub = (!kept).then_some(OFFICE_PUBLIC);
        let ends = network.pair([("hub", HUB, hub), ("office", OFFICE, Some(HUB))], true);
        for end in ends {
            network.ends[end].config.interval = seconds(60);
            if !kept && end == ends[1] {
                let own = OFFICE_PUBLIC.parse().expect("an address");
                network.ends[end].config.public_addresses = vec![own];
            }
            network.restart(end);
        }
        network.run(seconds(2400));
        for end in ends {
            // The search for the path MTU sends, too; at 1500 it confirms once in a minute.
            let sent = &network.ends[end].sent;
            let gaps = sent.windows(2).map(|pair| pair[1] - pair[0]);
            let longest = gaps.max().unwrap();
            assert_eq!(longest <= seconds(20), kept, "{longest:?}");
            let requests = network.report(end).probes.sent;
            if kept {
                assert!((115..=135).contains(&requests), "{requests}");
            } else {
                assert!((33..=50).contains(&requests), "{requests}");
            }
        }
    }
}
