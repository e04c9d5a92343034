//! Logs each change of a peer's state and verdict: one line, with the evidence, once the change has
//! lasted. When many peers change at once, one line names some of them.

use std::{collections::HashMap, time::Duration};

use crate::{daemon::peer_names::list_names, nat::NatVerdict, probe::Report};

/// A change is logged once it has lasted for so long.
const HOLD: Duration = Duration::from_secs(3);
/// A peer that has changed more often than this within [`FLAPPING_TIME`] has to be steady for
/// longer each time.
const FLAPPING: usize = 4;
const FLAPPING_TIME: Duration = Duration::from_secs(120);
const MAX_HOLD: Duration = Duration::from_secs(48);
/// More changes than this at once are logged together.
const MAX_LINES: usize = 4;

/// What is logged when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PeerState {
    /// Absent: not known yet.
    up: Option<bool>,
    probes_ok: Option<bool>,
    /// The overlay of the peer has ceased to answer.
    overlay_silent: bool,
    verdict: NatVerdict,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) bad: bool,
    /// The only peer.
    pub(super) peer: Option<String>,
    pub(super) text: String,
}

type Sentences<'a> = &'a dyn Fn() -> Vec<String>;

/// The states of all peers.
#[derive(Debug, Default)]
pub(super) struct PeerStates {
    by_peer: Vec<Option<Tracked>>,
    /// Changes that were not logged yet.
    changes: Vec<Change>,
}

#[derive(Debug)]
struct Tracked {
    logged: PeerState,
    /// The present state, and since when.
    present: PeerState,
    since: Duration,
    /// When the latest changes were logged.
    changes: Vec<Duration>,
}

#[derive(Debug)]
struct Change {
    peer: String,
    before: PeerState,
    after: PeerState,
    evidence: String,
}

impl PeerStates {
    /// Records the report on a peer as it is at `now`. `sentences` writes its evidence.
    pub(super) fn record(
        &mut self,
        peer: usize,
        report: &Report,
        now: Duration,
        sentences: Sentences<'_>,
    ) {
        let state = PeerState::of(report);
        if self.by_peer.len() <= peer {
            self.by_peer.resize_with(peer + 1, || None);
        }
        let Some(tracked) = &mut self.by_peer[peer] else {
            self.by_peer[peer] = Some(Tracked::new(state, now));
            return;
        };
        if let Some(before) = tracked.update(state, now) {
            let sentences = sentences();
            let first = sentences.first();
            let last = sentences.last().filter(|_| state.overlay_silent);
            let sentences: Vec<&str> = first.into_iter().chain(last).map(String::as_str).collect();
            let (peer, evidence) = (report.peer.clone(), sentences.join("; "));
            self.changes.push(Change { peer, before, after: state, evidence });
        }
    }

    /// Returns the lines to log, after the reports on all peers were recorded.
    pub(super) fn take_lines(&mut self) -> Vec<Line> {
        lines(&std::mem::take(&mut self.changes))
    }

    /// Continues with other peers: those that were there `before` keep their states.
    pub(super) fn set_peers<'a>(
        &mut self,
        before: &[String],
        names: impl Iterator<Item = &'a str>,
    ) {
        let known = before.iter().map(String::as_str).zip(std::mem::take(&mut self.by_peer));
        let mut known: HashMap<&str, Option<Tracked>> = known.collect();
        self.by_peer = names.map(|name| known.remove(name).flatten()).collect();
    }
}

impl PeerState {
    const UNKNOWN: Self =
        Self { up: None, probes_ok: None, overlay_silent: false, verdict: NatVerdict::Unknown };

    fn of(report: &Report) -> Self {
        let silent = report
            .overlay
            .is_some_and(|overlay| overlay.answers == Some(false) && overlay.last_reply.is_some());
        Self {
            up: report.liveness.up,
            probes_ok: report.probes_ok,
            overlay_silent: silent && report.probes_ok != Some(false),
            verdict: report.nat,
        }
    }

    fn is_bad(&self) -> bool {
        let lost = [NatVerdict::DataLost, NatVerdict::Unidirectional, NatVerdict::Blocked];
        self.up == Some(false)
            || self.probes_ok == Some(false)
            || self.overlay_silent
            || lost.contains(&self.verdict)
    }

    fn describe(&self) -> String {
        let up = match self.up {
            Some(true) => "up",
            Some(false) => "down",
            None => "not known to be up",
        };
        let probes = if self.probes_ok == Some(false) { ", no probes" } else { "" };
        let overlay = if self.overlay_silent { ", its overlay does not answer" } else { "" };
        format!("{up}{probes}{overlay}, {}", self.verdict.label())
    }
}

impl Tracked {
    fn new(state: PeerState, now: Duration) -> Self {
        Self { logged: PeerState::UNKNOWN, present: state, since: now, changes: Vec::new() }
    }

    /// Returns the state that was logged before, if the present one is to be logged now.
    fn update(&mut self, state: PeerState, now: Duration) -> Option<PeerState> {
        if state != self.present {
            (self.present, self.since) = (state, now);
        }
        self.changes.retain(|at| now.saturating_sub(*at) < FLAPPING_TIME);
        let doublings = self.changes.len().saturating_sub(FLAPPING - 1).min(4);
        let hold = (HOLD * (1 << doublings)).min(MAX_HOLD);
        if state == self.logged || now.saturating_sub(self.since) < hold {
            return None;
        }
        self.changes.push(now);
        Some(std::mem::replace(&mut self.logged, state))
    }
}

fn lines(changes: &[Change]) -> Vec<Line> {
    if changes.len() <= MAX_LINES {
        return changes.iter().map(Change::line).collect();
    }
    let mut groups: Vec<(PeerState, Vec<&Change>)> = Vec::new();
    for change in changes {
        match groups.iter_mut().find(|(state, _)| *state == change.after) {
            Some((_, group)) => group.push(change),
            None => groups.push((change.after, vec![change])),
        }
    }
    let line = |(state, group): &(PeerState, Vec<&Change>)| {
        if let [only] = group.as_slice() {
            return only.line();
        }
        let names = list_names(group.iter().map(|change| change.peer.as_str()));
        let text = format!("{} peers are {}: {names}", group.len(), state.describe());
        Line { bad: state.is_bad(), peer: None, text }
    };
    groups.iter().map(line).collect()
}

impl Change {
    fn line(&self) -> Line {
        let Self { peer, before, after, evidence } = self;
        let was = match *before {
            PeerState::UNKNOWN => String::new(),
            before => format!(" (was {})", before.describe()),
        };
        let text = format!("{}{was}: {evidence}", after.describe());
        Line { bad: after.is_bad(), peer: Some(peer.clone()), text }
    }
}

#[cfg(test)]
mod tests {
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
    fn run(
        states: &mut PeerStates,
        seconds: std::ops::Range<u64>,
        reports: &[Report],
    ) -> Vec<Line> {
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
        let all =
            |make: fn(&str) -> Report| names.iter().map(|name| make(name)).collect::<Vec<_>>();
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
}
