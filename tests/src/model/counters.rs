//! What is counted, and for whom.

use std::collections::BTreeMap;

/// Whom a packet is put down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Nobody,
    Peer(usize),
    Network(usize),
    Member {
        network: usize,
        member: usize,
    },
    /// A peer in a network that it is no member of.
    Pair {
        peer: usize,
        network: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    RxPackets,
    RxBytes,
    TxPackets,
    TxBytes,
    RxDrop(&'static str),
    TxDrop(&'static str),
    /// A field that was rewritten on the way.
    Nat(&'static str),
    /// Handed to the daemon.
    Probes,
    /// Frames answered in place of the one they ask for.
    Answered,
    /// Senders told that their packet is too large.
    Told,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(pub BTreeMap<(Who, What), u64>);

impl Counters {
    pub(super) fn add(&mut self, who: Who, what: What, count: usize) {
        *self.0.entry((who, what)).or_default() += count as u64;
    }
}
