//! Which addresses and ports are rewritten between this host and a peer, and on which side.

use std::{net::SocketAddr, time::Duration};

use super::{
    evidence::{Evidence, SourcePorts},
    sentences::Sentences,
};
use crate::observation::Rewrite;

/// The side that a NAT is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// In front of this host.
    Near,
    /// In front of the peer.
    Far,
}

/// How a probe is spoken of: as a present fact while it is recent, else as one of the past, with
/// its age.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tense(Option<Duration>);

impl Tense {
    /// The tense for a probe that was observed so long ago.
    pub(super) fn of(evidence: &Evidence, ago: Duration) -> Self {
        Self((ago >= evidence.window()).then_some(ago))
    }

    pub(super) fn is_present(self) -> bool {
        self.0.is_none()
    }

    pub(super) fn arrives(self) -> &'static str {
        if self.is_present() { "arrives" } else { "arrived" }
    }

    /// The end of a sentence.
    pub(super) fn ago(self) -> String {
        self.0.map_or_else(String::new, |ago| format!(", {} s ago", ago.as_secs()))
    }
}

/// What is rewritten.
#[derive(Debug)]
pub(super) struct Rewriting {
    /// A header was seen at both ends, or data packets came.
    pub(super) observed: bool,
    /// An address or port of this host is rewritten.
    pub(super) near: bool,
    /// An address or port of the peer is rewritten.
    pub(super) far: bool,
    /// A port is rewritten, on either side.
    pub(super) port: bool,
    /// One for each rewritten field.
    pub(super) sentences: Sentences,
}

impl Rewriting {
    /// Weighs the evidence. `sentences`: an empty list.
    pub(super) fn from_evidence(evidence: &Evidence, sentences: Sentences) -> Self {
        let mut found = Self { observed: false, near: false, far: false, port: false, sentences };
        if let Some(probes) = &evidence.probes {
            if let Some(ours) = &probes.ours {
                found.our_probe(&evidence.peer, ours, Tense::of(evidence, probes.ours_ago));
            }
            if let Some(theirs) = &probes.theirs {
                found.their_probe(&evidence.peer, theirs, Tense::of(evidence, probes.theirs_ago));
            }
        }
        found.data(evidence);
        found
    }

    fn our_probe(&mut self, peer: &str, Rewrite { sent, seen }: &Rewrite, tense: Tense) {
        self.observed = true;
        let (arrives, ago) = (tense.arrives(), tense.ago());
        if self.differ(Side::Near, sent.source, seen.source) {
            self.add(|| format!("our {} {arrives} at {peer} as {}{ago}", sent.source, seen.source));
        }
        if self.differ(Side::Far, sent.destination, seen.destination) {
            let (to, at) = (sent.destination, seen.destination);
            self.add(|| format!("what we send to {to} {arrives} at {at} of {peer}{ago}"));
        }
    }

    fn their_probe(&mut self, peer: &str, Rewrite { sent, seen }: &Rewrite, tense: Tense) {
        self.observed = true;
        let (arrives, ago) = (tense.arrives(), tense.ago());
        if self.differ(Side::Far, sent.source, seen.source) {
            let (from, seen_as) = (sent.source, seen.source);
            self.add(|| format!("{peer} sends from {from}, which {arrives} as {seen_as}{ago}"));
        }
        if self.differ(Side::Near, sent.destination, seen.destination) {
            let (to, at) = (sent.destination, seen.destination);
            self.add(|| format!("what {peer} sends to {to} {arrives} at our {at}{ago}"));
        }
    }

    /// Weighs data packets: the recent ones, or without any all since the start, unless probes have
    /// been observed.
    fn data(&mut self, evidence: &Evidence) {
        let (peer, facts, data) = (&evidence.peer, &evidence.facts, &evidence.data);
        let lately = data.recent.received > 0 || self.observed;
        let counts = if lately { &data.recent } else { &data.total };
        let theirs = evidence.probes.as_ref().and_then(|probes| probes.theirs);
        // Peers in the same cloud reach this host at its private address, which no NAT rewrote.
        let untouched =
            theirs.is_some_and(|probe| probe.sent.destination == probe.seen.destination);
        let all = counts.received;
        self.observed |= all > 0;
        if counts.src_address > 0 {
            self.far = true;
            let sent = facts.private.map_or_else(String::new, |at| format!(" instead of {at}"));
            let from = data.mapping.map_or_else(
                || "from another address".to_owned(),
                |at| format!("from {}", at.address),
            );
            let n = counts.src_address;
            self.add(|| format!("{n} of {all} data packets of {peer} came {from}{sent}"));
        }
        if counts.src_port > 0 {
            self.far = true;
            self.port = true;
            let n = counts.src_port;
            let from = data
                .mapping
                .and_then(|at| at.port)
                .map_or_else(|| "from another port".to_owned(), |port| format!("from port {port}"));
            let instead = match facts.ports {
                SourcePorts::Flow => "instead of that of their flow".to_owned(),
                SourcePorts::Fixed(port) => format!("instead of {port}"),
                SourcePorts::Range(low, high) => format!("instead of one of {low} to {high}"),
            };
            let mappings = data.mapping.map_or(0, |at| at.mappings);
            let of = if mappings > 1 { format!(", {mappings} mappings") } else { String::new() };
            self.add(|| format!("{n} of {all} data packets of {peer} came {from} {instead}{of}"));
        }
        if counts.dst_address > 0 && !untouched {
            self.near = true;
            let n = counts.dst_address;
            let to = facts.public.map_or_else(String::new, |at| format!(" than {at}"));
            self.add(|| format!("{n} of {all} data packets of {peer} came to another address{to}"));
        }
    }

    /// Records on which side an address or port differs.
    fn differ(&mut self, side: Side, sent: SocketAddr, seen: SocketAddr) -> bool {
        self.port |= sent.port() != seen.port();
        let differs = sent != seen;
        match side {
            Side::Near => self.near |= differs,
            Side::Far => self.far |= differs,
        }
        differs
    }

    fn add(&mut self, sentence: impl FnOnce() -> String) {
        self.sentences.push(sentence);
    }
}
