//! Which addresses and ports are rewritten between this host and a peer, and on whose side.

use std::net::SocketAddr;

use super::evidence::{Evidence, Ports};
use crate::probe::Rewrite;

/// In front of whom a NAT is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Of this host.
    Near,
    /// Of the peer.
    Far,
}

/// What is rewritten.
#[derive(Debug, Default)]
pub(super) struct Rewriting {
    /// A header was seen at both ends, or data packets were.
    pub(super) seen: bool,
    /// An address or port of this host's.
    pub(super) near: bool,
    /// Of the peer's.
    pub(super) far: bool,
    /// Somewhere, a port.
    pub(super) port: bool,
    /// One for each thing that is rewritten.
    pub(super) sentences: Vec<String>,
}

impl Rewriting {
    pub(super) fn of(evidence: &Evidence) -> Self {
        let mut found = Self::default();
        if let Some(probes) = &evidence.probes {
            if let Some(ours) = &probes.ours {
                found.our_probe(&evidence.peer, ours);
            }
            if let Some(theirs) = &probes.theirs {
                found.their_probe(&evidence.peer, theirs);
            }
        }
        found.data(evidence);
        found
    }

    fn our_probe(&mut self, peer: &str, Rewrite { sent, seen }: &Rewrite) {
        self.seen = true;
        if self.differ(Side::Near, sent.source, seen.source) {
            self.say(format!("our {} arrives at {peer} as {}", sent.source, seen.source));
        }
        if self.differ(Side::Far, sent.destination, seen.destination) {
            let (to, at) = (sent.destination, seen.destination);
            self.say(format!("what we send to {to} arrives at {at} of {peer}"));
        }
    }

    fn their_probe(&mut self, peer: &str, Rewrite { sent, seen }: &Rewrite) {
        self.seen = true;
        if self.differ(Side::Far, sent.source, seen.source) {
            let (from, arrives) = (sent.source, seen.source);
            self.say(format!("{peer} sends from {from}, which arrives as {arrives}"));
        }
        if self.differ(Side::Near, sent.destination, seen.destination) {
            let (to, at) = (sent.destination, seen.destination);
            self.say(format!("what {peer} sends to {to} arrives at our {at}"));
        }
    }

    /// What is going on now decides; without data lately, all data since the start, unless probes know
    /// better.
    fn data(&mut self, evidence: &Evidence) {
        let (peer, facts, data) = (&evidence.peer, &evidence.facts, &evidence.data);
        let lately = data.recent.received > 0 || self.seen;
        let counts = if lately { &data.recent } else { &data.total };
        let theirs = evidence.probes.as_ref().and_then(|probes| probes.theirs);
        // Within a cloud peers reach this host at its private address, which no NAT rewrote.
        let untouched =
            theirs.is_some_and(|probe| probe.sent.destination == probe.seen.destination);
        let all = counts.received;
        self.seen |= all > 0;
        if counts.src_address > 0 {
            self.far = true;
            let sent = facts.private.map_or_else(String::new, |at| format!(" instead of {at}"));
            let from = data.mapping.map_or_else(
                || "from another address".to_owned(),
                |at| format!("from {}", at.address),
            );
            let n = counts.src_address;
            self.say(format!("{n} of {all} data packets of {peer} came {from}{sent}"));
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
                Ports::Flow => "instead of that of their flow".to_owned(),
                Ports::Fixed(port) => format!("instead of {port}"),
                Ports::Range(low, high) => format!("instead of one of {low} to {high}"),
            };
            let mappings = data.mapping.map_or(0, |at| at.mappings);
            let of = if mappings > 1 { format!(", {mappings} mappings") } else { String::new() };
            self.say(format!("{n} of {all} data packets of {peer} came {from} {instead}{of}"));
        }
        if counts.dst_address > 0 && !untouched {
            self.near = true;
            let n = counts.dst_address;
            let to = facts.public.map_or_else(String::new, |at| format!(" than {at}"));
            self.say(format!("{n} of {all} data packets of {peer} came to another address{to}"));
        }
    }

    /// Notes on whose side something differs.
    fn differ(&mut self, side: Side, sent: SocketAddr, seen: SocketAddr) -> bool {
        self.port |= sent.port() != seen.port();
        let differs = sent != seen;
        match side {
            Side::Near => self.near |= differs,
            Side::Far => self.far |= differs,
        }
        differs
    }

    fn say(&mut self, sentence: String) {
        self.sentences.push(sentence);
    }
}
