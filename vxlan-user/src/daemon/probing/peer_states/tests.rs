//! When a change of a peer is logged, and with which line.

use super::*;
use crate::probe::{OverlayEcho, sample};

fn report(peer: &str, up: Option<bool>, nat: NatVerdict) -> Report {
    let mut report = sample(peer);
    (report.liveness.up, report.probes_ok, report.nat) = (up, up, nat);
    report.evidence = vec![format!("because of {}", nat.label())];
    report
}

fn up(peer: &str) -> Report {
    report(peer, Some(true), NatVerdict::OneToOne)
}

fn down(peer: &str) -> Report {
    report(peer, Some(false), NatVerdict::Blocked)
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(1000 + seconds)
}

fn at_once(states: &mut PeerStates, second: u64, reports: &[Report]) -> Vec<Line> {
    for (peer, report) in reports.iter().enumerate() {
        states.record(peer, report, at(second), &|| report.evidence.clone());
    }
    states.take_lines()
}

/// The lines of some seconds with the same reports.
fn run(states: &mut PeerStates, seconds: std::ops::Range<u64>, reports: &[Report]) -> Vec<Line> {
    seconds.flat_map(|second| at_once(states, second, reports)).collect()
}

#[test]
fn each_change_is_one_line_with_its_reason() {
    let mut states = PeerStates::default();
    assert_eq!(run(&mut states, 0..9, &[report("a", None, NatVerdict::Unknown)]), []);
    let lines = run(&mut states, 10..20, &[up("a")]);
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((line.bad, line.peer.as_deref()), (false, Some("a")));
    assert_eq!(line.text, "up, one_to_one: because of one_to_one");
    let lines = run(&mut states, 20..60, &[down("a")]);
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(line.text, "down, no probes, blocked (was up, one_to_one): because of blocked");
    assert_eq!(run(&mut states, 60..99, &[up("a")]).len(), 1);
}

#[test]
fn a_peer_keeps_its_state_under_another_number() {
    let mut states = PeerStates::default();
    run(&mut states, 0..9, &[up("a"), down("b")]);
    let names = ["a", "b"].map(str::to_owned);
    states.set_peers(&names, ["c", "b"].into_iter());
    assert_eq!(run(&mut states, 9..12, &[up("c"), down("b")]), []);
    let lines = run(&mut states, 12..20, &[up("c"), down("b")]);
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(line.peer.as_deref(), Some("c"));
}

#[test]
fn what_does_not_last_is_not_logged() {
    let mut states = PeerStates::default();
    run(&mut states, 0..10, &[up("a")]);
    for second in 10..200 {
        let now = if second % 3 == 0 { down("a") } else { up("a") };
        assert_eq!(run(&mut states, second..second + 1, &[now]), [], "{second}");
    }
}

#[test]
fn a_peer_that_flaps_fills_no_log() {
    let mut states = PeerStates::default();
    let lines = (0..600).flat_map(|second| {
        let now = if second / 5 % 2 == 0 { up("a") } else { down("a") };
        at_once(&mut states, second, &[now])
    });
    assert!((4..=24).contains(&lines.count()), "of 120 changes");
    run(&mut states, 600..700, &[down("a")]);
    assert_eq!(run(&mut states, 700..800, &[up("a")]).len(), 1, "once it is steady");
}

#[test]
fn many_at_once_are_one_line() {
    let names: Vec<String> = (0..1000).map(|number| format!("p{number}")).collect();
    let all = |make: fn(&str) -> Report| names.iter().map(|name| make(name)).collect::<Vec<_>>();
    let mut states = PeerStates::default();
    assert_eq!(run(&mut states, 0..9, &all(up)).len(), 1);
    let mut reports = all(down);
    reports[7] = report("p7", Some(true), NatVerdict::DataLost);
    let lines = run(&mut states, 9..30, &reports);
    let [many, one] = lines.as_slice() else { panic!("{lines:?}") };
    let text = "999 peers are down, no probes, blocked: p0, p1, p2, p3, p4 and 994 more";
    assert_eq!(many.text, text);
    assert_eq!(one.peer.as_deref(), Some("p7"));
    assert!(one.text.contains("because of data_lost"), "{}", one.text);
}

#[test]
fn an_overlay_that_falls_silent_is_a_change_and_one_that_never_answered_is_none() {
    let mut states = PeerStates::default();
    run(&mut states, 0..9, &[up("a")]);
    let mut silent = up("a");
    let overlay = |last_reply| OverlayEcho {
        address: [192, 168, 43, 1].into(),
        answers: Some(false),
        last_reply,
        unanswered: 4,
    };
    silent.overlay = Some(overlay(None));
    assert_eq!(run(&mut states, 9..20, &[silent.clone()]), []);
    silent.overlay = Some(overlay(Some(20.0)));
    let lines = run(&mut states, 20..40, &[silent]);
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(line.bad && line.text.contains("its overlay does not answer"), "{}", line.text);
}
