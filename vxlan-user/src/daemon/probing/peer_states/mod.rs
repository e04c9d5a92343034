//! Logs each change of a peer's state and verdict: one line, with the evidence, once the change has
//! lasted. When many peers change at once, one line names some of them.

#[cfg(test)]
mod tests;

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
