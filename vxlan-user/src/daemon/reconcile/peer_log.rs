//! Log lines about peers, of which one event on the network causes thousands: the first few are
//! written as they come, and of the others one line with their number and some names. Writes no
//! line of its own accord: the caller gives the time.

use std::time::{Duration, Instant};

/// Lines of one kind that are written as they come within [`PERIOD`].
const MAX_LINES: usize = 10;
/// Names in the line about all others.
const MAX_NAMES: usize = 3;
const PERIOD: Duration = Duration::from_secs(1);

/// The kinds of lines, each with a limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::daemon) enum PeerChange {
    Moved,
    Reachable,
    Unreachable,
    Taken,
}

impl PeerChange {
    const ALL: [Self; 4] = [Self::Moved, Self::Reachable, Self::Unreachable, Self::Taken];

    /// What is reported of several peers.
    const fn plural(self) -> &'static str {
        match self {
            Self::Moved => "have another endpoint",
            Self::Reachable => "are reachable",
            Self::Unreachable => "are not reachable",
            Self::Taken => "send probes from where another peer is: their endpoints stay",
        }
    }

    const fn is_trouble(self) -> bool {
        matches!(self, Self::Unreachable | Self::Taken)
    }
}

/// What was left out of one kind.
#[derive(Clone, Debug, Default)]
struct Omitted {
    /// Since when lines count, and how many were written.
    since: Option<Instant>,
    written: usize,
    omitted: usize,
    names: Vec<String>,
}

/// The limits of all kinds.
#[derive(Clone, Debug, Default)]
pub(in crate::daemon) struct PeerLog([Omitted; PeerChange::ALL.len()]);

impl PeerLog {
    /// Returns whether the line about this change of a peer is to be written. It is counted
    /// otherwise.
    pub(in crate::daemon) fn permits(
        &mut self,
        kind: PeerChange,
        peer: &str,
        now: Instant,
    ) -> bool {
        let Some(of_kind) = self.0.get_mut(kind as usize) else { return true };
        let since = *of_kind.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= PERIOD && of_kind.omitted == 0 {
            *of_kind = Omitted { since: Some(now), ..Omitted::default() };
        }
        if of_kind.written < MAX_LINES {
            of_kind.written += 1;
            return true;
        }
        of_kind.omitted += 1;
        if of_kind.names.len() < MAX_NAMES {
            of_kind.names.push(peer.to_owned());
        }
        false
    }

    /// Writes the lines about what was left out. To be called about once a second.
    pub(in crate::daemon) fn write_omitted(&mut self) {
        for (kind, line) in self.take_omitted() {
            if kind.is_trouble() {
                tracing::warn!("{line}");
            } else {
                tracing::info!("{line}");
            }
        }
    }

    fn take_omitted(&mut self) -> Vec<(PeerChange, String)> {
        let mut lines = Vec::new();
        for (kind, of_kind) in PeerChange::ALL.into_iter().zip(&mut self.0) {
            if of_kind.omitted > 0 {
                let (count, names) = (of_kind.omitted, of_kind.names.join(", "));
                let more = if count > of_kind.names.len() { ", …" } else { "" };
                let kind_of_all = kind.plural();
                lines.push((kind, format!("{count} more peers {kind_of_all}: {names}{more}")));
            }
            *of_kind = Omitted::default();
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_lines_of_a_kind_become_one() {
        let (mut log, now) = (PeerLog::default(), Instant::now());
        let write = |log: &mut PeerLog, kind, from, to| {
            let peers = (from..to).map(|peer| format!("p{peer}"));
            peers.filter(|peer| log.permits(kind, peer, now)).count()
        };
        assert_eq!(write(&mut log, PeerChange::Moved, 0, 10_000), MAX_LINES);
        assert_eq!(write(&mut log, PeerChange::Unreachable, 0, 11), MAX_LINES);
        let lines = log.take_omitted();
        let expected = [
            (PeerChange::Moved, "9990 more peers have another endpoint: p10, p11, p12, …"),
            (PeerChange::Unreachable, "1 more peers are not reachable: p10"),
        ];
        assert_eq!(lines, expected.map(|(kind, line)| (kind, line.to_owned())));
        assert_eq!(log.take_omitted(), []);
        assert_eq!(write(&mut log, PeerChange::Moved, 0, 3), 3);
    }

    #[test]
    fn few_lines_a_second_are_all_written() {
        let mut log = PeerLog::default();
        let start = Instant::now();
        for second in 0..100 {
            for _ in 0..MAX_LINES {
                let now = start + second * PERIOD;
                assert!(log.permits(PeerChange::Reachable, "p", now), "{second}");
            }
        }
        assert_eq!(log.take_omitted(), []);
    }
}
